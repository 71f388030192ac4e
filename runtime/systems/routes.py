"""What moving KV blocks between two places takes on the shared resources.

A route is a function from KV blocks to picoseconds on each resource. ``dma``, ``hbm_read`` and
``hbm_write`` share the data buses of the stacks, so their times add up; ``nvlink`` and ``pcie`` are
wires of their own that work at the same time (cut-through).
"""

from collections.abc import Callable
from dataclasses import dataclass

from model.spec.attention import BLOCK_TOKENS
from model.spec.geometry import BEAT_BYTES
from model.spec.mx import BLOCK_ELEMENTS, QuantisedRegion, element_format
from runtime.cycle_table import CycleTable, Direction
from runtime.models import TransformerModel
from runtime.systems.gpu import GpuRoofline
from runtime.tiers.tier import WIDE

BUS_RESOURCES = ("dma", "hbm_read", "hbm_write")
RESOURCES = (*BUS_RESOURCES, "nvlink", "pcie")
"""As in vStack (facts.md 1.2)."""


@dataclass(frozen=True)
class Route:
    """A way between two places.

    Attributes
    ----------
    cost : callable
        KV blocks to ((resource, picoseconds), ...).
    engine : str
        What moves the data: a resource, or ``"kernels"`` of the GPU.
    """

    cost: Callable[[int], tuple[tuple[str, int], ...]]
    engine: str


def stored_block_bytes(model: TransformerModel, kv_format: str) -> int:
    """Bytes of a KV block of the whole model in a format, scales and padding included."""
    if kv_format == WIDE:
        return model.kv_block_bytes
    return model.layers * model.kv_heads * head_columns(model.head_size, kv_format) * BEAT_BYTES


def head_columns(head_size: int, kv_format: str) -> int:
    """Columns of one head's KV block in a format."""
    elements = 2 * BLOCK_TOKENS * head_size
    if kv_format == WIDE:
        return 2 * elements // BEAT_BYTES
    return QuantisedRegion(fmt=element_format(kv_format),
                           blocks=elements // BLOCK_ELEMENTS).columns


class StackDma:
    """The DMA engines of all pseudo-channels of a card, each moving one block at a time.

    Parameters
    ----------
    table : CycleTable
    model : TransformerModel
    cards : int
        Cards that share the model's heads; they move their shares at the same time.
    channels : int
        Pseudo-channels of a card, each with an engine.
    cold_format : str
        Format on the capacity side.

    Attributes
    ----------
    derived : str
        How cycles were derived that no simulation produced; empty if all were simulated.
    """

    def __init__(self, table: CycleTable, model: TransformerModel, *, cards: int, channels: int,
                 cold_format: str = WIDE) -> None:
        self.channels = channels
        self.moves_per_block = model.layers * model.heads_per_card(cards)
        self.derived = ""
        self._block_cycles: dict[Direction, int] = {}
        for direction in ("capacity_to_pim", "pim_to_capacity"):
            self._block_cycles[direction] = self._cycles(table, model.head_size, direction,
                                                         cold_format)

    def _cycles(self, table: CycleTable, head_size: int, direction: Direction,
                cold_format: str) -> int:
        if cold_format == WIDE:
            return table.move(head_size, direction)
        measured = table.quantised_move(head_size, direction, cold_format)
        if measured is not None:
            return measured
        wide, cold = head_columns(head_size, WIDE), head_columns(head_size, cold_format)
        self.derived = (
            f"moves in {cold_format}: derived, as the cycle table has no row for them: those of "
            f"a plain move times ({wide} + {cold}) / {2 * wide} columns, which both sides of the "
            "shared data bus carry")
        return -(-table.move(head_size, direction) * (wide + cold) // (2 * wide))

    def cycles(self, kv_blocks: int, direction: Direction) -> int:
        """Cycles to move KV blocks of the whole model: the fullest channel's moves in a row."""
        moves = -(-kv_blocks * self.moves_per_block // self.channels)
        return moves * self._block_cycles[direction]


def dma_route(dma: StackDma, direction: Direction, clock_ps: int) -> Route:
    """Between the layers of a stack, by its base die."""
    return Route(lambda n: (("dma", dma.cycles(n, direction) * clock_ps),), "dma")


def kernel_route(gpu: GpuRoofline, read_bytes: int, written_bytes: int) -> Route:
    """Read and written by kernels of the GPU; so many bytes a KV block."""
    return Route(lambda n: (("hbm_read", gpu.kv_memory_ps(n * read_bytes)),
                            ("hbm_write", gpu.kv_memory_ps(n * written_bytes))), "kernels")


def host_route(gpu: GpuRoofline, block_bytes: int, bandwidth: int, *, up: bool,
               by_link: bool) -> Route:
    """Between the host and HBM; each card moves its share over a link of its own."""
    side = "nvlink" if by_link else "hbm_write" if up else "hbm_read"

    def cost(kv_blocks: int) -> tuple[tuple[str, int], ...]:
        size = kv_blocks * block_bytes
        return (("pcie", gpu.kv_share_ps(size, bandwidth)), (side, gpu.kv_memory_ps(size)))

    return Route(cost, "pcie")


def link_route(gpu: GpuRoofline, block_bytes: int) -> Route:
    """From a PIM device to its GPU."""
    return Route(lambda n: (("nvlink", gpu.kv_memory_ps(n * block_bytes)),), "nvlink")
