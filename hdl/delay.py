"""Delay line for what accompanies data through a pipeline."""

from amaranth import Module, Signal, Value
from amaranth.lib import data


def delayed(m: Module, valid: Value, payload: data.View, clocks: int,
            name: str) -> tuple[Value, data.View]:
    """``valid`` and ``payload``, ``clocks`` later; registers load only with what is valid."""
    layout = payload.shape()
    for clock in range(1, clocks + 1):
        next_valid = Signal(name=f"{name}_valid_{clock}")
        next_payload = data.View(layout, Signal(layout.size, name=f"{name}_{clock}"))
        m.d.sync += next_valid.eq(valid)
        with m.If(valid):
            m.d.sync += next_payload.eq(payload)
        valid, payload = next_valid, next_payload
    return valid, payload
