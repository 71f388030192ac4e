"""The serving engine: a workload on a system, in integer picoseconds."""

from runtime.serving.config import EngineConfig
from runtime.serving.engine import Engine
from runtime.serving.observer import Observer
from runtime.serving.result import EngineResult, Served, check_fits

__all__ = ["Engine", "EngineConfig", "EngineResult", "Observer", "Served", "check_fits"]
