"""Energy: tables of constants, and the account of a run."""

from runtime.energy.account import ACTIVITIES, PLACES, Energy, account, energy_joules
from runtime.energy.tables import ATTACC, ENERGY_TABLES, EnergyTable, energy_table

__all__ = ["ACTIVITIES", "ATTACC", "ENERGY_TABLES", "PLACES", "Energy", "EnergyTable", "account",
           "energy_joules", "energy_table"]
