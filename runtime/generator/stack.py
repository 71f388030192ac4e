"""The LRU stack of what was generated, by request: who was used how many blocks ago."""

from runtime.generator.statistics import BLOCK_TOKENS

Run = tuple[int, int]
"""Consecutive block ids: the first one, and how many."""


class Prompt:
    """A generated request, as far as later ones may begin like it.

    Attributes
    ----------
    index : int
        Its place in the workload.
    runs : list of Run
        Its block ids.
    blocks : int
        How many these are.
    tokens, answer : int
        Tokens of the prompt and of the answer.
    session, turn : int
        Its conversation, and its place in it.
    reserved : bool
        Only a follow-up may begin like it.
    """

    __slots__ = ("answer", "blocks", "index", "reserved", "runs", "session", "tokens", "turn")

    def __init__(self, index: int, runs: list[Run], tokens: int, answer: int, session: int,
                 turn: int, reserved: bool = False) -> None:
        self.index, self.runs, self.tokens, self.answer = index, runs, tokens, answer
        self.session, self.turn, self.reserved = session, turn, reserved
        self.blocks = sum(count for _, count in runs)

    @property
    def whole_blocks(self) -> int:
        """Blocks that a follow-up shares: all but a partial last one."""
        return self.tokens // BLOCK_TOKENS


class Stack:
    """Prompts by their last use, with the blocks that are theirs alone since then.

    The *distance* of a prompt is the number of different blocks used since it was, its own
    included: the size of the smallest LRU cache in which a request that begins like it hits. A
    prompt whose beginning went to a later one cannot be chosen any more; the rest of its blocks
    stays where it is. A Fenwick tree over the prompts finds one by distance.

    Parameters
    ----------
    reach : float
        Blocks beyond which prompts are forgotten.
    """

    def __init__(self, reach: float) -> None:
        self._reach = reach
        self._prompts: list[Prompt | None] = []
        self._sizes: list[int] = []
        self._allocate()

    def __len__(self) -> int:
        return len(self._prompts)

    @property
    def depth(self) -> int:
        """Blocks of all remembered prompts."""
        return self._total

    def push(self, prompt: Prompt) -> None:
        """Adds the youngest prompt."""
        if len(self._prompts) == self._room:
            self._allocate()
        self._prompts.append(prompt)
        self._sizes.append(0)
        self._add(len(self._prompts) - 1, prompt.blocks)

    def take(self, place: int, blocks: int) -> Prompt:
        """Lets a later prompt have the first blocks of the one at ``place``."""
        prompt = self._prompts[place]
        assert prompt is not None
        self._prompts[place] = None
        self._add(place, -min(blocks, self._sizes[place]))
        return prompt

    def at(self, place: int) -> Prompt | None:
        """The prompt at a place, oldest first, unless its beginning is gone."""
        return self._prompts[place]

    def place_of(self, distance: float) -> int:
        """Place of the prompt that so many blocks ago was used."""
        below = self._total - distance      # blocks of the older ones
        place, step = 0, self._room
        while step:
            nearer = place + step
            if nearer <= self._room and self._tree[nearer] <= below:
                place = nearer
                below -= self._tree[nearer]
            step >>= 1
        return max(0, min(place, len(self._prompts) - 1))

    def distance_of(self, place: int) -> int:
        """Different blocks used since the prompt at a place was, its own included."""
        older, at = 0, place
        while at:
            older += self._tree[at]
            at &= at - 1
        return self._total - older

    def _add(self, place: int, blocks: int) -> None:
        self._sizes[place] += blocks
        self._total += blocks
        at = place + 1
        while at <= self._room:
            self._tree[at] += blocks
            at += at & -at

    def _allocate(self) -> None:
        """Forgets what is out of reach and makes room for as many again."""
        distance, first = 0, len(self._prompts)
        while first and distance <= self._reach:
            first -= 1
            distance += self._sizes[first]
        sizes = self._sizes[first:]
        self._prompts, self._sizes = self._prompts[first:], [0] * len(sizes)
        self._room = 1 << max(12, (2 * len(sizes)).bit_length())
        self._tree = [0] * (self._room + 1)
        self._total = 0
        for place, size in enumerate(sizes):
            self._add(place, size)
