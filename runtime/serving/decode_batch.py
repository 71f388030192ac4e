"""The decoding requests, in sums that advance many steps at a time."""

from heapq import heappop, heappush

from model.spec.attention import BLOCK_TOKENS
from runtime.serving.running import Running


class DecodeBatch:
    """Requests that make one token a step.

    A request attends ``offset + step`` tokens in step number ``step``, so sums over requests are
    straight lines in the step's number, and nothing needs to be touched between events.

    Attributes
    ----------
    members : dict
        By sequence.
    step : int
        Number of the next step.
    """

    def __init__(self) -> None:
        self.members: dict[int, Running] = {}
        self.step = 0
        self._offsets = 0
        self._phases = [0] * BLOCK_TOKENS               # requests by offset modulo a block
        self._finishing: list[tuple[int, int]] = []     # (final step, sequence)

    def __len__(self) -> int:
        return len(self.members)

    def add(self, running: Running, context: int, tokens: int) -> None:
        """A request that attends ``context`` tokens in its first step and makes ``tokens``."""
        running.offset = context - self.step
        running.final_step = self.step + tokens
        self.members[running.sequence] = running
        self._offsets += running.offset
        self._phases[running.offset % BLOCK_TOKENS] += 1
        heappush(self._finishing, (running.final_step, running.sequence))

    def remove(self, running: Running) -> int:
        """Takes a request out; returns the KV blocks that it grew by while it decoded."""
        del self.members[running.sequence]
        self._offsets -= running.offset
        self._phases[running.offset % BLOCK_TOKENS] -= 1
        attended = running.offset + self.step - 1
        return -(-attended // BLOCK_TOKENS) - -(-running.prompt // BLOCK_TOKENS)

    def steps_left(self) -> int:
        """Steps until the next request is done."""
        finishing = self._finishing
        while finishing[0][1] not in self.members:
            heappop(finishing)
        return finishing[0][0] - self.step

    def finished(self) -> list[Running]:
        """Requests that have made their last token, in order of admission within a step."""
        done = []
        while self._finishing and self._finishing[0][0] <= self.step:
            final, sequence = heappop(self._finishing)
            running = self.members.get(sequence)
            if running is not None and running.final_step == final:
                done.append(running)
        return done

    def context_sum(self, steps: int) -> int:
        """Tokens attended by all requests in the next ``steps`` steps."""
        members = len(self.members)
        first = self._offsets + members * self.step
        return steps * first + members * (steps * (steps - 1) // 2)

    def growth(self, steps: int) -> int:
        """KV blocks that the requests grow by in the next ``steps`` steps."""
        rounds, rest = divmod(steps, BLOCK_TOKENS)
        phases, first = self._phases, 1 - self.step
        return rounds * len(self.members) + sum(
            [phases[(first - k) % BLOCK_TOKENS] for k in range(rest)])

    def steps_within(self, kv_blocks: int) -> int:
        """Most steps for which so many KV blocks are enough."""
        rounds = kv_blocks // len(self.members)
        left = kv_blocks - rounds * len(self.members)
        phases, first = self._phases, 1 - self.step
        steps = rounds * BLOCK_TOKENS
        for k in range(BLOCK_TOKENS):
            left -= phases[(first - k) % BLOCK_TOKENS]
            if left < 0:
                break
            steps += 1
        return steps
