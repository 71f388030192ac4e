"""cocotb test that measures attentions, alone and one after another without a pause.

Parameters: ``spec``, ``cases``: each a dictionary of ``group``, ``context``, ``head_size``,
``stored`` (name of a quantised format, or empty), how many attentions are ``settling`` and
``measured`` (:func:`_steady`), and whether one is measured ``alone``, as by default; ``sparse``, if
most nets are to rest.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, Timer

from hdl.attention.wave_source import REQUESTS
from hdl.layouts import row_command_layout
from model.golden.attention import Attention
from model.spec.attention import (
    BLOCK_TOKENS,
    KvLayout,
    QuantisedKvLayout,
    padded_head_size,
    softmax_scale,
)
from model.spec.attention_bounds import POSTPONED_MAX
from model.spec.mx import element_format
from model.spec.presets import slice_spec
from model.spec.timing import Command
from tb.bench import PERIOD_NS, parameters
from tb.channel_monitor import Fields
from tb.slice_bench import Sequence, SliceBench

RECORD = "attentions.json"
"""File with what each case cost, in the order of the cases."""

TAIL = 2
"""Attentions behind the last that is measured."""

TAIL_WAVES = 4
"""Most waves of each: longer than the outputs of the last one measured are read out."""


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def measure_attentions(dut: Any) -> None:
    """Every result is compared with the golden model to the last bit."""
    options = parameters()
    spec = slice_spec(**options["spec"])
    cases = options["cases"]
    records = []
    async with SliceBench(dut, spec, watch=False) as tb:
        loaded: tuple[Any, Sequence | None] = None, None
        for case in cases:
            context, kind = case["context"], kind_of(case)
            if loaded[0] != kind:
                loaded = kind, await load(tb, *kind, max(
                    other["context"] for other in cases if kind_of(other) == kind))
            whole = loaded[1]
            assert whole
            await describe(tb, whole)
            want = tb.golden(whole, context)
            record = dict(case)
            if case.get("alone", True):
                await rest(tb)
                before, spent = tb.cycle, time.process_time()
                record["alone"] = await _alone(tb, whole, context, want)
                record["alone_cpu_s"] = time.process_time() - spent
                record["alone_simulated"] = tb.cycle - before
            record["ends"] = (await _steady(tb, whole, case, want) if case["measured"] else [])
            records.append(record)
        tb.check(await tb.errors(), set(), "errors")
    Path(RECORD).write_text(json.dumps(records))


def kind_of(case: dict[str, Any]) -> tuple[int, int, str]:
    """Cases with the same have a sequence in common."""
    return case["group"], case["head_size"], case["stored"]


async def load(tb: SliceBench, group: int, head_size: int, stored: str,
               tokens: int) -> Sequence:
    """A sequence as long as is asked for, whose waves use the rows of the banks over and over.

    Which row of a bank a wave lies in, and what is in it, costs no clock more or less; so the banks
    need not be as large as the context.
    """
    geometry = tb.spec.geometry
    wave = BLOCK_TOKENS * geometry.pim_banks
    fmt = element_format(stored) if stored else None
    layout = (QuantisedKvLayout(head_size=padded_head_size(head_size), columns=geometry.columns)
              if fmt else KvLayout(head_size=head_size, columns=geometry.columns))
    rows = layout.rows
    fitting = min(geometry.rows // rows, -(-tokens // wave))
    size = {"heads": group, "head_size": head_size, "tokens": fitting * wave}
    if parameters().get("sparse"):
        part = tb.sparse_sequence(**size)
        await tb.store_sparse_sequence(part)
    else:
        part = tb.random_sequence(**size, stored=fmt)
        await tb.store_sequence(part)
    copies = -(-tokens // len(part.k))
    waves = -(-tokens // wave)
    whole = Sequence(q=part.q, head_size=part.head_size, k=np.tile(part.k, (copies, 1))[:tokens],
                     v=np.tile(part.v, (copies, 1))[:tokens], rows=(part.rows * copies)[:waves],
                     stored=fmt)
    await tb.set_waves(whole)
    return whole


async def rest(tb: SliceBench) -> None:
    """Until every refresh that was postponed is over, and one that was due just now."""
    timing = tb.spec.timing
    refresh = timing.clocks(timing.nRFCab)
    owed = min(POSTPONED_MAX, 1 + (tb.cycle - tb.rested) // timing.refresh_interval) + 1
    await Timer(5 * owed // 4 * refresh * PERIOD_NS, "ns")
    row = Fields(row_command_layout(tb.spec))
    while row(int(tb.dut.commands__row.value))["command"] != Command.REF_ALL:
        await RisingEdge(tb.dut.clk)
    await tb.clocks(refresh)
    tb.rested = tb.cycle


async def _alone(tb: SliceBench, sequence: Sequence, context: int, want: Attention) -> int:
    """Clocks of an attention that nothing precedes or follows, as its counter shows them."""
    await tb.start_attention(sequence, context)
    await tb.collect(sequence, context, want=want)
    await tb.clocks(4)
    return await tb.host.read("attend_cycles")


async def _steady(tb: SliceBench, sequence: Sequence, case: dict[str, Any],
                  want: Attention) -> list[int]:
    """When attentions end of which others wait behind all the time, in clocks.

    The first is the last of ``settling`` attentions, in which refreshes of the PIM banks are
    postponed and not yet made up for; ``measured`` follow. Behind the last of them come short ones,
    so that it has company to its end as all the others have.
    """
    tail = min(case["context"], TAIL_WAVES * BLOCK_TOKENS * tb.spec.geometry.pim_banks)
    counted = case["settling"] + case["measured"]
    wants = {tail: tb.golden(sequence, tail), case["context"]: want}
    await rest(tb)
    ends = await one_after_another(
        tb, sequence, [case["context"]] * counted + [tail] * TAIL, wants)
    return ends[case["settling"] - 1:counted]


async def one_after_another(tb: SliceBench, sequence: Sequence, contexts: list[int],
                            wants: Mapping[int, Attention]) -> list[int]:
    """Attentions to so many tokens, each asked for as soon as there is room; when they end."""
    tb.result_clocks.clear()

    async def queries() -> None:
        for _ in contexts:
            await tb.send_queries(sequence)

    feeder = cocotb.start_soon(queries())
    started = 0
    for done, context in enumerate(contexts):
        while started < min(done + REQUESTS, len(contexts)):
            await tb.host.write("context", contexts[started])
            await tb.host.write_fields("control", attend=1)
            started += 1
        await tb.collect(sequence, context, want=wants[context])
    await feeder
    heads = len(sequence.q)
    ends = tb.result_clocks[heads - 1::heads]
    tb.check(len(ends), len(contexts), "attentions")
    return ends


async def describe(tb: SliceBench, sequence: Sequence) -> None:
    """Sets the registers that attentions to a sequence have in common."""
    heads, head_size = sequence.q.shape
    await tb.host.write("scale", int(np.float32(softmax_scale(sequence.head_size)).view(np.uint32)))
    await tb.host.write("first_wave", 0)
    await tb.host.write_fields(
        "shape", last_chunk=head_size // 16 - 1, last_head=heads - 1, partial=0,
        format=sequence.stored.code if sequence.stored else 0)
