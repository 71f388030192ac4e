"""An AXI4 memory port in front of a port of the memory channel."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out, connect

from hdl.host.axi import RESPONSE_OF, SLOT_WIDTH, AxiSignature, check_slots
from hdl.host.axi_lite import Response
from hdl.host.axi_read import ReadOrder
from hdl.host.axi_write import WordPacker, WriteTracker
from hdl.host.burst_walker import BurstWalker
from hdl.host.word_writer import WordWriter
from hdl.layouts import PortSignature, request_layout
from model.spec.address_map import OFFSET_BITS, ROW_MAJOR, AddressMap
from model.spec.errors import SpecError, require_int
from model.spec.slice import SliceSpec


class Kind(enum.Enum, shape=2):
    """The upper bits of a tag: for whom an answer is. The lower ones are the slot there."""

    READ = 0             # a word of a read burst
    WRITE = 1            # a word of a write burst
    OLD = 2              # the old bytes of a word that is written in part


class AxiMemory(wiring.Component):
    """AXI4 bursts as accesses of 32 bytes: one beat a clock; a read's first beat comes three clocks
    later than it would at the memory's port, a write's answer four.

    FIXED, INCR and WRAP, narrow and unaligned beats, any write strobes. Each word that neighbouring
    beats lie in is accessed once; one that is written in part is read first
    (:class:`~hdl.host.word_writer.WordWriter`). Reads and writes take turns. Answers of each
    direction come in the order of their bursts, whatever their IDs. A read that is sent after the
    answer to a write sees it; otherwise reads and writes are not ordered, as the standard has it.

    DECERR: no such bank or row. SLVERR: a burst that AXI4 does not allow
    (:class:`~hdl.host.burst_walker.BurstWalker`), of which nothing is carried out; or a word that
    cannot be corrected, also one that was to be written in part, and is not. Of a write burst with
    several faults DECERR is answered; its other words are written. Exclusive accesses are carried
    out as normal ones and answered with OKAY, which says that they are not exclusive.

    Parameters
    ----------
    spec : SliceSpec
    id_width : int
        Bits of an ID.
    order : tuple of str
        Order of the fields of an address (:mod:`model.spec.address_map`).
    reads, bursts, partials : int
        Words of reads, write bursts, and partly written words under way.

    Members
    -------
    axi : ``In(AxiSignature(AddressMap(...).width, id_width))``
    port : ``Out(PortSignature(spec))``
    """

    axi: Any
    port: Any

    def __init__(self, spec: SliceSpec, *, id_width: int = 4,
                 order: tuple[str, ...] = ROW_MAJOR, reads: int = 64, bursts: int = 16,
                 partials: int = 4) -> None:
        require_int("id_width", id_width, 1, 16)
        self.map = AddressMap(geometry=spec.geometry, order=order)
        if self.map.width < 12:
            raise SpecError("geometry", self.map.width, "a memory of 4 KiB at least, in bits")
        for name, slots in (("reads", reads), ("bursts", bursts), ("partials", partials)):
            check_slots(name, slots)
        self.spec, self.id_width = spec, id_width
        self.reads, self.bursts, self.partials = reads, bursts, partials
        self.parts: tuple[Any, ...] = ()
        super().__init__({
            "axi": In(AxiSignature(self.map.width, id_width)),
            "port": Out(PortSignature(spec))})

    def _make_parts(self) -> tuple[Any, ...]:
        width, info = self.map.width, (self.bursts - 1).bit_length()
        return (BurstWalker(width, info), WordPacker(width, info),
                WriteTracker(self.id_width, slots=self.bursts),
                WordWriter(width, info, partials=self.partials),
                BurstWalker(width, self.id_width),
                ReadOrder(width, self.id_width, slots=self.reads))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.parts = self._make_parts()
        (m.submodules.write_walker, m.submodules.packer, m.submodules.tracker,
         m.submodules.writer, m.submodules.read_walker, m.submodules.reader) = self.parts
        self._elaborate_writes(m)
        self._elaborate_reads(m)
        self._elaborate_requests(m)
        self._elaborate_responses(m)
        return m

    def _elaborate_writes(self, m: Module) -> None:
        walker, packer, tracker, writer, _, _ = self.parts
        axi, word = self.axi, writer.i.p
        connect(m, walker.o, packer.i)
        connect(m, packer.o, writer.i)
        m.d.comb += [
            *_burst(walker.i.p, axi, "aw"), walker.i.p.info.eq(tracker.slot),
            walker.i.valid.eq(axi.awvalid & tracker.room),
            axi.awready.eq(walker.i.ready & tracker.room),
            tracker.begin.eq(axi.awvalid & axi.awready), tracker.id.eq(axi.awid),
            packer.w.p.data.eq(axi.wdata), packer.w.p.strobe.eq(axi.wstrb),
            packer.w.valid.eq(axi.wvalid), axi.wready.eq(packer.w.ready),
            tracker.pass_valid.eq(writer.passed), tracker.pass_slot.eq(word.info),
            tracker.pass_waits.eq(writer.waits), tracker.pass_last.eq(word.last),
            tracker.pass_refused.eq(word.refused),
            axi.bvalid.eq(tracker.b.valid), tracker.b.ready.eq(axi.bready),
            axi.bid.eq(tracker.b.p.id), axi.bresp.eq(tracker.b.p.response),
        ]

    def _elaborate_reads(self, m: Module) -> None:
        *_, walker, reader = self.parts
        axi, beat = self.axi, reader.o.p
        connect(m, walker.o, reader.i)
        m.d.comb += [
            *_burst(walker.i.p, axi, "ar"), walker.i.p.info.eq(axi.arid),
            walker.i.valid.eq(axi.arvalid), axi.arready.eq(walker.i.ready),
            axi.rvalid.eq(reader.o.valid), reader.o.ready.eq(axi.rready),
            axi.rid.eq(beat.id), axi.rdata.eq(beat.data), axi.rresp.eq(beat.response),
            axi.rlast.eq(beat.last),
        ]

    def _elaborate_requests(self, m: Module) -> None:
        """Reads and writes take turns; the request stands in a register until it is taken."""
        *_, writer, _, reader = self.parts
        store, fetch, request = writer.o, reader.fetch, self.port.request
        pending, turn = Signal(request_layout(self.spec)), Signal()       # 1: writes are next
        writes, room = Signal(), ~request.valid | request.ready
        word = Signal(self.map.width - OFFSET_BITS)
        m.d.comb += [
            request.payload.eq(pending),
            writes.eq(store.valid & (turn | ~fetch.valid)),
            store.ready.eq(room & writes), fetch.ready.eq(room & ~writes),
            word.eq(Mux(writes, store.p.word, fetch.p.word)),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(room & (store.valid | fetch.valid)):
            m.d.sync += [
                request.valid.eq(1), turn.eq(~writes), pending.data.eq(store.p.data),
                pending.write.eq(writes & store.p.write),
                pending.tag.eq(Mux(writes, Mux(store.p.write, _tag(Kind.WRITE, store.p.info),
                                               _tag(Kind.OLD, store.p.partial)),
                                   _tag(Kind.READ, fetch.p.slot))),
                *(pending[name].eq(Cat(word[bit - OFFSET_BITS] for bit in bits))
                  for name, bits in self.map.sources.items()),
            ]

    def _elaborate_responses(self, m: Module) -> None:
        _, _, tracker, writer, _, reader = self.parts
        answer = self.port.response
        slot, kind = answer.p.tag[:SLOT_WIDTH], answer.p.tag[SLOT_WIDTH:]
        response = Signal(Response)
        for status, meaning in RESPONSE_OF.items():
            with m.If(answer.p.status == status):
                m.d.comb += response.eq(meaning)
        is_kind = {k: answer.valid & (kind == k.value) for k in Kind}
        m.d.comb += [
            answer.ready.eq(1),
            reader.fetched_valid.eq(is_kind[Kind.READ]), reader.fetched.data.eq(answer.p.data),
            reader.fetched.slot.eq(slot[:len(reader.fetched.slot)]),
            reader.fetched.response.eq(response),
            writer.old_valid.eq(is_kind[Kind.OLD]), writer.old_data.eq(answer.p.data),
            writer.old_index.eq(slot[:len(writer.old_index)]), writer.old_response.eq(response),
            tracker.done_valid.eq(is_kind[Kind.WRITE] | writer.failed),
            tracker.done_slot.eq(Mux(writer.failed, writer.failed_info,
                                     slot[:len(tracker.done_slot)])),
            tracker.done_response.eq(response),
        ]


def _burst(burst: data.View, axi: Any, channel: str) -> list[Any]:
    return [burst[name].eq(getattr(axi, f"{channel}{short}")) for name, short in (
        ("address", "addr"), ("length", "len"), ("size", "size"), ("burst", "burst"))]


def _tag(kind: Kind, slot: Value) -> Value:
    return Cat(slot, Const(0, SLOT_WIDTH - len(slot)), kind)
