"""Icarus Verilog without root, if the machine has none: unpacked from its Debian package.

``python tools/icarus.py`` leaves ``build/icarus/bin/iverilog`` and ``vvp``, which the Makefile puts
last on ``PATH``. ``IVERILOG=none`` in the environment hides an installed one.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools.console import Missing, main, run, step

HERE = Path(__file__).resolve().parents[1] / "build" / "icarus"
ADVICE = "Icarus Verilog is missing: apt-get install iverilog"
INSTALLED = re.compile(r"^Inst (\S+)", re.MULTILINE)
MODULE = 'module hello; initial begin $display("%0d", 6 * 7); $finish; end\nendmodule\n'
WRAPPER = """#!/bin/sh
export LD_LIBRARY_PATH={libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}
exec {program} {option}{base} "$@"
"""


def private_apt(folder):
    """Options that make apt keep its lists and downloads in ``folder``, so that no root is needed.

    Sources, keys and the state of the machine's packages are read from the system.
    """
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'cache'}",
            "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1", "-qq"]


def download(folder):
    """Fetches the package and whatever it depends on that the machine lacks."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise Missing(ADVICE)
    options = private_apt(folder)
    run(["apt-get", *options, "update"], f"{ADVICE}; apt-get update")
    plan = run(["apt-get", *options, "--no-install-recommends", "-s", "install", "iverilog"],
               f"{ADVICE}; apt-get -s install")
    packages = sorted({"iverilog", *INSTALLED.findall(plan)})
    run(["apt-get", *options, "download", *packages], f"{ADVICE}; apt-get download", cwd=folder)
    return sorted(folder.glob("*.deb"))


def unpack(packages, root):
    """Unpacks below ``root`` and writes the two wrappers into ``bin``."""
    for package in packages:
        run(["dpkg", "-x", package, root], "dpkg -x")
    compiler = next(root.glob("usr/lib/**/ivl/ivl"), None)
    if compiler is None:
        raise Missing(f"{ADVICE}; its package has no usr/lib/*/ivl/ivl")
    base = compiler.parent
    libraries = ":".join(str(root / prefix / "lib" / base.parent.name) for prefix in ("", "usr"))
    (HERE / "bin").mkdir(exist_ok=True)
    for name, option in (("iverilog", "-B"), ("vvp", "-M")):
        wrapper = HERE / "bin" / name
        wrapper.write_text(WRAPPER.format(libraries=libraries, option=option, base=base,
                                          program=root / "usr" / "bin" / name))
        wrapper.chmod(0o755)


def works(folder):
    """Whether the wrappers compile and run a module."""
    source, binary = folder / "hello.v", folder / "hello.vvp"
    source.write_text(MODULE)
    commands = ([HERE / "bin" / "iverilog", "-g2012", "-o", binary, source],
                [HERE / "bin" / "vvp", "-n", binary])
    output = ""
    for command in commands:
        try:
            done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        except OSError:
            return False
        if done.returncode:
            return False
        output = done.stdout
    return output.strip() == "42"


def provide():
    """Does nothing if there is an ``iverilog``, of the machine or from an earlier run."""
    if os.environ.get("IVERILOG") != "none" and shutil.which("iverilog") and shutil.which("vvp"):
        return
    done = HERE / ".ok"
    if done.exists() and done.read_text() == str(HERE):
        return
    shutil.rmtree(HERE, ignore_errors=True)
    work = HERE / "work"
    work.mkdir(parents=True)
    with step("Icarus Verilog in build/icarus, from its Debian package"):
        unpack(download(work), HERE / "root")
        if not works(work):
            raise Missing(f"{ADVICE}; the unpacked package does not run here")
    shutil.rmtree(work)
    done.write_text(str(HERE))


if __name__ == "__main__":
    main(provide)
