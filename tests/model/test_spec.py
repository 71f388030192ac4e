"""The specification refuses what cannot be built, and its layouts hold together."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from model.spec.attention import (
    BLOCK_TOKENS,
    KvLayout,
    PimSpec,
    QuantisedKvLayout,
    softmax_scale,
)
from model.spec.errors import SpecError, UserError
from model.spec.formats import FP16
from model.spec.geometry import ChannelGeometry, StackGeometry
from model.spec.mx import MXFP4, MXFP8_E4M3, MXINT8, ElementFormat, QuantisedRegion
from model.spec.presets import slice_spec
from model.spec.registers import Access, RegisterMap, RegisterSpec, register_map
from model.spec.timing import HBM3_5200, HBM4_8000

IMPOSSIBLE: list[tuple[Callable[[], object], str]] = [
    (lambda: slice_spec(pim_banks=0), "pim_banks: expected an integer in 1..16, not 0"),
    (lambda: slice_spec(pim_banks=17), "pim_banks: expected an integer in 1..16, not 17"),
    (lambda: slice_spec(capacity_banks=0), "capacity_banks: expected an integer in 1..16, not 0"),
    (lambda: slice_spec(rows=1), "rows: expected an integer in 2..16384, not 1"),
    (lambda: slice_spec(row_bytes=1000), ("row_bytes: expected a power of two that is a multiple "
                                         "of a column (32 bytes), not 1000")),
    (lambda: slice_spec(row_bytes=96), ("row_bytes: expected a power of two that is a multiple "
                                       "of a column (32 bytes), not 96")),
    (lambda: slice_spec(head_size_max=100),
     "head_size_max: expected a multiple of 16 in 64..256, not 100"),
    (lambda: QuantisedKvLayout(head_size=80),
     "head_size: expected a multiple of 64 for quantised KV, not 80"),
    (lambda: QuantisedKvLayout(head_size=64, columns=24),
     "columns: expected a divisor of 32, not 24"),
    (lambda: PimSpec(quantised=(MXFP4,)),
     "quantised: expected different ones of mxint8, mxfp8_e4m3, not ['mxfp4']"),
    (lambda: PimSpec(kv_format=FP16, quantised=(MXINT8,)),
     "quantised: expected none with KV format fp16, not ['mxint8']"),
    (lambda: PimSpec(head_size_min=48), "head_size_min: expected 32 or 64, not 48"),
    (lambda: KvLayout(head_size=48), "head_size: expected a multiple of 16 in 64..256, not 48"),
    (lambda: slice_spec(group_max=17), "group_max: expected an integer in 1..16, not 17"),
    (lambda: slice_spec("hbm3_5200", group_max=16),
     "group_max: expected at most 11 with timing hbm3_5200, not 16"),
    (lambda: slice_spec(group_max=16, quantised=["mxfp8"]),
     "group_max: expected at most 14 with timing hbm4_8000, not 16"),
    (lambda: PimSpec(lanes=24), "lanes: expected 16 or 32, not 24"),
    (lambda: PimSpec(lanes=32, group_max=1),
     "lanes: expected 16 for a single query head, not 32"),
    (lambda: slice_spec(format="fp8"), "format: expected one of bf16, fp16, not 'fp8'"),
    (lambda: slice_spec("hbm4"), ("preset: expected one of hbm3_5200, hbm4_8000, not 'hbm4'; "
                                 "did you mean 'hbm4_8000'?")),
    (lambda: ChannelGeometry(bank_groups=3), "bank_groups: expected 2 or 4, not 3"),
    (lambda: PimSpec(exponent_fraction_bits=7),
     "exponent_fraction_bits: expected an integer in 8..14, not 7"),
    (lambda: register_map()["shape"].pack(last_head=256),
     "shape.last_head: expected an integer of 8 bits, not 256"),
]


@pytest.mark.parametrize(("make", "message"), IMPOSSIBLE, ids=[m.split(":")[0] + f"-{i}" for i, (
    _, m) in enumerate(IMPOSSIBLE)])
def test_what_cannot_be_built_is_refused_in_one_line(make: Callable[[], object],
                                                     message: str) -> None:
    with pytest.raises(UserError) as refusal:
        make()
    assert str(refusal.value) == message


@pytest.mark.parametrize("head_size", [64, 80, 96, 128, 256])
@pytest.mark.parametrize("columns", [8, 32])
def test_a_block_fills_its_rows_from_the_first_column_on(head_size: int, columns: int) -> None:
    """K, then V, each token by token, each column used once and consecutively."""
    layout = KvLayout(head_size=head_size, columns=columns)
    for value in (False, True):
        places = [layout.position(value=value, token=t, chunk=c)
                  for t in range(BLOCK_TOKENS) for c in range(layout.chunks)]
        assert places[0] == (value * layout.half_rows, 0)
        for (row, column), following in pairwise(places):
            assert following == ((row, column + 1) if column + 1 < columns else (row + 1, 0))
        assert sum(layout.row_columns(r) for r in range(layout.half_rows)) == len(places)
    assert layout.block_bytes == layout.rows * columns * 32


def test_a_block_of_head_size_128_is_eight_full_rows() -> None:
    """16 tokens x 128 elements x 2 bytes = 4 KiB of K and as much of V; rows of 1 KiB."""
    layout = KvLayout(head_size=128)
    assert (layout.rows, layout.block_bytes) == (8, 8192)
    assert [layout.row_columns(r) for r in range(4)] == [32] * 4


def test_the_scale_is_that_of_attention_in_base_two() -> None:
    assert softmax_scale(64) == pytest.approx(1.4426950408889634 / 8, rel=1e-15)


def test_a_stack_has_the_capacity_that_the_standard_allows() -> None:
    """32 Gb dies, four to a SID: 16 GiB (facts.md 6.1)."""
    assert StackGeometry().sid_bytes == 16 << 30


def test_clocks_are_tck_rounded_up() -> None:
    assert [HBM4_8000.clocks(n) for n in (1, 2, 3, 39, 90)] == [1, 1, 2, 20, 45]
    assert (HBM4_8000.clock_ps, HBM3_5200.clock_ps) == (1000, 1538)


def test_registers_do_not_overlap() -> None:
    twice = RegisterSpec(name="again", offset=0, access=Access.RO, meaning="")
    with pytest.raises(SpecError, match="an address of its own"):
        RegisterMap(registers=(*register_map().registers, twice))


def test_fields_of_a_register_pack_and_unpack() -> None:
    shape = register_map()["shape"]
    fields = {"last_chunk": 7, "last_head": 3, "partial": 1, "format": 2}
    assert shape.pack(**fields) == 0x21_03_07
    assert shape.unpack(0x21_03_07) == fields


@pytest.mark.parametrize("head_size", [64, 128, 256])
@pytest.mark.parametrize("fmt", [MXINT8, MXFP8_E4M3], ids=lambda fmt: fmt.name)
def test_a_quantised_block_is_the_region_that_the_quantiser_makes(head_size: int,
                                                                  fmt: ElementFormat) -> None:
    wide, stored = KvLayout(head_size=head_size), QuantisedKvLayout(head_size=head_size)
    region = QuantisedRegion(fmt=fmt, blocks=2 * wide.block_columns * 16 // 32)
    assert region.wide_beats == wide.rows * wide.columns, "K and V, with nothing between"
    assert region.element_columns == 2 * stored.half_rows * stored.columns
    assert region.scale_columns == stored.scale_columns
    assert stored.rows == -(-region.columns // stored.columns)
