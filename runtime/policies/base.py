"""What an eviction policy must offer."""

from typing import Protocol


class EvictionPolicy(Protocol):
    """Decides which block leaves a tier. One object serves one tier.

    The tier tells it of every change; a block is known from :meth:`insert` to :meth:`remove` or
    :meth:`victim`. Pinned blocks are in use and never victims. A new policy is one file in this
    folder and one line in the catalogue.
    """

    def insert(self, block: int) -> None:
        """``block`` has become resident, not pinned."""
        ...

    def touch(self, block: int) -> None:
        """``block``, not pinned, was accessed."""
        ...

    def pin(self, block: int) -> None:
        """``block`` is in use from now on."""
        ...

    def unpin(self, block: int) -> None:
        """``block`` is no longer in use; this counts as an access."""
        ...

    def remove(self, block: int) -> None:
        """``block``, not pinned, has left for another reason than :meth:`victim`."""
        ...

    def victim(self) -> int | None:
        """Forgets and returns the block that must go; None if all are pinned."""
        ...
