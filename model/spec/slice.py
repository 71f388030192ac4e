"""Everything that one simulated pseudo-channel is built from."""

from dataclasses import asdict, dataclass, field, replace

from model.spec.attention import PimSpec
from model.spec.errors import SpecError
from model.spec.geometry import ChannelGeometry
from model.spec.scheduling import SchedulerSpec
from model.spec.timing import HBM4_8000, TimingTable


@dataclass(frozen=True, kw_only=True)
class SliceSpec:
    """One pseudo-channel: its banks, its PIM units and its timing.

    Attributes
    ----------
    geometry : ChannelGeometry
        Banks and rows.
    pim : PimSpec
        Attention units.
    timing : TimingTable
        Speed grade.
    scheduler : SchedulerSpec
        Windows and limits of the channel's scheduler.
    """

    geometry: ChannelGeometry = field(default_factory=ChannelGeometry)
    pim: PimSpec = field(default_factory=PimSpec)
    timing: TimingTable = HBM4_8000
    scheduler: SchedulerSpec = field(default_factory=SchedulerSpec)

    def __post_init__(self) -> None:
        # Dot and axpy share the adders of a unit: the last sums of one must have left the tree
        # before the first column of the other arrives, a row change later.
        row_change = sum(self.timing.clocks(n) for n in (
            self.timing.nRTP, self.timing.nRP, self.timing.nRCDRD))
        if self.pim.drain_clocks > row_change:
            longest = max(group for group in range(1, self.pim.group_max) if replace(
                self.pim, group_max=group, lanes=self.pim.LANES).drain_clocks <= row_change)
            raise SpecError("group_max", self.pim.group_max,
                            f"at most {longest * self.pim.units} with timing {self.timing.name}")

    @property
    def mac_spacing(self) -> int:
        """Clocks between two all-bank MAC commands that the DRAM allows."""
        return self.timing.clocks(self.timing.nCCDAB)

    def as_dict(self) -> dict[str, object]:
        """Plain data for provenance records."""
        return asdict(self)
