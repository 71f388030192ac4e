"""An independent observer of the command buses: judges every command by the history of all.

It knows the rules of :class:`~model.spec.timing.TimingTable` and nothing of how the hardware
keeps them: it remembers when which command was issued and looks that up.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from model.spec.geometry import ChannelGeometry
from model.spec.slice import SliceSpec
from model.spec.timing import (
    ALL_BANK_COMMANDS,
    REGISTER_COMMANDS,
    ROW_COMMANDS,
    Command,
    Constraint,
    Scope,
)

REFRESH_INTERVALS_MAX = 9
"""A bank may go without a refresh for so many tREFI: JEDEC lets eight be postponed."""

READS = frozenset({Command.RD, Command.REG_RD})
WRITES = frozenset({Command.WR, Command.REG_WR})
NEEDS_OPEN = frozenset({Command.RD, Command.WR, Command.MAC_ALL})
NEEDS_CLOSED = frozenset({Command.ACT, Command.ACT_ALL, Command.REF, Command.REF_ALL})

Site = tuple[Scope, int]


class TimingViolation(AssertionError):
    """A command that a DRAM would not have carried out.

    Parameters
    ----------
    rule : str
        JEDEC symbol of the rule, or what else was wrong.
    text : str
        The commands and their cycles.
    """

    def __init__(self, rule: str, text: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {text}")


@dataclass(frozen=True)
class Earliest:
    """The first cycle at which a command is legal, and what makes it wait until then.

    Attributes
    ----------
    cycle : int
        The first legal cycle, not before the one asked for.
    rule : str
        Symbol of the rule that binds; empty if none does.
    because : str
        The command that is waited for, and its cycle.
    """

    cycle: int
    rule: str = ""
    because: str = ""


class TimingChecker:
    """Checks commands one by one, in the order of their cycles.

    Parameters
    ----------
    spec : SliceSpec
        Timing table and banks.

    Attributes
    ----------
    open_rows : dict of int to int
        Open banks and their rows, after the commands so far.
    issued : int
        Commands checked so far.
    """

    def __init__(self, spec: SliceSpec) -> None:
        self.spec = spec
        self.geometry: ChannelGeometry = spec.geometry
        self.open_rows: dict[int, int] = {}
        self.issued = 0
        depth = max((rule.window for rule in spec.timing.constraints), default=1)
        self._history: dict[tuple[Site, Command], deque[int]] = defaultdict(
            lambda: deque(maxlen=depth))
        self._rules: dict[Command, list[Constraint]] = {
            c: [rule for rule in spec.timing.constraints if c in rule.following] for c in Command}
        self._sites = cache(self._find_sites)
        self._bus_cycle = {True: -1, False: -1}           # row bus, column bus
        self._data_bus: dict[int, str] = {}
        self._refreshed = dict.fromkeys(self.geometry.banks, 0)

    def probe(self, command: Command, bank: int | None = None, cycle: int = 0) -> Earliest:
        """The earliest cycle, from ``cycle`` on, at which timing allows ``command``."""
        earliest = Earliest(cycle)
        for rule in self._rules[command]:
            for site in self._sites(command, bank, rule.scope):
                seen = sorted((at, before) for before in rule.preceding
                              for at in self._history.get((site, before), ()))
                if len(seen) < rule.window:
                    continue
                at, before = seen[-rule.window]
                if at + rule.clocks > earliest.cycle:
                    earliest = Earliest(at + rule.clocks, rule.name,
                                        f"{before.name} at cycle {at} ({rule.scope.value})")
        return earliest

    def issue(self, command: Command, bank: int | None = None, cycle: int = 0,
              row: int | None = None) -> None:
        """Records ``command`` at ``cycle``; raises :class:`TimingViolation` if it is illegal."""
        banks = self._banks(command, bank)
        what = f"{command.name}{'' if bank is None else f' of bank {bank}'} at cycle {cycle}"
        self._check_buses(command, cycle, what)
        earliest = self.probe(command, bank, cycle)
        if earliest.cycle > cycle:
            raise TimingViolation(earliest.rule, f"{what} is too early after {earliest.because}; "
                                                 f"legal from cycle {earliest.cycle}")
        for b in banks:
            if command in NEEDS_OPEN and b not in self.open_rows:
                raise TimingViolation("row state", f"{what}: bank {b} is closed")
            if command in NEEDS_CLOSED and b in self.open_rows:
                raise TimingViolation(
                    "row state", f"{what}: row {self.open_rows[b]} of bank {b} is open")
        self._apply(command, banks, cycle, row, what)
        self.issued += 1
        sites = {site for scope in Scope for site in self._sites(command, bank, scope)}
        for site in sites:
            self._history[site, command].append(cycle)

    def check_refresh(self, cycle: int) -> None:
        """Raises :class:`TimingViolation` if a bank has waited too long for its refresh."""
        limit = REFRESH_INTERVALS_MAX * self.spec.timing.refresh_interval
        for bank, last in self._refreshed.items():
            if cycle - last > limit:
                raise TimingViolation("tREFI", f"bank {bank} not refreshed from cycle {last} to "
                                               f"{cycle}, more than {limit} clocks")

    def _apply(self, command: Command, banks: Iterable[int], cycle: int, row: int | None,
               what: str) -> None:
        if command in (Command.ACT, Command.ACT_ALL):
            if row is None or not 0 <= row < self.geometry.rows:
                raise TimingViolation("row state", f"{what}: no row {row}")
            self.open_rows.update(dict.fromkeys(banks, row))
        elif command in (Command.PRE, Command.PRE_ALL):
            for b in banks:
                self.open_rows.pop(b, None)
        elif command in (Command.REF, Command.REF_ALL):
            self.check_refresh(cycle)
            self._refreshed.update(dict.fromkeys(banks, cycle))

    def _check_buses(self, command: Command, cycle: int, what: str) -> None:
        is_row = command in ROW_COMMANDS
        bus = "row bus" if is_row else "column bus"
        if cycle <= self._bus_cycle[is_row]:
            raise TimingViolation(bus, f"{what}, but the bus carried another command at cycle "
                                       f"{self._bus_cycle[is_row]}")
        self._bus_cycle[is_row] = cycle
        if command in READS | WRITES:
            timing = self.spec.timing
            beat = cycle + (timing.read_latency if command in READS else timing.write_latency)
            if beat in self._data_bus:
                raise TimingViolation("data bus", f"{what} and {self._data_bus[beat]} both use "
                                                  f"the bus at cycle {beat}")
            self._data_bus[beat] = what
            for old in [b for b in self._data_bus if b < cycle]:
                del self._data_bus[old]

    def _banks(self, command: Command, bank: int | None) -> tuple[int, ...]:
        if command in ALL_BANK_COMMANDS:
            return self.geometry.pim_bank_numbers
        if command in REGISTER_COMMANDS:
            return ()
        if bank not in self.geometry.banks:
            raise TimingViolation("bank", f"{command.name}: there is no bank {bank}")
        return (bank,)

    def _find_sites(self, command: Command, bank: int | None, scope: Scope) -> tuple[Site, ...]:
        if scope is Scope.CHANNEL:
            return ((scope, 0),)
        banks = self._banks(command, bank)
        if scope is Scope.BANK:
            return tuple((scope, b) for b in banks)
        return tuple((scope, g) for g in sorted({self.geometry.bank_group(b) for b in banks}))
