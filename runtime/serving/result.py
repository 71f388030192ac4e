"""What a run of the serving engine measures."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from model.spec.attention import BLOCK_TOKENS
from model.spec.errors import UserError
from runtime.models import TransformerModel
from runtime.systems import Tier
from runtime.workload import Request, Workload


class Served(msgspec.Struct, gc=False):
    """What became of a request; times in picoseconds.

    Of a streamed workload, ``request`` is without its block ids once it has been served.
    """

    request: Request
    admitted_ps: int = -1
    first_token_ps: int = -1
    finished_ps: int = -1
    prefix_hit_tokens: int = 0
    preemptions: int = 0


@dataclass(kw_only=True)
class EngineResult:
    """Everything that a run measured, in integers.

    Attributes
    ----------
    served : list of Served
        In order of arrival.
    time_ps : Counter
        Where the time of the steps went; parts ending in ``_arithmetic`` are those of their kernels
        that arithmetic bounded. ``dma_wait`` is what steps waited for any transfer.
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
    """Raises :class:`UserError` if the longest request is too long for a model or a first tier."""
    request = workload.longest
    tokens = request.input_tokens + request.output_tokens
    if model.context_limit is not None and tokens > model.context_limit:
        raise UserError(f"{request.origin}: input_length + output_length: expected at most "
                        f"{model.context_limit} tokens, the longest context of {model.name}, "
                        f"not {tokens}")
    if request.kv_blocks > tier.kv_blocks:
        raise UserError(
            f"{request.origin}: input_length + output_length: expected at most "
            f"{tier.kv_blocks * BLOCK_TOKENS} tokens, all that {name} holds in its "
            f"{tier.name} tier with {model.name}, not {tokens}")
