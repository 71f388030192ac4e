"""Watches the command buses of a memory channel and lets the timing checker judge them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cocotb
from amaranth import Shape
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from hdl.layouts import column_command_layout, row_command_layout
from model.golden.timing_checker import TimingChecker
from model.spec.slice import SliceSpec
from model.spec.timing import ALL_BANK_COMMANDS, REGISTER_COMMANDS, Command
from tb.bench import Bench


class Fields:
    """Takes the fields of a layout out of an integer, much faster than the layout itself.

    Parameters
    ----------
    layout : data.StructLayout
        Layout of the port.
    """

    def __init__(self, layout: data.StructLayout) -> None:
        self._fields = {str(name): (field.offset, (1 << Shape.cast(field.shape).width) - 1)
                        for name, field in layout}

    def __call__(self, bits: int) -> dict[str, int]:
        return {name: bits >> offset & mask for name, (offset, mask) in self._fields.items()}


@dataclass(frozen=True)
class Issued:
    """A command that was seen on a bus.

    Attributes
    ----------
    cycle : int
        Clock in which it was on the bus, as counted by the bench.
    command : Command
        Which.
    bank : int or None
        The bank; None for commands to all banks and to registers.
    fields : dict
        All fields of the bus.
    """

    cycle: int
    command: Command
    bank: int | None
    fields: dict[str, int]


class ChannelMonitor:
    """Checks every command of a channel from now on, and keeps a record of them.

    Parameters
    ----------
    tb : Bench
        Its DUT has the ports of a :class:`~hdl.layouts.CommandSignature`.
    spec : SliceSpec
        What the hardware was built from.
    prefix : str
        Name of that port, such as ``"commands"``.

    Attributes
    ----------
    checker : TimingChecker
        Judge, and knower of the open rows.
    log : list of Issued
        All commands so far.
    listeners : list of callable
        Each is called with every command.
    """

    def __init__(self, tb: Bench, spec: SliceSpec, prefix: str = "commands") -> None:
        self.tb = tb
        self.checker = TimingChecker(spec)
        self.log: list[Issued] = []
        self.listeners: list[Callable[[Issued], None]] = []
        self._buses = [
            (getattr(tb.dut, f"{prefix}__row"), Fields(row_command_layout(spec))),
            (getattr(tb.dut, f"{prefix}__column"), Fields(column_command_layout(spec)))]
        cocotb.start_soon(self._watch())

    def of(self, *commands: Command) -> list[Issued]:
        """The commands of these kinds so far."""
        return [seen for seen in self.log if seen.command in commands]

    async def _watch(self) -> None:
        interval = self.checker.spec.timing.refresh_interval
        while True:
            await RisingEdge(self.tb.dut.clk)
            cycle = self.tb.cycle
            if cycle % interval == 0:
                self.checker.check_refresh(cycle)
            # Columns first: with a column in the same clock, a bank is still as it was before
            for handle, fields in reversed(self._buses):
                bits = int(handle.value)
                if bits:
                    self._judge(cycle, fields(bits))

    def _judge(self, cycle: int, fields: dict[str, Any]) -> None:
        command = Command(fields["command"])
        if command is Command.NOP:
            return
        one_bank = command not in ALL_BANK_COMMANDS | REGISTER_COMMANDS
        bank = fields["bank"] if one_bank else None
        self.checker.issue(command, bank, cycle, fields.get("row"))
        self.tb.checked += 1
        seen = Issued(cycle, command, bank, fields)
        self.log.append(seen)
        for listener in self.listeners:
            listener(seen)
