"""The designs that the linters and the Verilog checks elaborate: small builds of every component.

A new component of ``hdl`` needs an entry only if no design here contains it already; ``make lint``
names those that are missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from amaranth.lib import wiring

from hdl.attention.descriptor_engine import DescriptorEngine
from hdl.attention.gather import Broadcast, Gather
from hdl.attention.pass_issuer import PassIssuer
from hdl.attention.wave_source import WaveSource
from hdl.base_die import BaseDie
from hdl.dma.engine import DmaEngine
from hdl.floating import Product
from hdl.host.axi_memory import AxiMemory
from hdl.host.register_block import RegisterBlock
from hdl.host.registers import RegisterBus
from hdl.layouts import BEAT_WIDTH
from hdl.pim.pim_bank import PimBank
from hdl.pim.pim_unit import WidePimUnit
from hdl.quantiser.quantiser import Quantiser
from hdl.reliability.protection import Protection
from hdl.reliability.reliability import Reliability
from hdl.reliability.scrubber import WriteGuard
from hdl.reliability.watchdog import Watchdog
from hdl.slice import Slice
from hdl.translator.translator import Translator
from model.spec.attention import PimSpec
from model.spec.attention_descriptor import EngineSpec
from model.spec.base_die import BaseDieSpec
from model.spec.dma import DmaSpec
from model.spec.formats import FP16
from model.spec.gather import GatherSpec
from model.spec.geometry import ChannelGeometry
from model.spec.mx import MXFP8_E4M3, MXINT8, QuantiserSpec
from model.spec.registers import base_die_space, reliability_map
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec

SMALL = SliceSpec(
    geometry=ChannelGeometry(pim_banks=2, capacity_banks=1, rows=8),
    pim=PimSpec(head_size_max=64, group_max=2, exponent_fraction_bits=8))
"""Two PIM banks and one capacity bank: every component at least once, converted in seconds."""

SMALL_TRANSLATOR = TranslatorSpec(
    channel=SMALL, tlb_entries=4, tlb_ways=2, slots=2, fault_records=2)

QUANTISED = replace(SMALL, pim=replace(SMALL.pim, quantised=(MXINT8, MXFP8_E4M3)))
"""The same with units that multiply quantised KV."""


def base_die_spec(channels: int) -> BaseDieSpec:
    """A die of two PIM and two capacity banks a channel, with short rows and small windows."""
    return BaseDieSpec(
        translator=TranslatorSpec(
            channel=SliceSpec(
                geometry=ChannelGeometry(pim_banks=2, capacity_banks=2, rows=32, row_bytes=256),
                pim=PimSpec(head_size_max=64, group_max=2, exponent_fraction_bits=8,
                            quantised=(MXFP8_E4M3,)),
                scheduler=SchedulerSpec(read_entries=8, write_entries=8, write_high=6)),
            pseudo_channels=channels, tlb_entries=4, tlb_ways=2, slots=2, fault_records=2,
            first_segment_blocks=16),
        dma=DmaSpec(channels=2, slots=4, jobs=2, read_lanes=2, write_lanes=2),
        engine=EngineSpec(rings=2, jobs=2, lookups=2, reads=2, bank_blocks=2, joins=2),
        quantiser=QuantiserSpec(formats=(MXFP8_E4M3,), blocks_max=16))


DESIGNS: Mapping[str, Callable[[], wiring.Component]] = {
    "slice": lambda: Slice(SMALL),
    "base_die": lambda: BaseDie(base_die_spec(2)),
    "pim_bank": lambda: PimBank(QUANTISED.pim),
    "wide_pim_unit": lambda: WidePimUnit(replace(QUANTISED.pim, lanes=32)),
    "pass_issuer": lambda: PassIssuer(QUANTISED),
    "wave_source": lambda: WaveSource(QUANTISED),
    "product": lambda: Product(FP16),
    "quantiser": lambda: Quantiser(QuantiserSpec(blocks_max=64)),
    "dma": lambda: DmaEngine(SMALL, DmaSpec(channels=2, slots=4, jobs=2, read_lanes=3)),
    "reliability": lambda: Reliability(SMALL, ports=3),
    "protection": lambda: Protection(SMALL.geometry, ports=3),
    "write_guard": lambda: WriteGuard(SMALL),
    "watchdog": lambda: Watchdog(limit=1000, tags=16),
    "axi_memory": lambda: AxiMemory(SMALL),
    "register_bus": lambda: RegisterBus(base_die_space(2)),
    "register_block": lambda: RegisterBlock(reliability_map()),
    "translator": lambda: Translator(SMALL_TRANSLATOR),
    "gather": lambda: Gather(GatherSpec(channels=2, slots=2, pim=SMALL.pim)),
    "broadcast": lambda: Broadcast(BEAT_WIDTH, 2),
    "descriptors": lambda: DescriptorEngine(
        SMALL, EngineSpec(rings=2, jobs=2, lookups=2, reads=2), translator=SMALL_TRANSLATOR),
}
"""Name of the Verilog module -> what builds the component."""
