"""Machines that studies are made on: memory preset, GPU, cards and the engine's limits."""

from dataclasses import dataclass

from model.spec.errors import unknown_name
from runtime.systems.gpu import A100A, H100, GpuSpec

HOST_BYTES = 512 << 30
"""Host memory for KV (facts.md 1.2)."""

PCIE_BANDWIDTH = 64_000_000_000
"""Bytes a second between the host and a card (facts.md 1.2)."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Defaults that go together.

    Attributes
    ----------
    name, source : str
        Name on the command line, and where its numbers were read.
    preset : str
        Timing preset of the stacks.
    cards : int or None
        Cards of every system; None means the fewest at which each holds the model.
    gpu : GpuSpec
    max_batch, step_tokens : int
        Limits of the engine.
    """

    name: str
    source: str
    preset: str
    cards: int | None
    gpu: GpuSpec
    max_batch: int
    step_tokens: int


PROFILES = {p.name: p for p in (
    Profile(name="paper", preset="hbm3_5200", cards=8, gpu=A100A, max_batch=16,
            step_tokens=128 + 16,       # a prefill chunk of 128 beside a full batch
            source="facts.md 1.2: eight A100a cards of five HBM3 stacks, batch 16, chunk 128"),
    Profile(name="hbm4", preset="hbm4_8000", cards=None, gpu=H100, max_batch=64, step_tokens=512,
            source="DESIGN.md 3 and 5; H100 (facts.md 7); batch and step budget are ours"),
)}


def profile_by_name(name: str) -> Profile:
    """The profile of that name; :class:`~model.spec.errors.UserError` if there is none."""
    if name not in PROFILES:
        raise unknown_name("profile", name, PROFILES)
    return PROFILES[name]
