"""The units of the hardware as they would be built, but for the arrays of the DRAM."""

from collections.abc import Callable, Mapping

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.attention.attention_sequencer import AttentionSequencer
from hdl.attention.descriptor_engine import DescriptorEngine
from hdl.attention.join_engine import JoinEngine
from hdl.attention.merge import Merge
from hdl.attention.softmax import Softmax
from hdl.dma.engine import DmaEngine
from hdl.dram.channel import SCRUBBER, Channel
from hdl.host.axi_memory import AxiMemory
from hdl.host.register_block import RegisterBlock
from hdl.host.registers import RegisterBus
from hdl.layouts import AttentionShape, PimColumnSignature
from hdl.pim.pim_bank import PimBank
from hdl.quantiser.quantiser import Quantiser
from hdl.reliability.protection import Protection
from hdl.reliability.reliability import Reliability
from hdl.reliability.secded import SecdedDecoder, SecdedEncoder
from hdl.reliability.watchdog import Watchdog
from hdl.translator.translator import Translator
from model.spec.attention import PimSpec
from model.spec.attention_descriptor import EngineSpec
from model.spec.mx import QuantiserSpec
from model.spec.registers import base_die_space, die_map
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from tb.bare_bank import BareBank


class NoPimUnit(wiring.Component):
    """Nothing in the place of a bank's PIM unit, which is a unit of its own here.

    Parameters
    ----------
    pim : PimSpec
    """

    def __init__(self, pim: PimSpec) -> None:
        super().__init__({"bank": In(PimColumnSignature(pim)), "shape": In(AttentionShape(pim))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        unread = Signal()           # gives the module clock and reset; synthesis removes it
        m.d.sync += unread.eq(~unread)
        return m


SPEC = SliceSpec()
"""One pseudo-channel of the default size: 16 PIM banks and 2 capacity banks."""

PORTS = ("gpu", "dma", "walker", SCRUBBER)

UNITS: Mapping[str, Callable[[], wiring.Component]] = {
    "dram.channel": lambda: Channel(SPEC, requesters=PORTS, pim_unit=NoPimUnit,
                                    bank_unit=BareBank),
    "pim.bank": lambda: PimBank(SPEC.pim),
    "attention.sequencer": lambda: AttentionSequencer(SPEC),
    "attention.softmax": lambda: Softmax(SPEC.pim),
    "attention.merge": lambda: Merge(SPEC.pim),
    "attention.descriptors": lambda: DescriptorEngine(
        SPEC, EngineSpec(), translator=TranslatorSpec(channel=SPEC)),
    "attention.joins": lambda: JoinEngine(SPEC, EngineSpec(), channels=4),
    "translator": lambda: Translator(TranslatorSpec(channel=SPEC)),
    "dma.engine": lambda: DmaEngine(SPEC),
    "quantiser": lambda: Quantiser(QuantiserSpec()),
    "host.axi_memory": lambda: AxiMemory(SPEC),
    "host.register_bus": lambda: RegisterBus(base_die_space(1)),
    "host.die_registers": lambda: RegisterBlock(die_map()),
    "reliability.unit": lambda: Reliability(SPEC, ports=len(PORTS)),
    "reliability.protection": lambda: Protection(SPEC.geometry, ports=len(PORTS)),
    "reliability.watchdog": lambda: Watchdog(limit=10_000),
    "secded.encoder": SecdedEncoder,
    "secded.decoder": SecdedDecoder,
}
"""Name of a unit -> what builds it."""
