"""Verilog of the slice that the cycle table measures: ``python -m tb.verilog --help``."""

import hashlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from hdl.slice import Slice
from model.spec.errors import UserError
from model.spec.presets import slice_spec
from tb.build import to_verilog
from tb.cycles import slice_options


def main(
    output: Annotated[Path, typer.Option(help="Folder for slice.v.")] = Path("build/verilog"),
    preset: Annotated[str, typer.Option(help="Timing preset.")] = "hbm4_8000",
    banks: Annotated[int, typer.Option(help="Banks with a PIM unit.")] = 16,
) -> None:
    """Writes slice.v; its hash is the `rtl_sha256` of a cycle table from the same sources."""
    text = to_verilog(Slice(slice_spec(**slice_options(preset, banks))), "slice").encode()
    output.mkdir(parents=True, exist_ok=True)
    path = output / "slice.v"
    path.write_bytes(text)
    print(f"{path}  {len(text)} bytes  sha256 {hashlib.sha256(text).hexdigest()}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except (UserError, OSError) as error:
        print(f"tb.verilog: {error}", file=sys.stderr)
        sys.exit(2)
