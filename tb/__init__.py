"""How the hardware is driven: cocotb benches, drivers, monitors, and the build of simulators."""
