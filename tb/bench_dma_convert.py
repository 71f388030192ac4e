"""cocotb tests of hdl.dma.engine with the quantiser: data that are converted on their way."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import cocotb
import numpy as np

from model.golden import quantiser as golden
from model.golden.dma import carry_out
from model.golden.floats import from_bits
from model.golden.translator import Residency
from model.spec.dma import Convert, Descriptor, Kind, Result, Side
from model.spec.formats import BF16
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import (
    BLOCK_ELEMENTS,
    LANES,
    MXFP8_E4M3,
    MXINT8,
    QuantisedRegion,
    Status,
    StoredFormat,
)
from model.spec.translation import Tier
from tb.bench_dma import CAPACITY, COLUMNS, GEOMETRY, region
from tb.bench_dma_blocks import (
    CAPACITY_PLACE,
    IN_CAPACITY,
    NAMED,
    PIM_PLACE,
    BlockBench,
    stored,
)
from tb.dma_software import EngineBench

HOST = Side(kind=Kind.HOST)
FORMAT = MXFP8_E4M3


def columns_of(values: np.ndarray) -> list[int]:
    """Wide elements as beats."""
    raw = values.reshape(-1, LANES).astype("<u2")
    return [int.from_bytes(row.tobytes(), "little") for row in raw]


def quantised(beats: Sequence[int]) -> list[int]:
    """What the quantiser makes of wide beats."""
    bits = np.frombuffer(b"".join(b.to_bytes(BEAT_BYTES, "little") for b in beats), "<u2")
    blocks = golden.quantise(from_bits(bits, BF16).reshape(-1, BLOCK_ELEMENTS), FORMAT)
    return golden.to_columns(blocks, FORMAT)


@cocotb.test(timeout_time=2000, timeout_unit="us")
@cocotb.parametrize(stall=[0.0, 0.4])
async def blocks_are_quantised_and_dequantised_on_their_way(dut: Any, stall: float) -> None:
    async with EngineBench(dut) as tb:
        tb.begin(stall=stall, slow=bool(stall))
        rng = np.random.default_rng(tb.rng.getrandbits(32))
        for elements, blocks in ((1, 1), (2, 3), (3, 8)):
            shape = QuantisedRegion(fmt=FORMAT, blocks=blocks)
            wide = [golden_bits(rng, blocks) for _ in range(elements)]
            beats = [columns_of(w) for w in wide]
            for n, word in enumerate(chain.from_iterable(beats)):
                tb.memory[CAPACITY, n // COLUMNS, n % COLUMNS] = word
            small = region(0, 1, 2)
            await tb.carry_out(0, Descriptor(
                source=region(CAPACITY, 0), destination=small, elements=elements,
                beats=shape.wide_beats, destination_beats=shape.columns,
                convert=Convert.QUANTISE, format=FORMAT.code), converter=quantised)
            await tb.carry_out(1, Descriptor(
                source=small, destination=region(CAPACITY + 3, 0, 1), elements=elements,
                beats=shape.columns, destination_beats=shape.wide_beats,
                convert=Convert.DEQUANTISE, format=FORMAT.code), converter=dequantised)
            await tb.carry_out(0, Descriptor(
                source=HOST, destination=region(5, 1), elements=elements, beats=shape.wide_beats,
                destination_beats=shape.columns, convert=Convert.QUANTISE, format=FORMAT.code),
                converter=quantised, received=list(chain.from_iterable(beats)))


def golden_bits(rng: np.random.Generator, blocks: int) -> np.ndarray:
    """Random finite bfloat16 numbers as bits."""
    values = rng.standard_normal(blocks * BLOCK_ELEMENTS).astype(np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


def dequantised(columns: Sequence[int]) -> list[int]:
    """What the quantiser makes of a region, as wide beats."""
    elements = LANES * len(columns) * 8 // FORMAT.bits
    blocks = next(n for n in range(1, elements)
                  if QuantisedRegion(fmt=FORMAT, blocks=n).columns == len(columns))
    codes, scales = golden.from_columns(columns, FORMAT, blocks)
    values = golden.dequantise(codes, scales, FORMAT).values
    return columns_of(np.asarray(values).view(np.uint16))


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def conversions_that_cannot_be_are_refused(dut: Any) -> None:
    async with EngineBench(dut) as tb:
        software = tb.begin()
        shape = QuantisedRegion(fmt=FORMAT, blocks=4)
        good: dict[str, Any] = {
            "source": region(CAPACITY, 0), "destination": region(0, 0), "beats": shape.wide_beats,
            "destination_beats": shape.columns, "convert": Convert.QUANTISE, "format": FORMAT.code}
        for changes, result, detail in (
                ({"format": 0}, Result.CONVERT_FAULT, Status.NOT_QUANTISED),
                ({"format": MXINT8.code}, Result.CONVERT_FAULT, Status.NO_SUCH_FORMAT),
                ({"beats": 7}, Result.BAD_LENGTH, 0),
                ({"destination_beats": shape.columns + 1}, Result.CONVERT_FAULT,
                 Status.LAST_MISPLACED),
                ({"destination_beats": shape.columns - 1}, Result.CONVERT_FAULT,
                 Status.LAST_MISPLACED),
                ({"convert": 3}, Result.BAD_KIND, 0)):
            software.post(0, Descriptor(**{**good, **changes}))
            before = dict(tb.memory)
            await software.ring(0)
            await software.idle()
            record, = software.take_records(0)
            tb.check((record["result"], record["detail"]), (result, detail), f"{changes}")
            tb.compare(before, f"{changes}", but={(0, n // COLUMNS, n % COLUMNS)
                                                  for n in range(2 * COLUMNS)})


@cocotb.test(timeout_time=2000, timeout_unit="us")
async def blocks_are_quantised_once(dut: Any) -> None:
    async with BlockBench(dut) as tb:
        tb.begin()
        tb.tell()
        shape, fmt = QuantisedRegion(fmt=MXFP8_E4M3, blocks=4), MXFP8_E4M3.code
        block, want = await tb.block(0, IN_CAPACITY), dict(tb.memory)
        await tb.ends(Descriptor(
            source=NAMED, destination=NAMED, beats=shape.wide_beats,
            destination_beats=shape.columns, convert=Convert.QUANTISE, format=fmt,
            block=tb.question(block)), Result.DONE)
        carry_out(GEOMETRY, want, Descriptor(
            source=Side(place=CAPACITY_PLACE), destination=Side(place=PIM_PLACE),
            beats=shape.wide_beats, destination_beats=shape.columns, convert=Convert.QUANTISE),
            converter=quantised)
        tb.compare(want, "quantised")
        tb.check(stored(tb.residency(block)), Residency(pim=True, pim_format=StoredFormat(fmt)),
                 "residency")
        await tb.ends(Descriptor(
            source=NAMED, destination=NAMED, beats=shape.wide_beats,
            destination_beats=shape.columns, convert=Convert.QUANTISE, format=fmt,
            block=tb.question(block, Tier.PIM, Tier.CAPACITY)), Result.CONVERT_FAULT, fmt)
