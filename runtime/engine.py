"""The serving engine: continuous batching with chunked prefill, in integer picoseconds.

A step is one pass of the model over all decoding requests (one token each) and a chunk of waiting
prompts, together at most ``step_tokens`` tokens. Within a layer the GPU's part and the PIM units'
part follow each other: attention needs the layer's queries and the output projection needs the
attention, so a step's time is the sum of its parts. Requests are admitted in order of arrival,
between steps, when the first tier can hold all KV that they will need; so no request is ever
preempted. Steps without prefill are advanced many at a time, in closed form, up to the next event.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from runtime.cycle_table import WAVE_TOKENS
from runtime.events import Agenda, Priority
from runtime.gpu import Work
from runtime.kv_store import KvStore, prefix_kv_blocks
from runtime.policies import eviction_policy
from runtime.serving import EngineConfig, EngineResult, Served, check_fits
from runtime.systems import System
from runtime.workload import Request, Workload, prefix_block_tokens


@dataclass(slots=True)
class _Running:
    served: Served
    sequence: int
    pinned: list[int]
    private: int
    prefilled: int          # prompt tokens whose KV exists
    ready_ps: int           # when its migrations are done
    final_step: int = 0     # value of the decode counter at which its last token is made
    context_offset: int = 0     # context of a decode step minus that step's number


class Engine:
    """Serves one workload on one system; use once.

    Parameters
    ----------
    system : System
    workload : Workload
    config : EngineConfig
    """

    def __init__(self, system: System, workload: Workload, config: EngineConfig) -> None:
        self.system, self.workload, self.config = system, workload, config
        self.store = KvStore(tiers=system.tiers, policy=eviction_policy(config.eviction))
        self.result = EngineResult()
        self._agenda = Agenda()
        self._arrivals: Iterator[Request] = iter(workload.requests)
        self._next_arrival_ps: int | None = None
        self._queue: deque[Served] = deque()
        self._prefilling: dict[int, _Running] = {}
        self._decoding: dict[int, _Running] = {}
        self._finishing: list[tuple[int, int]] = []     # (final step, sequence)
        self._decode_steps = 0
        self._offset_sum = 0
        self._waves: dict[int, int] = {}
        self._crossings: list[tuple[int, int]] = []     # (step that needs one more wave, sequence)
        self._pim_step: tuple[int, int] | None = None   # (ps, waves read), while both hold
        self._held_by = "step"      # what the head of the queue waits for, a key of `waits_ps`
        self._dma_free_ps = 0
        self._stepping = False
        self._admitted = 0
        check_fits(system.spec.name, system.tiers[0], system.model, workload)

    def run(self) -> EngineResult:
        """Serves all requests and returns what was measured."""
        agenda = self._agenda
        self._expect_arrival()
        while agenda:
            event = agenda.pop()
            while True:
                if event.priority is Priority.ARRIVAL:
                    assert isinstance(event.payload, Served)
                    if not self._queue and self._batch_is_full():
                        self._held_by = "batch"
                    self._queue.append(event.payload)
                    self.result.served.append(event.payload)
                    self._expect_arrival()
                elif event.priority is Priority.STEP_DONE:
                    self._stepping = False
                    self._end_step(agenda.now)
                if agenda.peek() != agenda.now:
                    break
                event = agenda.pop()
            if not self._stepping:
                self._start_step(agenda.now)
        assert not self._queue and not self._prefilling and not self._decoding
        return self.result

    def _expect_arrival(self) -> None:
        request = next(self._arrivals, None)
        self._next_arrival_ps = None if request is None else request.arrival_ps
        if request is not None:
            self._agenda.push(request.arrival_ps, Priority.ARRIVAL, Served(request))

    # Between steps

    def _admit(self, now: int) -> None:
        counts = self.result.counts
        while self._queue:
            served = self._queue[0]
            request = served.request
            admission = None
            if self._batch_is_full():
                self._held_by = "batch"
            else:
                admission = self.store.admit(request.block_ids, request.kv_blocks)
                self._held_by = self._held_by if admission else "capacity"
            if admission is None:
                return
            self._queue.popleft()
            served.admitted_ps = now
            self.result.waits_ps[self._held_by] += now - request.arrival_ps
            counts["prompt_blocks"] += len(request.block_ids)
            for tier, hits in zip(self.system.tiers, admission.hits_by_tier, strict=True):
                counts[f"hits_{tier.name}"] += hits
            counts["promoted_kv_blocks"] += admission.promoted
            counts["demoted_kv_blocks"] += admission.demoted
            counts["dropped_kv_blocks"] += admission.dropped
            hit_tokens = min(request.input_tokens,
                             len(admission.hit_blocks) * self.workload.block_tokens)
            served.prefix_hit_tokens = hit_tokens
            ready = self._migrate(now, admission.demoted, admission.promoted)
            self._prefilling[self._admitted] = _Running(
                served, self._admitted, admission.hit_blocks, admission.private,
                # The last token is computed even if its KV is there: its logits are needed.
                min(hit_tokens, request.input_tokens - 1), ready)
            self._admitted += 1
        self._held_by = "step"

    def _batch_is_full(self) -> bool:
        return len(self._prefilling) + len(self._decoding) >= self.config.max_batch

    def _migrate(self, now: int, demoted: int, promoted: int) -> int:
        """Queues migrations on the stack DMA; returns when they are done."""
        dma = self.system.dma
        if dma is None or not demoted + promoted:
            return now
        cycles = (dma.cycles(demoted, "pim_to_capacity") if demoted else 0) + (
            dma.cycles(promoted, "capacity_to_pim") if promoted else 0)
        duration = cycles * self.system.clock_ps
        self._dma_free_ps = max(now, self._dma_free_ps) + duration
        self.result.counts["dma_busy_ps"] += duration
        return self._dma_free_ps

    def _start_step(self, now: int) -> None:
        self._admit(now)
        overlap = self.config.dma_overlap
        start = now if overlap else max(now, self._dma_free_ps)
        chunks = self._chunks(start)
        if not chunks and not self._decoding:
            waiting = self._next_ready()
            if waiting is not None:
                self._agenda.push(waiting, Priority.TRANSFER_DONE)
            return
        self.result.time_ps["dma_wait"] += start - now
        end = self._mixed_step(start, chunks) if chunks else self._decode_run(start)
        self._agenda.push(end, Priority.STEP_DONE)
        self._stepping = True

    def _next_ready(self) -> int | None:
        return min((r.ready_ps for r in self._prefilling.values()), default=None)

    def _chunks(self, start: int) -> list[tuple[_Running, int]]:
        """Prompts in order of admission, cut to the step's budget of tokens."""
        budget = self.config.step_tokens - len(self._decoding)
        chunks = []
        for running in self._prefilling.values():
            if budget == 0:
                break
            if running.ready_ps <= start:
                tokens = min(budget, running.served.request.input_tokens - running.prefilled)
                chunks.append((running, tokens))
                budget -= tokens
        return chunks

    def _end_step(self, now: int) -> None:
        for running in [r for r in self._prefilling.values()
                        if r.prefilled == r.served.request.input_tokens]:
            del self._prefilling[running.sequence]
            self._end_prefill(running, now)
        while self._finishing and self._finishing[0][0] <= self._decode_steps:
            _, sequence = heappop(self._finishing)
            running = self._decoding.pop(sequence)
            self._offset_sum -= running.context_offset
            self._waves.pop(sequence, None)
            self._pim_step = None
            self._finish(running, now)

    def _end_prefill(self, running: _Running, now: int) -> None:
        request = running.served.request
        running.served.first_token_ps = now
        hits = len(running.pinned)
        sizes = prefix_kv_blocks(prefix_block_tokens(
            request.input_tokens, self.workload.block_tokens))
        shared, released = self.store.publish(request.block_ids[hits:], sizes[hits:])
        running.pinned = running.pinned + shared
        running.private -= released
        if request.output_tokens == 1:
            self._finish(running, now)
            return
        step = self._decode_steps
        running.final_step = step + request.output_tokens - 1
        running.context_offset = request.input_tokens + 1 - step
        self._decoding[running.sequence] = running
        self._offset_sum += running.context_offset
        heappush(self._finishing, (running.final_step, running.sequence))
        if self.system.pim:
            waves = -(-(request.input_tokens + 1) // WAVE_TOKENS)
            self._waves[running.sequence] = waves
            heappush(self._crossings, (step + waves * WAVE_TOKENS - request.input_tokens,
                                       running.sequence))
            self._pim_step = None

    def _finish(self, running: _Running, now: int) -> None:
        running.served.finished_ps = now
        self.store.release(running.pinned, running.private)

    # Steps

    def _count(self, part: str, work: Work, memory: str, steps: int = 1) -> int:
        result = self.result
        result.time_ps[part] += (work.ps - work.arithmetic_ps) * steps
        result.time_ps[f"{part}_arithmetic"] += work.arithmetic_ps * steps
        result.counts[memory] += work.bytes * steps
        result.counts["gpu_macs"] += work.macs * steps
        result.counts["link_bytes"] += work.link_bytes * steps
        return work.ps

    def _count_dense(self, tokens: int, logits: int, steps: int = 1) -> int:
        dense = self.system.gpu.dense(tokens, logits)
        return (self._count("matrix", dense.matrix, "gpu_bytes", steps)
                + self._count("elementwise", dense.elementwise, "gpu_bytes", steps)
                + self._count("all_reduce", dense.reduce, "gpu_bytes", steps))

    def _mixed_step(self, start: int, chunks: list[tuple[_Running, int]]) -> int:
        """One step with prefill; returns its end."""
        sequences = len(self._decoding)
        tokens = sequences
        logits = sequences
        duration = 0
        for running, count in chunks:
            duration += self._count("prefill_attention", self.system.gpu.prefill_attention(
                count, running.prefilled), "gpu_kv_bytes")
            running.prefilled += count
            tokens += count
            logits += running.prefilled == running.served.request.input_tokens
        self.result.counts["prefill_tokens"] += tokens - sequences
        duration += self._count_dense(tokens, logits)
        if sequences:
            duration += self._decode_attention(1)
        self.result.counts["steps"] += 1
        return start + duration

    def _decode_run(self, start: int) -> int:
        """Decode steps until a request ends or the first end of a step at or after an event."""
        sequences = len(self._decoding)
        dense = self.system.gpu.dense(sequences, sequences)
        fixed = dense.matrix.ps + dense.elementwise.ps + dense.reduce.ps
        left = self._finishing[0][0] - self._decode_steps if self.config.closed_form else 1
        horizon = self._horizon()
        now, steps = start, 0
        while left and (not steps or horizon is None or now < horizon):
            count = self._steps_until(now, fixed, left, horizon)
            now += count * fixed + self._decode_attention(count)
            left -= count
            steps += count
        self._count_dense(sequences, sequences, steps)
        self.result.counts["steps"] += steps
        return now

    def _horizon(self) -> int | None:
        """The next time at which a new request could join; None if only an end can change that."""
        times = [r.ready_ps for r in self._prefilling.values()]
        if not self._batch_is_full() and not self._queue and self._next_arrival_ps is not None:
            times.append(self._next_arrival_ps)
        return min(times, default=None)

    def _steps_until(self, now: int, fixed: int, left: int, horizon: int | None) -> int:
        """Steps of one formula, at most ``left``, that end just at or after ``horizon``."""
        if self.system.pim:
            each = fixed + self._pim_step_cost()[0]
            left = min(left, self._crossings[0][0] - self._decode_steps)
            return left if horizon is None else max(1, min(left, -(-(horizon - now) // each)))
        if horizon is None:
            return left
        low, high = 1, left
        while low < high:
            middle = (low + high) // 2
            if now + middle * fixed + self._gpu_attention_ps(middle) >= horizon:
                high = middle
            else:
                low = middle + 1
        return low

    def _context_sum(self, steps: int) -> int:
        """Tokens attended by all decoding requests in the next ``steps`` steps."""
        sequences = len(self._decoding)
        first = self._offset_sum + sequences * self._decode_steps
        return steps * first + sequences * (steps * (steps - 1) // 2)

    def _gpu_attention_ps(self, steps: int) -> int:
        return self.system.gpu.decode_ps_per_token * self._context_sum(steps)

    def _pim_step_cost(self) -> tuple[int, int]:
        """(picoseconds, waves) of the next step's attention on the PIM units."""
        while self._crossings and self._crossings[0][0] <= self._decode_steps:
            step, sequence = heappop(self._crossings)
            if sequence in self._waves:
                self._waves[sequence] += 1
                heappush(self._crossings, (step + WAVE_TOKENS, sequence))
                self._pim_step = None
        if self._pim_step is None:
            pim, model = self.system.pim, self.system.model
            assert pim is not None
            waves = list(self._waves.values())
            layer = pim.layer(waves)
            exchange = self.system.gpu.vector_exchange(len(waves))
            self._pim_step = (model.layers * layer.cycles * self.system.clock_ps + exchange.ps,
                              sum(waves))
        return self._pim_step

    def _decode_attention(self, steps: int) -> int:
        """Counts the attention of the next decode steps and takes them; returns picoseconds.

        On PIM units, the steps must lie before the next crossing.
        """
        counts, gpu, model = self.result.counts, self.system.gpu, self.system.model
        sequences = len(self._decoding)
        if self.system.pim:
            each, waves = self._pim_step_cost()
            duration = each * steps
            # Every bank opens its rows for a wave, those with no block in it as well.
            tokens = waves * WAVE_TOKENS * steps
            counts["pim_busy_ps"] += duration
            counts["pim_bank_bytes"] += tokens * model.kv_bytes_per_token
            counts["pim_macs"] += tokens * gpu.decode_macs_per_token
            counts["pim_io_bytes"] += gpu.vector_exchange(sequences).bytes * steps
        else:
            tokens = self._context_sum(steps)
            duration = self._gpu_attention_ps(steps)
            counts["gpu_kv_bytes"] += tokens * model.kv_bytes_per_token
            counts["gpu_macs"] += tokens * gpu.decode_macs_per_token
        counts["context_tokens"] += self._context_sum(steps)
        counts["decode_tokens"] += sequences * steps
        self.result.time_ps["decode_attention"] += duration
        self._decode_steps += steps
        return duration
