"""What a join does to memory: the parts of its members merged once, in the order of the members."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from model.golden.attention_descriptor import Golden, Outcome, output_bytes
from model.golden.merge import Part, merge
from model.spec.attention import HEAD_SIZE_MIN, PimSpec
from model.spec.attention_descriptor import Opcode, Result
from model.spec.attention_join import FOREIGN, Join


@dataclass(frozen=True)
class Answer:
    """What came of a member: a part of every head, or none and why.

    Attributes
    ----------
    parts : list of Part
    result : Result
        ``ALL_ELSEWHERE`` is no failure: the member has nothing to add.
    """

    parts: list[Part] = field(default_factory=list)
    result: Result = Result.DONE


def refusal(join: Join, tenant: int, pim: PimSpec, channels: int) -> Result:
    """Why a join is refused; ``DONE`` if it is not."""
    fits = (join.head_size % 16 == 0 and HEAD_SIZE_MIN <= join.head_size <= pim.head_size_max)
    for result, applies in (
            (Result.BAD_OPCODE, join.opcode != Opcode.JOIN),
            (Result.WRONG_TENANT, join.tenant != tenant),
            (Result.BAD_HEAD_SIZE, not fits),
            (Result.BAD_GROUP, not 1 <= join.heads <= pim.group_max),
            (Result.BAD_MEMBERS, join.members >> channels != 0
                or not (join.members or join.foreign))):
        if applies:
            return result
    return Result.DONE


def carry_out(golden: Golden, join: Join, tenant: int, channels: int,
              answers: Mapping[int, Answer]) -> Outcome:
    """Everything that a join does to memory, but for its completion record.

    Parameters
    ----------
    golden : Golden
        Of pseudo-channel 0, whose memory takes the output.
    join, tenant : Join, int
        The join, and whose ring it lies in.
    channels : int
        Of the die.
    answers : mapping
        Of its members: pseudo-channels by number, and ``FOREIGN``.
    """
    result = refusal(join, tenant, golden.spec.pim, channels)
    if result is not Result.DONE:
        return Outcome(result)
    members = [n for n in range(channels) if join.members >> n & 1]
    if join.foreign and FOREIGN in answers:
        members.append(FOREIGN)
    given = []
    for member in members:
        answer = answers[member]
        if answer.result not in (Result.DONE, Result.ALL_ELSEWHERE):
            return Outcome(Result.MEMBER_FAILED, detail=answer.result, entry=member)
        if answer.parts:
            given.append(answer.parts)
    if not given:
        return Outcome(Result.ALL_ELSEWHERE)
    merged = [merge(head) for head in zip(*given, strict=True)]
    if not golden.write(join.output, output_bytes(join.partial, merged, golden.spec.pim)):
        return Outcome(Result.OUTPUT_FAULT, detail=1)
    return Outcome()
