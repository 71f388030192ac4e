"""Specifications by name and number, as the command lines take them."""

from collections.abc import Sequence

from model.spec.attention import PimSpec
from model.spec.formats import kv_format
from model.spec.geometry import ChannelGeometry
from model.spec.mx import element_format
from model.spec.scheduling import SchedulerSpec
from model.spec.slice import SliceSpec
from model.spec.timing import HBM3_5200, timing_preset


def slice_spec(preset: str = "hbm4_8000", *, pim_banks: int = 16, capacity_banks: int = 2,
               rows: int = 32, row_bytes: int = 1024, group_max: int = 8,
               head_size_max: int = 128, head_size_min: int = 64, format: str = "bf16",
               quantised: Sequence[str] = (), lanes: int = 16,
               window: int = 32) -> SliceSpec:
    """A slice from a timing preset and a few sizes.

    Parameters
    ----------
    preset : str
        Name of a timing preset; it also settles the number of bank groups (facts.md 2.2, 6.1).
    pim_banks, capacity_banks, rows, row_bytes : int
        As in :class:`~model.spec.geometry.ChannelGeometry`.
    group_max, head_size_max, head_size_min : int
        As in :class:`~model.spec.attention.PimSpec`.
    format : str
        Name of the KV format.
    quantised : sequence of str
        Names of formats that the PIM units multiply in place.
    lanes : int
        As in :class:`~model.spec.attention.PimSpec`.
    window : int
        Requests of each kind that a port's window holds; fewer make a smaller simulator.

    Raises
    ------
    model.spec.errors.UserError
        A name that does not exist, or sizes that cannot be built.
    """
    timing = timing_preset(preset)
    return SliceSpec(
        timing=timing,
        scheduler=SchedulerSpec(read_entries=window, write_entries=window,
                                write_high=window - window // 8),
        geometry=ChannelGeometry(
            pim_banks=pim_banks, capacity_banks=capacity_banks, rows=rows, row_bytes=row_bytes,
            bank_groups=4 if timing is HBM3_5200 else 2),
        pim=PimSpec(kv_format=kv_format(format), head_size_max=head_size_max,
                    head_size_min=head_size_min, group_max=group_max, lanes=lanes,
                    quantised=tuple(map(element_format, quantised))))
