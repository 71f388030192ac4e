"""How the memory channel orders requests: window sizes and the limits of its preferences.

The numbers are choices of this design, not of a standard; each says what it trades. What they
cost is measured by ``make bench`` (``dram.*``) and can be tried out by changing one of them.
"""

from dataclasses import dataclass

from model.spec.errors import SpecError, require_int


@dataclass(frozen=True, kw_only=True)
class SchedulerSpec:
    """Limits of the channel's scheduler.

    Attributes
    ----------
    read_entries, write_entries : int
        Requests that the windows of each port hold. Row commands are given ahead for what is in
        the window, so at one column a clock its depth should exceed tRCDRD (20 clocks with HBM4).
    write_high : int
        Writes in a port's window from which on they are drained though reads wait.
    write_low : int
        A drain ends when every port has at most so many writes left and a read waits.
    write_burst : int
        Writes of a drain at most from the moment when a read waits.
    preempt_burst : int
        The same from the moment when a read of a port waits that goes before the writes' port.
        Small values favour the read latency of the first port, large ones the use of the bus.
    read_burst : int
        Clocks at most, from the first read on, when a port has ``write_high`` writes.
    quiet_clocks : int
        Clocks without a read of a port that goes before, until writes are drained for want of
        reads; a turn-around in vain would delay that port's next read.
    idle_close : int
        A row that was not used for so many clocks is closed, before twice as many have passed.
    starvation : int
        Clocks after which a request goes ahead of everything else.
    urgent_burst : int
        Requests that do so at most in one turn of a port's reads or writes: the next ones in its
        window, as long as they hit an open row.
    """

    read_entries: int = 32
    write_entries: int = 32
    write_high: int = 28
    write_low: int = 0
    write_burst: int = 32
    preempt_burst: int = 16
    read_burst: int = 128
    quiet_clocks: int = 8
    idle_close: int = 64
    starvation: int = 512
    urgent_burst: int = 8

    def __post_init__(self) -> None:
        for name in ("read_entries", "write_entries"):
            require_int(name, getattr(self, name), 2, 128)
        require_int("write_high", self.write_high, 1, self.write_entries)
        require_int("write_low", self.write_low, 0, self.write_high - 1)
        for name in ("write_burst", "preempt_burst", "read_burst", "quiet_clocks"):
            require_int(name, getattr(self, name), 1, 1 << 10)
        require_int("idle_close", self.idle_close, 2, 1 << 12)
        require_int("starvation", self.starvation, 1, 1 << 12)
        require_int("urgent_burst", self.urgent_burst, 1, 64)
        if self.preempt_burst > self.write_burst:
            raise SpecError("preempt_burst", self.preempt_burst,
                            f"at most write_burst = {self.write_burst}")


SHARED = SchedulerSpec(read_entries=64, write_entries=64, write_high=32, write_burst=176,
                       preempt_burst=176, read_burst=520, starvation=4095)
"""For a channel of which a GPU takes half, and a DMA engine what is left (docs/dma.md).

Long drains, since each costs two turn-arounds, and windows from which the banks can be kept busy
in between; whoever comes second may wait long. A drain may begin with the 32 writes that the engine
has at most of one bank group."""
