"""The engine's steps in the plainest way: one at a time, every sum taken anew.

Contexts, growth, crossings and attention are worked out from the list of running requests in every
step; nothing of the fast engine's closed forms is used. Slow, and meant to be.
"""

from math import ceil

import numpy as np

from model.spec.attention import BLOCK_TOKENS
from runtime.cycle_table import WAVE_TOKENS
from runtime.serving import Engine
from runtime.serving.attention import PimAttention
from runtime.serving.steps import Steps


class ReferenceSteps(Steps):
    """Takes exactly one step each time."""

    def run(self, start, chunks, *, room, horizon, transfers):
        system, batch, result = self.system, self.batch, self.result
        gpu, counts, time_ps = system.gpu, result.counts, result.time_ps
        contexts = [r.offset + batch.step for r in batch.members.values()]
        self.grown = sum(ceil(c / BLOCK_TOKENS) - ceil((c - 1) / BLOCK_TOKENS) for c in contexts)
        assert room is None or self.grown <= room
        tokens = len(contexts) + sum(n for _, n in chunks)
        logits = len(contexts) + sum(r.prefilled + n == r.prompt for r, n in chunks)
        dense = gpu._dense(tokens, logits)
        prefill = [gpu.prefill_attention(n, r.prefilled) for r, n in chunks]
        late = transfers.delay(start, dense.idle_ps + sum(w.idle_ps for w in prefill))
        attention = self._attend(contexts) if contexts else 0
        for running, n in chunks:
            running.prefilled += n
        kernels = [("matrix", dense.matrix, "gpu_bytes"),
                   ("elementwise", dense.elementwise, "gpu_bytes"),
                   ("all_reduce", dense.reduce, "gpu_bytes"),
                   *(("prefill_attention", w, "gpu_kv_bytes") for w in prefill)]
        for part, work, memory in kernels:
            time_ps[part] += work.ps - work.arithmetic_ps
            time_ps[f"{part}_arithmetic"] += work.arithmetic_ps
            counts[memory] += work.bytes
            counts["gpu_macs"] += work.macs
            counts["link_bytes"] += work.link_bytes
        time_ps["dma_wait"] += late
        counts["steps"] += 1
        counts["prefill_tokens"] += sum(n for _, n in chunks)
        if contexts:
            time_ps["decode_attention"] += attention
            counts["decode_tokens"] += len(contexts)
            counts["context_tokens"] += sum(contexts)
            batch.step += 1
        return start + late + sum(work.ps for _, work, _ in kernels) + attention

    def _attend(self, contexts):
        system, counts = self.system, self.result.counts
        model, gpu = system.model, system.gpu
        attention = self.attention
        if not isinstance(attention, PimAttention):
            counts["gpu_kv_bytes"] += sum(contexts) * model.kv_bytes_per_token
            counts["gpu_macs"] += sum(contexts) * gpu.decode_macs_per_token
            return sum(contexts) * gpu.decode_ps_per_token
        attention.prepare()
        units, array = attention._units, system.pim
        load, merging = np.zeros_like(units.load), np.zeros_like(units.merging)
        waves = further = 0
        for job in attention._jobs.values():
            for extent, count in job.parts.items():
                for unit in extent.units:
                    load[unit] += array.attend.cycles(count)
                waves += count
            parts = list(job.parts)
            if len(parts) > 1:
                for unit in parts[0].units:
                    merging[unit] += array.merge.cycles(len(parts) - 1)
            for head in range(units.heads):
                stacks = {int(e.units[head]) // units.per_stack for e in parts}
                if len(stacks) > 1:
                    query = model.group * model.head_size * 2
                    further += (len(stacks) - 1) * query - query + (
                        len(stacks) * model.group * (model.head_size + 2) * 4)
        assert (load == units.load).all() and (merging == units.merging).all()
        further *= model.layers * gpu.cards
        if system.spec.addressing == "host":
            further += waves * model.layers * model.kv_heads * 32
        cycles = ceil(int(load.max()) * array.refresh) + int(merging.max()) + array.translation
        exchange = gpu.vector_exchange(len(contexts), further)
        duration = model.layers * cycles * system.clock_ps + exchange.ps
        tokens = waves * WAVE_TOKENS
        counts["pim_busy_ps"] += duration
        counts["pim_bank_bytes"] += tokens * model.kv_bytes_per_token
        counts["pim_macs"] += tokens * gpu.decode_macs_per_token
        counts["pim_scores"] += sum(contexts) * model.layers * model.heads
        counts["pim_io_bytes"] += exchange.bytes
        if system.spec.remote:
            counts["link_bytes"] += exchange.bytes
        return duration


class ReferenceEngine(Engine):
    """The engine, a step at a time."""

    steps_class = ReferenceSteps
