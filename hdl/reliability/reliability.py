"""What software sees of a channel's errors, and how it makes some for a test."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.host.axi_lite import DATA_WIDTH, AccessSignature
from hdl.host.register_block import RegisterBlock
from hdl.layouts import PortSignature
from hdl.reliability.error_log import ErrorLog
from hdl.reliability.layouts import UpkeepSignature, error_layout
from hdl.reliability.scrubber import Scrubber
from model.spec.register_map import BLOCK_WIDTH
from model.spec.registers import ERROR_KINDS, reliability_map
from model.spec.slice import SliceSpec

KIND = {name: number for number, name in enumerate(ERROR_KINDS)}


class Reliability(wiring.Component):
    """The error log, the scrubber and the injection of a channel, behind registers.

    Parameters
    ----------
    spec : SliceSpec
    ports : int
        Ports of the channel, the scrubber's last.
    sources : int
        Other sources of errors.
    depth : int
        Records that the log keeps.

    Members
    -------
    access : ``In(AccessSignature(BLOCK_WIDTH))``
        Registers (:func:`model.spec.registers.reliability_map`).
    port : ``Out(PortSignature(spec))``
        The scrubber's.
    upkeep : ``Out(UpkeepSignature(geometry, ports))``
        The channel's.
    report_valid, reports : ``In``
        Errors that others report.
    event : ``Out(1)``
        The log has a record.
    """

    access: Any
    port: Any
    upkeep: Any
    report_valid: Signal
    reports: Any
    event: Signal

    def __init__(self, spec: SliceSpec, *, ports: int, sources: int = 1, depth: int = 16) -> None:
        self.spec, self.ports, self.sources, self.depth = spec, ports, sources, depth
        super().__init__({
            "access": In(AccessSignature(BLOCK_WIDTH)),
            "port": Out(PortSignature(spec)),
            "upkeep": Out(UpkeepSignature(spec.geometry, ports)),
            "report_valid": In(sources),
            "reports": In(data.ArrayLayout(error_layout(spec.geometry), sources)),
            "event": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block: Any = RegisterBlock(reliability_map())
        m.submodules.registers = block
        m.submodules.log = log = ErrorLog(self.spec.geometry, sources=1 + self.sources,
                                          depth=self.depth)
        m.submodules.scrubber = scrubber = Scrubber(self.spec, ports=self.ports,
                                                    own=self.ports - 1)
        connect(m, flipped(self.access), block.access)
        connect(m, scrubber.port, flipped(self.port))
        self._elaborate_log(m, block, log)
        self._elaborate_injection(m, block, scrubber)
        scrubbed = Signal(DATA_WIDTH)
        with m.If(block.log_control.clear_counts):
            m.d.sync += scrubbed.eq(0)
        with m.Elif(scrubber.scrubbed & ~scrubbed.all()):
            m.d.sync += scrubbed.eq(scrubbed + 1)
        m.d.comb += [
            scrubber.flaw.eq(self.upkeep.flaw), scrubber.flawed.eq(self.upkeep.flawed),
            scrubber.annulled.eq(self.upkeep.annulled), scrubber.interval.eq(block.scrub_interval),
            self.upkeep.write_poison.eq(scrubber.write_poison),
            self.upkeep.write_flips.eq(scrubber.write_flips), self.upkeep.place.eq(scrubber.place),
            block.count_scrubbed.eq(scrubbed),
        ]
        return m

    def _elaborate_log(self, m: Module, block: Any, log: ErrorLog) -> None:
        own, oldest = log.reports[0], log.o.p
        shown = log.o.valid
        m.d.comb += [
            log.report_valid.eq(Cat(self.upkeep.flawed, self.report_valid)),
            own.kind.eq(Mux(self.upkeep.flaw.poisoned, KIND["poisoned"],
                            Mux(self.upkeep.flaw.uncorrectable, KIND["uncorrectable"],
                                KIND["corrected"]))),
            own.place.eq(self.upkeep.flaw.place), own.syndrome.eq(self.upkeep.flaw.syndrome),
            *(log.reports[1 + n].eq(self.reports[n]) for n in range(self.sources)),
            log.o.ready.eq(block.log_control.pop), log.clear.eq(block.log_control.clear_counts),
            self.event.eq(log.o.valid),
            block.log_level.eq(log.level), block.log_lost.eq(log.lost),
            *(getattr(block, f"count_{kind}").eq(log.counts[kind]) for kind in ERROR_KINDS),
        ]
        with m.If(shown):
            m.d.comb += [
                block.log_kind.kind.eq(oldest.error.kind),
                block.log_kind.info.eq(oldest.error.info),
                block.log_place.column.eq(oldest.error.place.column),
                block.log_place.row.eq(oldest.error.place.row),
                block.log_place.bank.eq(oldest.error.place.bank),
                block.log_syndrome.eq(oldest.error.syndrome), block.log_time.eq(oldest.time),
            ]

    def _elaborate_injection(self, m: Module, block: Any, scrubber: Scrubber) -> None:
        flips = Cat(Value.cast(block.inject_data), block.inject_check)
        with m.If(block.inject_control.in_flight):
            m.d.sync += self.upkeep.strike.eq(1)
        with m.Elif(self.upkeep.struck):
            m.d.sync += self.upkeep.strike.eq(0)
        m.d.comb += [
            scrubber.inject.eq(block.inject_control.stored), scrubber.inject_flips.eq(flips),
            self.upkeep.strike_flips.eq(flips),
            *(view[name].eq(block.inject_place[name][:len(Value.cast(view[name]))])
              for view in (scrubber.inject_place, self.upkeep.strike_place)
              for name in ("column", "row", "bank")),
            block.inject_status.stored_busy.eq(scrubber.injecting),
            block.inject_status.in_flight_armed.eq(self.upkeep.strike),
        ]
