"""``tokenstack dram``: what happens between its options and its output."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from model.spec.errors import UserError
from tb.build import known_simulator
from tb.replay import address_map, log_lines, read_trace, replay, summary

WORD_BITS = 5
"""Bits of a byte address within a 32-byte word."""


def replay_trace(path: Path, preset: str, *, refresh: bool, pseudo_channel: int, in_bytes: bool,
                 log: Path | None, simulator: str,
                 show: Callable[[dict[str, Any]], None]) -> None:
    """Reads, replays, writes the command log and shows the figures."""
    if known_simulator("--simulator", simulator) == "icarus" and shutil.which("iverilog") is None:
        raise UserError("no Icarus Verilog, expected `make icarus` to have been run")
    addresses = address_map(preset)
    if not 0 <= pseudo_channel < addresses.pseudo_channels:
        raise UserError(f"--pseudo-channel {pseudo_channel}: expected 0.."
                        f"{addresses.pseudo_channels - 1}")
    accesses = read_trace(path, addresses, drop_bits=WORD_BITS if in_bytes else 0)
    mine = [access for access in accesses if access.place.pseudo_channel == pseudo_channel]
    if not mine:
        raise UserError(f"{path}: no access to pseudo-channel {pseudo_channel}, expected one at "
                        "least (--pseudo-channel)")
    if log is not None:
        _check_writable(log)
    observed = replay(preset, mine, refresh=refresh, simulator=simulator, progress=_progress)
    if log is not None:
        log.write_text("\n".join(log_lines(preset, observed)) + "\n")
    figures = summary(preset, mine, observed)
    show({**figures, "trace": str(path), "pseudo_channel": pseudo_channel,
          "left_out": len(accesses) - len(mine), "refresh": refresh})


def _check_writable(path: Path) -> None:
    try:
        path.open("a").close()
    except OSError as error:
        raise UserError(f"--log {path}: {error.strerror}, expected a file to write to") from error


def _progress(text: str) -> None:
    sys.stderr.write(f"[dram] {text}\n")


def print_summary(figures: dict[str, Any]) -> None:
    """The figures as a table."""
    clock = figures["clock_ps"] / 1000
    latency = figures["read_latency"]
    rows = [
        ("accesses", f"{figures['reads']} reads, {figures['writes']} writes"),
        ("cycles", f"{figures['cycles']} of {clock:g} ns, from the first request to the last beat"),
        ("bandwidth", f"{figures['bandwidth_gbps']:.3f} GB/s"),
        ("rows", "{row_hits} hits, {row_misses} misses, {row_conflicts} conflicts".format(
            **figures)),
        ("read latency", "-" if latency is None else ", ".join(
            f"{name} {value:g}" for name, value in latency.items()) + " cycles"),
        ("refreshes", "{per_bank} per bank, {all_bank} of all PIM banks".format(
            **figures["refreshes"])),
    ]
    if figures["left_out"]:
        rows.append(("left out", f"{figures['left_out']} accesses to other pseudo-channels"))
    table = Table("", figures["preset"], box=None)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
