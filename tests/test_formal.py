"""The proofs hold, and each of them fails on hardware that breaks its claim."""
# amaranth: UnusedElaboratable=no

import pytest

from model.spec.errors import UserError
from model.spec.secded import BEAT_CHECK_BITS
from tb.build import to_verilog
from tb.proofs import PROOFS, Proof, XorOnly
from tests.rtl.mutants import Mutant, mutated
from tools.formal import main, prove

GUARD, LITE, WALKER, QUEUE, SECDED = (
    "hdl.dram.timing_guard", "hdl.host.axi_lite", "hdl.host.burst_walker", "hdl.reserved_queue",
    "hdl.reliability.secded")


@pytest.mark.parametrize("name", PROOFS)
def test_the_claim_is_proved(name: str) -> None:
    prove(name, PROOFS[name])


@pytest.mark.parametrize("mutant", [
    Mutant(GUARD, "m.d.sync += count.eq(clocks - 1)", "m.d.sync += count.eq(clocks - 2)",
           "timing_guard"),
    Mutant(GUARD, "seen[command] & (count < clocks)", "seen[command]", "timing_guard"),
    Mutant(GUARD, "any_of([timers[waits], *same_clock])", "timers[waits]", "timing_guard"),
    Mutant(GUARD, "return count == window", "return count > window", "timing_guard"),
    Mutant(LITE, "have_address & have_data & ~bus.bvalid", "have_address & have_data", "axi_lite"),
    Mutant(LITE, "bus.awready.eq(~have_address)", "bus.awready.eq(1)", "axi_lite"),
    Mutant(LITE, "bus.arready.eq(~bus.rvalid)", "bus.arready.eq(1)", "axi_lite"),
    Mutant(WALKER, "& last_byte[BOUNDARY_WIDTH:].any()", "& 0", "bursts"),
    Mutant(WALKER, "last.eq(burst.length == 0)", "last.eq(burst.length == 1)", "bursts"),
    Mutant(QUEUE, "self.room.eq(taken != self.depth)", "self.room.eq(1)", "credits"),
    Mutant(QUEUE, "with m.If(self.reserve & ~leaves):", "with m.If(self.reserve):", "credits"),
    Mutant(SECDED, "syndrome.any() & ~one", "syndrome.all() & ~one", "secded"),
    Mutant(SECDED, "one = flip.any() | check_flip.any()", "one = syndrome.any()", "secded"),
], ids=lambda mutant: f"{mutant.seen_by}: {mutant.good}")
def test_a_mutant_is_refuted(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    proofs = mutated(mutant, [mutant.module, "tb.proofs"], monkeypatch)
    proof = proofs.PROOFS[mutant.seen_by]
    # enumerations of the module built anew are others
    engine = PROOFS[mutant.seen_by].engine
    with pytest.raises(UserError):
        prove(mutant.seen_by, Proof(proof.claim, proof.make, engine))


def test_check_bits_are_parities_so_that_syndromes_depend_on_flips_alone() -> None:
    """Nothing but XOR gates: every check bit is a parity of data bits, and the code is linear."""
    body = to_verilog(XorOnly(), "encoder").split("assign ")[1:]
    used = {char for line in body for char in line.split("=", 1)[1].split(";")[0]
            if char in "&|~?+-*^"}
    assert used == {"^"}
    assert len(body) > BEAT_CHECK_BITS


def test_claims_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["axi_lite"]) == 0
    assert "axi_lite: proved" in capsys.readouterr().out
    assert main(["axilite"]) == 2
    assert "did you mean 'axi_lite'?" in capsys.readouterr().err
