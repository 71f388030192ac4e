"""A scene for the translator's benches: two tenants, their sequences and chunks."""

from typing import Any, Self

from hdl.translator.layouts import counters_layout
from model.golden.translator import BlockId, Residency
from model.spec.mx import StoredFormat
from model.spec.translation import Access, Fault, Tier
from tb.bench import parameters
from tb.translator_bench import TranslatorBench
from tb.translator_memory import translator_spec

SPEC = translator_spec(**parameters()["spec"])
LAYERS, GROUPS = 3, 2
PIM = Residency(pim=True)
CAPACITY = Residency(capacity=True, capacity_format=StoredFormat.MXFP4)


class Scene(TranslatorBench):
    """Two tenants with a sequence each; chunk 2 t in a PIM bank and 2 t + 1 in a capacity bank."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        for tenant in (1, 2):
            self.sequence(tenant, tenant=tenant, layers=LAYERS, head_groups=GROUPS, segments=6)
            self.put("chunk", 2 * tenant, tenant=tenant, channel=4, bank=tenant, row=100, rows=50)
            self.put("chunk", 2 * tenant + 1, tenant=tenant, channel=tenant, bank=17, row=1,
                     rows=60)
        return self

    def block(self, number: int, residency: Residency = PIM, *, tenant: int = 1, layer: int = 0,
              head_group: int = 0, **options: Any) -> BlockId:
        """Enters a block with places of its own in both tiers."""
        block = BlockId(tenant=tenant, sequence=tenant, layer=layer, head_group=head_group,
                        block=number)
        offset = number * LAYERS * GROUPS + layer * GROUPS + head_group
        self.put("block", block, residency, **{
            "pim": (2 * tenant, offset), "capacity": (2 * tenant + 1, offset), **options})
        return block

    def same_set(self, how_many: int) -> list[BlockId]:
        """Blocks that share a set of the TLB, and one more that does not if there is another."""
        numbers: dict[int, list[int]] = {}
        for number in range(64):
            numbers.setdefault(SPEC.tlb_set(number), []).append(number)
        return [self.block(number) for number in numbers[0][:how_many]]

    async def counters(self) -> Any:
        """The counters, when they have settled."""
        await self.clocks(4)
        return counters_layout().from_bits(int(self.dut.counters.value))

    async def expect(self, fault: Fault, block: BlockId, tier: Tier = Tier.PIM,
                     access: Access = Access.READ) -> None:
        """A lookup that must end so; the scoreboard compares everything else."""
        answer = await self.answer(block, tier, access)
        self.check(answer.fault, fault, f"{block}, {tier.name}, {access.name}")
