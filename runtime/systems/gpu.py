"""Roofline of the GPU: matrix products, element-wise kernels, prefill attention, all-reduce.

Every time is an integer number of picoseconds, rounded up, so that sums do not depend on order.
Kernels run one after the other; each takes the longer of its arithmetic and its memory time.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from runtime.models import ELEMENT_BYTES, TransformerModel
from runtime.workload import PS_PER_SECOND


@dataclass(frozen=True, kw_only=True)
class GpuSpec:
    """Rates of one GPU; every default with its source in ``facts.md``.

    Attributes
    ----------
    name : str
    flops : int
        Dense 16-bit floating-point operations a second (H100 SXM, facts.md 7).
    compute_percent, bandwidth_percent : int
        Share of the peak that kernels reach (AttAcc's simulator, facts.md 2.2).
    norm_fixed_ps, norm_ps_per_mb, activation_fixed_ps, activation_ps_per_mb : int
        AttAcc's fits of element-wise kernels, 6.87 us + 1.6e-6 us/B and 8.29 us + 4.47e-7 us/B,
        taken at ``fit_bandwidth`` and scaled by the bandwidth (facts.md 2.2).
    fit_bandwidth : int
        Bytes a second at which those fits were made.
    reduce_fixed_ps, reduce_ps_per_byte : int
        All-reduce between cards, 6060 ns + 0.009 ns/B (facts.md 2.2).
    link_bandwidth : int
        Bytes a second of NVLink (facts.md 2.2).
    """

    name: str = "H100 SXM"
    flops: int = 989_400_000_000_000
    compute_percent: int = 80
    bandwidth_percent: int = 85
    norm_fixed_ps: int = 6_870_000
    norm_ps_per_mb: int = 1_600_000
    activation_fixed_ps: int = 8_290_000
    activation_ps_per_mb: int = 447_000
    fit_bandwidth: int = 1_555_000_000_000
    reduce_fixed_ps: int = 6_060_000
    reduce_ps_per_byte: int = 9
    link_bandwidth: int = 900_000_000_000


H100 = GpuSpec()

A100A = GpuSpec(name="A100a", flops=312_000_000_000_000, link_bandwidth=600_000_000_000)
"""As in AttAcc's simulator (facts.md 2.2)."""


class Work(NamedTuple):
    """Time of some kernels, and what they moved and computed (for all cards together).

    ``arithmetic_ps`` is the part of the time that arithmetic bounds, not memory; ``idle_ps`` that
    in which the memory's data buses have nothing to do.
    """

    ps: int = 0
    bytes: int = 0
    macs: int = 0
    link_bytes: int = 0
    arithmetic_ps: int = 0
    idle_ps: int = 0


@dataclass(frozen=True, slots=True)
class DenseStep:
    """The part of a step that does not depend on context."""

    matrix: Work
    elementwise: Work
    reduce: Work

    @property
    def ps(self) -> int:
        """Time of all kernels."""
        return self.matrix.ps + self.elementwise.ps + self.reduce.ps

    @property
    def idle_ps(self) -> int:
        """Time of idle data buses."""
        return self.matrix.idle_ps + self.elementwise.idle_ps + self.reduce.idle_ps


class GpuRoofline:
    """Times of one model on ``cards`` GPUs with tensor parallelism.

    Parameters
    ----------
    gpu : GpuSpec
    model : TransformerModel
    cards : int
        Each holds an equal share of the weights, and KV heads as equal as whole ones can be: the
        one that has most sets the time of attention and of moving KV.
    weight_bandwidth : int
        Bytes a second between a GPU and the memory of its weights and activations.
    kv_bandwidth : int
        The same for the memory of the KV cache.
    card_bandwidth : int
        The same for all stacks of a card; scales the fixed part of element-wise kernels, which
        is no memory time and so alike in all systems.
    prefill_bandwidth : int, optional
        The same for the memory that prefill keeps its KV in; by default that of the KV cache.
    """

    def __init__(self, gpu: GpuSpec, model: TransformerModel, *, cards: int,
                 weight_bandwidth: int, kv_bandwidth: int, card_bandwidth: int,
                 prefill_bandwidth: int | None = None) -> None:
        self.gpu, self.model, self.cards = gpu, model, cards
        self.weight_bandwidth, self.kv_bandwidth = weight_bandwidth, kv_bandwidth
        self.card_bandwidth = card_bandwidth
        self.prefill_bandwidth = prefill_bandwidth or kv_bandwidth
        # Attention goes at the pace of the card with most KV heads: times ``most`` of ``all``.
        self._most_heads, self._all_heads = model.heads_per_card(cards), model.kv_heads
        self._flops = gpu.flops * gpu.compute_percent * cards
        self._attention_flops = gpu.flops * gpu.compute_percent * self._all_heads
        self._percent_cards = gpu.bandwidth_percent * cards
        self._percent_heads = gpu.bandwidth_percent * self._all_heads
        self._macs_per_pair = 2 * model.layers * model.query_width
        self._chunk_bytes_per_token = (model.kv_bytes_per_token
                                       + 2 * model.layers * model.query_width * ELEMENT_BYTES)
        self._kv_bytes_per_token = model.kv_bytes_per_token
        self.dense = lru_cache(maxsize=None)(self._dense)

    def _compute_ps(self, macs: int) -> int:
        return -(-macs * (200 * PS_PER_SECOND) // self._flops)

    def _memory_ps(self, size: int, bandwidth: int) -> int:
        return -(-size * (100 * PS_PER_SECOND) // (bandwidth * self._percent_cards))

    def kv_share_ps(self, size: int, per_second: int) -> int:
        """Time in which each card moves its KV heads' part of ``size`` bytes at this rate."""
        return -(-size * PS_PER_SECOND * self._most_heads // (per_second * self._all_heads))

    def _attention_ps(self, macs: int, size: int, bandwidth: int) -> tuple[int, int]:
        """Arithmetic and memory time of attention."""
        scale = PS_PER_SECOND * self._most_heads
        return (-(-macs * 200 * scale // self._attention_flops),
                -(-size * 100 * scale // (bandwidth * self._percent_heads)))

    def _longer(self, arithmetic: int, memory: int, macs: int, size: int) -> Work:
        if arithmetic >= memory:
            return Work(arithmetic, size, macs, 0, arithmetic, arithmetic - memory)
        return Work(memory, size, macs)

    def _product(self, tokens: int, inputs: int, outputs: int) -> Work:
        size = ELEMENT_BYTES * (inputs * outputs + tokens * (inputs + outputs))
        macs = tokens * inputs * outputs
        return self._longer(self._compute_ps(macs), self._memory_ps(size, self.weight_bandwidth),
                            macs, size)

    def _elementwise(self, tokens: int) -> Work:
        gpu, model = self.gpu, self.model
        norm_bytes = tokens * model.hidden * ELEMENT_BYTES
        activation_bytes = tokens * model.ffn * ELEMENT_BYTES // self.cards
        fixed = 2 * gpu.norm_fixed_ps + gpu.activation_fixed_ps
        moved = (2 * norm_bytes * gpu.norm_ps_per_mb
                 + activation_bytes * gpu.activation_ps_per_mb) // 10 ** 6
        starting = fixed * gpu.fit_bandwidth // self.card_bandwidth
        ps = starting + moved * gpu.fit_bandwidth // self.weight_bandwidth
        return Work(model.layers * ps,
                    model.layers * self.cards * (2 * norm_bytes + activation_bytes),
                    idle_ps=model.layers * starting)

    def _reduce(self, tokens: int) -> Work:
        if self.cards == 1:
            return Work()
        size = tokens * self.model.hidden * ELEMENT_BYTES
        times = 2 * self.model.layers       # after the attention's and the MLP's last product
        ps = times * (self.gpu.reduce_fixed_ps + size * self.gpu.reduce_ps_per_byte)
        return Work(ps, link_bytes=times * size * self.cards, idle_ps=ps)

    def _dense(self, tokens: int, logits: int) -> DenseStep:
        """A step over ``tokens`` tokens, ``logits`` of which need the output head."""
        model = self.model
        products = [self._product(tokens, inputs, outputs)
                    for _, inputs, outputs in model.layer_matrices]
        head = self._product(logits, model.hidden, model.vocabulary) if logits else Work()
        matrix = Work(model.layers * sum(p.ps for p in products) + head.ps,
                      model.layers * sum(p.bytes for p in products) + head.bytes,
                      model.layers * sum(p.macs for p in products) + head.macs,
                      arithmetic_ps=model.layers * sum(p.arithmetic_ps for p in products)
                      + head.arithmetic_ps,
                      idle_ps=model.layers * sum(p.idle_ps for p in products) + head.idle_ps)
        return DenseStep(matrix, self._elementwise(tokens), self._reduce(tokens))

    def prefill_attention(self, tokens: int, before: int) -> Work:
        """Causal attention of a chunk of ``tokens`` over itself and ``before`` earlier tokens.

        KV is read once a chunk, as a tiled kernel does, and that of the chunk is written.
        """
        pairs = tokens * before + tokens * (tokens + 1) // 2
        written = self._kv_bytes_per_token * tokens
        size = (self._kv_bytes_per_token * (before + tokens)
                + self._chunk_bytes_per_token * tokens)
        macs = self._macs_per_pair * pairs
        work = self._longer(*self._attention_ps(macs, size, self.prefill_bandwidth), macs, size)
        if self.prefill_bandwidth == self.kv_bandwidth:
            return work
        # To another device, while the chunk is computed.
        sending = self.kv_memory_ps(written)
        return work if sending <= work.ps else work._replace(ps=sending, arithmetic_ps=0)

    def kv_memory_ps(self, size: int) -> int:
        """Time to read or write so many bytes, over all cards, where KV lives."""
        return self._attention_ps(0, size, self.kv_bandwidth)[1]

    @property
    def decode_macs_per_token(self) -> int:
        """Multiplications of decode attention for one token of context."""
        return 2 * self.model.layers * self.model.query_width

    @property
    def decode_ps_per_token(self) -> int:
        """Time of decode attention on the GPU for one token of context, all layers.

        Rounded to whole picoseconds (Llama-3-8B on five HBM4 stacks: 15,059 ps, by 0.002 %), so
        that the sum over many steps has an exact closed form.
        """
        return max(self._attention_ps(self.decode_macs_per_token, self.model.kv_bytes_per_token,
                                      self.kv_bandwidth))

    def vector_exchange(self, sequences: int, further: int = 0) -> Work:
        """Queries to the PIM units and outputs back, over the GPU's memory interface.

        ``further`` bytes, over all layers and cards, go with them.
        """
        size = 2 * self.model.layers * sequences * self.model.query_width * ELEMENT_BYTES + further
        return Work(self.kv_memory_ps(size), size)
