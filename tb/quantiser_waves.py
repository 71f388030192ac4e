"""Waveform of a short run of the quantiser, and views of it, for ``make waves``."""

from typing import Any

from hdl.quantiser.quantiser import Quantiser
from model.spec.mx import Status, StoredFormat
from tb.bench_quantiser import quantiser_spec
from tb.unit_scenario import UnitScenario, enum_names
from tb.wave_view import Group, Names, Trace
from tb.waveform import Waveform, intervals

OPTIONS: dict[str, Any] = {"formats": ["mxfp8_e4m3", "mxfp6_e2m3", "int4"], "blocks_max": 8}
TOP = "quantiser"
ENDED, OUT = f"{TOP}.result__payload.status", f"{TOP}.o__valid"


FORMATS = enum_names("stored_formats", StoredFormat)
STATUSES = enum_names("quantiser_status", Status)


def _stream(path: str, title: str, *fields: tuple[str, str, Names | None]) -> tuple[Trace, ...]:
    return (Trace(signal=f"{TOP}.{path}__valid", title=f"{title}: valid"),
            Trace(signal=f"{TOP}.{path}__ready", title=f"{title}: ready"),
            *(Trace(signal=f"{TOP}.{path}__payload.{field}", title=f"{title}: {field}", form=form,
                    names=names) for field, form, names in fields))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a block passes through them."""
    there, back = f"{TOP}.quantising", f"{TOP}.dequantising"
    return (
        Group(title="Requests", traces=(
            Trace(signal=f"{TOP}.clk", title="clock"),
            *_stream("request", "request", ("source", "decimal", FORMATS),
                     ("target", "decimal", FORMATS), ("blocks", "decimal", None)))),
        Group(title="In", traces=_stream("i", "in", ("data", "hex", None), ("last", "bit", None))),
        Group(title="Quantise", traces=(
            Trace(signal=f"{there}.finder.valid", title="scale found"),
            Trace(signal=f"{there}.finder.scale", title="scale", form="hex"),
            Trace(signal=f"{there}.beats.r_en", title="half a block enters the lanes"),
            Trace(signal=f"{there}.packer.valid", title="half a block leaves them"),
            Trace(signal=f"{there}.packer.fill", title="words that wait", form="decimal"),
            Trace(signal=f"{there}.packer.column_valid", title="column is full"))),
        Group(title="Dequantise", traces=(
            Trace(signal=f"{back}.scales.w_en", title="column of scales"),
            Trace(signal=f"{back}.elements.w_en", title="column of elements"),
            Trace(signal=f"{back}.unpacker.step", title="half a block enters the lanes"),
            Trace(signal=f"{back}.unpacker.fill", title="words left of a column", form="decimal"),
            Trace(signal=f"{back}.spread.scale", title="scale", form="hex"))),
        Group(title="Out", traces=_stream("o", "out", ("data", "hex", None),
                                          ("scale", "bit", None), ("last", "bit", None))),
        Group(title="Results", traces=(
            *_stream("result", "result", ("status", "decimal", STATUSES),
                     ("saturated", "decimal", None), ("nan", "decimal", None),
                     ("flushed", "decimal", None)),
            *(Trace(signal=f"{TOP}.{name}", title=f"total {name}", form="decimal")
              for name in ("saturated", "nan", "flushed")))))


def _markers(waveform: Waveform) -> dict[str, int]:
    first, _ = intervals(waveform.values(OUT) != 0)[0]
    refused, _ = intervals(waveform.values(ENDED) == Status.ALREADY_QUANTISED)[0]
    return {"first column": first, "refused": refused}


SCENARIO = UnitScenario(
    top=TOP, what="a quantiser of three formats",
    unit=lambda: Quantiser(quantiser_spec(**OPTIONS)),
    bench="tb.bench_quantiser_waves", parameters=OPTIONS, view=view,
    watched=(ENDED, OUT), markers=_markers, screen_clocks=60)
"""Two regions quantised, a request refused and a region dequantised."""
