"""From the names in a cell to a system and an engine's settings."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from model.spec.errors import SpecError, UserError, unknown_name
from model.spec.timing import timing_preset
from runtime.cycle_table import CycleTable, remedy
from runtime.models import TransformerModel
from runtime.serving import EngineConfig
from runtime.systems import (
    Infeasible,
    System,
    build_system,
    build_tiers,
    least_cards,
    system_by_name,
)
from runtime.systems.profile import profile_by_name


def engine_config(profile: str, options: Mapping[str, str]) -> EngineConfig:
    """The profile's settings with some of them changed, given as text."""
    chosen = profile_by_name(profile)
    settings: dict[str, Any] = {"max_batch": chosen.max_batch, "step_tokens": chosen.step_tokens}
    fields = {f.name: f for f in dataclasses.fields(EngineConfig)}
    for name, text in options.items():
        if name not in fields:
            raise unknown_name("set", name, fields)
        default = fields[name].default
        settings[name] = _parsed(name, text, default)
    return EngineConfig(**settings)


def _parsed(name: str, text: str, default: object) -> object:
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise SpecError(name, text, "true or false")
        return text == "true"
    if isinstance(default, int):
        try:
            return int(text)
        except ValueError:
            raise SpecError(name, text, "an integer") from None
    return tuple(text.split("+")) if isinstance(default, tuple) else text


def common_cards(systems: Sequence[str], model: TransformerModel, profile: str,
                 cards: int | None) -> int:
    """Cards of every system of a study: what is asked for, the profile's, or the fewest for all."""
    chosen = profile_by_name(profile)
    specs, timing = [system_by_name(s) for s in systems], timing_preset(chosen.preset)
    wanted = chosen.cards if cards is None else cards
    if wanted is None:
        return least_cards(specs, model, timing)
    for spec in specs:
        with suppress(Infeasible):      # reported beside the others' results
            build_tiers(spec, model, timing, cards=wanted)
    return wanted


def build(system: str, model: TransformerModel, profile: str, cards: int,
          table_of: Callable[[str], CycleTable]) -> System:
    """A system of a profile; :class:`~runtime.systems.Infeasible` if the model does not fit."""
    chosen = profile_by_name(profile)
    timing, table = timing_preset(chosen.preset), table_of(chosen.preset)
    if table.provenance.preset != timing.name:
        raise UserError(f"{table.path}: preset: expected {timing.name}, as profile {profile} has, "
                        f"not {table.provenance.preset}; {remedy(timing.name)}")
    return build_system(system_by_name(system), model, timing, table, cards=cards,
                        gpu=chosen.gpu)
