"""A scene for the benches of the descriptor engine: three tenants with a sequence each."""

from typing import Any

from model.golden.translator import Residency
from model.spec.attention import PimSpec
from model.spec.attention_descriptor import Descriptor, EngineSpec
from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from tb.descriptor_software import DescriptorBench

SPEC = SliceSpec(geometry=ChannelGeometry(pim_banks=3, capacity_banks=2, rows=128, row_bytes=512),
                 pim=PimSpec(head_size_max=80, group_max=2, exponent_fraction_bits=8))
ENGINE = EngineSpec(rings=3, jobs=4, lookups=4, reads=4, bank_blocks=2)
TRANSLATOR = TranslatorSpec(channel=SPEC, pseudo_channels=3, tlb_entries=8, tlb_ways=2, slots=4,
                            fault_records=2, first_segment_blocks=16)
"""What is built: short rows and small buffers, so that corners are frequent."""

BLOCKS = 48
"""Blocks of each sequence: they fill three segments of its table nearly."""

CAPACITY = Residency(capacity=True)


class Scene(DescriptorBench):
    """Tenant t owns sequence t, whose blocks lie in random banks and rows, and ring t - 1."""

    def __init__(self, dut: Any) -> None:
        super().__init__(dut, SPEC, ENGINE, TRANSLATOR)

    def furnish(self, blocks: int = BLOCKS, **options: Any) -> None:
        """Memory, tables and rings."""
        self.begin(**options)
        for tenant in (1, 2, 3):
            self.sequence(tenant, tenant=tenant)
            for block in range(blocks):
                self.put(tenant, block)

    def put(self, tenant: int, block: int, *, bank: int | None = None, row: int | None = None,
            **options: Any) -> None:
        """Enters a block at a random place of the PIM layers."""
        self.enter(tenant, block, self.rng.randrange(3) if bank is None else bank,
                   self.rng.randrange(SPEC.geometry.rows - 10) if row is None else row,
                   **{"tenant": tenant, "rows": 16, **options})

    def make(self, tenant: int, many: int, *, first: int = 0, **options: Any) -> Descriptor:
        """A descriptor of consecutive blocks."""
        return self.descriptor([(tenant, first + n) for n in range(many)], tenant=tenant,
                               **options)

    async def go(self, *made: Descriptor, ring: int = 0, **options: Any) -> None:
        """Descriptors of one ring: posted, and compared when they are over."""
        for low in range(0, len(made), 4):
            self.post(ring, *made[low:low + 4])
            await self.ring(ring)
            await self.finish(**options)
