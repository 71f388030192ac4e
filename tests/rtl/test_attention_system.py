"""Descriptors on real PIM banks: translator, engine, sequencer, softmax, merge, one channel."""

from pathlib import Path

from tb.attention_system import ENGINE, SPEC, TRANSLATOR, AttentionSystem
from tb.build import build, run


def test_descriptors_become_outputs_bit_for_bit(tmp_path: Path) -> None:
    built = build(AttentionSystem(SPEC, ENGINE, translator=TRANSLATOR), "attention_system",
                  simulator="icarus")
    run(built, "tb.bench_attention_system", tmp_path)
