"""One generated token step in AttAcc's simulator: time and energy of all its kernels.

The mean over the output positions of a batch whose requests all began together; prefill is not
part of it. GPUs and PIM devices have their own memory: the PIM stacks are extra hardware.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from model.spec.errors import SpecError, require_int
from runtime.fixed import pim
from runtime.fixed.catalogue import FixedModel
from runtime.fixed.energy import FIXED_ENERGIES, FixedEnergy
from runtime.fixed.gpu import FIXED_GPUS, FixedGpu
from runtime.fixed.kernels import ELEMENT_BYTES, Kernel, layer_kernels

STACKS = 5              # HBM stacks of a PIM device (its src/config.py:167)
STACK_BANDWIDTH = 670.4e9
PIM_SPEEDUP = {True: 9, False: 16}      # banks over pins, with and without a power limit (:153-164)
MEMORY_GIB = 80         # of a GPU, and of a PIM device
PIM_LINK = 600e9
PICO = 1e-12


@dataclass(frozen=True, kw_only=True)
class FixedRun:
    """What is asked for.

    Attributes
    ----------
    model : FixedModel
    batch, lin, lout : int
        Requests, prompt tokens and output tokens of each.
    attacc : bool
        Attention on PIM devices; otherwise on the GPUs.
    devices : int
        GPUs; with ``attacc`` as many PIM devices beside them.
    power_limit, pipeline, co_process : bool
        AttAcc's ``--powerlimit``, ``--pipeopt`` (a head's products overlap other heads' attention)
        and ``--ffopt`` (PIM units take a share of the MLP).
    straight_line : bool
        Cycles of facts.md 2.3's line instead of :func:`runtime.fixed.pim.cycles`.
    """

    model: FixedModel
    batch: int
    lin: int
    lout: int
    attacc: bool = True
    devices: int = 8
    gpu: FixedGpu = FIXED_GPUS["a100a"]
    power_limit: bool = True
    pipeline: bool = True
    co_process: bool = True
    straight_line: bool = False
    energy: FixedEnergy = FIXED_ENERGIES["attacc_slip"]

    def __post_init__(self) -> None:
        require_int("batch", self.batch, 1, 4096)
        require_int("lin", self.lin, 1, 1 << 17)
        require_int("lout", self.lout, 2, 1 << 14)
        require_int("devices", self.devices, 1, 64)
        if self.model.hidden % self.devices or self.model.heads < self.devices:
            raise SpecError("devices", self.devices, f"a divisor of {self.model.hidden}, the width "
                            f"of {self.model.name}, and at most its {self.model.heads} heads")

    @property
    def required_gib(self) -> float:
        """Weights and, at the end, KV; the simulator reports it and goes on regardless."""
        kv = (2 * self.model.layers * self.model.hidden * ELEMENT_BYTES * self.batch
              * (self.lin + self.lout - 1))
        return (self.model.weight_bytes + kv) / 2**30

    @property
    def memory_gib(self) -> int:
        """What there is, on all devices."""
        return self.devices * MEMORY_GIB * (2 if self.attacc else 1)

    @property
    def stack_heads(self) -> int:
        """Heads of the whole batch that one HBM stack attends."""
        return -(-(self.model.heads // self.devices) * self.batch // STACKS)

    def cycles(self, context: int) -> int:
        """PIM cycles of one layer's attention."""
        law = pim.fitted_cycles if self.straight_line else pim.cycles
        return law(self.stack_heads, context, self.model.listed_head_size, self.power_limit)


@dataclass(kw_only=True)
class FixedStep:
    """A mean step, all layers: seconds by kernel, joules by place, and rows of the cycle table."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    joules: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    cycles: dict[int, int] = field(default_factory=dict)

    def part(self, *prefixes: str) -> float:
        """Milliseconds of the kernels whose names begin so."""
        return sum(s for name, s in self.seconds.items() if name.startswith(prefixes)) * 1e3


def simulate(run: FixedRun) -> FixedStep:
    """The step of a run, averaged over its output positions."""
    step = FixedStep()
    weight = run.model.layers / (run.lout - 1)
    for context in range(run.lin + 1, run.lin + run.lout):
        kernels = list(layer_kernels(run.model, run.batch, context, run.devices, run.attacc))
        times = [_time(run, kernel) for kernel in kernels]
        if run.attacc:
            step.cycles[context] = run.cycles(context)
            times = _overlapped(run, kernels, times)
        for kernel, (seconds, _) in zip(kernels, times, strict=True):
            step.seconds[kernel.name] += seconds * weight
            for place, joules in _energy(run, kernel).items():
                step.joules[place] += joules * weight
    return step


def _time(run: FixedRun, kernel: Kernel) -> tuple[float, bool]:
    """Seconds of a kernel by itself, and whether memory bounds it."""
    if not run.attacc or kernel.kind not in ("attention", "softmax", "transfer"):
        return run.gpu.time(kernel, run.devices)
    if kernel.kind == "transfer":
        return kernel.result_bytes / (PIM_LINK / 2), True
    if kernel.kind == "softmax":
        rate = STACK_BANDWIDTH * STACKS
        return max(kernel.flops, kernel.bytes) / rate, kernel.flops <= kernel.bytes
    # One table holds both products of attention; it is charged to the first.
    cycles = run.cycles(int(kernel.n)) if kernel.name == "score" else 0
    return cycles * pim.CLOCK_NS * 1e-9, True


def _overlapped(run: FixedRun, kernels: list[Kernel],
                times: list[tuple[float, bool]]) -> list[tuple[float, bool]]:
    """Times after overlap: transfers hide behind attention, or both behind the products."""
    alone = {"from_pim": 0.0} | {k.name: t for k, (t, _) in zip(kernels, times, strict=True)}
    one_head = 1 / (run.model.heads / run.devices)      # what cannot overlap: the first head's
    attention = alone["score"] + alone["context"] + alone["softmax"]
    moving = alone["to_pim"] + alone["from_pim"]
    products = alone["qkv"] + alone["output"]
    moved, qkv, output = moving, alone["qkv"], alone["output"]
    hidden = attention * (1 - one_head)
    if run.pipeline and attention <= products:
        if products > moving:
            moved = moving * one_head
            # Three of the four matrices of these products come before attention, one after it.
            qkv, output = qkv - hidden * 3 / 4, output - hidden / 4
        else:
            moved = moving - hidden
            qkv, output = qkv * one_head, output * one_head
    else:
        moved = moving * one_head if attention > moving else moving - hidden
        if run.pipeline:
            qkv, output = qkv * one_head, output * one_head
    final = {"qkv": qkv, "output": output, "to_pim": moved / 2, "from_pim": moved / 2,
             "softmax": 0.0}        # counted as hidden behind other heads, always
    changed = []
    for kernel, (seconds, bound) in zip(kernels, times, strict=True):
        seconds = final.get(kernel.name, seconds)
        if run.co_process and kernel.name.startswith("ff"):
            seconds = _co_processed(run, seconds, bound)
        changed.append((seconds, bound))
    return changed


def _co_processed(run: FixedRun, seconds: float, memory_bound: bool) -> float:
    """Seconds of a product of the MLP with the PIM units' share of it taken off."""
    extra = STACK_BANDWIDTH * STACKS * PIM_SPEEDUP[run.power_limit]
    if memory_bound:        # PIM units read the weights once for every request
        return seconds * run.gpu.bandwidth / (run.gpu.bandwidth + extra / run.batch)
    return seconds * run.gpu.flops / (run.gpu.flops + extra / ELEMENT_BYTES * 2)


def _energy(run: FixedRun, kernel: Kernel) -> dict[str, float]:
    """Joules of a kernel on all devices, by place."""
    table, scale = run.energy, run.devices * PICO
    if kernel.kind in ("reduce", "transfer"):
        return {"links": kernel.result_bytes * table.link_byte * scale}
    if run.attacc and kernel.kind == "softmax":
        return {"PIM SRAM": kernel.bytes * table.sram_byte * scale,
                "softmax": kernel.flops / 2 * table.mac * scale}
    if run.attacc and kernel.kind == "attention":
        if kernel.name == "context":
            return {}
        made = pim.commands(run.stack_heads, int(kernel.n), run.model.listed_head_size)
        moved = (made.host_bytes * table.interposer_bit
                 + made.vector_bytes * table.buffer_to_bank_bit) * table.bits_of_a_byte
        return {"PIM banks": made.bank_bytes * STACKS * table.bank_byte * scale,
                "PIM transfers": moved * STACKS * scale,
                "PIM arithmetic": kernel.flops / 2 * table.mac * scale}
    memory, l2, l1, operands = run.gpu.traffic(kernel)
    return {"GPU memory": memory * table.memory_byte * scale,
            "GPU caches": (l2 * table.l2_byte + l1 * table.l1_byte) * scale,
            "GPU registers": operands * table.register_operand * scale,
            "GPU arithmetic": kernel.flops / 2 * table.mac * scale}
