"""Layouts and signatures that more than one component shares, made from the specification."""

from amaranth import signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from model.spec.attention import (
    BLOCK_TOKENS,
    REGISTER_SETS,
    ROW_LATCHES,
    SCALE_SLOTS,
    MacMode,
    PimSpec,
    Register,
)
from model.spec.formats import FP32
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import StoredFormat
from model.spec.port import TAG_WIDTH, Status
from model.spec.slice import SliceSpec
from model.spec.timing import Command

BEAT_WIDTH = 8 * BEAT_BYTES
"""Bits of one beat of the data bus, one column, one register word."""


def request_layout(spec: SliceSpec) -> data.StructLayout:
    """One access of 32 bytes to one bank."""
    g = spec.geometry
    return data.StructLayout({
        "tag": TAG_WIDTH,                    # returned with the response; any value
        "write": 1,                          # 1: `data` is written; 0: a read
        "bank": g.bank_width,                # bank number, SID included (ChannelGeometry)
        "row": range(g.rows),
        "column": range(g.columns),
        "data": BEAT_WIDTH,                  # ignored by reads
    })


def response_layout() -> data.StructLayout:
    """The answer to one access."""
    return data.StructLayout({
        "tag": TAG_WIDTH,                    # the request's
        "write": 1,                          # echo: the data have reached the array
        "status": Status,
        "data": BEAT_WIDTH,                  # what a read returned; 0 for a write or without OK
    })


class PortSignature(wiring.Signature):
    """A requester's port of the memory channel.

    Requests of one port to the same 32-byte word take effect in the order in which they were
    accepted; all others in any order. Nothing is promised between ports, except that a write that
    has been answered is seen by every request that is accepted later.

    Members
    -------
    request : ``Out(stream.Signature(request_layout))``
    response : ``In(stream.Signature(response_layout))``
        One for every request, in any order. May be stalled: the channel then stops issuing for
        this port.
    """

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__({
            "request": Out(stream.Signature(request_layout(spec))),
            "response": In(stream.Signature(response_layout())),
        })


def row_pass_layout(spec: SliceSpec) -> data.StructLayout:
    """One all-bank pass over a row: ACT_ALL, columns 0..last_column by MAC_ALL, PRE_ALL."""
    g = spec.geometry
    return data.StructLayout({
        "row": range(g.rows),                # added to what the latch of each bank holds
        "latch": range(ROW_LATCHES),
        "last_column": range(g.columns),
        "mode": MacMode,
        "start": 1,                          # column 0 is the first of a block's K, V or scales
        "spacing": 6,                        # clocks between MAC_ALL; at least 1
        "mask": g.pim_banks,                 # PIM units that take part
        "set": range(REGISTER_SETS),         # of QUERY and OUTPUT
        "append": 1,                         # a token's columns are written before the first column
    })


def register_request_layout(spec: SliceSpec) -> data.StructLayout:
    """One transfer of 32 bytes between the data bus and registers of PIM units.

    Or, with ``column``, a write to the row that a pass with ``append`` has opened; it may be
    offered while that pass waits (``PimPortSignature.appends``), and is the last with ``ends``.
    """
    return data.StructLayout({
        "write": 1,
        "register": Register,
        "mask": spec.geometry.pim_banks,     # written: every unit in it; read: exactly one
        "address": max(spec.pim.register_address_width,
                       (spec.geometry.columns - 1).bit_length()),
        "data": BEAT_WIDTH,
        "column": 1,                         # to column `address` of the one bank in `mask`
        "ends": 1,
    })


class PimPortSignature(wiring.Signature):
    """The attention sequencer's port of the memory channel.

    Members
    -------
    row_pass : ``Out(stream.Signature(row_pass_layout))``
        Carried out one after another.
    pass_done : ``In(1)``
        For one clock: the oldest unfinished pass has ended, its results are readable.
    register : ``Out(stream.Signature(register_request_layout))``
        Accepted when its command is issued; independent of the passes.
    appends, appends_value : ``In(1)``
        A pass has opened its rows and waits for the columns of a token; it is one over values.
    active : ``Out(1)``
        An attention is under way: refreshes of the PIM banks are postponed as far as the standard
        lets them.
    register_valid, register_data : ``In(1)``, ``In(256)``
        Data of register reads in order, which cannot be stalled: ``read_latency`` clocks after
        the read was accepted.
    """

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__({
            "row_pass": Out(stream.Signature(row_pass_layout(spec))),
            "pass_done": In(1),
            "register": Out(stream.Signature(register_request_layout(spec))),
            "appends": In(1), "appends_value": In(1),
            "active": Out(1),
            "register_valid": In(1),
            "register_data": In(BEAT_WIDTH),
        })


class AttentionShape(data.StructLayout):
    """Shape of the attention under way, constant while one runs."""

    def __init__(self, pim: PimSpec) -> None:
        super().__init__({
            "last_chunk": range(pim.chunks_max),     # head size / 16 - 1
            "last_head": range(pim.group_max),       # query heads that share the KV - 1
            "format": StoredFormat,                  # of K and V
        })


class PimColumnSignature(wiring.Signature):
    """What a bank hands to its PIM unit; no back-pressure, as in a DRAM.

    Members
    -------
    column_valid, column_data : ``Out(1)``, ``Out(256)``
        A column of the open row. Not more often than every ``last_head + 1`` clocks.
    mode, start, set, slot : ``Out``
        With ``column_valid``: what to do with it; first column of a block's K, V or scales; with
        which set of QUERY and OUTPUT; which slot of scales.
    write_valid, write_register, write_address, write_data : ``Out``
        Register write.
    read_register, read_address : ``Out``
        Register to be read.
    read_data : ``In(256)``
        Its word, one clock later.
    hazard : ``In(1)``
        For one clock: a column came too early, or a register in use was written.
    """

    def __init__(self, pim: PimSpec) -> None:
        super().__init__({
            "column_valid": Out(1), "column_data": Out(BEAT_WIDTH),
            "mode": Out(MacMode), "start": Out(1), "set": Out(range(REGISTER_SETS)),
            "slot": Out(range(SCALE_SLOTS)),
            "write_valid": Out(1), "write_register": Out(Register),
            "write_address": Out(pim.register_address_width), "write_data": Out(BEAT_WIDTH),
            "read_register": Out(Register), "read_address": Out(pim.register_address_width),
            "read_data": In(BEAT_WIDTH),
            "hazard": In(1),
        })


def row_command_layout(spec: SliceSpec) -> data.StructLayout:
    """What the row command bus carries in one clock."""
    g = spec.geometry
    return data.StructLayout({
        "command": Command, "bank": g.bank_width, "row": range(g.rows),
        "latch": range(ROW_LATCHES),         # ACT_ALL: `row` is added to what it holds
    })


def column_command_layout(spec: SliceSpec) -> data.StructLayout:
    """What the column command bus carries in one clock."""
    g = spec.geometry
    return data.StructLayout({
        "command": Command,
        "bank": g.bank_width,                # RD, WR
        "column": range(g.columns),          # RD, WR, MAC_ALL
        "mode": MacMode, "start": 1,         # MAC_ALL
        "set": range(REGISTER_SETS), "slot": range(SCALE_SLOTS),     # MAC_ALL
        "mask": g.pim_banks,                 # MAC_ALL, REG_WR, REG_RD
        "register": Register,                # REG_WR, REG_RD
        "address": spec.pim.register_address_width,
    })


class CommandSignature(wiring.Signature):
    """The command buses, as a DRAM and an observer see them.

    Members
    -------
    row : ``Out(row_command_layout)``
    column : ``Out(column_command_layout)``
    write_data : ``Out(256)``
        Data of the WR or REG_WR on the column bus in the same clock; it reaches the bank
        ``write_latency`` clocks later.
    """

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__({
            "row": Out(row_command_layout(spec)),
            "column": Out(column_command_layout(spec)),
            "write_data": Out(BEAT_WIDTH),
        })


def score_layout(pim: PimSpec) -> data.StructLayout:
    """Eight FP32 scores of one head: half of a block, blocks of a wave in order."""
    return data.StructLayout({
        "head": range(pim.group_max),
        "data": BEAT_WIDTH,
        "count": range(pim.SCORES_PER_BEAT + 1),     # valid tokens, from the first lane on
        "last": 1,                                   # last beat of this wave and head
        "last_head": 1,                              # of the last head: the wave is complete
        "first_wave": 1,                             # of an attention
        "set": range(REGISTER_SETS),                 # of the softmax state
    })


def weight_layout(pim: PimSpec) -> data.StructLayout:
    """The 16 softmax weights of one block and head, in their format."""
    return data.StructLayout({
        "head": range(pim.group_max),
        "block": range(BLOCK_TOKENS),                # block of the wave, hence PIM bank
        "data": BEAT_WIDTH,
    })


class SoftmaxState(data.StructLayout):
    """What the softmax unit keeps of one head."""

    def __init__(self) -> None:
        super().__init__({
            "m": signed(16),            # running maximum
            "l": FP32.width,            # running sum
        })


class PartHeader(data.StructLayout):
    """First beat of a partial result; `head size / 8` beats of FP32 outputs follow."""

    def __init__(self) -> None:
        super().__init__({
            "m": signed(16),
            "l": FP32.width,
            "first": 1,                 # first part of a merge: it is copied
            "last": 1,                  # last part of a merge: the result follows
        })


def part_layout() -> data.StructLayout:
    """One beat of a partial result (m, l, o)."""
    return data.StructLayout({"header": 1, "data": BEAT_WIDTH})


def result_layout() -> data.StructLayout:
    """One beat of an attention output: 16 elements in the KV format, or of a partial result."""
    return data.StructLayout({"data": BEAT_WIDTH, "last": 1})
