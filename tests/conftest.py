"""For every test: a simulator that does not exist is one line, not a hundred failures."""

import pytest

from model.spec.errors import UserError
from tb.build import selected_simulator


def pytest_configure(config: pytest.Config) -> None:
    """Checks ``SIM`` before anything is collected."""
    try:
        selected_simulator()
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str:
    """Names the simulator that tests use which do not choose one."""
    return f"simulator: {selected_simulator()}"
