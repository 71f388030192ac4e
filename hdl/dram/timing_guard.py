"""When each command may be issued next, made from the timing table by one loop."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.dram.bank_table import bank_slots
from hdl.layouts import column_command_layout, row_command_layout
from model.spec.slice import SliceSpec
from model.spec.timing import (
    ALL_BANK_COMMANDS,
    COLUMN_COMMANDS,
    REGISTER_COMMANDS,
    ROW_COMMANDS,
    Command,
    Scope,
)

ISSUED = tuple(c for c in Command if c is not Command.NOP)
ONE_BANK_COMMANDS = frozenset(ISSUED) - ALL_BANK_COMMANDS - REGISTER_COMMANDS


class ReadySignature(wiring.Signature):
    """Commands that break no rule if they are issued in this clock.

    Members
    -------
    act, pre, ref, rd, wr : ``Out(banks)``
        One bit a slot.
    act_all, pre_all, ref_all, mac_all, reg_wr, reg_rd : ``Out(1)``
    """

    def __init__(self, spec: SliceSpec) -> None:
        super().__init__({
            command.name.lower():
                Out(len(spec.geometry.banks) if command in ONE_BANK_COMMANDS else 1)
            for command in ISSUED})


@dataclass(frozen=True)
class Site:
    """One instance of a scope: a bank, a bank group or the channel."""

    scope: Scope
    slots: tuple[int, ...]
    has_pim: bool

    def concerns(self, command: Command) -> bool:
        """Whether this site can see ``command``."""
        if command in REGISTER_COMMANDS:
            return self.scope is Scope.CHANNEL
        return self.has_pim or command not in ALL_BANK_COMMANDS


def sites(spec: SliceSpec) -> list[Site]:
    """Every instance of every scope that has a bank."""
    geometry = spec.geometry
    groups: dict[int, list[int]] = {}
    for slot, bank in enumerate(geometry.banks):
        groups.setdefault(geometry.bank_group(bank), []).append(slot)
    everything = tuple(range(len(geometry.banks)))
    found = [(Scope.BANK, (slot,)) for slot in everything]
    found += [(Scope.BANK_GROUP, tuple(slots)) for slots in groups.values()]
    found.append((Scope.CHANNEL, everything))
    return [Site(scope, slots, any(slot < geometry.pim_banks for slot in slots))
            for scope, slots in found]


def any_of(bits: Iterable[Value]) -> Value:
    """Whether any of the one-bit values is set."""
    return reduce(or_, bits, C(0, 1))


class TimingGuard(wiring.Component):
    """Says in every clock which commands the timing table allows; no latency.

    A timer belongs to a site and to a set of waits, so commands that wait for the same things
    share one. A row command also waits while a column command that it must follow is on the
    column bus in the same clock; so column commands are to be chosen without a look at the row
    commands.

    Parameters
    ----------
    spec : SliceSpec
        Timing table and geometry.

    Members
    -------
    row, column : ``In``
        Commands issued in this clock.
    ready : ``Out(ReadySignature(spec))``
        Commands that are allowed in this clock.
    refreshing : ``Out(banks)``
        Slots that can be opened only when their refresh is over.
    settled : ``Out(1)``
        No PIM bank has a reason of its own to refuse ``ACT_ALL``; the channel may have one.
    """

    row: Any
    column: Any
    ready: Any
    refreshing: Signal
    settled: Signal

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        super().__init__({
            "row": In(row_command_layout(spec)),
            "column": In(column_command_layout(spec)),
            "ready": Out(ReadySignature(spec)),
            "refreshing": Out(len(spec.geometry.banks)), "settled": Out(1),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        blocked: dict[Command, list[tuple[Site, Value]]] = {c: [] for c in ISSUED}
        here = {bus: Signal(len(self.spec.geometry.banks), name=f"{name}_slots")
                for bus, name in ((ROW_COMMANDS, "row"), (COLUMN_COMMANDS, "column"))}
        m.d.comb += [here[ROW_COMMANDS].eq(bank_slots(self.spec.geometry, self.row.bank)),
                     here[COLUMN_COMMANDS].eq(bank_slots(self.spec.geometry, self.column.bank))]
        for site in sites(self.spec):
            seen = self._seen(m, site, here)
            timers: dict[frozenset[tuple[Command, int]], Value] = {}
            for command in filter(site.concerns, ISSUED):
                waits = frozenset(self._waits(site, command).items())
                if not waits:
                    continue
                if waits not in timers:
                    timers[waits] = self._timer(m, waits, seen)
                same_clock = [seen[c] for c, _ in sorted(waits)
                              if c in COLUMN_COMMANDS and command in ROW_COMMANDS]
                blocked[command].append((site, any_of([timers[waits], *same_clock])))
            for rule in self.spec.timing.constraints:
                if rule.scope is site.scope and rule.window > 1:
                    busy = self._window(m, rule.clocks, rule.window,
                                        any_of(seen[c] for c in sorted(rule.preceding)))
                    for command in rule.following:
                        blocked[command].append((site, busy))
        for command, blocks in blocked.items():
            port = getattr(self.ready, command.name.lower())
            for slot in range(len(port)):
                m.d.comb += port[slot].eq(~any_of(
                    block for site, block in blocks
                    if command not in ONE_BANK_COMMANDS or slot in site.slots))
        m.d.comb += self.settled.eq(~any_of(
            block for site, block in blocked[Command.ACT_ALL] if site.scope is Scope.BANK))
        self._tell_refreshes(m, blocked[Command.ACT], here[ROW_COMMANDS])
        return m

    def _tell_refreshes(self, m: Module, blocked: list[tuple[Site, Value]], banks: Signal) -> None:
        """Of all that keeps a bank from being opened, a refresh takes longest."""
        geometry = self.spec.geometry
        pim_slots = (1 << geometry.pim_banks) - 1
        refreshed = Signal(len(geometry.banks))
        last = Signal.like(refreshed)
        rests = Cat(any_of(block for site, block in blocked
                           if site.scope is Scope.BANK and slot in site.slots)
                    for slot in range(len(geometry.banks)))
        m.d.comb += [
            refreshed.eq(Mux(self.row.command == Command.REF, banks, 0)
                         | Mux(self.row.command == Command.REF_ALL, pim_slots, 0)),
            self.refreshing.eq(last & rests),
        ]
        m.d.sync += last.eq(refreshed | self.refreshing)

    def _seen(self, m: Module, site: Site, here: dict[frozenset[Command], Signal]
              ) -> dict[Command, Signal]:
        """For each command whether it is issued in this clock and concerns the site."""
        seen = {}
        for command in filter(site.concerns, ISSUED):
            bus, banks = ((self.row, here[ROW_COMMANDS]) if command in ROW_COMMANDS
                          else (self.column, here[COLUMN_COMMANDS]))
            value = bus.command == command
            if command in ONE_BANK_COMMANDS and site.scope is not Scope.CHANNEL:
                value &= any_of(banks[slot] for slot in site.slots)
            name = f"{command.name.lower()}_{site.scope.name.lower()}_{site.slots[0]}"
            seen[command] = Signal(name=name)
            m.d.comb += seen[command].eq(value)
        return seen

    def _waits(self, site: Site, following: Command) -> dict[Command, int]:
        """Clocks that ``following`` waits for each command; a wait of one clock is no wait."""
        waits: dict[Command, int] = {}
        for rule in self.spec.timing.constraints:
            if rule.scope is site.scope and rule.window == 1 and following in rule.following:
                for command in filter(site.concerns, rule.preceding):
                    waits[command] = max(waits.get(command, 0), rule.clocks)
        return {c: n for c, n in waits.items()
                if n > 1 or (c in COLUMN_COMMANDS) != (following in COLUMN_COMMANDS)}

    @staticmethod
    def _timer(m: Module, waits: frozenset[tuple[Command, int]],
               seen: dict[Command, Signal]) -> Value:
        """A down-counter that is not 0 while one of the waits lasts."""
        count = Signal(range(max(clocks for _, clocks in waits)))
        with m.If(count != 0):
            m.d.sync += count.eq(count - 1)
        for command, clocks in sorted(waits, key=lambda wait: (wait[1], wait[0])):
            with m.If(seen[command] & (count < clocks)):    # the longest is last and wins
                m.d.sync += count.eq(clocks - 1)
        return count != 0

    @staticmethod
    def _window(m: Module, clocks: int, window: int, issued: Value) -> Value:
        """Set while ``window`` commands were issued in the last ``clocks`` - 1 clocks."""
        history = Signal(clocks - 1)
        count = Signal(range(window + 1))
        m.d.sync += history.eq((history << 1 | issued)[:clocks - 1])
        with m.If(issued & ~history[-1]):
            m.d.sync += count.eq(count + 1)
        with m.Elif(~issued & history[-1]):
            m.d.sync += count.eq(count - 1)
        return count == window
