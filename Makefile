# The front door. `make` lists what it opens; docs/architecture.md says what happens behind it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

SIM ?= verilator
WORKERS ?= 2
ifndef PYTHON
PYTHON := $(shell test -x .venv/bin/python && echo .venv/bin/python || echo python3)
endif

# Ours first; an Icarus that tools/icarus.py unpacked is the last resort.
export PATH := $(CURDIR)/build/verilator/bin:$(CURDIR)/.venv/bin:$(PATH):$(CURDIR)/build/icarus/bin
export AMARANTH_USE_YOSYS := builtin
export SIM
unexport PYTHONPATH PYTHONHOME MAKEFLAGS

given = $(if $($(2)),$(1) '$($(2))')
SIM_OPTIONS = $(call given,--trace,TRACE) $(call given,--model,MODEL) $(call given,--qps,QPS) \
    $(call given,--seed,SEED) $(call given,--preset,PRESET)
CYCLES_OPTIONS = --simulator '$(SIM)' $(call given,--preset,PRESET) $(call given,--banks,BANKS) \
    $(call given,--head-size,HEAD_SIZE) $(call given,--row-bytes,ROW_BYTES)

CYCLES := build/cycles$(if $(filter-out hbm4_8000,$(PRESET)),-$(PRESET)).json

.PHONY: help setup icarus sim test waves bench faults verilog lint style lock clean

help:
	@echo 'make sim      simulate the hardware, extract its cycles, replay a trace, compare systems'
	@echo 'make test     every test'
	@echo 'make waves    a short scenario with waveforms: build/waves'
	@echo 'make faults   flips, aborts and resets while blocks move: build/faults.json'
	@echo 'make bench    figures against their bounds: build/bench.json'
	@echo 'make verilog  the Verilog of one pseudo-channel: build/verilog'
	@echo 'make synth    cells, flip-flops, memory bits and logic depth of every unit'
	@echo 'make formal   proofs'
	@echo 'make lint     ruff, pyright, import contracts, truncated widths, Verilator lint'
	@echo 'make style    the first three of them; make test has the others'
	@echo 'make setup    the environment only: .venv and build/verilator'
	@echo 'make lock     requirements.lock from pyproject.toml'
	@echo 'make clean    removes build; .venv stays'
	@echo
	@echo 'Variables: SIM=verilator|icarus  TRACE=path  MODEL=name  QPS=number  SEED=number'
	@echo '           PRESET=timing preset  BANKS=PIM banks  HEAD_SIZE=elements  ROW_BYTES=bytes'
	@echo '           SCENARIO=slice|heads|dram|host|dma|quantiser|translator (of make waves)'
	@echo '           WORKERS=test processes  FIGURES=modules of tb/figures  PYTHON=python3'
	@echo '           UNITS=of make synth  CLAIMS=of make formal'

setup:
	@command -v '$(PYTHON)' >/dev/null || { \
	    echo '[setup] $(PYTHON) is missing: apt-get install python3 python3-venv' >&2; exit 2; }
	@'$(PYTHON)' tools/bootstrap.py

icarus: setup
	@python tools/icarus.py

sim waves: $(if $(filter icarus,$(SIM)),icarus,setup)

sim:
	@tokenstack sim --check $(SIM_OPTIONS) $(call given,--banks,BANKS)
	@python -m tb.cycles $(CYCLES_OPTIONS) --output $(CYCLES)
	@tokenstack sim --cycles $(CYCLES) $(SIM_OPTIONS)

waves:
	@python -m tb.waves --simulator '$(SIM)' --output build/waves $(call given,--scenario,SCENARIO)

faults: setup
	@python -m tb.faults --output build/faults.json --workers '$(WORKERS)'

bench: icarus
	@python -m tb.figures --output build/bench.json $(FIGURES)

test: icarus
	@python -m pytest -n '$(WORKERS)' --dist worksteal

verilog: setup
	@python -m tb.verilog --output build/verilog $(call given,--preset,PRESET) \
	    $(call given,--banks,BANKS)

synth: setup
	@python -m tools.synth --workers '$(WORKERS)' --output build/synth.json $(UNITS)

formal: setup
	@python -m tools.formal $(CLAIMS)

lint: style
	@echo '[lint] truncated widths' && python -m tools.lint_truncation
	@echo '[lint] Verilator' && python -m tools.lint_verilog

style: setup
	@echo '[lint] ruff' && ruff check --quiet .
	@echo '[lint] pyright' && pyright --warnings | { grep -v '^0 errors, 0 warnings' || true; }
	@echo '[lint] import contracts' && { lint-imports --no-cache --no-logo \
	    > build/lint-imports.txt || { cat build/lint-imports.txt; exit 1; }; }

lock: setup
	@python tools/lock.py

clean:
	@rm -rf build
