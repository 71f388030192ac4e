"""What the engine tells whoever watches a run: a timeline, a plot of where KV lives."""

from collections.abc import Sequence
from typing import Protocol

from runtime.serving.result import Served


class Observer(Protocol):
    """Is told what happens, in order of the ends of what happened; it can change nothing.

    An engine without one asks nothing of this and is not slowed down.

    Resources are ``"gpu"``, ``"pim.stack0"`` and so on (a stack's PIM units; all cards work alike,
    so a stack stands for that stack of every card), ``"dma"`` (the stacks' own engines),
    ``"hbm_read"``, ``"hbm_write"``, ``"nvlink"`` and ``"pcie"``.
    """

    def span(self, resource: str, what: str, start_ps: int, end_ps: int, *, busy_ps: int,
             steps: int = 1) -> None:
        """``resource`` was busy with ``what`` for ``busy_ps`` of a time.

        ``what`` is ``"prefill"`` or ``"decode"`` (``steps`` steps of the engine, which share their
        time among the GPU and the PIM units, so that neither is busy throughout), or names a
        transfer, such as ``"promote"``, ``"demote"``, ``"swap_out"``, ``"swap_in"``.
        """
        ...

    def request(self, index: int, served: Served, state: str, start_ps: int, end_ps: int) -> None:
        """Request ``index`` of the workload was in ``state`` for a time.

        States are ``"queued"``, ``"prefill"``, ``"decode"`` and, after a preemption,
        ``"preempted"``.
        """
        ...

    def residency(self, now_ps: int, kv_blocks: Sequence[int], busy: int) -> None:
        """KV blocks in each tier, in order of the system's tiers; ``busy`` of the first in use.

        Told at each end of a step at which a number has changed.
        """
        ...
