"""Energy of a run: counted operations times their prices, by place and by activity.

The counts are those that time was taken from, so energy and time speak of the same events; and
they are kept in the results, so that another table needs no other run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.energy.tables import ATTACC, BITS, EnergyTable

PICO = 1e-12

PLACES = ("activate", "cell", "data path", "TSV", "interposer", "PIM MAC", "base die",
          "GPU compute", "GPU caches", "links", "host", "background")
"""Where energy goes, from the cell outwards."""

ACTIVITIES = {
    "gpu_bytes": "weights and activations", "gpu_kv_bytes": "KV on the GPU",
    "gpu_macs": "arithmetic on the GPU", "pim_bank_bytes": "KV in banks",
    "pim_io_bytes": "PIM queries and outputs", "pim_macs": "arithmetic in banks",
    "pim_scores": "softmax on the base die", "migrated_bytes": "migration in stacks",
    "card_bytes": "KV moved by kernels", "host_bytes": "KV to and from the host",
    "link_bytes": "all-reduce", "background": "background",
}
"""What a counted operation is for."""


@dataclass(frozen=True)
class Energy:
    """Joules of a run: ``parts[count][place]``."""

    parts: Mapping[str, Mapping[str, float]]

    @property
    def total(self) -> float:
        """All of it."""
        return sum(sum(places.values()) for places in self.parts.values())

    @property
    def by_place(self) -> dict[str, float]:
        """Joules of each of :data:`PLACES`."""
        return {place: sum(places.get(place, 0.0) for places in self.parts.values())
                for place in PLACES}

    @property
    def by_activity(self) -> dict[str, float]:
        """Joules of each of :data:`ACTIVITIES`."""
        return {name: sum(self.parts.get(count, {}).values())
                for count, name in ACTIVITIES.items()}


def prices(table: EnergyTable) -> dict[str, dict[str, float]]:
    """Picojoules at each place for one unit of each counted operation."""
    array = {"activate": table.activate_bit * BITS, "cell": table.cell_bit * BITS}
    path = {"data path": (table.column_bit + table.group_bit) * BITS, "TSV": table.tsv_bit * BITS}
    out = {"interposer": table.interposer_bit * BITS}
    caches = {"GPU caches": table.gpu_l2_byte}
    to_gpu = {**array, **path, **out}
    return {
        "gpu_bytes": {**to_gpu, **caches},
        "gpu_kv_bytes": {**to_gpu, **caches},
        "gpu_macs": {"GPU compute": table.gpu_mac + 3 * table.gpu_operand,
                     "GPU caches": table.gpu_l1_byte / 4},
        "pim_bank_bytes": array,
        "pim_io_bytes": {place: value * table.pim_transfer_share
                         for place, value in (path | out).items()},
        "pim_macs": {"PIM MAC": table.pim_mac},
        # Scores go up from the banks' registers and probabilities back down, 16 bits each.
        "pim_scores": {"base die": table.softmax + 4 * table.sram_byte,
                       **{place: 4 * value * table.pim_transfer_share
                          for place, value in path.items()}},
        "migrated_bytes": {**{place: 2 * value for place, value in (array | path).items()},
                           "base die": 2 * table.sram_byte},
        "card_bytes": {**{place: 2 * value for place, value in to_gpu.items()}, **caches},
        "host_bytes": {**to_gpu, "host": table.pcie_byte + table.host_memory_byte},
        "link_bytes": {"links": table.link_byte},
    }


def account(counts: Mapping[str, int], *, seconds: float = 0.0, cards: int = 1, stacks: int = 0,
            table: EnergyTable = ATTACC) -> Energy:
    """Energy of counted operations, and of ``seconds`` on ``cards`` with ``stacks`` in all.

    Parameters
    ----------
    counts : mapping
        Operations by the names of :data:`ACTIVITIES`; others are somebody else's.
    """
    parts = {count: {place: price * counts[count] * PICO for place, price in places.items()}
             for count, places in prices(table).items() if counts.get(count)}
    drawn = {"background": seconds * (cards * table.gpu_watts + stacks * table.stack_watts),
             "host": seconds * table.host_watts}
    return Energy(parts | ({"background": drawn} if any(drawn.values()) else {}))


def energy_joules(counts: Mapping[str, int], migrated_bytes: int,
                  table: EnergyTable = ATTACC) -> dict[str, float]:
    """Joules of each activity of a run without its background."""
    energy = account(dict(counts) | {"migrated_bytes": migrated_bytes}, table=table)
    return {name: joules for name, joules in energy.by_activity.items() if name != "background"}
