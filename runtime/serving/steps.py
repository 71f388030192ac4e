"""Steps of the engine, advanced many at a time where they differ in their contexts only."""

from collections.abc import Callable

from runtime.serving.attention import Attention
from runtime.serving.config import EngineConfig
from runtime.serving.decode_batch import DecodeBatch
from runtime.serving.result import EngineResult
from runtime.serving.running import Running
from runtime.serving.transfers import Transfers
from runtime.serving.watching import Watcher
from runtime.systems import System
from runtime.systems.gpu import DenseStep, Work

Chunks = list[tuple[Running, int]]
"""Prompts of a step, with the tokens of each that it computes."""


class Steps:
    """Takes steps and counts them.

    Attributes
    ----------
    grown : int
        KV blocks that the decoding requests have grown by in the last run of steps.
    """

    def __init__(self, *, system: System, config: EngineConfig, batch: DecodeBatch,
                 attention: Attention, result: EngineResult, watcher: Watcher | None) -> None:
        self.system, self.config, self.batch = system, config, batch
        self.attention, self.result, self.watcher = attention, result, watcher
        self.grown = 0

    def run(self, start: int, chunks: Chunks, *, room: int | None, horizon: int | None,
            transfers: Transfers) -> int:
        """Takes one step or more; returns their end.

        Parameters
        ----------
        start : int
        chunks : list
            What the first step computes of prompts; those that follow do as much of the same.
        room : int or None
            KV blocks that the decoding requests may grow by; None means that they have theirs.
        horizon : int or None
            No step begins at or after this, except the first.
        transfers : Transfers
            What goes on beside the first step.
        """
        self.grown = 0
        batch, gpu = self.batch, self.system.gpu
        limit = self._limit(chunks, room)
        tokens = len(batch) + sum(count for _, count in chunks)
        ended = sum(r.prefilled + count == r.prompt for r, count in chunks)
        dense = gpu.dense(tokens, len(batch) + ended)
        idle = dense.idle_ps + sum(
            gpu.prefill_attention(count, r.prefilled).idle_ps for r, count in chunks)
        late = transfers.delay(start, idle)
        self.result.time_ps["dma_wait"] += late
        before = self.result.time_ps["decode_attention"]
        steps, end = self._advance(start + late, dense, chunks, limit, horizon)
        self._count_dense(dense, steps)
        self.result.counts["steps"] += steps
        self.result.counts["prefill_tokens"] += sum(count for _, count in chunks) * steps
        if self.watcher:
            attending = self.result.time_ps["decode_attention"] - before
            self.watcher.steps(
                "prefill" if chunks else "decode", start, end, steps=steps,
                decoding=bool(batch), gpu_ps=end - start - late - (
                    attending if self.system.pim else 0))
        return end

    def _limit(self, chunks: Chunks, room: int | None) -> int:
        """Steps that are alike but for their contexts: all of one prompt, or none."""
        limits = []
        if self.batch:
            limits.append(self.batch.steps_left())
            if room is not None:
                limits.append(self.batch.steps_within(room))
        if chunks:
            running, count = chunks[0]
            left = running.prompt - running.prefilled
            limits.append((left - 1) // count if len(chunks) == 1 and left > count else 1)
        return min(limits)

    def _advance(self, now: int, dense: DenseStep, chunks: Chunks, limit: int,
                 horizon: int | None) -> tuple[int, int]:
        """Takes up to ``limit`` steps; returns their number and the end of the last."""
        fixed, steps = dense.ps, 0
        while steps < limit and (not steps or horizon is None or now < horizon):
            alike = limit - steps
            if self.batch:
                self.attention.prepare()
                alike = min(alike, self.attention.steps_alike() or alike)
            if chunks:
                count, now = self._prefill(now, fixed, chunks, alike, horizon)
            else:
                count = alike if horizon is None else self._steps_until(
                    horizon - now, fixed, alike)
                now += count * fixed + self.attention.ps(count)
            self._count_decode(count)
            steps += count
        return steps, now

    def _steps_until(self, ps: int, fixed: int, most: int) -> int:
        """The fewest steps, at least one and at most ``most``, that take ``ps`` or longer."""
        attention: Callable[[int], int] = self.attention.ps
        low, high = 1, most
        while low < high:
            middle = (low + high) // 2
            if middle * fixed + attention(middle) >= ps:
                high = middle
            else:
                low = middle + 1
        return low

    def _prefill(self, start: int, fixed: int, chunks: Chunks, most: int,
                 horizon: int | None) -> tuple[int, int]:
        """Steps with prefill, at least one; returns their number and the end of the last."""
        gpu, result = self.system.gpu, self.result
        decoding, straight = bool(self.batch), self.system.pim is None
        each = fixed + (self.attention.ps(1) if decoding and not straight else 0)
        done, now = 0, start
        ps = arithmetic = size = macs = 0
        while done < most and (not done or horizon is None or now < horizon):
            for running, count in chunks:
                work = gpu.prefill_attention(count, running.prefilled)
                running.prefilled += count
                ps += work.ps
                arithmetic += work.arithmetic_ps
                size += work.bytes
                macs += work.macs
            done += 1
            now = start + done * each + ps
            if decoding and straight:
                now += self.attention.ps(done)
        result.time_ps["prefill_attention"] += ps - arithmetic
        result.time_ps["prefill_attention_arithmetic"] += arithmetic
        result.counts["gpu_kv_bytes"] += size
        result.counts["gpu_macs"] += macs
        return done, now

    def _count_decode(self, steps: int) -> None:
        """Takes the decoding requests' part of steps that are alike."""
        batch, result = self.batch, self.result
        if not batch:
            return
        self.grown += batch.growth(steps)
        self.attention.count(steps, result.counts)
        result.time_ps["decode_attention"] += self.attention.ps(steps)
        result.counts["context_tokens"] += batch.context_sum(steps)
        result.counts["decode_tokens"] += len(batch) * steps
        batch.step += steps

    def _count_dense(self, dense: DenseStep, steps: int) -> None:
        for part, work in (("matrix", dense.matrix), ("elementwise", dense.elementwise),
                           ("all_reduce", dense.reduce)):
            self._count(part, work, steps)

    def _count(self, part: str, work: Work, steps: int) -> None:
        result = self.result
        result.time_ps[part] += (work.ps - work.arithmetic_ps) * steps
        result.time_ps[f"{part}_arithmetic"] += work.arithmetic_ps * steps
        result.counts["gpu_bytes"] += work.bytes * steps
        result.counts["gpu_macs"] += work.macs * steps
        result.counts["link_bytes"] += work.link_bytes * steps
