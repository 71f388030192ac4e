"""The units of reliability around an array of words, in place of a memory channel."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.dram.channel import SCRUBBER, Channel
from hdl.host.axi_lite import AxiLiteSignature
from hdl.host.registers import RegisterBus
from hdl.layouts import PortSignature, response_layout
from hdl.reliability.layouts import STORED_WIDTH, error_layout, place_layout
from hdl.reliability.protection import Protection
from hdl.reliability.reliability import Reliability
from hdl.reliability.scrubber import WriteGuard
from model.spec.geometry import ChannelGeometry
from model.spec.port import Status
from model.spec.registers import reliability_map, space
from model.spec.slice import SliceSpec
from tb.column_recorder import ColumnRecorder

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=2, capacity_banks=1, rows=2, row_bytes=64))
"""Three banks of two rows of two columns."""

SPACE = space({"reliability": reliability_map()})
SOURCES = 2
LOG_DEPTH = 4
QUEUE = 8


def _ports() -> dict[str, Any]:
    return {
        "bus": In(AxiLiteSignature(SPACE.address_width)), "gpu": In(PortSignature(SPEC)),
        "held": In(2), "report_valid": In(SOURCES),
        "reports": In(data.ArrayLayout(error_layout(SPEC.geometry), SOURCES)),
        "event": Out(1),
    }


class ReliabilityDut(wiring.Component):
    """An array that serves one request a clock, the GPU's before the scrubber's.

    Members
    -------
    bus : ``In(AxiLiteSignature)``
    gpu : ``In(PortSignature(SPEC))``
    held : ``In(2)``
        Ports (GPU, scrubber) that are not served in this clock.
    report_valid, reports : ``In``
    event : ``Out(1)``
    """

    bus: Any
    gpu: Any
    held: Signal
    report_valid: Signal
    reports: Any
    event: Signal

    def __init__(self) -> None:
        super().__init__(_ports())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bus = bus = RegisterBus(SPACE)
        m.submodules.unit = unit = Reliability(SPEC, ports=2, sources=SOURCES, depth=LOG_DEPTH)
        m.submodules.protection = protection = Protection(SPEC.geometry, ports=2)
        m.submodules.guard = guard = WriteGuard(SPEC)
        connect(m, flipped(self.bus), bus.bus)
        connect(m, bus.blocks[0], unit.access)
        array = Memory(shape=STORED_WIDTH, depth=1 << place_layout(SPEC.geometry).size, init=[])
        m.submodules.array = array
        write, read = array.write_port(), array.read_port()

        ports = (self.gpu, unit.port)
        taken = Signal(2)
        request = Signal.like(self.gpu.request.payload)
        place, exists = Signal(place_layout(SPEC.geometry)), Signal()
        m.d.comb += request.eq(Mux(taken[0], ports[0].request.payload.as_value(),
                                   ports[1].request.payload.as_value()))
        room = []
        for n, port in enumerate(ports):
            answers: Any = SyncFIFO(width=response_layout().size, depth=QUEUE)
            m.submodules[f"answers_{n}"] = answers
            room.append(answers.level < QUEUE - 2)
            self._answer(m, port, answers, taken[n], request, exists, protection)
        first = ports[0].request.valid & ~self.held[0] & room[0]
        second = ports[1].request.valid & ~self.held[1] & room[1] & ~first
        m.d.comb += [
            taken.eq(Cat(first, second)),
            ports[0].request.ready.eq(taken[0]), ports[1].request.ready.eq(taken[1]),
            *(place[name].eq(request[name]) for name in ("bank", "row", "column")),
            exists.eq(Cat(request.bank == bank for bank in SPEC.geometry.banks).any()),
        ]

        writes = taken.any() & request.write & exists
        own, upkeep = taken[1] & exists, unit.upkeep
        m.d.comb += [
            protection.write_data.eq(request.data),
            protection.write_poison.eq(own & upkeep.write_poison),
            protection.write_flips.eq(Mux(own, upkeep.write_flips, 0)),
            write.en.eq(writes & ~guard.annulled), write.addr.eq(place.as_value()),
            write.data.eq(protection.stored),
            read.addr.eq(place.as_value()), read.en.eq(1), protection.read.eq(read.data),
            guard.place.eq(upkeep.place), guard.write.eq(writes), guard.write_place.eq(place),
            guard.own_read.eq(own & ~request.write), guard.own_write.eq(own & request.write),
            upkeep.annulled.eq(guard.annulled),
            upkeep.flaw.eq(protection.flaw), upkeep.flawed.eq(protection.flawed),
            upkeep.struck.eq(protection.struck), protection.strike.eq(upkeep.strike),
            protection.strike_place.eq(upkeep.strike_place),
            protection.strike_flips.eq(upkeep.strike_flips),
            unit.report_valid.eq(self.report_valid),
            *(unit.reports[n].eq(self.reports[n]) for n in range(SOURCES)),
            self.event.eq(unit.event),
        ]
        m.d.sync += [protection.place.eq(place),
                     protection.reader.eq(Mux(request.write | ~exists, 0, taken))]
        return m

    def _answer(self, m: Module, port: Any, queue: Any, taken: Any, request: Any, exists: Signal,
                protection: Protection) -> None:
        """A clock after the request, with what the array and the decoder say of it."""
        due, before, missing = Signal(), Signal.like(request), Signal()
        answer = Signal(response_layout())
        m.d.sync += [due.eq(taken), before.eq(request), missing.eq(~exists)]
        m.d.comb += [
            answer.tag.eq(before.tag), answer.write.eq(before.write),
            answer.status.eq(Mux(missing, Status.NO_SUCH_BANK,
                                 Mux(before.write, Status.OK, Value.cast(protection.status)))),
            answer.data.eq(Mux(before.write | missing, 0, protection.word)),
            queue.w_en.eq(due), queue.w_data.eq(answer.as_value()),
            port.response.payload.as_value().eq(queue.r_data),
            port.response.valid.eq(queue.r_rdy), queue.r_en.eq(port.response.ready),
        ]


class ReliabilityChannelDut(wiring.Component):
    """The same with a real memory channel.

    Members
    -------
    bus, gpu, held, report_valid, reports, event
        As in :class:`ReliabilityDut`.
    """

    bus: Any
    gpu: Any
    held: Signal
    report_valid: Signal
    reports: Any
    event: Signal

    def __init__(self) -> None:
        super().__init__(_ports())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bus = bus = RegisterBus(SPACE)
        m.submodules.unit = unit = Reliability(SPEC, ports=2, sources=SOURCES, depth=LOG_DEPTH)
        channel: Any = Channel(SPEC, requesters=("gpu", SCRUBBER), pim_unit=ColumnRecorder)
        m.submodules.channel = channel
        connect(m, flipped(self.bus), bus.bus)
        connect(m, bus.blocks[0], unit.access)
        self._connect_held(m, self.gpu, channel.gpu, self.held[0])
        self._connect_held(m, unit.port, channel.port(SCRUBBER), self.held[1])
        connect(m, unit.upkeep, channel.upkeep)
        m.d.comb += [
            unit.report_valid.eq(self.report_valid),
            *(unit.reports[n].eq(self.reports[n]) for n in range(SOURCES)),
            self.event.eq(unit.event),
        ]
        return m

    @staticmethod
    def _connect_held(m: Module, port: Any, channel: Any, held: Value) -> None:
        """Requests wait while ``held``; responses do not."""
        m.d.comb += [
            channel.request.payload.eq(port.request.payload),
            channel.request.valid.eq(port.request.valid & ~held),
            port.request.ready.eq(channel.request.ready & ~held),
            port.response.payload.eq(channel.response.payload),
            port.response.valid.eq(channel.response.valid),
            channel.response.ready.eq(port.response.ready),
        ]
