"""Decode attention: its time and what it counts, on the GPU and on PIM units."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

import numpy as np

from model.spec.attention import BLOCK_TOKENS
from model.spec.geometry import BEAT_BYTES
from runtime.cycle_table import WAVE_TOKENS
from runtime.models import ELEMENT_BYTES, TransformerModel
from runtime.serving.decode_batch import DecodeBatch
from runtime.serving.running import Running
from runtime.systems import System
from runtime.systems.pim import PimArray
from runtime.tiers.layout import PimLayout
from runtime.tiers.units import WAVE_BLOCKS, Extent

FP32_BYTES = 4
"""Bytes of a number of a partial result (docs/numerics.md)."""


class Attention(Protocol):
    """Time of the next steps' decode attention."""

    def add(self, running: Running) -> None:
        """A request begins to decode."""
        ...

    def remove(self, running: Running) -> None:
        """A request no longer decodes."""
        ...

    def prepare(self) -> None:
        """Must come before the next step is asked about."""
        ...

    def steps_alike(self) -> int | None:
        """Steps that take the same time each; None if their time grows along a straight line."""
        ...

    def ps(self, steps: int) -> int:
        """Time of the next ``steps`` steps, of those alike."""
        ...

    def count(self, steps: int, counts: Counter[str]) -> None:
        """Counts what these steps do."""
        ...


class GpuAttention:
    """KV is read over the GPU's memory interface."""

    def __init__(self, system: System, batch: DecodeBatch) -> None:
        self._batch = batch
        self._ps_per_token = system.gpu.decode_ps_per_token
        self._macs_per_token = system.gpu.decode_macs_per_token
        self._bytes_per_token = system.model.kv_bytes_per_token

    def add(self, running: Running) -> None:
        pass

    def remove(self, running: Running) -> None:
        pass

    def prepare(self) -> None:
        pass

    def steps_alike(self) -> int | None:
        return None

    def ps(self, steps: int) -> int:
        return self._ps_per_token * self._batch.context_sum(steps)

    def count(self, steps: int, counts: Counter[str]) -> None:
        tokens = self._batch.context_sum(steps)
        counts["gpu_kv_bytes"] += tokens * self._bytes_per_token
        counts["gpu_macs"] += tokens * self._macs_per_token


@dataclass(slots=True)
class _Job:
    """What a request has the units of its heads do in every step of a layer."""

    parts: dict[Extent, int]            # waves of each extent
    tail: Extent                        # where it grows
    exchange_bytes: int = 0
    merging: int = 0
    first: Extent | None = None
    waves: int = 0
    grown: list[tuple[Extent, int]] = field(default_factory=list)


class PimAttention:
    """KV is attended by the units that it lies in; between crossings all steps are alike.

    A *crossing* is the step in which a request's last extent begins another wave.
    """

    def __init__(self, system: System, batch: DecodeBatch, layout: PimLayout) -> None:
        assert system.pim is not None
        self._system, self._batch, self._layout = system, batch, layout
        self._array: PimArray = system.pim
        self._units = layout.units
        self._jobs: dict[int, _Job] = {}
        self._crossings: list[tuple[int, int, Extent]] = []     # (step, sequence, tail)
        self._waves = self._exchange_bytes = 0
        self._step_ps: int | None = None
        self._per_wave = self._table_bytes_per_wave(system)

    @staticmethod
    def _table_bytes_per_wave(system: System) -> int:
        if system.spec.addressing != "host" or system.pim is None:
            return 0
        return system.model.layers * system.model.kv_heads * BEAT_BYTES * system.pim.passes

    def add(self, running: Running) -> None:
        parts = dict(running.plan)
        job = _Job(parts, tail=next(reversed(parts)), first=next(iter(parts)))
        filled = sum(n for extent, n in running.places if extent is job.tail)
        self._jobs[running.sequence] = job
        job.waves = sum(job.parts.values())
        self._units.attend_all(job.parts, 1)
        if filled:
            spare = -filled % WAVE_BLOCKS
            self._take(job, job.tail, spare)
            self._expect(running, job.tail, spare)
        else:       # all it has is shared: it cannot grow there
            self._expect(running, job.tail, 0)
        self._waves += job.waves
        self._join(job)

    def _take(self, job: _Job, extent: Extent, kv_blocks: int) -> None:
        if kv_blocks:
            self._layout.occupy(extent, kv_blocks)
            job.grown.append((extent, kv_blocks))

    def _expect(self, running: Running, tail: Extent, spare: int) -> None:
        """The step at which ``spare`` further KV blocks are not enough."""
        attended = running.offset + self._batch.step - 1
        blocks = -(-attended // BLOCK_TOKENS) + spare
        step = blocks * BLOCK_TOKENS + 1 - running.offset
        heappush(self._crossings, (step, running.sequence, tail))

    def _join(self, job: _Job) -> None:
        """Books what the number of a job's parts decides: merging, and bytes that travel."""
        self._step_ps = None
        further = len(job.parts) - 1
        job.merging = self._array.merge_cycles(further)
        assert job.first is not None
        if job.merging:
            self._units.merge(job.first, job.merging)
        job.exchange_bytes = self._per_wave * job.waves
        if further:
            job.exchange_bytes += self._partial_bytes(list(job.parts))
        self._exchange_bytes += job.exchange_bytes

    def _part(self, job: _Job) -> None:
        """Takes back what :meth:`_join` booked."""
        self._step_ps = None
        assert job.first is not None
        if job.merging:
            self._units.merge(job.first, -job.merging)
        self._exchange_bytes -= job.exchange_bytes

    def _partial_bytes(self, extents: Sequence[Extent]) -> int:
        """Queries to further stacks and their partial results, all layers and cards."""
        if all(e.regular for e in extents) and len({e.home for e in extents}) == 1:
            return 0
        model: TransformerModel = self._system.model
        stacks = np.sort(np.array([e.units for e in extents]) // self._units.per_stack, axis=0)
        different = 1 + (stacks[1:] != stacks[:-1]).sum(axis=0)
        apart = different > 1
        outputs = model.group * model.head_size * ELEMENT_BYTES
        partial = model.group * (model.head_size + 2) * FP32_BYTES
        heads = int((different - 1).sum()) * outputs + int(
            (different[apart] * partial - outputs).sum())
        return -(-heads * model.layers * model.kv_heads // self._array.heads)

    def remove(self, running: Running) -> None:
        job = self._jobs.pop(running.sequence)
        self._part(job)
        self._waves -= job.waves
        self._units.attend_all(job.parts, -1)
        for extent, kv_blocks in job.grown:
            self._layout.occupy(extent, -kv_blocks)

    def prepare(self) -> None:
        """Carries out the crossings that are due."""
        crossings = self._crossings
        while crossings and (crossings[0][0] <= self._batch.step
                             or crossings[0][1] not in self._jobs):
            _, sequence, tail = heappop(crossings)
            job = self._jobs.get(sequence)
            if job is not None:
                self._cross(self._batch.members[sequence], job, tail)

    def _cross(self, running: Running, job: _Job, tail: Extent) -> None:
        grows_there = bool(job.grown) or bool(running.places)
        if grows_there and self._layout.fits(tail, WAVE_BLOCKS):
            self._take(job, tail, WAVE_BLOCKS)
        else:
            placed = self._layout.place(WAVE_BLOCKS, running.index, running.home)
            tail = placed[0][0]
            for extent, size in placed[1:]:     # a wave lies in one unit, overbooked if need be
                self._layout.occupy(extent, -size)
                self._layout.occupy(tail, size)
            job.grown.append((tail, WAVE_BLOCKS))
        waves = job.parts.get(tail, 0)
        more = self._array.attend_cycles(waves + 1) - self._array.attend_cycles(waves)
        self._units.attend(tail, more)
        np.add.at(self._units.planned, tail.units, more)
        running.plan[tail] = waves + 1
        if waves:
            job.exchange_bytes += self._per_wave
            self._exchange_bytes += self._per_wave
            self._step_ps = None
        else:
            self._part(job)
        job.parts[tail] = waves + 1
        job.tail = tail
        job.waves += 1
        self._waves += 1
        if not waves:
            self._join(job)
        self._expect(running, tail, WAVE_BLOCKS)

    def steps_alike(self) -> int | None:
        return self._crossings[0][0] - self._batch.step

    def ps(self, steps: int) -> int:
        return self._each() * steps

    def _each(self) -> int:
        if self._step_ps is None:
            system = self._system
            cycles = self._units.layer_cycles() + self._array.translation
            exchange = system.gpu.vector_exchange(len(self._batch), self._exchange_bytes)
            self._step_ps = system.model.layers * cycles * system.clock_ps + exchange.ps
        return self._step_ps

    def stack_busy_ps(self) -> list[int]:
        """Time that each stack's fullest unit needs for a step, merging left out."""
        system, refresh = self._system, self._array.refresh
        by_stack = self._units.load.reshape(self._units.stacks, -1).max(axis=1)
        return [-(-int(c) * refresh.numerator // refresh.denominator)
                * system.model.layers * system.clock_ps for c in by_stack]

    def count(self, steps: int, counts: Counter[str]) -> None:
        system = self._system
        # Every bank opens its rows for a wave, those with no block in it as well.
        tokens = self._waves * WAVE_TOKENS * steps
        counts["pim_busy_ps"] += self.ps(steps)
        counts["pim_bank_bytes"] += (tokens * self._array.passes
                                     * system.model.kv_bytes_per_token)
        counts["pim_macs"] += tokens * system.gpu.decode_macs_per_token
        counts["pim_scores"] += (self._batch.context_sum(steps) * system.model.layers
                                 * system.model.heads)
        moved = system.gpu.vector_exchange(len(self._batch), self._exchange_bytes).bytes * steps
        counts["pim_io_bytes"] += moved
        if system.spec.remote:
            counts["link_bytes"] += moved
