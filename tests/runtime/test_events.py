"""Events come in one total order: tick, priority, insertion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.serving.events import Agenda, Priority


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(Priority)), max_size=40))
def test_order_is_tick_then_priority_then_insertion(pushed):
    agenda = Agenda()
    for k, (tick, priority) in enumerate(pushed):
        agenda.push(tick, priority, k)
    popped = []
    while agenda:
        event = agenda.pop()
        assert agenda.now == event.tick
        popped.append((event.tick, event.priority, event.payload))
    assert popped == sorted((t, p, k) for k, (t, p) in enumerate(pushed))


def test_the_past_is_refused():
    agenda = Agenda()
    agenda.push(5, Priority.ARRIVAL)
    agenda.pop()
    with pytest.raises(ValueError, match="event at 4, but it is already 5"):
        agenda.push(4, Priority.ARRIVAL)
