"""Settings and records of the serving engine."""

from collections import Counter
from dataclasses import asdict, dataclass, field

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import UserError, require_int
from runtime.models import TransformerModel
from runtime.policies import eviction_policy
from runtime.systems import Tier
from runtime.workload import Request, Workload


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
    eviction : str
        Policy of every tier.
    dma_overlap : bool
        Whether the stack DMA may move blocks while a step runs. If not, as by default, it has the
        pseudo-channels to itself and steps wait for it; if so, nothing is charged for sharing them.
    closed_form : bool
        Whether decode steps between events are advanced together. The results are the same.
    """

    max_batch: int = 64
    step_tokens: int = 512
    eviction: str = "lru"
    dma_overlap: bool = False
    closed_form: bool = True

    def __post_init__(self) -> None:
        require_int("max_batch", self.max_batch, 1, 4096)
        require_int("step_tokens", self.step_tokens, self.max_batch + 1, 1 << 20)
        eviction_policy(self.eviction)

    def as_dict(self) -> dict[str, object]:
        """Plain data, without the switch that changes no result."""
        return {k: v for k, v in asdict(self).items() if k != "closed_form"}


@dataclass(slots=True)
class Served:
    """What became of a request; times in picoseconds."""

    request: Request
    admitted_ps: int = -1
    first_token_ps: int = -1
    finished_ps: int = -1
    prefix_hit_tokens: int = 0


@dataclass(kw_only=True)
class EngineResult:
    """Everything that a run measured, in integers.

    Attributes
    ----------
    served : list of Served
        In order of arrival.
    time_ps : Counter
        Where the time of the steps went; parts ending in ``_arithmetic`` are those of their kernels
        that arithmetic bounded.
    waits_ps : Counter
        Time from arrival to admission, by what held the queue up last: the end of a ``step``, a
        full ``batch``, or the ``capacity`` of the first tier.
    counts : Counter
        Operations and bytes, for rates and energy.
    """

    served: list[Served] = field(default_factory=list)
    time_ps: Counter[str] = field(default_factory=Counter)
    waits_ps: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)


def check_fits(name: str, tier: Tier, model: TransformerModel, workload: Workload) -> None:
    """Raises :class:`UserError` for the first request that a system's first tier can never hold."""
    for request in workload.requests:
        if request.kv_blocks > tier.kv_blocks:
            raise UserError(
                f"{request.origin}: input_length + output_length: expected at most "
                f"{tier.kv_blocks * BLOCK_TOKENS} tokens, all that {name} holds in its "
                f"{tier.name} tier with {model.name}, "
                f"not {request.input_tokens + request.output_tokens}")
