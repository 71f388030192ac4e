"""No copies."""


class SingleCopy:
    """Keeps one copy of every block."""

    pool_percent = 0

    def wants_copy(self, homes: int, remote_hits: int) -> bool:
        return False
