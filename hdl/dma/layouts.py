"""Layouts that the parts of the DMA engine share, made from the specification."""

from collections.abc import Mapping

from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hdl.layouts import BEAT_WIDTH
from model.spec.dma import (
    BLOCK,
    COMPLETION,
    DESCRIPTOR,
    PLACE,
    SEGMENT_BEATS,
    SETTINGS,
    DmaSpec,
    Result,
)
from model.spec.errors import SpecError
from model.spec.port import TAG_WIDTH, Status
from model.spec.slice import SliceSpec

BEAT_BITS = (SEGMENT_BEATS - 1).bit_length()
"""Bits of a beat's number in its segment."""

JOB_BITS = 3
"""Bits of a job's number in its channel."""

CHANNEL_BITS = 3
"""Bits of a channel's number."""

LOW_BITS = 4
"""Bits of a beat's number that the tag of its read holds; the lane knows the rest."""

LANE_BITS = TAG_WIDTH - LOW_BITS

FETCHES = 7
"""Upper bits of the lane in the tag of a read that fetches a descriptor or a list."""


def table_layout(table: Mapping[str, int]) -> data.StructLayout:
    """A record of :mod:`model.spec.dma`."""
    return data.StructLayout(dict(table))


DESCRIPTOR_LAYOUT = table_layout(DESCRIPTOR)
BLOCK_LAYOUT = table_layout(BLOCK)
COMPLETION_LAYOUT = table_layout(COMPLETION)
SETTINGS_LAYOUT = table_layout(SETTINGS)
PLACE_LAYOUT = table_layout(PLACE)


def spot_layout(spec: SliceSpec) -> data.StructLayout:
    """A place that exists, in as many bits as the memory port has."""
    g = spec.geometry
    return data.StructLayout({
        "column": range(g.columns), "row": range(g.rows), "bank": g.bank_width})


JOB = data.StructLayout({"number": JOB_BITS, "channel": CHANNEL_BITS})
"""A descriptor under way."""

READ_TAG = data.StructLayout({"low": LOW_BITS, "lane": LANE_BITS})
"""Tag of a read of data."""

FETCH_TAG = data.StructLayout({"kind": 2, "channel": CHANNEL_BITS,
                               "fetches": TAG_WIDTH - 2 - CHANNEL_BITS})
"""Tag of a read that fetches; ``fetches`` is FETCHES."""

READ_LANES_MAX = FETCHES << LANE_BITS - FETCH_TAG["fetches"].width
"""Lanes whose reads cannot be taken for such."""


def write_tag(dma: DmaSpec) -> data.StructLayout:
    """Tag of a write; that of a completion record has the lane after the last."""
    return data.StructLayout({
        "number": range(dma.jobs), "channel": range(dma.channels),
        "lane": range(dma.write_lanes + 1)})



def segment_layout(spec: SliceSpec) -> data.StructLayout:
    """Some beats that are moved as one. They never cross the end of a row on either side."""
    return data.StructLayout({
        "job": JOB,
        "reads": 1,                     # the source is in memory; else it is loaded from a stream
        "writes": 1,                    # the destination is in memory; else it is a stream
        "beats": range(SEGMENT_BEATS + 1),
        "last": 1,                      # its last beat is the last of an element
        "final": 1,                     # and of the move
        "source": spot_layout(spec),
        "destination": spot_layout(spec),
    })


def fetch_layout(spec: SliceSpec) -> data.StructLayout:
    """A read of 32 bytes of a ring or a list."""
    return data.StructLayout({"kind": 2, "channel": CHANNEL_BITS, "spot": spot_layout(spec)})


FETCHED = data.StructLayout({
    "valid": 1, "kind": 2, "channel": CHANNEL_BITS, "ok": 1, "data": BEAT_WIDTH})
"""Its answer, for one clock."""

DESCRIPTOR_LOW, DESCRIPTOR_HIGH, SOURCE_LIST, DESTINATION_LIST = range(4)
"""Kinds of fetches."""


def record_layout(spec: SliceSpec) -> data.StructLayout:
    """A completion record on its way to memory."""
    return data.StructLayout({"job": JOB, "spot": spot_layout(spec), "data": BEAT_WIDTH})


class JobEvents(wiring.Signature):
    """What happens to descriptors under way; each group at most once a clock.

    Members
    -------
    ended_valid, ended : ``Out(1)``, ``Out(JOB)``
        A segment has left the buffer.
    issued_valid, issued : ``Out(1)``, ``Out(JOB)``
        A beat is going to be written.
    acked_valid, acked : ``Out(1)``, ``Out(JOB)``
        A written beat has reached the array, or was refused.
    recorded_valid, recorded, recorded_ok : ``Out(1)``, ``Out(JOB)``, ``Out(1)``
        A completion record has reached the array, or was refused.
    fault_valid, fault_job, fault, fault_status, fault_place : ``Out``
        The memory channel did not carry out an access, and why.
    spoiled_valid, spoiled : ``Out(1)``, ``Out(JOB)``
        A beat that was going to be written was lost in the buffer and is not written.
    """

    def __init__(self) -> None:
        super().__init__({
            "ended_valid": Out(1), "ended": Out(JOB),
            "issued_valid": Out(1), "issued": Out(JOB),
            "acked_valid": Out(1), "acked": Out(JOB),
            "recorded_valid": Out(1), "recorded": Out(JOB), "recorded_ok": Out(1),
            "fault_valid": Out(1), "fault_job": Out(JOB), "fault": Out(Result),
            "fault_status": Out(Status), "fault_place": Out(PLACE_LAYOUT),
            "spoiled_valid": Out(1), "spoiled": Out(JOB),
        })


def check_fits(spec: SliceSpec, dma: DmaSpec) -> None:
    """Raises :class:`SpecError` if tags or places cannot hold what they must."""
    if spec.geometry.columns > 1 << PLACE["column"]:
        raise SpecError("columns", spec.geometry.columns, f"at most {1 << PLACE['column']}")
    if write_tag(dma).size > TAG_WIDTH:
        raise SpecError("write_lanes", dma.write_lanes, f"so many that {TAG_WIDTH} bits of a tag "
                        "hold one of them or none, a channel and one of its jobs")
    if dma.read_lanes > READ_LANES_MAX:
        raise SpecError("read_lanes", dma.read_lanes, f"at most {READ_LANES_MAX}")
