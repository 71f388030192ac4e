"""What a person wants to see of a slice: its signals in groups, each in the form it is read in."""

from collections.abc import Mapping
from dataclasses import dataclass

from model.spec.attention import MacMode, Register
from model.spec.registers import ADDRESS_WIDTH, COUNTERS, register_map
from model.spec.slice import SliceSpec
from model.spec.timing import Command

COMMAND_COLOURS = {
    Command.ACT: "dodgerblue", Command.PRE: "lightskyblue", Command.REF: "tomato",
    Command.ACT_ALL: "royalblue", Command.PRE_ALL: "steelblue", Command.REF_ALL: "firebrick",
    Command.RD: "forestgreen", Command.WR: "darkorange", Command.MAC_ALL: "slateblue",
    Command.REG_WR: "darkgoldenrod", Command.REG_RD: "seagreen",
}
"""Blue opens and closes rows, red refreshes, green reads, orange writes, violet computes.

X11's names, which GTKWave and Matplotlib know.
"""

MODE_COLOURS = {MacMode.DOT: "slateblue", MacMode.AXPY: "mediumvioletred",
                MacMode.SCALE: "teal"}


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names of the values of a signal.

    Attributes
    ----------
    key : str
        Name of the file in which a viewer finds them.
    width : int
        Bits of the signal.
    labels : mapping
        Value -> name.
    colours : mapping
        Value -> colour, by X11's name; may be incomplete.
    """

    key: str
    width: int
    labels: Mapping[int, str]
    colours: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One signal of a view.

    Attributes
    ----------
    signal : str
        Its name from the top of the design on.
    title : str
        What the viewer shows instead.
    form : str
        ``"bit"``, ``"decimal"``, ``"signed"``, ``"binary"``, ``"hex"`` or ``"fp32"``.
    names : Names, optional
        Shown instead of numbers.
    """

    signal: str
    title: str
    form: str = "bit"
    names: Names | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Signals that belong together. A folded group opens with a double click."""

    title: str
    traces: tuple[Trace, ...]
    folded: bool = False


COMMANDS = Names(key="commands", width=max(Command).bit_length(),
                 labels={c: "-" if c is Command.NOP else c.name for c in Command},
                 colours={**COMMAND_COLOURS})
MODES = ", ".join(f"{mode.value} {mode.name}" for mode in MacMode)
"""GTKWave draws a single bit as a line, whatever its values are called."""

PIM_REGISTERS = Names(key="pim_registers", width=max(Register).bit_length(),
                      labels={r: r.name for r in Register}, colours={})


def bank_names(spec: SliceSpec) -> Names:
    """Bank numbers by role."""
    g = spec.geometry
    labels = {bank: f"PIM {bank}" for bank in g.pim_bank_numbers}
    labels |= {bank: f"CAP {bank}" for bank in g.capacity_bank_numbers}
    return Names(key="banks", width=g.bank_width, labels=labels, colours={})


def register_names() -> Names:
    """Bus addresses by register."""
    labels: dict[int, str] = {}
    registers = register_map()
    for register in registers.registers:
        for index, address in enumerate(registers.addresses(register)):
            labels[address] = f"{register.name}[{index}]" if register.count > 1 else register.name
    return Names(key="registers", width=ADDRESS_WIDTH, labels=labels, colours={})


def view(spec: SliceSpec) -> tuple[Group, ...]:
    """The groups, in the order in which an attention passes through them; the host's last."""
    return (_operation(), _sequencer(), command_buses(spec, "slice", "slice.channel"),
            bank_states(spec, "slice.channel"), _pim_bank(0),
            _softmax(spec), _merge(), _dma(spec), _host(spec), _counters())


def _stream(path: str, title: str) -> tuple[Trace, Trace]:
    return (Trace(signal=f"{path}__valid", title=f"{title}: valid"),
            Trace(signal=f"{path}__ready", title=f"{title}: ready"))


def _place(path: str, title: str, banks: Names) -> tuple[Trace, ...]:
    return (Trace(signal=f"{path}.bank", title=f"{title}: bank", form="decimal", names=banks),
            Trace(signal=f"{path}.row", title=f"{title}: row", form="decimal"))


def port_traces(port: str, banks: Names) -> tuple[Trace, ...]:
    """Requests and responses of a port of a memory channel; ``port`` is its path."""
    request, response = f"{port}__request", f"{port}__response"
    return (*_stream(request, "request"),
            Trace(signal=f"{request}__payload.write", title="request: write"),
            *_place(f"{request}__payload", "request", banks),
            *(Trace(signal=f"{request}__payload.{field}", title=f"request: {field}",
                    form="decimal") for field in ("column", "tag")),
            *_stream(response, "response"),
            Trace(signal=f"{response}__payload.tag", title="response: tag", form="decimal"))


def _operation() -> Group:
    return Group(title="Operation", traces=(
        Trace(signal="slice.clk", title="clock"),
        Trace(signal="slice.move_busy", title="block move runs"),
        Trace(signal="slice.attend_busy", title="attention runs"),
        Trace(signal="slice.registers.error", title="errors", form="binary")))


def _host(spec: SliceSpec) -> Group:
    registers = register_names()
    return Group(title="Host and registers", traces=(
        Trace(signal="slice.bus__awvalid", title="register write"),
        Trace(signal="slice.bus__awaddr", title="written register", form="decimal",
              names=registers),
        Trace(signal="slice.bus__wdata", title="written value", form="hex"),
        Trace(signal="slice.bus__arvalid", title="register read"),
        Trace(signal="slice.bus__araddr", title="read register", form="decimal", names=registers),
        Trace(signal="slice.bus__rdata", title="read value", form="decimal"),
        *port_traces("slice.host", bank_names(spec))))


def _sequencer() -> Group:
    unit, row_pass = "slice.sequencer", "slice.pim__row_pass__payload"
    stages = {"scored": "scores made", "read": "scores read", "weighted": "weights written",
              "summed": "outputs summed"}
    return Group(title="Attention sequencer", traces=(
        Trace(signal=f"{unit}.request.context", title="context (tokens)", form="decimal"),
        Trace(signal=f"{unit}.shape.last_head", title="last head", form="decimal"),
        Trace(signal=f"{unit}.issuer.queries_loaded", title="queries loaded"),
        Trace(signal=f"{unit}.issuer.k_waves", title="wave of K passes", form="decimal"),
        Trace(signal=f"{unit}.issuer.v_waves", title="wave of V passes", form="decimal"),
        *_stream("slice.pim__row_pass", "row pass"),
        Trace(signal=f"{row_pass}.mode", title=f"row pass: {MODES}"),
        Trace(signal=f"{row_pass}.row", title="row pass: row of the block", form="decimal"),
        Trace(signal=f"{row_pass}.mask", title="row pass: PIM banks", form="binary"),
        Trace(signal="slice.pim__pass_done", title="row pass: done"),
        *(Trace(signal=f"{unit}.issuer.progress.{stage}", title=f"waves: {title}", form="decimal")
          for stage, title in stages.items())))


def command_buses(spec: SliceSpec, top: str, channel: str) -> Group:
    """What a memory channel tells its banks; ``top`` has the buses among its ports."""
    banks = bank_names(spec)
    row, column = f"{top}.commands__row", f"{top}.commands__column"
    return Group(title="DRAM command buses", traces=(
        Trace(signal=f"{row}.command", title="row bus", form="decimal", names=COMMANDS),
        *_place(row, "row bus", banks),
        Trace(signal=f"{column}.command", title="column bus", form="decimal", names=COMMANDS),
        Trace(signal=f"{column}.bank", title="column bus: bank", form="decimal", names=banks),
        Trace(signal=f"{column}.column", title="column bus: column", form="decimal"),
        Trace(signal=f"{column}.mode", title=f"MAC_ALL: {MODES}"),
        Trace(signal=f"{column}.start", title="MAC_ALL: first column of K or V"),
        Trace(signal=f"{column}.mask", title="PIM banks", form="binary"),
        Trace(signal=f"{column}.register", title="REG_*: register", form="decimal",
              names=PIM_REGISTERS),
        Trace(signal=f"{column}.address", title="REG_*: address", form="decimal"),
        Trace(signal=f"{channel}.refresh_slots", title="refresh wanted by banks",
              form="binary")))


def bank_states(spec: SliceSpec, channel: str) -> Group:
    """The rows of a memory channel's banks."""
    names = bank_names(spec).labels
    return Group(title="Banks", traces=(
        Trace(signal=f"{channel}.open", title="rows open, bank by bank", form="binary"),
        *(Trace(signal=f"{channel}.device.bank_{bank}.open_row",
                title=f"{names[bank]}: last opened row", form="decimal")
          for bank in spec.geometry.banks)))


def _pim_bank(bank: int) -> Group:
    unit = f"slice.channel.device.pim_{bank}"
    return Group(title=f"PIM bank {bank}", traces=(
        Trace(signal=f"{unit}.bank__column_valid", title="column from the row"),
        Trace(signal=f"{unit}.sequencer.valid", title="pass"),
        Trace(signal=f"{unit}.sequencer.o.mode", title=f"pass: {MODES}"),
        Trace(signal=f"{unit}.sequencer.o.head", title="pass: head", form="decimal"),
        Trace(signal=f"{unit}.sequencer.o.token", title="pass: token", form="decimal"),
        Trace(signal=f"{unit}.sequencer.o.last", title="pass: last chunk"),
        Trace(signal=f"{unit}.scores.en", title="partial score"),
        Trace(signal=f"{unit}.scores.sum", title="partial score: sum", form="fp32"),
        Trace(signal=f"{unit}.scores.write_head", title="partial score: head", form="decimal"),
        Trace(signal=f"{unit}.scores.token", title="partial score: token", form="decimal"),
        Trace(signal=f"{unit}.scores.last", title="partial score: complete"),
        Trace(signal=f"{unit}.bank__write_valid", title="register write"),
        Trace(signal=f"{unit}.bank__write_register", title="written register", form="decimal",
              names=PIM_REGISTERS),
        Trace(signal=f"{unit}.bank__read_register", title="read register", form="decimal",
              names=PIM_REGISTERS)))


def _softmax(spec: SliceSpec) -> Group:
    unit = "slice.softmax"
    heads = range(spec.pim.group_max)
    return Group(title="Softmax", traces=(
        Trace(signal=f"{unit}.busy", title="busy"),
        *_stream(f"{unit}.score", "scores in"),
        Trace(signal=f"{unit}.score__payload.head", title="scores in: head", form="decimal"),
        Trace(signal=f"{unit}.score__payload.count", title="scores in: tokens", form="decimal"),
        *(Trace(signal=f"{unit}.state[{h}].m", title=f"head {h}: m", form="signed")
          for h in heads),
        *(Trace(signal=f"{unit}.state[{h}].l", title=f"head {h}: l", form="fp32")
          for h in heads),
        Trace(signal=f"{unit}.rescale__valid", title="rescale out: valid"),
        *_stream(f"{unit}.weight", "weights out"),
        Trace(signal=f"{unit}.weight__payload.head", title="weights out: head", form="decimal"),
        Trace(signal=f"{unit}.weight__payload.block", title="weights out: block", form="decimal"),
        Trace(signal=f"{unit}.weight__payload.data", title="weights out", form="hex")))


def _merge() -> Group:
    unit = "slice.merge"
    return Group(title="Merge and result", traces=(
        Trace(signal=f"{unit}.busy", title="busy"),
        *_stream(f"{unit}.part", "part"),
        Trace(signal=f"{unit}.part__payload.header", title="part: header (m, l)"),
        Trace(signal=f"{unit}.m", title="m", form="signed"),
        Trace(signal=f"{unit}.l", title="l", form="fp32"),
        *_stream("slice.result", "result"),
        Trace(signal="slice.result__payload.last", title="result: last beat of a head"),
        Trace(signal="slice.result__payload.data", title="result", form="hex")))


def _dma(spec: SliceSpec) -> Group:
    unit, banks = "slice.dma", bank_names(spec)
    wide = Names(key="move_banks", width=8, labels=banks.labels, colours={})
    return Group(title="DMA", traces=(
        Trace(signal=f"{unit}.busy", title="busy"),
        *_place(f"{unit}.source.side.place", "from", wide),
        *_place(f"{unit}.destination.side.place", "to", wide),
        Trace(signal=f"{unit}.mover.turns.write", title="writing"),
        Trace(signal=f"{unit}.mover.pool.free_slots", title="free slots", form="binary"),
        Trace(signal=f"{unit}.mover.reads.held", title="rows being read", form="binary"),
        Trace(signal=f"{unit}.mover.writes.held", title="rows being written", form="binary"),
        Trace(signal=f"{unit}.count", title="segments and writes under way", form="decimal"),
        *port_traces(f"{unit}.port", banks)))


def _counters() -> Group:
    return Group(title="Performance counters", folded=True, traces=tuple(
        Trace(signal=f"slice.registers.counters.{name}", title=name, form="decimal")
        for name in COUNTERS))
