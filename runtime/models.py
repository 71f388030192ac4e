"""Transformer models as the serving engine sees them: shapes, weights and KV bytes."""

from dataclasses import dataclass, replace
from typing import Any

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import SpecError, require_int, unknown_name

ELEMENT_BYTES = 2
"""Bytes of a weight, activation, key or value: bfloat16 throughout (DESIGN.md section 4)."""


@dataclass(frozen=True, kw_only=True)
class TransformerModel:
    """A decoder-only transformer with grouped-query attention.

    Attributes
    ----------
    name, source : str
        Name on the command line, and where the shape was read.
    layers, hidden, heads, kv_heads, head_size, ffn, vocabulary : int
        Shape. ``heads * head_size`` need not equal ``hidden``.
    qk_norm : bool
        Whether queries and keys have a norm of their own.
    gated : bool
        Whether the MLP has a gate beside its first product.
    context_limit : int or None
        Longest context in tokens; None if none is enforced.
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
    gated: bool = True
    context_limit: int | None = None

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

    def heads_per_card(self, cards: int) -> int:
        """KV heads of the card that has most, when ``cards`` share them as evenly as they can."""
        return -(-self.kv_heads // cards)

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
                ("gate_up" if self.gated else "up", self.hidden,
                 2 * self.ffn if self.gated else self.ffn),
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


_LLAMA_3: dict[str, Any] = {"vocabulary": 128256, "head_size": 128, "context_limit": 131072}
_QWEN_3: dict[str, Any] = {"vocabulary": 151936, "head_size": 128, "qk_norm": True,
                           "context_limit": 131072}     # with YaRN, as the model cards say

LLAMA_3_8B = TransformerModel(
    name="llama-3-8b", layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, **_LLAMA_3,
    source="LLMServingSim model_configs/meta-llama/Llama-3.1-8B-Instruct.json, of the same shape")

LLAMA_3_70B = TransformerModel(
    name="llama-3-70b", layers=80, hidden=8192, heads=64, kv_heads=8, ffn=28672, **_LLAMA_3,
    source="config.json of Llama-3.1-70B, as public repositories quote it; KV: facts.md 7")

QWEN3_32B = TransformerModel(
    name="qwen3-32b", layers=64, hidden=5120, heads=64, kv_heads=8, ffn=25600, **_QWEN_3,
    source="config.json of Qwen3-32B, as several public repositories quote it")

QWEN3_4B = TransformerModel(
    name="qwen3-4b", layers=36, hidden=2560, heads=32, kv_heads=8, ffn=9728, **_QWEN_3,
    source="config.json of Qwen3-4B, as public repositories quote it; KV: facts.md 7")

GPT_3_175B = TransformerModel(
    name="gpt-3-175b", layers=96, hidden=12288, heads=96, kv_heads=96, head_size=128, ffn=49152,
    vocabulary=50257, gated=False,
    source="AttAcc's simulator, src/config.py (facts.md 7); vocabulary of GPT-3. Its own limit of "
           "2,048 tokens is not enforced: AttAcc's and vStack's runs go beyond")

DEVSTRAL_2_123B = TransformerModel(
    name="devstral-2-123b", layers=80, hidden=12288, heads=96, kv_heads=6, head_size=128,
    ffn=28672, vocabulary=131072,
    source="as vStack codes it: 80 layers, 12288, 96 heads, group 16 (facts.md 1.2; the real one "
           "likely differs, facts.md 7); MLP and vocabulary of Mistral-Large-2 of 123 G")

_ATTACC = "AttAcc's simulator, src/config.py; {}"

ATTACC_MODELS = (
    TransformerModel(
        name="gpt-3-13b", layers=40, hidden=5120, heads=40, kv_heads=40, head_size=128,
        ffn=20480, vocabulary=50257, gated=False, source=_ATTACC.format("vocabulary of GPT-3")),
    TransformerModel(
        name="gpt-3-89b", layers=48, hidden=12288, heads=96, kv_heads=96, head_size=128,
        ffn=49152, vocabulary=50257, gated=False, source=_ATTACC.format("vocabulary of GPT-3")),
    TransformerModel(
        name="llama-7b", layers=32, hidden=4096, heads=32, kv_heads=32, head_size=128, ffn=11008,
        vocabulary=32000, source=_ATTACC.format("its MLP of 8/3 rounded as in LLaMA itself")),
    TransformerModel(
        name="llama-65b", layers=80, hidden=8192, heads=64, kv_heads=64, head_size=128, ffn=22016,
        vocabulary=32000, source=_ATTACC.format("its MLP of 8/3 rounded as in LLaMA itself")),
    TransformerModel(
        name="opt-66b", layers=64, hidden=9216, heads=72, kv_heads=72, head_size=128, ffn=36864,
        vocabulary=50272, gated=False, source=_ATTACC.format("vocabulary of OPT")),
)
"""Its models whose heads have 128 elements; ``runtime.fixed`` has the others as well."""

MODELS = {m.name: m for m in (LLAMA_3_8B, LLAMA_3_70B, QWEN3_4B, QWEN3_32B, DEVSTRAL_2_123B,
                              GPT_3_175B, *ATTACC_MODELS)}


def without_gqa(model: TransformerModel) -> TransformerModel:
    """The model with a KV head for every query head, as older studies count it."""
    if model.group == 1:
        return model
    return replace(model, name=f"{model.name}-no-gqa", kv_heads=model.heads,
                   source=f"{model.source}; with a KV head for every query head")


def model_by_name(name: str) -> TransformerModel:
    """The model of that name; :class:`~model.spec.errors.UserError` if there is none."""
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name]
