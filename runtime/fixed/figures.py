"""The record of a fixed run, in plain data."""

from runtime.fixed import pim
from runtime.fixed.step import FixedRun, FixedStep, simulate

PARTS = {"fc_ms": ("qkv", "output", "ff"), "attention_ms": ("score", "softmax", "context"),
         "comm_ms": ("reduce", "to_pim", "from_pim"), "other_ms": ("activation", "norm")}
"""Names of the kernels in each part of a step."""


def fixed_record(run: FixedRun) -> dict[str, object]:
    """Milliseconds and joules of a step with their parts, and what they rest on."""
    step = simulate(run)
    joules = sum(step.joules.values())
    seconds = sum(step.seconds.values())
    record: dict[str, object] = {
        "step_ms": seconds * 1e3,
        **{part: step.part(*names) for part, names in PARTS.items()},
        "step_j": joules,
        "token_j": joules / run.batch,
        "tokens_per_second": run.batch / seconds,
        "energy_j": dict(step.joules),
        "system": "attacc" if run.attacc else "gpu",
        "model": run.model.name, "batch": run.batch, "lin": run.lin, "lout": run.lout,
        "gpu": run.gpu.name, "devices": run.devices,
        "required_gib": run.required_gib, "memory_gib": run.memory_gib,
        "fits": run.required_gib <= run.memory_gib,
    }
    return record | (_attention(run, step) if run.attacc else {})


def _attention(run: FixedRun, step: FixedStep) -> dict[str, object]:
    """What the attention's time was made of: a table of cycles."""
    counts = list(step.cycles.values())
    return {"stack_heads": run.stack_heads, "clock_ns": pim.CLOCK_NS,
            "mean_cycles_a_layer": sum(counts) / len(counts),
            "cycle_source": "facts.md 2.3, straight line" if run.straight_line
            else "law fitted to ramulator.out (runtime/fixed/pim.py)"}
