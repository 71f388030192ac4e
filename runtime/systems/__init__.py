"""The compared systems: what each makes of the same stacks."""

from runtime.systems.build import (
    PIM_DENSITY_PERCENT,
    STACKS,
    USABLE_PERCENT,
    System,
    build_system,
    build_tiers,
    least_cards,
)
from runtime.systems.catalogue import (
    DEFAULT_SYSTEMS,
    STACKS_PER_CARD,
    SYSTEMS,
    Infeasible,
    SystemSpec,
    ablations,
    system_by_name,
)
from runtime.systems.profile import PROFILES, Profile, profile_by_name
from runtime.tiers.tier import Tier

__all__ = ["DEFAULT_SYSTEMS", "PIM_DENSITY_PERCENT", "PROFILES", "STACKS", "STACKS_PER_CARD",
           "SYSTEMS", "USABLE_PERCENT", "Infeasible", "Profile", "System", "SystemSpec", "Tier",
           "ablations", "build_system", "build_tiers", "least_cards", "profile_by_name",
           "system_by_name"]
