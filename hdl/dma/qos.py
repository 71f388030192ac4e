"""Which channel's segment goes next: caps, priorities and weights."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from model.spec.dma import SEGMENT_BEATS, SETTINGS

BEATS = range(SEGMENT_BEATS + 1)


class TokenBucket(wiring.Component):
    """Lets a channel go on while it has tokens; a segment may take it below zero, which it pays.

    Members
    -------
    rate, burst : ``In(8)``, ``In(16)``
        Tokens a clock, in 256ths of a beat, 0 for no cap; most tokens, in beats.
    spend, beats : ``In(1)``, ``In``
        A segment goes.
    open : ``Out(1)``
        One may go.
    """

    rate: Signal
    burst: Signal
    spend: Signal
    beats: Signal
    open: Signal

    def __init__(self) -> None:
        super().__init__({
            "rate": In(SETTINGS["rate"]), "burst": In(SETTINGS["burst"]),
            "spend": In(1), "beats": In(BEATS), "open": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fraction = SETTINGS["rate"]
        tokens = Signal(signed(SETTINGS["burst"] + fraction + 2))
        more = Signal.like(tokens)
        most = self.burst << fraction
        m.d.comb += [
            more.eq((tokens + self.rate - Mux(self.spend, self.beats << fraction, 0))[
                :len(more)].as_signed()),
            self.open.eq((self.rate == 0) | (tokens > 0)),
        ]
        m.d.sync += tokens.eq(Mux(self.rate == 0, most, Mux(more > most, most, more)))
        return m


class QosArbiter(wiring.Component):
    """Picks among the highest priority, by weight: each goes on for its share of beats; no latency.

    A channel's share in one round is ``weight`` segments of full length. When all that ask have
    used theirs, one clock without a pick begins a new round.

    Parameters
    ----------
    channels : int

    Members
    -------
    asks : ``In(channels)``
    priority, weight : ``In`` of each channel, ``priority_0`` and so on
    beats : ``In``, of the one that is picked
    pick : ``Out(channels)``
        One bit, or none.
    take : ``In(1)``
        The pick goes in this clock.
    """

    asks: Signal
    beats: Signal
    pick: Signal
    take: Signal

    def __init__(self, channels: int) -> None:
        self.channels = channels
        super().__init__({
            "asks": In(channels), "beats": In(BEATS), "pick": Out(channels), "take": In(1),
            **{f"priority_{i}": In(SETTINGS["priority"]) for i in range(channels)},
            **{f"weight_{i}": In(SETTINGS["weight"]) for i in range(channels)},
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = self.channels
        best, funded, after = (Signal(count, name=n) for n in ("best", "funded", "after"))
        first = (1 << count) - 1
        m.d.comb += best.eq(self._highest(m))
        for i in range(count):
            weight: Value = getattr(self, f"weight_{i}")
            share = Signal(range((1 << SETTINGS["weight"]) * SEGMENT_BEATS), name=f"share_{i}")
            m.d.comb += funded[i].eq(best[i] & (share != 0))
            with m.If(best.any() & ~funded.any()):
                with m.If(best[i]):
                    m.d.sync += share.eq(
                        (Mux(weight == 0, 1, weight) * SEGMENT_BEATS)[:len(share)])
            with m.Elif(self.take & self.pick[i]):
                m.d.sync += share.eq(Mux(share > self.beats, share - self.beats, 0)[:len(share)])
        turn = Signal(count)
        m.d.comb += [
            turn.eq(Mux((funded & after).any(), funded & after, funded)),
            self.pick.eq(turn & (~turn + 1)[:count]),
        ]
        with m.If(self.take):                       # next time the channels behind go first
            m.d.sync += after.eq(~(self.pick | (self.pick - 1)[:count]) & first)
        return m

    def _highest(self, m: Module) -> Value:
        """Those that ask with the highest priority."""
        levels = 1 << SETTINGS["priority"]
        found: Value = Cat(self.asks[i] & 0 for i in range(self.channels))
        for level in range(levels):
            asking = Signal(self.channels, name=f"asking_{level}")
            m.d.comb += asking.eq(Cat(self.asks[i] & (getattr(self, f"priority_{i}") == level)
                                      for i in range(self.channels)))
            found = Mux(asking.any(), asking, found)
        return found
