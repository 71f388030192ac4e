"""The set-up of a fresh machine: what it says when something is missing, and that it is quick."""

import os
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools import bootstrap, icarus
from tools.console import Missing

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that has not been set up, as far as the set-up is concerned."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(checkout: Path, script: str, path: Path, **variables: str) -> subprocess.CompletedProcess:
    """Runs a tool of the checkout with nothing but ``path`` on PATH."""
    return subprocess.run([sys.executable, checkout / "tools" / script], capture_output=True,
                          env={**os.environ, "PATH": str(path), **variables}, text=True)


def test_a_missing_compiler_is_one_line_and_nothing_is_made(checkout: Path) -> None:
    done = run(checkout, "bootstrap.py", checkout)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == "[setup] c++ is missing: apt-get install g++ make\n"
    assert not (checkout / ".venv").exists()


def test_a_compiler_without_coroutines_is_named(checkout: Path) -> None:
    for name in ("c++", "make"):
        (checkout / name).write_text("#!/bin/sh\nexit 1\n")
        (checkout / name).chmod(0o755)
    done = run(checkout, "bootstrap.py", checkout)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "GCC 10 or newer" in done.stderr


def test_an_old_python_is_told_which_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(Missing, match=r"is Python 3\.9, needed is 3\.11 or newer: apt-get install"):
        bootstrap.check_python()


def test_a_python_without_venv_is_told_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(Missing, match=rf"apt-get install python{version}-venv"):
        bootstrap.check_python()


def test_a_python_without_shared_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "run", lambda command, what: "\n")
    with pytest.raises(Missing, match="no shared library, which cocotb loads: apt-get install lib"):
        bootstrap.check_libpython()


def test_no_icarus_and_no_apt_is_one_line(checkout: Path) -> None:
    done = run(checkout, "icarus.py", checkout)
    assert done.returncode == 2
    assert done.stderr == f"[setup] {icarus.ADVICE}\n"


def test_an_unpacked_icarus_that_does_not_run_is_refused(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icarus, "HERE", tmp_path)
    assert not icarus.works(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("iverilog", "vvp"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho 41\n")
        (tmp_path / "bin" / name).chmod(0o755)
    assert not icarus.works(tmp_path)


def test_make_names_a_python_that_does_not_exist(checkout: Path) -> None:
    done = subprocess.run(["make", "setup", "PYTHON=python0"], cwd=checkout, capture_output=True,
                          text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("[setup] python0 is missing: apt-get install")


def test_make_without_a_target_lists_every_target(checkout: Path) -> None:
    text = subprocess.run(["make"], cwd=checkout, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    for target in set(phony[1].split()) - {"help", "icarus"}:
        assert f"make {target} " in text


def test_a_second_setup_does_nothing_and_takes_no_time(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (checkout / "build").mkdir()
    code = "from tools import bootstrap; bootstrap.STAMP.write_text(bootstrap.key())"
    subprocess.run([sys.executable, "-c", code], cwd=checkout, check=True,
                   env={**os.environ, "PYTHONPATH": str(checkout)})
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run(checkout, "bootstrap.py", checkout)      # not even a compiler is looked for
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # processor time, since the other test workers are busy too
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_what_the_setup_installs_from_decides_whether_it_runs_again(
        checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", checkout)
    keys = {bootstrap.key()}
    for name in bootstrap.INPUTS:
        with (checkout / name).open("a") as file:
            file.write("\n")
        keys.add(bootstrap.key())
    monkeypatch.setattr(sys, "version_info", (3, 99, 0, "final", 0))
    keys.add(bootstrap.key())
    assert len(keys) == len(bootstrap.INPUTS) + 2


def test_the_lock_has_hashes_and_no_hosts_and_agrees_with_the_project() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock and "index-url" not in lock
    entries = re.findall(r"^([\w.-]+)==(\S+)[^\n]*((?:\n    --hash=sha256:\w{64}(?: \\)?)*)", lock,
                         re.MULTILINE)
    assert entries and not [name for name, _, hashes in entries if not hashes]
    locked = {name: version for name, version, _ in entries}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    for requirement in wanted:
        name, version = re.sub(r"\[.*\]", "", requirement).split("==")
        assert locked.get(name) == version, f"{requirement}: run make lock"
