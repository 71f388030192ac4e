"""The memory behind the translator's port, and other small parts of its bench."""

from collections.abc import Mapping
from heapq import heappush
from typing import Any

from amaranth.lib import data

from model.golden.translator import Tables
from model.spec.geometry import ChannelGeometry
from model.spec.port import Status
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec
from tb import port_agent
from tb.bench import Bench
from tb.port_agent import PortAgent


def translator_spec(**options: Any) -> TranslatorSpec:
    """A translator over small banks with short rows, so that few words hold every corner."""
    return TranslatorSpec(**{
        "channel": SliceSpec(geometry=ChannelGeometry(
            pim_banks=3, capacity_banks=2, rows=200, row_bytes=256)),
        "pseudo_channels": 5, "tlb_entries": 16, "tlb_ways": 2, "slots": 4, "fault_records": 4,
        "first_segment_blocks": 2, **options})


def word_place(spec: TranslatorSpec, address: int) -> port_agent.Place:
    """Bank, row and column of a word address."""
    rows = spec.column_width
    banks = rows + spec.row_width
    return (address >> banks, address >> rows & (1 << spec.row_width) - 1,
            address & (1 << rows) - 1)


def word_address(spec: TranslatorSpec, place: port_agent.Place) -> int:
    """The address of a bank's word."""
    bank, row, column = place
    return (bank << spec.row_width | row) << spec.column_width | column


def flat(layout: data.Layout, prefix: str = "", base: int = 0) -> dict[str, tuple[int, int]]:
    """Lowest bit and mask of every field, by dotted name; of a structure, also all of it.

    Amaranth's own constants do the same, at ten times the cost.
    """
    fields: dict[str, tuple[int, int]] = {}
    for key, inner in layout:
        name, offset = f"{prefix}{key}", base + inner.offset
        fields[name] = offset, (1 << inner.width) - 1
        if isinstance(inner.shape, data.Layout):
            fields |= flat(inner.shape, f"{name}.", offset)
    return fields


def unpacked(fields: Mapping[str, tuple[int, int]], payload: int) -> dict[str, int]:
    """The fields of a payload."""
    return {name: payload >> offset & mask for name, (offset, mask) in fields.items()}


class TableMemory(dict[port_agent.Place, int]):
    """The words of some tables, by place, as the port's far end wants them."""

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self.tables = tables

    def __contains__(self, place: object) -> bool:
        return isinstance(place, tuple) and word_address(
            self.tables.spec, place) in self.tables.memory

    def __getitem__(self, place: port_agent.Place) -> int:
        return int.from_bytes(self.tables.memory[word_address(self.tables.spec, place)], "little")

    def __setitem__(self, place: port_agent.Place, word: int) -> None:
        self.tables.memory[word_address(self.tables.spec, place)] = word.to_bytes(32, "little")


class TableAgent(PortAgent):
    """The memory that holds the tables.

    Attributes
    ----------
    uncorrectable : set of int
        Word addresses that are read with errors.
    """

    def __init__(self, tb: Bench, tables: Tables, **options: Any) -> None:
        self.spec = tables.spec
        self.uncorrectable: set[int] = set()
        super().__init__(tb, "port", tables.spec.channel, TableMemory(tables), **options)

    def _serve(self, request: data.Const) -> None:
        super()._serve(request)
        if word_address(self.spec, self.log[-1][1]) in self.uncorrectable:
            mine, = (a for a in self.answers if a[1] == len(self.log))
            self.answers.remove(mine)
            heappush(self.answers, (*mine[:2], self.response_layout.const({
                "tag": request.tag, "write": request.write, "status": Status.UNCORRECTABLE})))
