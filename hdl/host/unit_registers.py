"""How the registers of DMA engine, translator and descriptor engine reach these units."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value

from hdl.host.axi_lite import DATA_WIDTH
from hdl.layouts import BEAT_WIDTH
from model.spec.dma import SETTINGS
from model.spec.secded import BEAT_CHECK_BITS
from model.spec.translation import BLOCK_ID_WIDTHS, COUNTERS, TABLES_WIDTHS
from model.spec.unit_registers import HIGH_NAMES, LOW_NAMES, RING_SETUP, SETUP


def _connect_doorbells(m: Module, block: Any, engine: Any, rings: range) -> None:
    """Which rings are rung, and the tail of the one whose register is written."""
    rung = [getattr(block, f"doorbell_{n}_rung") for n in rings]
    tail: Value = block.doorbell_0.tail
    for n in rings[1:]:
        tail = Mux(rung[n], getattr(block, f"doorbell_{n}").tail, tail)
    m.d.comb += [engine.doorbell.eq(Cat(rung)), engine.tail.eq(tail)]


def connect_dma(m: Module, block: Any, engine: Any) -> None:
    """Connects the registers of :func:`model.spec.unit_registers.dma_map` to a DMA engine.

    Parameters
    ----------
    m : Module
    block : RegisterBlock
    engine : DmaEngine
    """
    channels = range(engine.dma.channels)
    _connect_doorbells(m, block, engine, channels)
    corrected = Signal(DATA_WIDTH, name="buffer_corrected")
    m.d.sync += corrected.eq(corrected + engine.corrected)
    m.d.comb += [
        *(getattr(engine, member).eq(Value.cast(getattr(block, name))[:len(channels)])
          for member, name in (("cancel", "abort"), ("resume", "resume"), ("clear", "clear"))),
        Value.cast(block.pending).eq(engine.pending),
        *(engine.coalescing[name].eq(block.coalescing[name]) for name in ("count", "timeout")),
        block.corrected.eq(corrected),
        engine.inject.eq(Value.cast(block.buffer_flips)[:BEAT_WIDTH + BEAT_CHECK_BITS]),
    ]
    for i in channels:
        settings, status = getattr(engine, f"settings_{i}"), getattr(engine, f"status_{i}")
        for name in SETTINGS:
            if name in ("ring", "records"):
                m.d.comb += settings[name].eq(Value.cast(getattr(block, f"{name}_{i}")))
            else:
                register = getattr(block, f"{'setup' if name in SETUP else 'share'}_{i}")
                m.d.comb += settings[name].eq(register[name])
        shown = getattr(block, f"status_{i}")
        m.d.comb += [shown[name].eq(status[name]) for name in (
            "busy", "stopped", "bad_doorbell", "lost_record", "head")]


def connect_descriptors(m: Module, block: Any, engine: Any) -> None:
    """Connects the registers of :func:`model.spec.unit_registers.descriptors_map` to an engine.

    Parameters
    ----------
    m : Module
    block : RegisterBlock
    engine : DescriptorEngine or JoinEngine
    """
    rings = range(engine.engine.rings)
    _connect_doorbells(m, block, engine, rings)
    for n in rings:
        settings, status = getattr(engine, f"settings_{n}"), getattr(engine, f"status_{n}")
        setup, shown = getattr(block, f"setup_{n}"), getattr(block, f"status_{n}")
        m.d.comb += [
            *(settings[name].eq(Value.cast(getattr(block, f"{name}_{n}")))
              for name in ("ring", "records")),
            *(settings[name].eq(setup[name]) for name in RING_SETUP),
            *(shown[name].eq(status[name]) for name in ("busy", "bad_doorbell", "head")),
        ]
    m.d.comb += [
        block.events_set.announced.eq(engine.announced), block.events_set.failed.eq(engine.erred),
        block.events_set.lost_record.eq(engine.lost),
    ]


def connect_joins(m: Module, block: Any, engine: Any) -> None:
    """Connects the registers of :func:`model.spec.unit_registers.joins_map` to a join engine.

    Parameters
    ----------
    m : Module
    block : RegisterBlock
    engine : JoinEngine
    """
    connect_descriptors(m, block, engine)
    m.d.comb += [engine.cancel.eq(block.cancel.unbegun),
                 block.events_set.stray.eq(engine.stray)]


def connect_translator(m: Module, block: Any, translator: Any) -> None:
    """Connects the registers of :func:`model.spec.unit_registers.translator_map` to a translator.

    Parameters
    ----------
    m : Module
    block : RegisterBlock
    translator : Translator
    """
    forget, fault, touched = translator.invalidate, translator.fault, translator.touched
    with m.If(block.invalidate_rung):
        m.d.sync += forget.valid.eq(1)
    with m.Elif(forget.ready):
        m.d.sync += forget.valid.eq(0)
    m.d.comb += [
        *(translator.tables[name].eq(getattr(block, name).value) for name in TABLES_WIDTHS),
        forget.p.scope.eq(block.invalidate.scope),
        *(forget.p.id[name].eq((block.block_low if name in LOW_NAMES else block.block_high)[name])
          for name in BLOCK_ID_WIDTHS),
        block.status.invalidating.eq(forget.valid),
        block.status.fault.eq(fault.valid), block.status.touched.eq(touched.valid),
        fault.ready.eq(block.take.fault), touched.ready.eq(block.take.touched),
        *(getattr(block, name).eq(translator.counters[name]) for name in COUNTERS),
    ]
    with m.If(fault.valid):
        m.d.comb += [*(block.fault_kind[name].eq(fault.p[name]) for name in (
                         "cause", "commit", "tier", "access", "requester", "tag")),
                     *_shows(block.fault_low, block.fault_high, fault.p.id)]
    with m.If(touched.valid):
        m.d.comb += _shows(block.touched_low, block.touched_high, touched.payload)


def _shows(low: Any, high: Any, block_id: Any) -> list[Any]:
    return [*(low[name].eq(block_id[name]) for name in LOW_NAMES),
            *(high[name].eq(block_id[name]) for name in HIGH_NAMES)]
