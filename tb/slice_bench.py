"""Drives a slice as its users do: KV through the host port, orders through the registers."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.triggers import RisingEdge, Timer, with_timeout
from numpy.typing import NDArray

from hdl.layouts import PartHeader, request_layout, response_layout, result_layout
from model.golden.attention import Attention, attend, stored_block
from model.golden.floats import DTYPES, pack
from model.spec.attention import (
    BLOCK_TOKENS,
    KvLayout,
    QuantisedKvLayout,
    padded_head_size,
    softmax_scale,
)
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import ElementFormat
from model.spec.port import Status
from model.spec.registers import COUNTERS, ERRORS
from model.spec.slice import SliceSpec
from model.spec.timing import Command
from tb.bench import PERIOD_NS, Bench, StreamDriver, StreamMonitor
from tb.channel_monitor import ChannelMonitor, Fields
from tb.channel_tags import Outstanding
from tb.host import Host
from tb.lean_streams import LeanStreamDriver, LeanStreamMonitor

Place = tuple[int, int, int]
"""Bank, row, column."""

TIME_OUT_CLOCKS = 200_000

LEAN_TIME_OUT_CLOCKS = 2_000_000

LEAN_POLL_CLOCKS = 16
"""How often a bench that does not watch every clock looks whether what it waits for is there."""


@dataclass(frozen=True)
class Sequence:
    """A sequence whose KV lies in the PIM banks, and queries for it.

    Attributes
    ----------
    q : array [head, element]
        Queries of the heads that share the KV.
    head_size : int
        Elements of a head; behind them are zeros, if it is padded.
    k, v : array [token, element]
        Keys and values.
    rows : tuple of int
        First row of each wave.
    stored : ElementFormat or None
        How K and V are quantised in the banks; not at all by default.
    """

    q: NDArray[Any]
    k: NDArray[Any]
    v: NDArray[Any]
    rows: tuple[int, ...]
    head_size: int
    stored: ElementFormat | None = None


class SliceBench(Bench):
    """A bench whose device is a :class:`~hdl.slice.Slice`.

    Every DRAM command is judged by the timing checker, every word that the host port returns is
    compared with the memory image that the bench keeps.

    Parameters
    ----------
    dut : handle
    spec : SliceSpec
        What the device was built from.
    stall : float
        Probability of a stall on every stream.
    watch : bool
        Whether commands are judged. Without, nothing of the bench runs in every clock: for long
        measurements of hardware that other benches have judged. Results are compared all the same.

    Attributes
    ----------
    result_clocks : list of int
        When the last beat of each head's result was taken, counted from reset.
    rested : int
        When it was last waited for refreshes that were outstanding, counted from reset.
    """

    def __init__(self, dut: Any, spec: SliceSpec, *, stall: float = 0.0,
                 watch: bool = True) -> None:
        super().__init__(dut)
        self.spec, self.stall, self.watch = spec, stall, watch
        self.result_clocks: list[int] = []
        self.rested = 0
        self.time_out = TIME_OUT_CLOCKS if watch else LEAN_TIME_OUT_CLOCKS
        self.dtype = DTYPES[spec.pim.kv_format]
        self.image: dict[Place, int] = {}
        self._results: deque[tuple[bytes, bool]] = deque()

    async def __aenter__(self) -> "SliceBench":
        await super().__aenter__()
        self.host = Host(self.dut)
        if self.watch:
            self.monitor = ChannelMonitor(self, self.spec)
        driver, monitor = ((StreamDriver, StreamMonitor) if self.watch
                           else (LeanStreamDriver, LeanStreamMonitor))
        self._request = request_layout(self.spec)
        self._host = driver(self, "host__request", idle=self.stall)
        self._answers = Outstanding(self, "host")
        self.query = driver(self, "query", idle=self.stall)
        response, result = Fields(response_layout()), Fields(result_layout())
        monitor(self, "host__response", lambda p: self._answers.answered(response(p)),
                stall=self.stall)
        self.results = monitor(self, "result", lambda p: self._resulted(result(p)),
                               stall=self.stall)
        return self

    def _resulted(self, beat: dict[str, int]) -> None:
        self._results.append((beat["data"].to_bytes(BEAT_BYTES, "little"), bool(beat["last"])))
        if beat["last"]:
            self.result_clocks.append(self.cycle)

    async def _until(self, done: Any) -> None:
        async def wait() -> None:
            while not done():
                if self.watch:
                    await RisingEdge(self.dut.clk)
                else:
                    await Timer(LEAN_POLL_CLOCKS * PERIOD_NS, "ns")
        await with_timeout(wait(), self.time_out * PERIOD_NS, "ns")

    # Memory

    async def store(self, place: Place, word: int) -> None:
        """Writes a column through the host port; does not wait for the answer."""
        bank, row, column = place
        tag = await self._answers.take()
        self._answers.expect(tag, True, Status.OK, 0)
        await self._host.put(self._request.const({
            "tag": tag, "write": 1, "bank": bank, "row": row, "column": column,
            "data": word}).as_bits())
        self.image[place] = word

    async def verify(self, place: Place) -> None:
        """Reads a column through the host port and compares it with the image."""
        bank, row, column = place
        tag = await self._answers.take()
        self._answers.expect(tag, False, Status.OK, self.image[place])
        await self._host.put(self._request.const({
            "tag": tag, "write": 0, "bank": bank, "row": row, "column": column}).as_bits())

    async def settle_host(self) -> None:
        """Waits until every access of the host port has been answered."""
        await self._until(lambda: not self._answers)

    async def paint(self, bank: int, row: int) -> None:
        """Fills a row with random words."""
        for column in range(self.spec.geometry.columns):
            await self.store((bank, row, column), self.rng.getrandbits(8 * BEAT_BYTES))

    async def verify_all(self) -> None:
        """Compares everything that was ever written with the image."""
        for place in sorted(self.image):
            await self.verify(place)
        await self.settle_host()

    async def store_block(self, bank: int, row: int, k: NDArray[Any], v: NDArray[Any]) -> None:
        """Writes one KV block; what lies behind its last token is left as it is."""
        layout = KvLayout(head_size=k.shape[1], columns=self.spec.geometry.columns)
        lanes = BEAT_BYTES // self.dtype.itemsize
        for value, array in ((False, k), (True, v)):
            for token in range(len(array)):
                for chunk in range(layout.chunks):
                    offset, column = layout.position(value=value, token=token, chunk=chunk)
                    piece = array[token, chunk * lanes:(chunk + 1) * lanes]
                    await self.store((bank, row + offset, column),
                                     int.from_bytes(piece.tobytes(), "little"))

    async def store_quantised(self, bank: int, row: int, k: NDArray[Any], v: NDArray[Any],
                              fmt: ElementFormat) -> None:
        """Writes one KV block as the quantiser would; zeros behind its last token."""
        columns = self.spec.geometry.columns
        layout = QuantisedKvLayout(head_size=k.shape[1], columns=columns)
        padding = ((0, BLOCK_TOKENS - len(k)), (0, 0))
        both = [stored_block(np.pad(x, padding), fmt) for x in (k, v)]
        codes = np.concatenate([half.codes.ravel() for half in both])
        scales = np.concatenate([half.scales.ravel() for half in both])
        for first, values in ((0, codes), (2 * layout.half_rows * columns, scales)):
            for n, word in enumerate(values.reshape(-1, BEAT_BYTES)):
                offset, column = divmod(first + n, columns)
                await self.store((bank, row + offset, column), pack(word, 8))

    # Attention

    def random_sequence(self, *, heads: int, head_size: int, tokens: int,
                        first_row: int = 0, stored: ElementFormat | None = None) -> Sequence:
        """A sequence of normal random numbers, padded if it is quantised and has to be."""
        draw = np.random.default_rng(self.rng.getrandbits(32))

        size = padded_head_size(head_size) if stored else head_size

        def normal(rows: int) -> NDArray[Any]:
            return np.pad(draw.standard_normal((rows, head_size)).astype(self.dtype),
                          ((0, 0), (0, size - head_size)))

        columns = self.spec.geometry.columns
        layout = (QuantisedKvLayout(head_size=size, columns=columns) if stored
                  else KvLayout(head_size=size, columns=columns))
        waves = -(-tokens // (BLOCK_TOKENS * self.spec.geometry.pim_banks))
        return Sequence(q=normal(heads), k=normal(tokens), v=normal(tokens), head_size=head_size,
                        rows=tuple(first_row + layout.rows * w for w in range(waves)),
                        stored=stored)

    def sparse_sequence(self, *, heads: int, head_size: int, tokens: int) -> Sequence:
        """A sequence whose waves are all the same: one random block, then zeros.

        All lie in the same rows. Most nets rest, which an event-driven simulator likes.
        """
        whole = self.random_sequence(heads=heads, head_size=head_size, tokens=tokens)
        in_wave = np.arange(tokens) % (BLOCK_TOKENS * self.spec.geometry.pim_banks)
        block = in_wave[:, None] < BLOCK_TOKENS
        k, v = (np.where(block, array[in_wave], np.zeros_like(array))
                for array in (whole.k, whole.v))
        return Sequence(q=whole.q, k=k, v=v, head_size=head_size, rows=(0,) * len(whole.rows))

    def blocks(self, sequence: Sequence) -> list[tuple[int, int, slice]]:
        """(bank, first row, tokens) of each block of a sequence."""
        banks = self.spec.geometry.pim_banks
        return [(n % banks, sequence.rows[n // banks],
                 slice(n * BLOCK_TOKENS, (n + 1) * BLOCK_TOKENS))
                for n in range(-(-len(sequence.k) // BLOCK_TOKENS))]

    async def store_sequence(self, sequence: Sequence) -> None:
        """Writes the KV of a sequence into the PIM banks and its rows into the wave table."""
        for bank, row, tokens in self.blocks(sequence):
            k, v = sequence.k[tokens], sequence.v[tokens]
            if sequence.stored:
                await self.store_quantised(bank, row, k, v, sequence.stored)
            else:
                await self.store_block(bank, row, k, v)
        await self.settle_host()
        await self.set_waves(sequence)

    async def store_sparse_sequence(self, sequence: Sequence) -> None:
        """Writes the one block of a sparse sequence that is not zero, as the banks are at first."""
        await self.store_block(0, 0, sequence.k[:BLOCK_TOKENS], sequence.v[:BLOCK_TOKENS])
        await self.settle_host()
        await self.set_waves(sequence)

    async def set_waves(self, sequence: Sequence, first: int = 0) -> None:
        """Writes the wave table, from an entry on."""
        for wave, row in enumerate(sequence.rows, start=first):
            await self.host.write("wave_row", row, wave)

    def golden(self, sequence: Sequence, context: int) -> Attention:
        """What the attention to the first ``context`` tokens must yield."""
        return attend(sequence.q, sequence.k[:context], sequence.v[:context],
                      pim_banks=self.spec.geometry.pim_banks,
                      scale=softmax_scale(sequence.head_size), spec=self.spec.pim,
                      stored=sequence.stored)

    async def start_attention(self, sequence: Sequence, context: int, *,
                              partial: bool = False, first_wave: int = 0) -> None:
        """Sets the registers, starts the attention and sends its queries."""
        heads, head_size = sequence.q.shape
        scale = np.float32(softmax_scale(sequence.head_size))
        await self.host.write("scale", int(scale.view(np.uint32)))
        await self.host.write("context", context)
        await self.host.write("first_wave", first_wave)
        await self.host.write_fields("shape", last_chunk=head_size // 16 - 1,
                                     last_head=heads - 1, partial=int(partial),
                                     format=sequence.stored.code if sequence.stored else 0)
        await self.host.write_fields("control", attend=1)
        await self.send_queries(sequence)

    async def send_queries(self, sequence: Sequence) -> None:
        """Sends the queries of one attention."""
        raw = sequence.q.tobytes()
        for offset in range(0, len(raw), BEAT_BYTES):
            await self.query.put(int.from_bytes(raw[offset:offset + BEAT_BYTES], "little"))

    async def finish_attention(self, sequence: Sequence, context: int, *,
                               partial: bool = False) -> None:
        """Waits for the result of the only attention under way and compares every bit of it."""
        await self.collect(sequence, context, partial=partial)
        await self._until(lambda: not int(self.dut.attend_busy.value))
        assert not self._results, "more result beats than asked for"

    async def collect(self, sequence: Sequence, context: int, *, partial: bool = False,
                      want: Attention | None = None) -> None:
        """Waits for the result of the oldest attention under way and compares every bit of it.

        ``want`` is what :meth:`golden` yields, for those who have it already.
        """
        heads, head_size = sequence.q.shape
        beats = 1 + head_size // 8 if partial else head_size // 16
        await self._until(lambda: len(self._results) >= heads * beats)
        want = want or self.golden(sequence, context)
        for head in range(heads):
            got = [self._results.popleft() for _ in range(beats)]
            self.check([last for _, last in got], [False] * (beats - 1) + [True],
                       f"head {head}: last")
            words = b"".join(word for word, _ in got)
            if partial:
                header = PartHeader().from_bits(int.from_bytes(words[:BEAT_BYTES], "little"))
                part = want.merged[head]
                self.check((int(header.m), int(header.l)),
                           (part.m, int(np.float32(part.l).view(np.uint32))),
                           f"head {head}: m, l")
                words, outputs = words[BEAT_BYTES:], part.o
            else:
                outputs = want.output[head]
            self.check(words.hex(), outputs.tobytes().hex(), f"head {head} of {heads}")

    async def attend(self, sequence: Sequence, context: int | None = None, *,
                     partial: bool = False) -> int:
        """One attention, checked to the last bit; returns the clocks that its counter shows."""
        context = len(sequence.k) if context is None else context
        await self.start_attention(sequence, context, partial=partial)
        await self.finish_attention(sequence, context, partial=partial)
        return await self.host.read("attend_cycles")

    # Block moves

    async def start_move(self, source: tuple[int, int], destination: tuple[int, int],
                         rows: int) -> None:
        """Sets the registers and starts a block move; places are (bank, first row)."""
        await self.host.write_fields("move_source", bank=source[0], row=source[1])
        await self.host.write_fields("move_destination", bank=destination[0], row=destination[1])
        await self.host.write("move_rows", rows)
        await self.host.write_fields("control", move=1)

    async def finish_move(self, source: tuple[int, int], destination: tuple[int, int],
                          rows: int) -> None:
        """Waits for the end of a started move and carries the image along."""
        await self._until(lambda: not int(self.dut.move_busy.value))
        for row in range(rows):
            for column in range(self.spec.geometry.columns):
                place = (source[0], source[1] + row, column)
                if place in self.image:
                    self.image[destination[0], destination[1] + row, column] = self.image[place]

    async def move(self, source: tuple[int, int], destination: tuple[int, int],
                   rows: int) -> int:
        """One block move; returns the clocks that its counter shows."""
        await self.start_move(source, destination, rows)
        await self.finish_move(source, destination, rows)
        return await self.host.read("dma_cycles")

    async def refreshed(self) -> None:
        """Waits, with the slice idle, until no refresh is outstanding and all PIM rows are closed.

        An idle channel carries out what is outstanding without a pause, so a pause longer than a
        refresh means that there is none. Rows that the host left open are closed by the next
        refresh of the PIM banks.
        """
        timing = self.spec.timing
        pause = timing.clocks(timing.nRFCab + timing.nRFCpb)
        quiet = 0
        while quiet < pause or self._pim_rows_open():
            before = len(self.monitor.of(Command.REF, Command.REF_ALL))
            await self.clocks(pause // 4)
            seen = len(self.monitor.of(Command.REF, Command.REF_ALL))
            quiet = quiet + pause // 4 if seen == before else 0

    def _pim_rows_open(self) -> bool:
        for seen in reversed(self.monitor.log):
            if seen.command in (Command.REF_ALL, Command.PRE_ALL):
                return False
            if seen.command == Command.ACT and seen.bank in self.spec.geometry.pim_bank_numbers:
                return True
        return False

    # Status

    async def errors(self) -> set[str]:
        """Names of the error bits that are set; clears them."""
        word = await self.host.read("error")
        await self.host.write("error", word)
        return {name for i, name in enumerate(ERRORS) if word >> i & 1}

    async def counters(self) -> dict[str, int]:
        """All performance counters."""
        return {name: await self.host.read(name) for name in COUNTERS}
