"""The AXI4 memory port on both simulators, with a model and a channel behind it, and mutants."""
# amaranth: UnusedElaboratable=no

from pathlib import Path
from typing import Any

import pytest

from hdl.host.axi_memory import AxiMemory
from model.spec.address_map import ROW_MAJOR, address_order
from model.spec.errors import SpecError
from tb.axi_channel_dut import AxiChannelDut
from tb.bench_axi_memory import SPEC
from tb.build import BenchFailure, simulate
from tests.rtl.mutants import Mutant, mutated

BENCH = "tb.bench_axi_memory"


PARTS = ("axi_lite", "axi", "burst_walker", "axi_read", "axi_write", "word_writer", "axi_memory")
CHAIN = [f"hdl.host.{part}" for part in PARTS]
FEW = {"reads": 4, "bursts": 2, "partials": 1}
"""As few slots as can be: all of them are used up all the time."""

SOME = ["random_bursts/aw=0/w=0/b=0/ar=0/r=0", "random_bursts/aw=1/w=1/b=1/ar=1/r=1",
        "random_bursts/aw=0/w=0/b=1/ar=0/r=1", "writes_to_one_word_keep_their_order"]
QUICK = ["bursts_that_axi_forbids.*", "places_that_do.*", "a_poisoned_word.*", "exclusive.*",
         "each_word.*"]


def test_every_burst_on_verilator(tmp_path: Path) -> None:
    simulate(AxiMemory(SPEC), BENCH, tmp_path, simulator="verilator", seed=21)


def test_few_slots_on_icarus(tmp_path: Path) -> None:
    simulate(AxiMemory(SPEC, **FEW), BENCH, tmp_path, simulator="icarus", seed=22,
             tests=[*SOME, *QUICK])


def test_with_a_memory_channel_behind_it_in_the_other_order(tmp_path: Path) -> None:
    order = "interleaved"
    simulate(AxiChannelDut(SPEC, address_order(order)), BENCH, tmp_path, simulator="verilator",
             seed=23, parameters={"memory": "channel", "order": order}, tests=SOME)


@pytest.mark.parametrize(("parameters", "message"), [
    ({"id_width": 0}, "id_width: expected an integer in 1..16, not 0"),
    ({"reads": 48}, "reads: expected a power of two, not 48"),
    ({"bursts": 128}, "bursts: expected an integer in 1..64, not 128"),
    ({"partials": 3}, "partials: expected a power of two, not 3"),
    ({"order": ROW_MAJOR[:4]}, "in some order"),
])
def test_what_cannot_be_built_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        AxiMemory(SPEC, **parameters)
    assert message in str(refusal.value)


@pytest.mark.parametrize("mutant", [
    Mutant(CHAIN[2], "Mux(burst.burst == Burst.FIXED, 0,", "Mux(burst.burst == Burst.FIXED, whole,",
           "every_kind.*"),
    Mutant(CHAIN[2], "((low | _within(burst.size)) + 1)", "(low + 1)",
           "every_kind.*"),
    Mutant(CHAIN[2], "Mux(burst.burst == Burst.WRAP, container, whole)", "whole", "every_kind.*"),
    Mutant(CHAIN[2], "& last_byte[BOUNDARY_WIDTH:].any()", "& last_byte[BOUNDARY_WIDTH + 1:].any()",
           "bursts_that.*"),
    Mutant(CHAIN[2], "(length >= FIXED_MAX)", "(length > FIXED_MAX)", "bursts_that.*"),
    Mutant(CHAIN[2], "self.i.ready.eq(~active | (self.o.ready & last))", "self.i.ready.eq(~active)",
           "a_beat_a_clock.*"),
    Mutant(CHAIN[3], "(slot - 1)[:len(slot)]", "slot", "each_word.*"),
    Mutant(CHAIN[3], "self.i.valid & needs & order.w_rdy", "self.i.valid & needs",
           "random_bursts/aw=0/w=0/b=0/ar=0/r=1"),
    Mutant(CHAIN[3], "with m.Elif(leaves & (oldest.slot == n))", "with m.Elif(0)",
           "random_bursts/aw=0/w=0/b=0/ar=0/r=0"),
    Mutant(CHAIN[4], "word.strobe.eq(kept | self.w.p.strobe)", "word.strobe.eq(self.w.p.strobe)",
           "each_word.*"),
    Mutant(CHAIN[4], "word.strobe & ~beat.first_of_word.replicate(BEAT_BYTES)", "word.strobe",
           "writes_to_one_word.*"),
    Mutant(CHAIN[4], "whole & (waiting == 0)", "whole", "places_that_do.*"),
    Mutant(CHAIN[4], "worst | Value.cast(self.done_response)", "Value.cast(self.done_response)",
           "places_that_do.*"),
    Mutant(CHAIN[4], "m.d.comb += self.room.eq(used != self.slots)", "m.d.comb += self.room.eq(1)",
           "random_bursts/aw=0/w=0/b=1/ar=0/r=0"),
    Mutant(CHAIN[5], "(room & ~meets & (whole | idle.any()))", "(room & (whole | idle.any()))",
           "writes_to_one_word.*"),
    Mutant(CHAIN[5], "okay = self.old_response == Response.OKAY", "okay = Value.cast(1)",
           "a_poisoned_word.*"),
    Mutant(CHAIN[5], "none.eq(word.refused | (word.strobe == 0))", "none.eq(word.strobe == 0)",
           "bursts_that.*"),
    Mutant(CHAIN[6], "Signal(), ~request.valid | request.ready", "Signal(), ~request.valid",
           "a_beat_a_clock.*"),
], ids=lambda mutant: mutant.good)
def test_a_mutant_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             mutant: Mutant) -> None:
    unit = mutated(mutant, CHAIN, monkeypatch)
    slots = {} if mutant.seen_by.startswith("a_beat") else FEW
    with pytest.raises(BenchFailure):
        simulate(unit.AxiMemory(SPEC, **slots), BENCH, tmp_path, simulator="icarus", seed=24,
                 tests=[mutant.seen_by])
