"""Work grows no faster than n log n with the requests; counted in lines, so that load is no noise.

Seconds are in ``make bench``: ``runtime.growth``.
"""

import sys
from math import log

import pytest

from runtime.serving import Engine, EngineConfig
from tests.runtime.common import system_named, table_in, workload_of


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return table_in(tmp_path_factory.mktemp("cycles"))


def lines_run(system, requests: int) -> int:
    """Lines of Python, each round of a loop anew, to serve more than the system keeps up with."""
    rows = [(0.0001 * k, 48, 2, (k % 9, 100 + k // 2, 10**6 + k)) for k in range(requests)]
    engine = Engine(system, workload_of(rows), EngineConfig(max_batch=4))
    count = 0

    def note(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        result = engine.run()
    finally:
        sys.settrace(before)
    # A queue that grows is where a step that goes through all of it would show.
    waits = [s.admitted_ps - s.request.arrival_ps for s in result.served]
    assert max(waits[-20:]) > 5 * max(waits[:20])
    return count


@pytest.mark.parametrize("name", ["gpu", "tokenstack"])
def test_work_grows_no_faster_than_n_log_n(table, name):
    system = system_named(name, table, tiers=(60, 90, 150))
    few, many = lines_run(system, 200), lines_run(system, 3200)
    assert many <= few * 16 * log(3200) / log(200), (few, many)
