"""Roofline of the GPU: matrix products, element-wise kernels, prefill attention, all-reduce.

Every time is an integer number of picoseconds, rounded up, so that sums do not depend on order.
Kernels run one after the other; each takes the longer of its arithmetic and its memory time.
"""

from dataclasses import dataclass
from functools import lru_cache

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


H100 = GpuSpec()


@dataclass(frozen=True, slots=True)
class Work:
    """Time of some kernels, and what they moved and computed (for all cards together).

    ``arithmetic_ps`` is the part of the time that arithmetic bounds, not memory.
    """

    ps: int = 0
    bytes: int = 0
    macs: int = 0
    link_bytes: int = 0
    arithmetic_ps: int = 0


@dataclass(frozen=True, slots=True)
class DenseStep:
    """The part of a step that does not depend on context."""

    matrix: Work
    elementwise: Work
    reduce: Work


class GpuRoofline:
    """Times of one model on ``cards`` GPUs with tensor parallelism.

    Parameters
    ----------
    gpu : GpuSpec
    model : TransformerModel
    cards : int
        Each holds an equal share of weights and heads.
    weight_bandwidth : int
        Bytes a second between a GPU and the memory of its weights and activations.
    kv_bandwidth : int
        The same for the memory of the KV cache.
    card_bandwidth : int
        The same for all stacks of a card; scales the fixed part of element-wise kernels, which
        is no memory time and so alike in all systems.
    """

    def __init__(self, gpu: GpuSpec, model: TransformerModel, *, cards: int,
                 weight_bandwidth: int, kv_bandwidth: int, card_bandwidth: int) -> None:
        self.gpu, self.model, self.cards = gpu, model, cards
        self.weight_bandwidth, self.kv_bandwidth = weight_bandwidth, kv_bandwidth
        self.card_bandwidth = card_bandwidth
        self.dense = lru_cache(maxsize=None)(self._dense)

    def _compute_ps(self, macs: int) -> int:
        rate = self.gpu.flops * self.gpu.compute_percent * self.cards
        return -(-2 * macs * 100 * PS_PER_SECOND // rate)

    def _memory_ps(self, size: int, bandwidth: int) -> int:
        rate = bandwidth * self.gpu.bandwidth_percent * self.cards
        return -(-size * 100 * PS_PER_SECOND // rate)

    def _longer(self, macs: int, size: int, bandwidth: int) -> Work:
        arithmetic, memory = self._compute_ps(macs), self._memory_ps(size, bandwidth)
        return Work(max(arithmetic, memory), size, macs,
                    arithmetic_ps=arithmetic if arithmetic >= memory else 0)

    def _product(self, tokens: int, inputs: int, outputs: int) -> Work:
        size = ELEMENT_BYTES * (inputs * outputs + tokens * (inputs + outputs))
        macs = tokens * inputs * outputs
        return self._longer(macs, size, self.weight_bandwidth)

    def _elementwise(self, tokens: int) -> Work:
        gpu, model = self.gpu, self.model
        norm_bytes = tokens * model.hidden * ELEMENT_BYTES
        activation_bytes = tokens * model.ffn * ELEMENT_BYTES // self.cards
        fixed = 2 * gpu.norm_fixed_ps + gpu.activation_fixed_ps
        moved = (2 * norm_bytes * gpu.norm_ps_per_mb
                 + activation_bytes * gpu.activation_ps_per_mb) // 10 ** 6
        ps = (fixed * gpu.fit_bandwidth // self.card_bandwidth
              + moved * gpu.fit_bandwidth // self.weight_bandwidth)
        return Work(model.layers * ps,
                    model.layers * self.cards * (2 * norm_bytes + activation_bytes))

    def _reduce(self, tokens: int) -> Work:
        if self.cards == 1:
            return Work()
        size = tokens * self.model.hidden * ELEMENT_BYTES
        times = 2 * self.model.layers       # after the attention's and the MLP's last product
        return Work(times * (self.gpu.reduce_fixed_ps + size * self.gpu.reduce_ps_per_byte),
                    link_bytes=times * size * self.cards)

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
                      + head.arithmetic_ps)
        return DenseStep(matrix, self._elementwise(tokens), self._reduce(tokens))

    def prefill_attention(self, tokens: int, before: int) -> Work:
        """Causal attention of a chunk of ``tokens`` over itself and ``before`` earlier tokens.

        KV is read once a chunk, as a tiled kernel does.
        """
        model = self.model
        pairs = tokens * before + tokens * (tokens + 1) // 2
        macs = 2 * model.layers * model.query_width * pairs
        size = (model.kv_bytes_per_token * (before + tokens)
                + 2 * model.layers * tokens * model.query_width * ELEMENT_BYTES)
        return self._longer(macs, size, self.kv_bandwidth)

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
        return max(self._memory_ps(self.model.kv_bytes_per_token, self.kv_bandwidth),
                   self._compute_ps(self.decode_macs_per_token))

    def vector_exchange(self, sequences: int) -> Work:
        """Queries to the PIM units and outputs back, over the GPU's memory interface."""
        size = 2 * self.model.layers * sequences * self.model.query_width * ELEMENT_BYTES
        return Work(self._memory_ps(size, self.kv_bandwidth), size)
