"""Waveform of a short run of the translator, and views of it, for ``make waves``."""

from hdl.translator.miss_slot import Step
from hdl.translator.miss_table import Kind
from hdl.translator.translator import Translator
from model.spec.translation import COUNTERS, Access, Fault, Scope, Tier
from tb.translator_memory import translator_spec
from tb.unit_scenario import UnitScenario, enum_names
from tb.wave_view import Group, Names, Trace
from tb.waveform import Waveform, intervals

OPTIONS = {"tlb_entries": 8}
TOP = "translator"
LOOKUPS = f"{TOP}.requester__lookup__valid"


KINDS, STEPS, FAULTS, TIERS, ACCESSES, SCOPES = (
    enum_names(key, values, blank=("NONE", "IDLE")) for key, values in (
        ("operations", Kind), ("steps", Step), ("faults", Fault), ("tiers", Tier),
        ("accesses", Access), ("scopes", Scope)))


def _stream(path: str, title: str, *fields: tuple[str, Names | None]) -> tuple[Trace, ...]:
    return (Trace(signal=f"{TOP}.{path}__valid", title=f"{title}: valid"),
            Trace(signal=f"{TOP}.{path}__ready", title=f"{title}: ready"),
            *(Trace(signal=f"{TOP}.{path}__payload.{field}", title=f"{title}: {field}",
                    form="decimal", names=names) for field, names in fields))


def view() -> tuple[Group, ...]:
    """The groups, in the order in which a lookup passes through them."""
    slots = range(translator_spec(**OPTIONS).slots)
    return (
        Group(title="Requests", traces=(
            Trace(signal=f"{TOP}.clk", title="clock"),
            *_stream("requester__lookup", "lookup", ("tag", None), ("id.block", None),
                     ("tier", TIERS), ("access", ACCESSES)),
            *_stream("requester__commit", "commit", ("tag", None), ("id.block", None)),
            *_stream("invalidate", "invalidate", ("scope", SCOPES)))),
        Group(title="Pipeline", traces=(
            Trace(signal=f"{TOP}.intake.operation.kind", title="operation", form="decimal",
                  names=KINDS),
            Trace(signal=f"{TOP}.tlb.hit", title="TLB: hit"),
            Trace(signal=f"{TOP}.tlb.fill", title="TLB: fill"),
            Trace(signal=f"{TOP}.tlb.update", title="TLB: new residency"),
            Trace(signal=f"{TOP}.tlb.forget", title="TLB: forget"))),
        Group(title="Slots", traces=tuple(
            trace for n in slots for trace in (
                Trace(signal=f"{TOP}.misses.slot_{n}.state.step", title=f"slot {n}",
                      form="decimal", names=STEPS),
                Trace(signal=f"{TOP}.misses.slot_{n}.state.stale", title=f"slot {n}: stale")))),
        Group(title="Memory", traces=(
            *_stream("port__request", "request", ("tag", None), ("write", None), ("bank", None),
                     ("row", None), ("column", None)),
            *_stream("port__response", "response", ("tag", None)))),
        Group(title="Answers", traces=(
            *_stream("requester__translation", "translation", ("tag", None), ("fault", FAULTS),
                     ("tier", TIERS), ("place.channel", None), ("place.bank", None),
                     ("place.row", None), ("place.column", None)),
            *_stream("requester__committed", "committed", ("tag", None), ("done", None)),
            *_stream("fault", "fault record", ("cause", FAULTS)))),
        Group(title="Counters", folded=True, traces=tuple(
            Trace(signal=f"{TOP}.counters.{name}", title=name, form="decimal")
            for name in COUNTERS)))


def _markers(waveform: Waveform) -> dict[str, int]:
    first, second = intervals(waveform.values(LOOKUPS) != 0)[:2]
    return {"miss": first[0], "hits under a miss": second[0]}


SCENARIO = UnitScenario(
    top=TOP, what="a small translator", unit=lambda: Translator(translator_spec(**OPTIONS)),
    bench="tb.bench_translator_waves", parameters={"spec": OPTIONS}, view=view,
    watched=(LOOKUPS,), markers=_markers, screen_clocks=150)
"""A miss, hits under it, a migration, an invalidated walk and a fault."""
