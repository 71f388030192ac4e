"""Several roles share the one register port of the PIM units."""

from collections.abc import Sequence
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hdl.layouts import register_request_layout
from model.spec.slice import SliceSpec


class RegisterArbiter(wiring.Component):
    """Lets the first role that wants to go ahead; answers go to who asked; no latency.

    A transfer that was offered and not taken stays on the port, whoever else comes.

    Parameters
    ----------
    spec : SliceSpec
    roles : sequence of str
        In the order of their priority.

    Members
    -------
    <role> : ``In(stream.Signature(register_request_layout(spec)))``
        Its transfers.
    o : ``Out(stream.Signature(register_request_layout(spec)))``
        To the memory channel.
    register_valid : ``In(1)``
        An answer is there; answers come in the order of the reads.
    answered : ``Out(len(roles))``
        Whose answer it is, one bit a role.
    """

    o: stream.Interface
    register_valid: Signal
    answered: Signal

    def __init__(self, spec: SliceSpec, roles: Sequence[str]) -> None:
        self._spec, self._roles = spec, tuple(roles)
        signature = stream.Signature(register_request_layout(spec))
        super().__init__({
            **{role: In(signature) for role in roles}, "o": Out(signature),
            "register_valid": In(1), "answered": Out(len(roles)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        out, count = self.o, len(self._roles)
        m.submodules.readers = readers = SyncFIFO(
            width=count, depth=self._spec.timing.read_latency + 4)
        wanting, first, chosen, held = (Signal(count, name=name)
                                        for name in ("wanting", "first", "chosen", "held"))
        ports: list[Any] = [getattr(self, role) for role in self._roles]
        m.d.comb += [
            wanting.eq(Cat(port.valid for port in ports)),
            first.eq((wanting & (~wanting + 1))[:count]),
            chosen.eq(held),
            out.valid.eq(wanting.any()),
        ]
        with m.If(~held.any()):
            m.d.comb += chosen.eq(first)
        m.d.sync += held.eq(chosen)
        with m.If(~out.valid | out.ready):
            m.d.sync += held.eq(0)
        for bit, port in enumerate(ports):
            with m.If(chosen[bit]):
                m.d.comb += [out.payload.eq(port.payload), port.ready.eq(out.ready)]
        m.d.comb += [
            readers.w_data.eq(chosen), readers.w_en.eq(out.valid & out.ready & ~out.p.write),
            readers.r_en.eq(self.register_valid),
            self.answered.eq(readers.r_data & self.register_valid.replicate(count)),
        ]
        return m
