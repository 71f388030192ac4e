"""What an eviction policy must offer, and what it may know of an access."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What is known of one request when it uses blocks of its prompt.

    One object serves all blocks of a request at one moment, so that a block costs nothing more.
    Every field may be missing; its default then says so.

    Attributes
    ----------
    time_ps : int
        Time of the access.
    request : int
        Place of the request in the workload, from 0.
    request_class : str
        Kind of request that the trace names, such as ``"text"``; empty if it names none.
    session : int
        Conversation that the request belongs to; -1 if the trace does not say.
    turn : int
        Turn of the conversation, from 1; 0 if the trace does not say.
    prompt_blocks : int
        Prefix blocks of the prompt; 0 if not known.
    card, cards : int
        Card that serves the request, and how many there are.
    move_ps : int
        Time to bring one such block back from where a victim goes; 0 if victims are lost.
    recompute_ps, recompute_step_ps : int
        Time to compute the first block of a prompt again, and what each block before adds to it.
    """

    time_ps: int = 0
    request: int = 0
    request_class: str = ""
    session: int = -1
    turn: int = 0
    prompt_blocks: int = 0
    card: int = 0
    cards: int = 1
    move_ps: int = 0
    recompute_ps: int = 0
    recompute_step_ps: int = 0


UNKNOWN = Access()
"""The access of a caller that knows nothing but the block."""


class EvictionPolicy(Protocol):
    """Decides which block leaves a tier. One object serves one tier.

    The tier tells it of every change; a block is known from :meth:`insert` to :meth:`remove` or
    :meth:`victim`. Pinned blocks are in use and never victims. ``index`` is the block's place in
    the prompt that uses it. A policy is made without arguments; what capacity it works for it sees
    from how many blocks it knows when :meth:`victim` is called. docs/eviction.md says how to add
    one.
    """

    def insert(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        """``block`` has become resident, not pinned."""
        ...

    def touch(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        """``block``, not pinned, was accessed."""
        ...

    def pin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        """``block`` is in use from now on."""
        ...

    def unpin(self, block: int, index: int = 0, access: Access = UNKNOWN) -> None:
        """``block`` is no longer in use; this counts as an access."""
        ...

    def remove(self, block: int) -> None:
        """``block``, not pinned, has left for another reason than :meth:`victim`."""
        ...

    def victim(self, incoming: int | None = None) -> int | None:
        """Forgets and returns the block that must go; None if all are pinned.

        ``incoming`` is the block that the room is for, where it is for a single one.
        """
        ...
