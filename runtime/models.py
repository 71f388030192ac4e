"""Transformer models as the serving engine sees them: shapes, weights and KV bytes."""

from dataclasses import dataclass

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import SpecError, require_int, unknown_name

ELEMENT_BYTES = 2
"""Bytes of a weight, activation, key or value: bfloat16 throughout (DESIGN.md section 4)."""


@dataclass(frozen=True, kw_only=True)
class TransformerModel:
    """A decoder-only transformer with grouped-query attention and a gated MLP.

    Attributes
    ----------
    name, source : str
        Name on the command line, and where the shape was read.
    layers, hidden, heads, kv_heads, head_size, ffn, vocabulary : int
        Shape. ``heads * head_size`` need not equal ``hidden``.
    qk_norm : bool
        Whether queries and keys have a norm of their own.
    """

    name: str
    source: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    ffn: int
    vocabulary: int
    qk_norm: bool = False

    def __post_init__(self) -> None:
        for field in ("layers", "hidden", "heads", "kv_heads", "head_size", "ffn", "vocabulary"):
            require_int(f"model {self.name}.{field}", getattr(self, field), 1, 1 << 24)
        if self.heads % self.kv_heads:
            raise SpecError(f"model {self.name}.heads", self.heads,
                            f"a multiple of kv_heads = {self.kv_heads}")

    @property
    def group(self) -> int:
        """Query heads that share one KV head."""
        return self.heads // self.kv_heads

    @property
    def query_width(self) -> int:
        """Elements of all query heads of one token."""
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """Elements of all keys (or of all values) of one token in one layer."""
        return self.kv_heads * self.head_size

    @property
    def layer_matrices(self) -> tuple[tuple[str, int, int], ...]:
        """(name, inputs, outputs) of each matrix product of a layer."""
        return (("qkv", self.hidden, self.query_width + 2 * self.kv_width),
                ("output", self.query_width, self.hidden),
                ("gate_up", self.hidden, 2 * self.ffn),
                ("down", self.ffn, self.hidden))

    @property
    def parameters(self) -> int:
        """All parameters, embedding and (untied) output head included."""
        norms = 2 * self.hidden + (2 * self.head_size if self.qk_norm else 0)
        layer = sum(inputs * outputs for _, inputs, outputs in self.layer_matrices) + norms
        return self.layers * layer + 2 * self.vocabulary * self.hidden + self.hidden

    @property
    def weight_bytes(self) -> int:
        """Bytes of all parameters."""
        return self.parameters * ELEMENT_BYTES

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values of one token, all layers."""
        return 2 * self.layers * self.kv_width * ELEMENT_BYTES

    @property
    def kv_block_bytes(self) -> int:
        """Bytes of a KV block of :data:`~model.spec.attention.BLOCK_TOKENS` tokens."""
        return BLOCK_TOKENS * self.kv_bytes_per_token


LLAMA_3_8B = TransformerModel(
    name="llama-3-8b",
    source="LLMServingSim model_configs/meta-llama/Llama-3.1-8B-Instruct.json, of the same shape",
    layers=32, hidden=4096, heads=32, kv_heads=8, head_size=128, ffn=14336, vocabulary=128256)

QWEN3_32B = TransformerModel(
    name="qwen3-32b", source="config.json of Qwen3-32B, as several public repositories quote it",
    layers=64, hidden=5120, heads=64, kv_heads=8, head_size=128, ffn=25600, vocabulary=151936,
    qk_norm=True)

MODELS = {m.name: m for m in (LLAMA_3_8B, QWEN3_32B)}


def model_by_name(name: str) -> TransformerModel:
    """The model of that name; :class:`~model.spec.errors.UserError` if there is none."""
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name]
