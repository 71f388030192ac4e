"""Settings of the serving engine."""

from dataclasses import asdict, dataclass

from model.spec.errors import require_int, unknown_name
from runtime.policies import eviction_policy
from runtime.policies.placement import placement_policy
from runtime.policies.replication import replication_policy
from runtime.systems.routes import RESOURCES

BATCHINGS = ("continuous", "static")
PREEMPTIONS = ("recompute", "swap", "none")


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Knobs of the engine.

    Attributes
    ----------
    max_batch : int
        Most requests in work at once. 64 is our choice; vStack has 16 (facts.md 1.2).
    step_tokens : int
        Most tokens of a step, prefill and decode together. 512 is our choice: enough for an H100
        to be compute-bound. vStack has prefill chunks of 128 (facts.md 1.2).
    eviction, placement, replication : str or None
        Policies; None takes those of the system.
    batching : str
        ``continuous``; or ``static``: requests are admitted when no other is in work.
    preemption : str
        What happens to the request that was admitted last when the running ones outgrow the first
        tier: its KV is dropped and computed again (``recompute``), or moved to a lower tier if
        there is room (``swap``). With ``none``, all KV that a request will need is reserved when it
        is admitted.
    no_overlap : tuple of str
        Resources whose transfers steps wait for although the hardware could do both.
    """

    max_batch: int = 64
    step_tokens: int = 512
    eviction: str | None = None
    placement: str | None = None
    replication: str | None = None
    batching: str = "continuous"
    preemption: str = "recompute"
    no_overlap: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_int("max_batch", self.max_batch, 1, 4096)
        require_int("step_tokens", self.step_tokens, self.max_batch + 1, 1 << 20)
        for find, name in ((eviction_policy, self.eviction), (placement_policy, self.placement),
                           (replication_policy, self.replication)):
            if name is not None:
                find(name)
        for kind, name, known in (
                ("batching", self.batching, BATCHINGS),
                ("preemption", self.preemption, PREEMPTIONS),
                *(("no_overlap", resource, RESOURCES) for resource in self.no_overlap)):
            if name not in known:
                raise unknown_name(kind, name, known)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {**asdict(self), "no_overlap": list(self.no_overlap)}
