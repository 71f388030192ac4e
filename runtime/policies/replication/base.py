"""What a replication policy must offer."""

from typing import Protocol


class ReplicationPolicy(Protocol):
    """Decides which blocks get a second copy in another stack. One object serves one run.

    Attributes
    ----------
    pool_percent : int
        Share of the first tier that copies may take; 0 if there are none.
    """

    pool_percent: int

    def wants_copy(self, homes: int, remote_hits: int) -> bool:
        """Whether a block is to be copied to the home of the request that has just hit it.

        Parameters
        ----------
        homes : int
            Different homes of requests that have hit it where it was not at home.
        remote_hits : int
            How often that was.
        """
        ...
