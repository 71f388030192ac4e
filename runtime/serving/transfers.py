"""Transfers of KV on the shared resources, and how steps feel them.

Resources are explicit and each does one thing at a time: the data buses of the stacks (``dma``,
``hbm_read``, ``hbm_write``: they carry reads and writes alike, all stacks in parallel), ``nvlink``
and ``pcie``. A transfer holds all that its route needs, from the first moment at which they are
free.

Some transfers the hardware does while steps run. What they need of the buses then competes with
what the step needs: it is hidden where the step leaves the buses idle (arithmetic, all-reduce,
start-up of kernels) and delays the step by the rest. Attention of the PIM units does not hide it,
although it leaves the buses idle: their banks are taken. All other transfers stop the steps.
"""

from collections.abc import Mapping

from runtime.serving.observer import Observer
from runtime.serving.result import EngineResult
from runtime.systems import System
from runtime.systems.routes import BUS_RESOURCES, Route, stored_block_bytes


class Transfers:
    """All transfers of a run.

    Parameters
    ----------
    system : System
    no_overlap : tuple of str
        Resources whose transfers must not run beside steps.
    result : EngineResult
        Takes the counts.
    observer : Observer, optional

    Attributes
    ----------
    stall_ps : int
        When the steps may go on.
    """

    def __init__(self, system: System, no_overlap: tuple[str, ...], result: EngineResult,
                 observer: Observer | None = None) -> None:
        self._system, self._result, self._observer = system, result, observer
        self._hidden = system.spec.overlaps - set(no_overlap)
        self._no_overlap = set(no_overlap)
        self._free = {"bus": 0, "nvlink": 0, "pcie": 0}
        self._debt_ps = 0
        self.stall_ps = 0
        self._bytes = [stored_block_bytes(system.model, t.kv_format) for t in system.tiers]

    def move(self, now: int, moves: Mapping[tuple[int, int], int], what: str = "") -> int:
        """Queues moves between tiers; returns when the last of them is done."""
        done = now
        for (source, to), kv_blocks in sorted(moves.items()):
            if kv_blocks:
                route = self._system.routes[source, to]
                name = what or ("spread" if source == to else "promote" if not to else "demote")
                done = max(done, self.carry(now, route, kv_blocks, name))
                self._count(route, kv_blocks, self._bytes[source] + self._bytes[to])
        return done

    def _count(self, route: Route, kv_blocks: int, both_sides: int) -> None:
        kind = {"dma": "migrated_bytes", "kernels": "card_bytes", "pcie": "host_bytes"}
        self._result.counts[kind[route.engine]] += kv_blocks * both_sides // 2

    def carry(self, now: int, route: Route, kv_blocks: int, what: str) -> int:
        """Queues one transfer; returns when it is done."""
        counts = self._result.counts
        needs = {"bus": 0, "nvlink": 0, "pcie": 0}
        cost = route.cost(kv_blocks)
        for resource, ps in cost:
            needs["bus" if resource in BUS_RESOURCES else resource] += ps
            counts[f"{resource}_busy_ps"] += ps
        held = [wire for wire, ps in needs.items() if ps]
        start = max([now, *(self._free[wire] for wire in held)])
        for wire in held:
            self._free[wire] = start + needs[wire]
        end = start + max(needs.values())
        if route.engine in self._hidden and self._no_overlap.isdisjoint(r for r, _ in cost):
            self._debt_ps += needs["bus"]
        else:
            self.stall_ps = max(self.stall_ps, end)
        if self._observer is not None:
            for resource, ps in cost:
                self._observer.span(resource, what, start, start + ps, busy_ps=ps)
        return end

    def delay(self, start: int, idle_ps: int) -> int:
        """What the step that starts now takes longer, with so much time of idle buses.

        Settles all that was queued before.
        """
        if not self._debt_ps:
            return 0
        unfinished = min(self._debt_ps, max(0, self._free["bus"] - start))
        self._debt_ps = 0
        return max(0, unfinished - idle_ps)
