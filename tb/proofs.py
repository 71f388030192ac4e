"""What `make formal` proves: components with one output, ``ok``, that is 1 in every clock.

Inputs are free, but in every clock with ``assume`` = 1.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_
from types import SimpleNamespace
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.timing_guard import TimingGuard
from hdl.host.axi import BOUNDARY_WIDTH, SIZE_MAX, Burst, burst_layout
from hdl.host.axi_lite import AxiLiteSignature, AxiLiteTarget
from hdl.host.burst_walker import BurstWalker
from hdl.layouts import BEAT_WIDTH, column_command_layout, row_command_layout
from hdl.reliability.secded import SecdedDecoder, SecdedEncoder
from hdl.reserved_queue import ReservedQueue
from model.spec.address_map import OFFSET_BITS
from model.spec.attention import PimSpec
from model.spec.geometry import ChannelGeometry
from model.spec.secded import BEAT_CHECK_BITS, CHECK_BITS, WORD_BITS, WORDS
from model.spec.timing import (
    ALL_BANK_COMMANDS,
    COLUMN_COMMANDS,
    HBM4_8000,
    REGISTER_COMMANDS,
    ROW_COMMANDS,
    Command,
    Scope,
)


class Engine(enum.Enum):
    """How a claim is proved."""

    SAT = "it has no state: one question to a SAT solver"
    PDR = "property-directed reachability: induction that finds the invariants it needs"


@dataclass(frozen=True)
class Proof:
    """A claim and how far induction has to look.

    Attributes
    ----------
    claim : str
    make : callable
        Makes the component.
    engine : Engine
    """

    claim: str
    make: Callable[[], wiring.Component]
    engine: Engine


class _Proof(wiring.Component):
    """Base of the components here; ``broken`` says that ``ok`` was 0 while all was as assumed."""

    assume: Signal
    ok: Signal
    broken: Signal

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        super().__init__({"assume": Out(1), "ok": Out(1), "broken": Out(1),
                          **{name: In(shape) for name, shape in inputs.items()}})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._elaborate_claim(m)
        if self.sequential:
            strayed = Signal()
            m.d.sync += strayed.eq(strayed | ~self.assume)
            m.d.comb += self.broken.eq(~strayed & self.assume & ~self.ok)
        return m

    sequential = True

    def _elaborate_claim(self, m: Module) -> None:
        raise NotImplementedError


class SecdedProof(_Proof):
    """Up to two flips anywhere in each word of an all-zero beat: one is corrected, two are found.

    The encoder consists of XOR gates alone (`tests/tb/test_proofs.py`), so syndromes depend on the
    flips and not on the data.
    """

    sequential = False

    def __init__(self) -> None:
        bits = WORD_BITS + CHECK_BITS
        super().__init__({f"{name}_{w}": range(bits + 1)
                          for w in range(WORDS) for name in ("first", "second")})

    def _elaborate_claim(self, m: Module) -> None:
        m.submodules.decoder = decoder = SecdedDecoder()
        right, sane = [], []
        for w in range(WORDS):
            first, second = getattr(self, f"first_{w}"), getattr(self, f"second_{w}")
            none = WORD_BITS + CHECK_BITS
            flips = Signal(none, name=f"flips_{w}")
            m.d.comb += [
                flips.eq(Cat((first == n) ^ (second == n) for n in range(none))),
                decoder.data.word_select(w, WORD_BITS).eq(flips[:WORD_BITS]),
                decoder.check.word_select(w, CHECK_BITS).eq(flips[WORD_BITS:]),
            ]
            sane.append((first <= none) & (second <= none))
            clean = (first == second) | ((first == none) & (second == none))
            single = ~clean & ((first == none) | (second == none))
            corrected, lost = decoder.corrected[w], decoder.uncorrectable[w]
            word = decoder.decoded.word_select(w, WORD_BITS)
            right.append(Mux(clean, ~corrected & ~lost & (word == 0),
                             Mux(single, corrected & ~lost & (word == 0), lost & ~corrected)))
        m.d.comb += [self.assume.eq(Cat(sane).all()), self.ok.eq(Cat(right).all())]


class CreditProof(_Proof):
    """A queue whose places are reserved never gets an item that it has no room for."""

    DEPTH = 3
    reserve: Signal
    en: Signal
    item: Signal
    ready: Signal

    def __init__(self) -> None:
        super().__init__({"reserve": 1, "en": 1, "item": 2, "ready": 1})

    def _elaborate_claim(self, m: Module) -> None:
        layout = data.StructLayout({"item": 2})
        m.submodules.queue = queue = ReservedQueue(layout, depth=self.DEPTH)
        under_way, kept = Signal(range(self.DEPTH + 1)), Signal(range(self.DEPTH + 1))
        leaves = queue.o.valid & self.ready
        m.d.comb += [
            queue.reserve.eq(self.reserve), queue.en.eq(self.en), queue.item.item.eq(self.item),
            queue.o.ready.eq(self.ready),
            self.assume.eq((~self.reserve | queue.room) & (~self.en | (under_way != 0))),
            # Items and reservations together are what the queue has counted; then there is room
            self.ok.eq((under_way + kept <= self.DEPTH)
                       & (queue.room == (under_way + kept != self.DEPTH))
                       & (queue.o.valid == (kept != 0))
                       & (queue.empty == (under_way + kept == 0))),
        ]
        m.d.sync += [under_way.eq(under_way + self.reserve - self.en),
                     kept.eq(kept + self.en - leaves)]


class AxiLiteProof(_Proof):
    """Answers of an AXI4-Lite target stay until taken, unchanged, and none is given unasked.

    Requests are as the standard has them: they stay until they are taken.
    """

    WIDTH = 4
    write_response: Signal
    read_response: Signal
    read_data: Signal

    def __init__(self) -> None:
        self.bus = AxiLiteSignature(self.WIDTH)
        super().__init__({
            **{name: member.shape for name, member in self.bus.members.items()
               if member.flow == Out},
            "write_response": 2, "read_response": 2, "read_data": 32})

    def _elaborate_claim(self, m: Module) -> None:
        m.submodules.target = target = AxiLiteTarget(self.WIDTH)
        bus, access = target.bus, target.access
        m.d.comb += [getattr(bus, name).eq(getattr(self, name))
                     for name, member in self.bus.members.items() if member.flow == Out]
        m.d.comb += [
            Value.cast(access.write_response).eq(self.write_response),
            Value.cast(access.read_response).eq(self.read_response),
            access.read_data.eq(self.read_data),
        ]
        started = Signal()
        m.d.sync += started.eq(1)
        keeps: dict[str, Value] = {}
        for channel, payload in (("aw", ("awaddr",)), ("w", ("wdata", "wstrb")),
                                 ("ar", ("araddr",)), ("b", ("bresp",)),
                                 ("r", ("rdata", "rresp"))):
            valid, ready = getattr(bus, f"{channel}valid"), getattr(bus, f"{channel}ready")
            content = Cat(Value.cast(getattr(bus, name)) for name in payload)
            before, stalled = Signal(len(content), name=f"{channel}_before"), Signal(
                name=f"{channel}_stalled")
            m.d.sync += [before.eq(content), stalled.eq(valid & ~ready)]
            keeps[channel] = ~stalled | (valid & (content == before))
        asked, told, sent = (Signal(2, name=name) for name in ("asked", "told", "sent"))
        reads = Signal(2)
        aw, w = bus.awvalid & bus.awready, bus.wvalid & bus.wready
        b, ar, r = bus.bvalid & bus.bready, bus.arvalid & bus.arready, bus.rvalid & bus.rready
        m.d.sync += [asked.eq(asked + aw - access.write), told.eq(told + w - access.write),
                     sent.eq(sent + access.write - b), reads.eq(reads + ar - r)]
        m.d.comb += [
            self.assume.eq(keeps["aw"] & keeps["w"] & keeps["ar"]),
            self.ok.eq(keeps["b"] & keeps["r"]
                       & (asked <= 1) & (told <= 1) & (sent <= 1) & (reads <= 1)
                       & (bus.bvalid == (sent != 0)) & (bus.rvalid == (reads != 0))
                       & (bus.awready == (asked == 0)) & (bus.wready == (told == 0))
                       & (~access.write | ((asked != 0) & (told != 0)))),
        ]


class BurstProof(_Proof):
    """Every burst has as many beats as it says, and those of an incrementing one that is not
    refused lie one behind the other."""

    WIDTH = 13
    burst: Signal
    valid: Signal
    ready: Signal

    def __init__(self) -> None:
        self.layout = burst_layout(self.WIDTH, 1)
        super().__init__({"burst": self.layout.size, "valid": 1, "ready": 1})

    def _elaborate_claim(self, m: Module) -> None:
        m.submodules.walker = walker = BurstWalker(self.WIDTH, 1)
        left, busy = Signal(9), Signal()
        address, size, increments = Signal(self.WIDTH), Signal(3), Signal()
        within = Cat(size > bit for bit in range(SIZE_MAX))
        judged, end = Signal(), Signal(20)
        taken = walker.i.valid & walker.i.ready
        m.d.comb += [
            walker.i.payload.as_value().eq(self.burst), walker.i.valid.eq(self.valid),
            walker.o.ready.eq(self.ready), self.assume.eq(1),
            judged.eq(busy & increments & ~walker.o.p.refused),
            end.eq((address[:BOUNDARY_WIDTH] | within) + ((left - 1)[:9] << size)),
            self.ok.eq((walker.o.valid == busy) & (busy == (left != 0)) & (left <= 256)
                       & (~busy | (walker.o.p.last == (left == 1)))
                       & (~judged | ((walker.o.p.word == address[OFFSET_BITS:])
                                     & (size <= SIZE_MAX) & ~end[BOUNDARY_WIDTH:].any()))),
        ]
        with m.If(walker.o.valid & walker.o.ready):
            m.d.sync += [left.eq(left - 1), busy.eq(left != 1),
                         address.eq((address | within) + 1)]
        with m.If(taken):
            m.d.sync += [left.eq(walker.i.p.length + 1), busy.eq(1), size.eq(walker.i.p.size),
                         address.eq(walker.i.p.address),
                         increments.eq(walker.i.p.burst == Burst.INCR)]


QUICK_TIMING = replace(
    HBM4_8000, name="quick", nCL=6, nCWL=4, nBL=2, nRCDRD=4, nRCDWR=3, nRP=4, nRAS=4, nRC=8,
    nRTP=4, nWR=2, nCCDS=2, nCCDL=4, nCCDR=2, nRRDS=2, nRRDL=2, nFAW=14, nWTRS=2, nWTRL=4, nRTW=6,
    nPPD=2, nRFCpb=12, nRFCab=14, nRREFD=5, nCCDAB=4)
"""All rules in a few clocks each, and all of them in force: with the times of a real part there are
too many states. The guard is made by one loop from any table."""


class TimingProof(_Proof):
    """Whatever is issued as the timing guard allows it breaks no rule of the timing table.

    Rules are checked on the commands of the last clocks, where the guard has counters.
    """

    row: Signal
    column: Signal

    def __init__(self) -> None:
        geometry = ChannelGeometry(pim_banks=2, capacity_banks=1, rows=2, row_bytes=64)
        self.spec: Any = SimpleNamespace(geometry=geometry, timing=QUICK_TIMING, pim=PimSpec())
        super().__init__({"row": row_command_layout(self.spec).size,
                          "column": column_command_layout(self.spec).size})

    def _elaborate_claim(self, m: Module) -> None:
        m.submodules.guard = guard = TimingGuard(self.spec)
        row = data.View(row_command_layout(self.spec), self.row)
        column = data.View(column_command_layout(self.spec), self.column)
        m.d.comb += [guard.row.as_value().eq(self.row), guard.column.as_value().eq(self.column)]
        allowed = [self._allowed(guard, row, ROW_COMMANDS),
                   self._allowed(guard, column, COLUMN_COMMANDS)]
        broken = []
        for rule in self.spec.timing.constraints:
            for banks in self._places(rule.scope):
                before = Cat(self._issued(c, banks, rule.scope, row, column)
                             for c in rule.preceding).any()
                now = [(c, self._issued(c, banks, rule.scope, row, column))
                       for c in rule.following]
                history = Signal(max(rule.clocks - 1, 1), name=f"{rule.name}_{len(broken)}")
                m.d.sync += history.eq(Cat(before, history)[:len(history)])
                recent = reduce(lambda a, b: a + b, history) if rule.clocks > 1 else C(0)
                late = Cat(issued for _, issued in now).any() & (recent >= rule.window)
                # In one clock the column command counts as the earlier
                columns = Cat(self._issued(c, banks, rule.scope, row, column)
                              for c in rule.preceding & COLUMN_COMMANDS).any()
                rows = Cat(issued for c, issued in now if c in ROW_COMMANDS).any()
                broken.append(late | (columns & rows if rule.window == 1 else C(0)))
        m.d.comb += [self.assume.eq(reduce(and_, allowed)), self.ok.eq(~reduce(or_, broken))]

    def _places(self, scope: Scope) -> list[list[int]]:
        """Banks of every instance of a scope."""
        g = self.spec.geometry
        if scope is Scope.CHANNEL:
            return [list(g.banks)]
        if scope is Scope.BANK:
            return [[bank] for bank in g.banks]
        groups = sorted({g.bank_group(bank) for bank in g.banks})
        return [[bank for bank in g.banks if g.bank_group(bank) == group] for group in groups]

    def _issued(self, command: Command, banks: list[int], scope: Scope, row: Any,
                column: Any) -> Value:
        bus = row if command in ROW_COMMANDS else column
        given = Value.cast(bus.command) == command.value
        if command in REGISTER_COMMANDS:
            return given if scope is Scope.CHANNEL else C(0, 1)
        if command in ALL_BANK_COMMANDS:
            return given if set(banks) & set(self.spec.geometry.pim_bank_numbers) else C(0, 1)
        return given & Cat(bus.bank == bank for bank in banks).any()

    def _allowed(self, guard: TimingGuard, bus: Any, commands: frozenset[Command]) -> Value:
        """The bus carries nothing, or one of its commands, which the guard allows."""
        cases = [Value.cast(bus.command) == Command.NOP.value]
        for command in commands:
            ready = getattr(guard.ready, command.name.lower())
            slots = (Cat(bus.bank == bank for bank in self.spec.geometry.banks)
                     if len(ready) > 1 else C(1, 1))
            cases.append((Value.cast(bus.command) == command.value) & (ready & slots).any())
        return Cat(cases).any()


class XorOnly(wiring.Component):
    """The encoder by itself, for the look at its gates."""

    data: Signal
    check: Signal

    def __init__(self) -> None:
        super().__init__({"data": In(BEAT_WIDTH), "check": Out(BEAT_CHECK_BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.encoder = encoder = SecdedEncoder()
        m.d.comb += [encoder.data.eq(self.data), self.check.eq(encoder.check)]
        return m


PROOFS: Mapping[str, Proof] = {
    "secded": Proof("one flip of a word is corrected, two are found, whatever the other words have",
                    SecdedProof, Engine.SAT),
    "credits": Proof("a queue with reserved places never overflows", CreditProof,
                     Engine.PDR),
    "axi_lite": Proof("AXI4-Lite answers stay until taken, and none comes unasked",
                      AxiLiteProof, Engine.PDR),
    "bursts": Proof("AXI4 bursts have as many beats as they say, one behind the other",
                    BurstProof, Engine.PDR),
    "timing_guard": Proof("no command that the guard allows breaks a rule of the timing table",
                          TimingProof, Engine.PDR),
}
