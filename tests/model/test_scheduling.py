"""Limits of the scheduler: impossible ones are refused by name."""

import pytest

from model.spec.errors import SpecError
from model.spec.scheduling import SchedulerSpec


@pytest.mark.parametrize(("limits", "message"), [
    ({"read_entries": 1}, "read_entries: expected an integer in 2..128, not 1"),
    ({"write_high": 33}, "write_high: expected an integer in 1..32, not 33"),
    ({"write_low": 28}, "write_low: expected an integer in 0..27, not 28"),
    ({"write_burst": 8}, "preempt_burst: expected at most write_burst = 8, not 16"),
    ({"idle_close": 1}, "idle_close: expected an integer in 2..4096, not 1"),
    ({"starvation": 0}, "starvation: expected an integer in 1..4096, not 0"),
    ({"urgent_burst": 0}, "urgent_burst: expected an integer in 1..64, not 0"),
    ({"quiet_clocks": 0}, "quiet_clocks: expected an integer in 1..1024, not 0"),
])
def test_a_limit_that_makes_no_sense_is_refused(limits: dict[str, int], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        SchedulerSpec(**limits)
    assert str(caught.value) == message


def test_the_defaults_are_possible() -> None:
    limits = SchedulerSpec()
    assert limits.write_low < limits.write_high <= limits.write_entries
