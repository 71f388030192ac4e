"""A bounded hot set."""


class HotSet:
    """Copies blocks that requests of many homes use, into a pool of bounded size.

    Thresholds are vStack's (facts.md 1.2), with stacks in the place of its cards: here the cards
    share every block's heads, and what is far or near is a stack. The pool is the smallest of the
    shares that vStack gives GPT-175B in its PIM tier (20, 15, 5 and 25 % for four traces).
    """

    pool_percent = 5
    LEAST_HOMES = 3
    LEAST_REMOTE_HITS = 8

    def wants_copy(self, homes: int, remote_hits: int) -> bool:
        return homes >= self.LEAST_HOMES and remote_hits >= self.LEAST_REMOTE_HITS
