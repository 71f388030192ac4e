"""The register file against its map, on both simulators, and mutants that the bench kills."""

from pathlib import Path

import pytest
from amaranth import Module

from hdl.axi_lite import AxiLiteTarget
from hdl.registers import Registers
from model.spec.slice import SliceSpec
from tb.build import SIMULATORS, BenchFailure, simulate

BENCH = "tb.bench_registers"


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_registers_follow_the_map(tmp_path: Path, simulator: str) -> None:
    simulate(Registers(SliceSpec()), BENCH, tmp_path, simulator=simulator, seed=11)


def _strobe_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    original = AxiLiteTarget._elaborate_write

    def elaborate_write(self: AxiLiteTarget, m: Module) -> None:
        original(self, m)
        m.d.sync += self.access.write_strobe.eq(~0)

    monkeypatch.setattr(AxiLiteTarget, "_elaborate_write", elaborate_write)


def _read_always_okay(monkeypatch: pytest.MonkeyPatch) -> None:
    original = AxiLiteTarget._elaborate_read

    def elaborate_read(self: AxiLiteTarget, m: Module) -> None:
        original(self, m)
        m.d.sync += self.bus.rresp.eq(0)

    monkeypatch.setattr(AxiLiteTarget, "_elaborate_read", elaborate_read)


def _odd_words_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registers, "_aligned", staticmethod(lambda address: address[:3] == 0))


def _reserved_bits_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registers, "_defined", staticmethod(lambda register: (1 << 32) - 1 >> 1))


@pytest.mark.parametrize("mutate", [
    _strobe_ignored, _read_always_okay, _odd_words_missing, _reserved_bits_kept])
def test_the_bench_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mutate) -> None:
    mutate(monkeypatch)
    with pytest.raises(BenchFailure):
        simulate(Registers(SliceSpec()), BENCH, tmp_path, simulator="icarus")
