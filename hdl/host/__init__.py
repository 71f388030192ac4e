"""What software sees: AXI4-Lite registers and counters."""
