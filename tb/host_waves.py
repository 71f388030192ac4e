"""Waveform of a few AXI4 bursts at the host port, and views of it, for ``make waves``."""

import numpy as np

from hdl.host.axi import Burst
from hdl.host.axi_lite import Response
from model.spec.address_map import ROW_MAJOR
from tb.axi_channel_dut import AxiChannelDut
from tb.bench_axi_memory import SPEC
from tb.unit_scenario import UnitScenario, enum_names
from tb.wave_view import Group, Trace, bank_names, bank_states, port_traces
from tb.waveform import Waveform, intervals

TOP = "host"
AXI, MEMORY = f"{TOP}.axi__", f"{TOP}.memory"
BURSTS, RESPONSES = enum_names("bursts", Burst), enum_names("responses", Response)
ANSWERED, ANSWER, READING = f"{AXI}bvalid", f"{AXI}bresp", f"{AXI}arvalid"


def _handshake(channel: str, title: str) -> tuple[Trace, Trace]:
    return (Trace(signal=f"{AXI}{channel}valid", title=f"{title}: valid"),
            Trace(signal=f"{AXI}{channel}ready", title=f"{title}: ready"))


def _addresses(channel: str, title: str) -> tuple[Trace, ...]:
    return (*_handshake(channel, title),
            Trace(signal=f"{AXI}{channel}addr", title="address", form="hex"),
            Trace(signal=f"{AXI}{channel}len", title="beats less one", form="decimal"),
            Trace(signal=f"{AXI}{channel}size", title="log2 of a beat's bytes", form="decimal"),
            Trace(signal=f"{AXI}{channel}burst", title="kind", form="decimal", names=BURSTS),
            Trace(signal=f"{AXI}{channel}id", title="ID", form="decimal"))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a burst passes through them."""
    return (
        Group(title="Writes", traces=(
            Trace(signal=f"{TOP}.clk", title="clock"),
            *_addresses("aw", "AW"), *_handshake("w", "W"),
            Trace(signal=f"{AXI}wstrb", title="strobes", form="hex"),
            Trace(signal=f"{AXI}wdata", title="data", form="hex"),
            *_handshake("b", "B"),
            Trace(signal=ANSWER, title="answer", form="decimal", names=RESPONSES),
            Trace(signal=f"{AXI}bid", title="ID", form="decimal"))),
        Group(title="Reads", traces=(
            *_addresses("ar", "AR"), *_handshake("r", "R"),
            Trace(signal=f"{AXI}rdata", title="data", form="hex"),
            Trace(signal=f"{AXI}rresp", title="answer", form="decimal", names=RESPONSES),
            Trace(signal=f"{AXI}rlast", title="last beat"),
            Trace(signal=f"{AXI}rid", title="ID", form="decimal"))),
        Group(title="Words", traces=(
            Trace(signal=f"{MEMORY}.writer.passed", title="word of a write is taken"),
            Trace(signal=f"{MEMORY}.writer.waits", title="... and will be written"),
            *port_traces(f"{MEMORY}.port", bank_names(SPEC)))),
        bank_states(SPEC, f"{TOP}.channel"))


def _markers(waveform: Waveform) -> dict[str, int]:
    answered, answer = waveform.values(ANSWERED) != 0, waveform.values(ANSWER)
    first, second = intervals(answered)[:2]
    return {"words written": first[0], "parts written": second[0],
            "reads": intervals(waveform.values(READING) != 0)[0][0],
            **{title: int(np.flatnonzero(answered & (answer == value.value))[0])
               for title, value in (("SLVERR", Response.SLVERR), ("DECERR", Response.DECERR))}}


SCENARIO = UnitScenario(
    top=TOP, what="an AXI4 port on a small memory channel",
    unit=lambda: AxiChannelDut(SPEC, ROW_MAJOR), bench="tb.bench_host_waves",
    parameters={"memory": "channel", "order": "row_major"}, view=view,
    watched=(ANSWERED, ANSWER, READING), markers=_markers, screen_clocks=200)
"""Words in whole and in part, reads of each kind, and two bursts that are refused."""
