"""The kernels of one decoder layer in a generation step, on one of the devices that share it."""

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.fixed.catalogue import FixedModel

ELEMENT_BYTES = 2
ACTIVATION_FLOPS = {"gelu": 8, "glu": 9, "relu": 1}
ROW_FLOPS = 5           # softmax and norm, an element


@dataclass(frozen=True, slots=True)
class Kernel:
    """``count`` products of (m, k) by (k, n), or an element-wise pass over (m, n).

    Attributes
    ----------
    name : str
        ``qkv``, ``score``, ``ff1``, ...
    kind : str
        ``fc``, ``attention``, ``softmax``, ``activation``, ``norm``, ``reduce`` or ``transfer``.
    m, n, k, count : int or float
        Widths of an MLP of ratio 8/3 are not whole in the simulator, and so not here.
    """

    name: str
    kind: str
    m: int
    n: float
    k: float = 1
    count: int = 1
    gate: str = ""

    @property
    def flops(self) -> float:
        """Operations, a multiplication and an addition being two."""
        if self.kind in ("fc", "attention"):
            return 2 * self.m * self.n * self.k * self.count
        if self.kind in ("reduce", "transfer"):
            return 0
        each = ACTIVATION_FLOPS[self.gate] if self.kind == "activation" else ROW_FLOPS
        return each * self.m * self.n * self.count

    @property
    def bytes(self) -> float:
        """Both operands and the result, each once."""
        if self.kind in ("fc", "attention"):
            return (self.m * self.k + self.n * self.k + self.m * self.n) * self.count \
                * ELEMENT_BYTES
        passes = 3 if self.kind == "norm" or self.gate == "glu" else 2
        return passes * self.result_bytes

    @property
    def result_bytes(self) -> float:
        """The result alone."""
        return self.m * self.n * self.count * ELEMENT_BYTES


def layer_kernels(model: FixedModel, batch: int, context: int, devices: int,
                  pim: bool) -> Iterator[Kernel]:
    """One layer of a step at a context, in order; ``pim`` adds the transfers to and from PIM."""
    share = model.hidden // devices
    heads = model.heads // devices * batch
    inner = float(model.ffn_ratio) * share
    yield Kernel("qkv", "fc", batch, 3 * share, model.hidden)
    if pim:
        yield Kernel("to_pim", "transfer", batch, 3 * share)
    yield Kernel("score", "attention", 1, context, model.head_size, heads)
    yield Kernel("softmax", "softmax", 1, context, 1, heads)
    yield Kernel("context", "attention", 1, model.head_size, context, heads)
    if pim:
        yield Kernel("from_pim", "transfer", 1, model.head_size, 1, heads)
    yield Kernel("output", "fc", batch, model.hidden, share)
    yield Kernel("reduce", "reduce", batch, model.hidden)
    yield Kernel("norm", "norm", batch, model.hidden)
    for number in range(2 if model.activation == "glu" else 1):
        yield Kernel(f"ff{number}", "fc", batch, inner, model.hidden)
    yield Kernel("activation", "activation", batch, inner, gate=model.activation)
    yield Kernel("ff_down", "fc", batch, model.hidden, inner)
    yield Kernel("reduce", "reduce", batch, model.hidden)
    yield Kernel("norm", "norm", batch, model.hidden)
