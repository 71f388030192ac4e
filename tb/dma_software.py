"""Drives a DMA engine as software does: rings in memory, doorbells, records, the host's packets."""

from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from heapq import heappush
from typing import Any

from amaranth.lib import data
from cocotb.triggers import RisingEdge, with_timeout

from hdl.dma.dma_channel import STATUS
from hdl.dma.stream_path import HOST_IN, HOST_OUT
from hdl.translator.layouts import tables_layout
from model.golden.dma import Outcome, Words, carry_out
from model.golden.translator import Tables
from model.spec.dma import (
    COMPLETION,
    DESCRIPTOR_BEATS,
    ChannelSettings,
    Descriptor,
    DmaSpec,
    Place,
    Result,
    place_in_region,
    unpack,
)
from model.spec.geometry import BEAT_BYTES, ChannelGeometry
from model.spec.mx import MXFP8_E4M3, QuantiserSpec
from model.spec.port import Status
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from tb.bench import PERIOD_NS, Bench, StreamDriver, StreamMonitor, parameters
from tb.port_agent import PortAgent, painted
from tb.translator_memory import TableMemory

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=16, capacity_banks=16, rows=16,
                                          row_bytes=256))
DMA = DmaSpec(channels=2, slots=6, jobs=4, read_lanes=3, write_lanes=2)
TRANSLATOR = TranslatorSpec(channel=SPEC, pseudo_channels=2, tlb_entries=4, tlb_ways=2, slots=2,
                            fault_records=2, first_segment_blocks=16)
QUANTISER = QuantiserSpec(formats=(MXFP8_E4M3,), blocks_max=16)
"""What the benches are run on: small, and short rows, so that corners are frequent."""

TIME_OUT_CLOCKS = 60_000
WORD = (1 << 8 * BEAT_BYTES) - 1


@dataclass
class Ring:
    """A channel as software knows it."""

    settings: ChannelSettings
    tail: int = 0
    done: int = 0           # records that have been looked at


@dataclass
class Software:
    """The side of a bench that rings doorbells and looks at records.

    Attributes
    ----------
    tb : Bench
    spec : SliceSpec
    memory : dict
        The device's memory, in which software writes without detours.
    """

    tb: Bench
    spec: SliceSpec
    dma: DmaSpec
    memory: Words
    rings: dict[int, Ring] = field(default_factory=dict)

    @property
    def geometry(self) -> ChannelGeometry:
        """Of the channel."""
        return self.spec.geometry

    def configure(self, channel: int, settings: ChannelSettings) -> None:
        """Sets a channel; its ring begins anew only after a reset."""
        ring = self.rings.setdefault(channel, Ring(settings))
        ring.settings = settings
        getattr(self.tb.dut, f"settings_{channel}").value = settings.pack()

    def _at(self, start: Place, beat: int) -> tuple[int, int, int]:
        place = place_in_region(self.geometry, start, 0, beat)
        return place.bank, place.row, place.column

    def write(self, channel: int, index: int, word: int) -> None:
        """Puts 512 bits into the ring."""
        ring = self.rings[channel]
        entry = index % (1 << ring.settings.ring_log2)
        for half in range(DESCRIPTOR_BEATS):
            self.memory[self._at(ring.settings.ring, DESCRIPTOR_BEATS * entry + half)] = (
                word >> 8 * BEAT_BYTES * half & WORD)

    def post(self, channel: int, *moves: Descriptor | int) -> None:
        """Writes descriptors behind those that are there, without a doorbell."""
        ring = self.rings[channel]
        for move in moves:
            self.write(channel, ring.tail, move if isinstance(move, int) else move.pack())
            ring.tail += 1

    async def ring(self, channel: int, tail: int | None = None) -> None:
        """The doorbell."""
        dut = self.tb.dut
        dut.tail.value = (self.rings[channel].tail if tail is None else tail) & 0xFFFF
        dut.doorbell.value = 1 << channel
        await RisingEdge(dut.clk)
        dut.doorbell.value = 0

    async def pulse(self, name: str, channel: int) -> None:
        """``abort``, ``resume`` or ``clear`` for one clock."""
        signal = getattr(self.tb.dut, name)
        signal.value = 1 << channel
        await RisingEdge(self.tb.dut.clk)
        signal.value = 0

    def status(self, channel: int) -> Any:
        """The channel's status."""
        return STATUS.from_bits(int(getattr(self.tb.dut, f"status_{channel}").value))

    def record(self, channel: int, index: int) -> dict[str, int]:
        """The completion record of a descriptor as it lies in memory."""
        settings = self.rings[channel].settings
        entry = index % (1 << settings.ring_log2)
        return unpack(COMPLETION, self.memory[self._at(settings.records, entry)])

    async def until(self, done: Callable[[], bool], clocks: int = TIME_OUT_CLOCKS) -> None:
        """Waits for a condition, looked at in every clock."""
        async def wait() -> None:
            while not done():
                await RisingEdge(self.tb.dut.clk)
        await with_timeout(wait(), clocks * PERIOD_NS, "ns")

    async def idle(self, *channels: int) -> None:
        """Waits until nothing is under way."""
        await RisingEdge(self.tb.dut.clk)
        await RisingEdge(self.tb.dut.clk)
        await self.until(lambda: not any(
            self.status(c).busy for c in channels or self.rings))

    def take_records(self, channel: int) -> list[dict[str, int]]:
        """New records, in order; each is checked for its index, its lap and what is reserved."""
        ring, found = self.rings[channel], []
        head = int(self.status(channel).head)
        while ring.done & 0xFFFF != head:
            record = self.record(channel, ring.done)
            lap = ~(ring.done >> ring.settings.ring_log2) & 1
            self.tb.check((record["index"], record["lap"], record["reserved"]),
                          (ring.done & 0xFFFF, lap, 0), f"channel {channel}: record's head")
            found.append(record)
            ring.done += 1
        return found


class EngineBench(Bench):
    """A bench of a :class:`~tb.dma_system.DmaSystem` with a painted memory and a host.

    Rings lie in the last rows of the last banks, which moves leave alone.
    """

    def __init__(self, dut: Any) -> None:
        super().__init__(dut, drain_clocks=TIME_OUT_CLOCKS)
        self.spec, self.dma = SPEC, DMA

    def begin(self, *, stall: float = 0.0, slow: bool = False, log2: int = 2,
              **settings: Any) -> Software:
        """Connects memory, tables and host, and sets all channels; to be called once."""
        if parameters()["fault"]:
            self.dut.fault_number.value = parameters()["fault"]
        latency = range(1, 60) if slow else range(20, 26)
        self.memory = painted(self.spec)
        self.agent = FaultyAgent(self, "port", self.spec, self.memory, stall=stall,
                                 latency=latency)
        self.tables = Tables(spec=TRANSLATOR, memory={}, directory_base=0, sequences=8,
                             chunk_base=64, chunks=64)
        PortAgent(self, "tables_port", self.spec, TableMemory(self.tables), latency=latency)
        self.dut.tables.value = tables_layout().const({
            "directory_base": 0, "sequences": 8, "chunk_base": 64, "chunks": 64}).as_bits()
        self.software = Software(self, self.spec, self.dma, self.memory)
        self.sending = StreamDriver(self, "host_in", idle=stall)
        self.sent: deque[tuple[int, int, int]] = deque()
        StreamMonitor(self, "host_out", self._got, stall=stall)
        last = self.spec.geometry.rows - 1
        for channel in range(self.dma.channels):
            bank = self.spec.geometry.banks[-1 - channel]
            self.software.configure(channel, ChannelSettings(
                ring=Place(bank, last - 2), records=Place(bank, last), ring_log2=log2,
                **settings))
        return self.software

    def _got(self, payload: int) -> None:
        beat = HOST_OUT.from_bits(payload)
        self.sent.append((int(beat.data), int(beat.last), int(beat.error)))

    async def send(self, beats: Sequence[int], *, last: int | None = None) -> None:
        """A packet from the host; ``last`` says where it ends if not on its last beat."""
        end = len(beats) - 1 if last is None else last
        for n, word in enumerate(beats):
            await self.sending.put(HOST_IN.const({"data": word, "last": n == end}).as_bits())

    def compare(self, want: Words, what: str, *, but: Container[object] = ()) -> None:
        """All of memory, except rings and records of the channels."""
        own = {(ring.settings.ring.bank, row) for ring in self.software.rings.values()
               for row in range(self.spec.geometry.rows - 3, self.spec.geometry.rows)}
        wrong = [place for place in want if self.memory[place] != want[place]
                 and place[:2] not in own and place not in but]
        self.check(wrong[:8], [], f"{what}: places that differ")

    async def carry_out(self, channel: int, *moves: Descriptor, received: Sequence[int] = (),
                        **options: Any) -> list[Outcome]:
        """Descriptors of one channel, one after another: records and everything they change."""
        before = dict(self.memory)
        want = dict(before)
        outcomes = [carry_out(self.spec.geometry, want, move, received=received, **options)
                    for move in moves]
        self.software.post(channel, *moves)
        await self.software.ring(channel)
        if received:
            await self.send(received)
        await self.software.idle(channel)
        records = self.software.take_records(channel)
        got = [(Result(r["result"]), r["cookie"], r["place"]) for r in records]
        self.check(got, [(o.result, move.cookie, o.place.pack() if o.place else 0)
                         for o, move in zip(outcomes, moves, strict=True)], f"records of {moves}")
        # What a list names before a place that does not exist may have been moved, or not.
        whole = all(outcome.result is Result.DONE for outcome in outcomes)
        self.compare(want, f"{moves}", but=() if whole else {
            place for place in want if want[place] != before[place]})
        return outcomes


class FaultyAgent(PortAgent):
    """Answers chosen accesses with a status other than OK.

    Attributes
    ----------
    trouble : dict
        (write, place) -> status.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.trouble: dict[tuple[bool, tuple[int, int, int]], Status] = {}
        super().__init__(*arguments, **options)

    def _serve(self, request: data.Const) -> None:
        place = (request.bank, request.row, request.column)
        status = self.trouble.get((bool(request.write), place))
        if status is None:
            super()._serve(request)
            return
        self.log.append((bool(request.write), place))
        answer = self.response_layout.const({
            "tag": request.tag, "write": request.write, "status": status, "data": 0})
        due = self.tb.cycle + self.tb.rng.choice(self.latency)
        heappush(self.answers, (due, len(self.log), answer))
