"""What a join does to memory: the parts of its members merged once, in the order of the members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from model.golden.attention_descriptor import Golden, Outcome, output_bytes
from model.golden.merge import Part, merge
from model.spec.attention import HEAD_SIZE_MIN, PimSpec
from model.spec.attention_descriptor import Opcode, Result
from model.spec.attention_join import FOREIGN, Join
from model.spec.port import Status


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


def copy_queries(memories: Sequence[Golden], join: Join, tenant: int) -> Outcome:
    """What a join does to the memories of its members before it opens; whether it does open.

    Parameters
    ----------
    memories : sequence of Golden
        Of all pseudo-channels of the die, by number.
    join, tenant : Join, int
        The join, and whose ring it lies in.
    """
    result = refusal(join, tenant, memories[0].spec.pim, len(memories))
    if result is not Result.DONE or not join.broadcast:
        return Outcome(result)
    queries = memories[0].read(join.query, join.query_beats)
    there = all(memory.read(join.copy, join.query_beats) for memory in memories)
    if not queries or not there:
        return Outcome(Result.QUERY_FAULT, detail=Status.NO_SUCH_BANK)
    for n, memory in enumerate(memories):
        if join.members >> n & 1:
            memory.write(join.copy, queries)
    return Outcome()


def carry_out(golden: Golden, join: Join, tenant: int, channels: int,
              answers: Mapping[int, Answer]) -> Outcome:
    """Everything that a join that has opened does to memory, but for its completion record.

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
