export PATH := $(CURDIR)/build/verilator/bin:$(CURDIR)/.venv/bin:$(PATH)
export AMARANTH_USE_YOSYS := builtin
