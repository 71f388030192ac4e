"""The DMA engine on both simulators, and mutants that its bench kills."""

from pathlib import Path

import pytest
from amaranth import Module, Signal, Value

from hdl import dma
from hdl.dma import Dma
from tb.bench_dma import SPEC
from tb.build import SIMULATORS, BenchFailure, simulate

BENCH = "tb.bench_dma"


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_blocks_move_whole(tmp_path: Path, simulator: str) -> None:
    simulate(Dma(SPEC), BENCH, tmp_path, simulator=simulator, seed=5)


class _NoWait(Dma):
    """Writes before the data have been read."""

    def _elaborate_buffer(self, m: Module, received: Signal, written: Signal,
                          taken: Value) -> Value:
        super()._elaborate_buffer(m, received, written, taken)
        return Value.cast(1)


class _AnyBank(Dma):
    """Does not ask whether a bank exists."""

    def _legal(self) -> Value:
        return self.request.rows != 0


class _WrongRow(Dma):
    """Addresses the row after the right one."""

    def _elaborate_address(self, m, move, beat, writing) -> None:
        super()._elaborate_address(m, move, beat + self._spec.geometry.columns, writing)


class _NeverTurns(Dma):
    """Reads everything before it writes: the buffer overflows."""

    def _elaborate_turns(self, m, read, written, total, writing) -> None:
        with m.If((read + 1 == total) & ~writing):
            m.d.sync += writing.eq(1)


@pytest.mark.parametrize("mutant", [_NoWait, _AnyBank, _WrongRow, _NeverTurns])
def test_the_bench_kills(tmp_path: Path, mutant: type[Dma]) -> None:
    with pytest.raises(BenchFailure):
        simulate(mutant(SPEC), BENCH, tmp_path, simulator="icarus")


def test_the_bench_kills_a_buffer_of_three_rows(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dma, "ROWS_AHEAD", 3)
    with pytest.raises(BenchFailure):
        simulate(Dma(SPEC), BENCH, tmp_path, simulator="icarus")
