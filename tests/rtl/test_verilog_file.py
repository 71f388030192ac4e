"""`make verilog`; that the same bytes come from every run is shown by tests/test_verilog.py."""

import hashlib
import subprocess
import sys
from pathlib import Path

from tb.build import ROOT


def test_the_file_holds_the_slice_and_its_printed_hash_is_right(tmp_path: Path) -> None:
    line = subprocess.run(
        [sys.executable, "-m", "tb.verilog", "--banks", "1", "--output", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = (tmp_path / "slice.v").read_bytes()
    assert line.split() == [str(tmp_path / "slice.v"), str(len(text)), "bytes", "sha256",
                            hashlib.sha256(text).hexdigest()]
    assert b"\nmodule slice(" in text
