"""Everything that a base die is built from."""

from dataclasses import asdict, dataclass, field

from model.spec.address_map import AddressMap
from model.spec.attention_descriptor import EngineSpec
from model.spec.dma import DmaSpec
from model.spec.errors import SpecError, require_int
from model.spec.mx import QuantiserSpec
from model.spec.registers import RegisterSpace, base_die_space
from model.spec.slice import SliceSpec
from model.spec.translation import TranslatorSpec


@dataclass(frozen=True, kw_only=True)
class BaseDieSpec:
    """Parameters of a base die; all its pseudo-channels are alike.

    Attributes
    ----------
    translator : TranslatorSpec
        Of the translator of each pseudo-channel; what those channels are, and how many.
    dma : DmaSpec
        Of the engine of each pseudo-channel.
    engine : EngineSpec
        Of the attention descriptor engine of each pseudo-channel, and of the die's join engine.
    quantiser : QuantiserSpec or None
        In each DMA engine; None: none, conversions are refused.
    axi_id_width : int
        Bits of an ID of the memory ports.
    watchdog_clocks : int
        After how long an access to memory is overdue. No sound access takes that long: from when it
        is the oldest of its window, it has to wait for one row pass, at most nine refreshes,
        ``starvation`` clocks, and a row and ``urgent_burst`` columns of each other window.
    log_records : int
        That the error log of a pseudo-channel keeps.
    """

    translator: TranslatorSpec = field(default_factory=TranslatorSpec)
    dma: DmaSpec = field(default_factory=DmaSpec)
    engine: EngineSpec = field(default_factory=EngineSpec)
    quantiser: QuantiserSpec | None = field(default_factory=QuantiserSpec)
    axi_id_width: int = 4
    watchdog_clocks: int = 1 << 16
    log_records: int = 16

    def __post_init__(self) -> None:
        require_int("watchdog_clocks", self.watchdog_clocks, 1, 1 << 24)
        require_int("log_records", self.log_records, 2, 1 << 10)
        if self.translator.channel.geometry.columns > 1 << 8:
            raise SpecError("columns", self.translator.channel.geometry.columns,
                            "at most 256, as places in registers have 8 bits for them")

    @property
    def channel(self) -> SliceSpec:
        """A pseudo-channel."""
        return self.translator.channel

    @property
    def channels(self) -> int:
        """How many there are."""
        return self.translator.pseudo_channels

    @property
    def axi_address_width(self) -> int:
        """Bits of a byte address of a memory port."""
        return AddressMap(geometry=self.channel.geometry).width

    @property
    def space(self) -> RegisterSpace:
        """The registers."""
        return base_die_space(self.channels, self.dma.channels, self.engine.rings)

    def as_dict(self) -> dict[str, object]:
        """Plain data for provenance records."""
        return asdict(self)
