"""Set-up and linters; nothing here is imported by the design, the benches or the runtime."""
