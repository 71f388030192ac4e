"""Requests in work, and those that wait."""

from dataclasses import dataclass

from runtime.serving.result import Served
from runtime.tiers.units import Extent


@dataclass(slots=True, eq=False)
class Waiting:
    """A request in the queue.

    Attributes
    ----------
    served : Served
    index : int
        Its place in the workload.
    generated : int
        Tokens that it made before it was preempted.
    kept_blocks : int
        Leading prefix blocks that its swapped KV goes on from.
    swapped : tuple or None
        (tier, KV blocks) of its private blocks, where they were swapped out.
    since_ps : int
        Since when it waits.
    """

    served: Served
    index: int
    since_ps: int
    generated: int = 0
    kept_blocks: int = 0
    swapped: tuple[int, int] | None = None


@dataclass(slots=True, eq=False)
class Running:
    """A request that has been admitted.

    Attributes
    ----------
    served : Served
    index, sequence : int
        Its place in the workload, and in the order of admissions.
    home : int
        The stack that it should lie near.
    pinned : list of int
        Its prefix blocks in the store.
    parts : dict
        KV blocks of the pinned ones in each extent, if extents matter.
    places : list
        Extents of its private blocks, with sizes.
    plan : dict
        Waves of all its extents.
    private : int
        KV blocks of its own when its prefill ended (or began).
    prompt : int
        Tokens to prefill: its input, and what it had made before it was preempted.
    prefilled : int
        Those whose KV exists.
    generated : int
        Tokens made.
    ready_ps : int
        When its transfers are done.
    final_step : int
        Value of the decode counter at which its last token is made.
    offset : int
        Context of a decode step minus that step's number.
    since_ps : int
        When its present state began.
    grown : int
        KV blocks of its own that it has added while it decoded, known when that ends.
    """

    served: Served
    index: int
    sequence: int
    home: int
    pinned: list[int]
    parts: dict[Extent, int]
    places: list[tuple[Extent, int]]
    plan: dict[Extent, int]
    private: int
    prompt: int
    prefilled: int
    generated: int
    ready_ps: int
    since_ps: int
    grown: int = 0
    final_step: int = 0
    offset: int = 0
