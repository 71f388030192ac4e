"""Layouts that the parts of the join engine share."""

from amaranth.lib import data

from hdl.attention.descriptor_layouts import JOIN_BITS
from hdl.dma.layouts import table_layout
from model.spec.attention_join import JOIN
from model.spec.port import TAG_WIDTH

JOIN_LAYOUT = table_layout(JOIN)

HEAD_BITS = 4
"""Bits of a head's number in its group."""

HEAD_TAG = data.StructLayout({"join": JOIN_BITS, "head": HEAD_BITS})
"""By which the gatherer knows a head."""

NEWS = data.StructLayout({
    "join": JOIN_BITS, "begun": 1, "given": 1, "empty": 1, "failed": 1, "broken": 1, "why": 8})
"""For one clock, of a member of a join: the first beat of its part has come, or the last; it has
nothing to add; it has failed, or what it has begun has, with a ``Result``."""

JOIN_TAG = data.StructLayout({"number": TAG_WIDTH - 5, "kind": 2})
"""Number of an access of source ``JOIN``: of a ring, join or slot; what for."""

FIRST_HALF, SECOND_HALF, QUERY = range(3)
"""Kinds of reads: halves of a descriptor, beats of queries."""

COPY, OUTPUT, RECORD = range(3)
"""Kinds of writes: beats of copied queries, beats of an output, a record."""
