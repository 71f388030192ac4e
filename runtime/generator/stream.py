"""Generated requests, made anew each time they are gone through; only what later ones need is held.

Times and lengths are drawn in chunks from generators of their own, so that they can be had without
the requests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from runtime.generator.lengths import LengthDistribution
from runtime.generator.links import Linker
from runtime.generator.statistics import WorkloadStatistics
from runtime.workload import PS_PER_SECOND, Request

CHUNK = 4096


@dataclass(frozen=True)
class GeneratedStream:
    """So many requests at a rate; the same arguments give the same ones.

    Arrivals are a Poisson process, of which the mean rate is met and not only expected.
    """

    target: WorkloadStatistics
    count: int
    qps: float
    seed: int
    distance_scale: float = 1.0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Request]:
        linker = Linker(self.target, self.distance_scale)
        draws = np.random.Generator(np.random.PCG64([self.seed, 3]))
        index = 0
        for arrivals, inputs, outputs in self._chunks():
            numbers = draws.random((len(inputs), 2)).tolist()
            for arrival, tokens, answer, drawn in zip(
                    arrivals, inputs.tolist(), outputs.tolist(), numbers, strict=True):
                yield linker.link(index, arrival, tokens, answer, drawn)
                index += 1

    @cached_property
    def _ends(self) -> tuple[Request, Request, Request]:
        """First, last and longest request, without their blocks."""
        found: list[Request] = []
        index = 0
        for arrivals, inputs, outputs in self._chunks():
            longest = int((inputs + outputs).argmax())
            for k in (0, longest, len(inputs) - 1):
                found.append(Request(
                    arrival_ps=arrivals[k], input_tokens=int(inputs[k]),
                    output_tokens=int(outputs[k]), block_ids=(),
                    origin=f"generated request {index + k}"))
            index += len(inputs)
        return found[0], found[-1], max(found, key=lambda r: r.kv_blocks)

    @property
    def first(self) -> Request:
        return self._ends[0]

    @property
    def last(self) -> Request:
        return self._ends[1]

    @property
    def longest(self) -> Request:
        return self._ends[2]

    def _gaps(self) -> Iterator[np.ndarray]:
        times = np.random.Generator(np.random.PCG64([self.seed, 0]))
        for start in range(0, self.count, CHUNK):
            yield times.exponential(1.0, min(CHUNK, self.count - start))

    def _chunks(self) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        scale = self.count / sum(float(gaps.sum()) for gaps in self._gaps()) / self.qps
        rngs = [np.random.Generator(np.random.PCG64([self.seed, k])) for k in (1, 2)]
        lengths = [LengthDistribution(t) for t in (self.target.input, self.target.output)]
        now = 0.0
        for gaps in self._gaps():
            times = now + np.cumsum(gaps)
            now = float(times[-1])
            inputs, outputs = (d.draw(len(gaps), rng)
                               for d, rng in zip(lengths, rngs, strict=True))
            yield [round(t * PS_PER_SECOND) for t in (times * scale).tolist()], inputs, outputs
