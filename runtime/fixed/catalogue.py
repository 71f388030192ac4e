"""The models of AttAcc's simulator (its src/config.py, ``make_model_config``)."""

from dataclasses import dataclass
from fractions import Fraction

from model.spec.errors import unknown_name


@dataclass(frozen=True, kw_only=True)
class FixedModel:
    """A decoder stack as that simulator sees it: no embedding, no output head, no GQA.

    Attributes
    ----------
    name : str
        Ours; ``alias`` is theirs.
    layers, hidden, heads : int
    listed_head_size : int
        Elements of a head in its table, by which it generates PIM commands.
    ffn_ratio : Fraction
        Inner width of the MLP over ``hidden``.
    activation : str
        ``gelu``, ``relu`` or ``glu`` (two products before it instead of one).
    """

    name: str
    alias: str
    layers: int
    hidden: int
    heads: int
    listed_head_size: int = 128
    ffn_ratio: Fraction = Fraction(4)
    activation: str = "gelu"

    @property
    def head_size(self) -> int:
        """By which it counts arithmetic: hidden over heads, cut (153 for MT-146B)."""
        return self.hidden // self.heads

    @property
    def weight_bytes(self) -> int:
        """Its ``required_cap``: four square matrices and the MLP's, 16 bits each."""
        products = 3 if self.activation == "glu" else 2
        square = self.layers * self.hidden ** 2
        return int(2 * square * (4 + products * self.ffn_ratio))


def _llama(name: str, alias: str, layers: int, hidden: int, heads: int) -> FixedModel:
    return FixedModel(name=name, alias=alias, layers=layers, hidden=hidden, heads=heads,
                      ffn_ratio=Fraction(8, 3), activation="glu")


FIXED_MODELS = {m.name: m for m in (
    FixedModel(name="gpt-3-13b", alias="GPT-13B", layers=40, hidden=5120, heads=40),
    FixedModel(name="gpt-3-89b", alias="GPT-89B", layers=48, hidden=12288, heads=96),
    FixedModel(name="gpt-3-175b", alias="GPT-175B", layers=96, hidden=12288, heads=96),
    _llama("llama-7b", "LLAMA-7B", 32, 4096, 32),
    _llama("llama-65b", "LLAMA-65B", 80, 8192, 64),
    FixedModel(name="opt-66b", alias="OPT-66B", layers=64, hidden=9216, heads=72,
               activation="relu"),
    FixedModel(name="mt-76b", alias="MT-76B", layers=60, hidden=10240, heads=40),
    FixedModel(name="mt-146b", alias="MT-146B", layers=80, hidden=12288, heads=80),
    FixedModel(name="mt-310b", alias="MT-310B", layers=96, hidden=16384, heads=128),
    FixedModel(name="mt-530b", alias="MT-530B", layers=105, hidden=20480, heads=128,
               listed_head_size=160),
    FixedModel(name="mt-1008b", alias="MT-1008B", layers=128, hidden=25600, heads=160,
               listed_head_size=160),
)}


def fixed_model(name: str) -> FixedModel:
    """The model of that name, ours or theirs; one line with the nearest name if there is none."""
    for model in FIXED_MODELS.values():
        if name.lower() in (model.name, model.alias.lower()):
            return model
    raise unknown_name("model", name, FIXED_MODELS)
