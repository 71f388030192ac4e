"""Puts what the engine does into an observer's words."""

from runtime.serving.attention import Attention, PimAttention
from runtime.serving.observer import Observer
from runtime.serving.running import Running, Waiting
from runtime.tiers.kv_store import KvStore


class Watcher:
    """Stands between an engine and its observer."""

    def __init__(self, observer: Observer, store: KvStore, attention: Attention) -> None:
        self._observer, self._store, self._attention = observer, store, attention
        self._last: tuple[list[int], int] | None = None

    def steps(self, what: str, start: int, end: int, *, gpu_ps: int, steps: int,
              decoding: bool) -> None:
        """Some steps alike have been taken."""
        self._observer.span("gpu", what, start, end, busy_ps=gpu_ps, steps=steps)
        if decoding and isinstance(self._attention, PimAttention):
            for stack, ps in enumerate(self._attention.stack_busy_ps()):
                if ps:
                    self._observer.span(f"pim.stack{stack}", "decode", start, end,
                                        busy_ps=ps * steps, steps=steps)

    def state(self, request: Running | Waiting, state: str, now: int) -> None:
        """A request's state has ended."""
        self._observer.request(request.index, request.served, state, request.since_ps, now)

    def residency(self, now: int) -> None:
        """A step has ended."""
        present = (self._store.used(), self._store.busy)
        if present != self._last:
            self._last = present
            self._observer.residency(now, present[0], present[1])
