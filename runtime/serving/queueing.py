"""Requests from their arrival to their end: admission, growth, preemption."""

from collections import deque

import msgspec

from model.spec.attention import BLOCK_TOKENS
from runtime.policies.base import Access
from runtime.serving.attention import Attention
from runtime.serving.config import EngineConfig
from runtime.serving.decode_batch import DecodeBatch
from runtime.serving.forecast import Forecast
from runtime.serving.result import EngineResult, Served
from runtime.serving.running import Running, Waiting
from runtime.serving.transfers import Transfers
from runtime.serving.watching import Watcher
from runtime.systems import System
from runtime.tiers.books import Admission
from runtime.tiers.kv_store import KvStore
from runtime.tiers.layout import PimLayout
from runtime.workload import Request, Workload

KEYS_PER_REQUEST = 1 << 12
"""Waves that a request may hash before its numbers meet those of the next one."""


class Requests:
    """All requests that are not done.

    Attributes
    ----------
    queue : deque of Waiting
        In order of arrival, preempted ones first.
    prefilling, resuming : dict of Running
        By sequence: those whose prompt is not complete, those whose KV is being swapped in. The
        others in work are in the batch.
    unsettled : bool
        Whether a request was preempted after the last admissions, so that there may be others.
    """

    def __init__(self, *, system: System, workload: Workload, config: EngineConfig, store: KvStore,
                 batch: DecodeBatch, attention: Attention, transfers: Transfers,
                 result: EngineResult, watcher: Watcher | None) -> None:
        self.system, self.config, self.store = system, config, store
        self.batch, self.attention, self.transfers = batch, attention, transfers
        self.result, self.watcher = result, watcher
        self.queue: deque[Waiting] = deque()
        self.prefilling: dict[int, Running] = {}
        self.resuming: dict[int, Running] = {}
        self._block_tokens = workload.block_tokens
        self.unsettled = False
        self._done: list[Running] = []
        self._refused: tuple[Waiting, int] | None = None    # the head, and when it did not fit
        self._held_by = "step"      # what the head of the queue waits for, a key of `waits_ps`
        self._admitted = 0
        self._grows = config.preemption != "none"
        self.forecast = Forecast() if self._moves_ahead() else None
        self._prices = _block_prices(system, config, workload.block_tokens)

    def _moves_ahead(self) -> bool:
        """Only the base die moves blocks on a guess: it takes no time of steps but the buses'."""
        layout, way = self.store.layout, self.system.routes.get((1, 0))
        return (isinstance(layout, PimLayout) and layout.policy.moves_ahead
                and way is not None and way.engine == "dma")

    @property
    def in_work(self) -> int:
        """Requests that have been admitted and are not done."""
        return len(self.prefilling) + len(self.resuming) + len(self.batch)

    def check_all_served(self) -> None:
        """Raises AssertionError if a request is left."""
        assert not self.queue and not self.in_work

    # Admission

    def arrive(self, waiting: Waiting) -> None:
        """A request has arrived."""
        if not self.queue and self._is_closed():
            self._held_by = "batch"
        self.queue.append(waiting)

    def would_admit(self) -> bool:
        """Whether a request that arrived now could be admitted at the end of the step."""
        return not self.queue and not self._is_closed()

    def _is_closed(self) -> bool:
        in_work = self.in_work
        return in_work >= self.config.max_batch or (
            self.config.batching == "static" and in_work > 0)

    def admit(self, now: int) -> None:
        """Takes requests into work, as many as can be."""
        self.unsettled = False
        places = self.config.max_batch - self.in_work
        if self.config.batching == "static" and self.in_work:
            places = 0
        while self.queue:
            if not places:
                self._held_by = "batch"
                return
            tried = (self.queue[0], self.store.epoch)
            if self._refused == tried or not self._take_in(self.queue[0], now):
                self._refused = tried
                static = self.config.batching == "static" and self.in_work
                self._held_by = "batch" if static else "capacity"
                return
            self.queue.popleft()
            places -= 1
        self._held_by = "step"

    def _take_in(self, waiting: Waiting, now: int) -> bool:
        request = waiting.served.request
        prompt = request.input_tokens + waiting.generated
        ids, private = request.block_ids, 0
        if waiting.swapped is not None:
            kept = self.store.hits(ids[:waiting.kept_blocks])
            if len(kept) == waiting.kept_blocks:
                ids, private = ids[:waiting.kept_blocks], waiting.swapped[1]
                prompt -= 1         # the last token's KV is made by the step that it is read in
            else:                   # what it goes on from has been dropped meanwhile
                self.store.swap_in(*waiting.swapped)
                waiting.swapped, waiting.kept_blocks = None, 0
        total = -(-prompt // BLOCK_TOKENS) if self._grows else request.kv_blocks
        if waiting.swapped is not None:
            total = private + sum(self.store.entries[b].kv_blocks for b in ids)
        reserve = self.in_work if self._grows else 0
        hits = self.store.find(ids, total, reserve)
        if hits is None:
            return False
        if self.forecast is not None and hits:
            self.forecast.reused(self.store.entries[hits[-1]].access, now)
        home = self.store.layout.home(waiting.index)
        admission = self.store.admit(
            ids, total, reserve=reserve, key=waiting.index * KEYS_PER_REQUEST, home=home,
            access=self._access(request, waiting.index, home, now), hits=hits)
        assert admission is not None
        if waiting.swapped is not None:
            self.store.swap_in(*waiting.swapped)
            admission.moves[waiting.swapped[0], 0] += private
            self.result.counts["swapped_in_kv_blocks"] += private
        self._note_wait(waiting, admission, now)
        self._start(waiting, admission, prompt, home, now)
        return True

    def _start(self, waiting: Waiting, admission: Admission, prompt: int, home: int,
               now: int) -> None:
        ready = self._move(now, admission)
        hits = admission.hit_blocks
        if self.system.fetch is not None and hits and waiting.swapped is None:
            kv_blocks = sum(self.store.entries[b].kv_blocks for b in hits)
            ready = max(ready, self.transfers.carry(now, self.system.fetch, kv_blocks, "fetch"))
            self.result.counts["link_bytes"] += kv_blocks * self.system.model.kv_block_bytes
        request = waiting.served.request
        hit_tokens = min(request.input_tokens, len(hits) * self._block_tokens)
        running = Running(
            waiting.served, waiting.index, self._admitted, home, hits, admission.parts,
            admission.places, admission.waves(), admission.private, prompt,
            # The last token is computed even if its KV is there: its logits are needed.
            prefilled=min(hit_tokens, prompt - 1), generated=waiting.generated, ready_ps=ready,
            since_ps=now)
        self._admitted += 1
        self.store.layout.plan(running.plan, 1)
        if waiting.swapped is not None:
            running.prefilled = prompt
            self.resuming[running.sequence] = running
            return
        self.prefilling[running.sequence] = running
        if waiting.served.preemptions:
            self.result.counts["recomputed_tokens"] += prompt - running.prefilled
        else:
            waiting.served.prefix_hit_tokens = hit_tokens

    def _note_wait(self, waiting: Waiting, admission: Admission, now: int) -> None:
        served, counts = waiting.served, self.result.counts
        if self.watcher:
            self.watcher.state(waiting, "preempted" if served.preemptions else "queued", now)
        if served.preemptions:
            return
        served.admitted_ps = now
        self.result.waits_ps[self._held_by] += now - served.request.arrival_ps
        counts["prompt_blocks"] += len(served.request.block_ids)
        for tier, hits in zip(self.system.tiers, admission.hits_by_tier, strict=True):
            counts[f"hits_{tier.name}"] += hits

    def _access(self, request: Request, index: int, home: int, now: int) -> Access:
        move, recompute, recompute_step = self._prices
        return Access(
            time_ps=now, request=index, request_class=request.request_class,
            session=request.session, turn=request.turn, prompt_blocks=len(request.block_ids),
            card=home, cards=self.system.pim.stacks if self.system.pim else 1, move_ps=move,
            recompute_ps=recompute, recompute_step_ps=recompute_step)

    def _move(self, now: int, admission: Admission, what: str = "") -> int:
        counts = self.result.counts
        counts["promoted_kv_blocks"] += admission.promoted
        counts["demoted_kv_blocks"] += admission.demoted
        counts["spread_kv_blocks"] += admission.moves[0, 0]
        counts["dropped_kv_blocks"] += admission.dropped
        return self.transfers.move(now, admission.moves, what)

    # In work

    def next_ready(self, now: int) -> int | None:
        """When the next request that waits for its transfers can go on, after ``now``."""
        times = [r.ready_ps for r in self.prefilling.values() if r.ready_ps > now]
        times += [r.ready_ps for r in self.resuming.values() if r.ready_ps > now]
        return min(times, default=None)

    def resume(self, now: int) -> None:
        """Requests whose KV has been swapped in go on."""
        for running in [r for r in self.resuming.values() if r.ready_ps <= now]:
            del self.resuming[running.sequence]
            self._decode(running)

    def _decode(self, running: Running) -> None:
        left = running.served.request.output_tokens - running.generated
        self.batch.add(running, running.prompt + 1, left)
        self.attention.add(running)

    def end_prefills(self, now: int) -> None:
        """Requests whose prompts are complete make their first token and share their blocks."""
        for running in [r for r in self.prefilling.values() if r.prefilled == r.prompt]:
            del self.prefilling[running.sequence]
            if self.watcher:
                self.watcher.state(running, "prefill", now)
            running.since_ps = now
            served = running.served
            if served.first_token_ps < 0:
                served.first_token_ps = now
            running.generated += 1
            self._publish(running, now)
            if running.generated == served.request.output_tokens:
                self._done.append(running)
            else:
                self._decode(running)

    def _publish(self, running: Running, now: int) -> None:
        request = running.served.request
        hits = len(running.pinned)
        ids = request.block_ids[hits:]
        if not ids:
            return
        full = self._block_tokens // BLOCK_TOKENS
        last = request.input_tokens - (len(request.block_ids) - 1) * self._block_tokens
        sizes = [full] * (len(ids) - 1) + [-(-last // BLOCK_TOKENS)]
        shared, released = self.store.publish(
            ids, sizes, start=hits, places=running.places,
            access=self._access(request, running.index, running.home, now))
        running.pinned = running.pinned + shared
        running.private -= released

    def take_done(self) -> list[Running]:
        """Requests whose only token was made by their prefill."""
        done, self._done = self._done, []
        return done

    def leave_batch(self, running: Running) -> None:
        """A request no longer decodes."""
        grown = self.batch.remove(running)
        running.grown = grown if self._grows else 0
        running.generated = (running.served.request.output_tokens
                             - (running.final_step - self.batch.step))
        self.attention.remove(running)

    def release(self, running: Running, now: int) -> None:
        """A request's blocks are its own no longer."""
        layout = self.store.layout
        layout.plan(running.plan, -1)
        left = running.private
        for extent, size in reversed(running.places):
            if not left:
                break
            layout.vacate(extent, min(left, size))
            left -= min(left, size)
        layout.settle()
        access = self._access(running.served.request, running.index, running.home, now)
        self.store.release(running.pinned, running.private + running.grown, access)
        if self.watcher:
            state = "decode" if running.prefilled == running.prompt else "prefill"
            self.watcher.state(running, state, now)

    def expect_reuse(self, running: Running, now: int) -> int | None:
        """A request is done; when its blocks are to be moved up, if ever."""
        request = running.served.request
        # The first block of a trace may be everyone's: who shares no more has no past of its own.
        if self.forecast is None or running.served.prefix_hit_tokens <= self._block_tokens:
            return None
        return self.forecast.left(self._access(request, running.index, running.home, now),
                                  running.home, request.block_ids)

    def move_ahead(self, now: int) -> None:
        """Moves blocks up that are due, as far as there is empty room."""
        if self.forecast is None:
            return
        for warm in self.forecast.take_due(now):
            moved = self.store.prefetch(warm.block_ids, warm.request * KEYS_PER_REQUEST,
                                        warm.home)
            self.result.counts["moved_ahead_kv_blocks"] += moved.promoted
            self._move(now, moved, "ahead")

    @staticmethod
    def forget_blocks(served: Served) -> None:
        """Lets go of what takes most memory of a request that is done."""
        served.request = msgspec.structs.replace(served.request, block_ids=())

    # Growth

    def room_to_grow(self) -> int | None:
        """KV blocks that the batch may grow by; None if it has what it needs."""
        return self.store.room if self._grows else None

    def grown(self, kv_blocks: int) -> None:
        """The batch has grown."""
        if self._grows:
            self.store.take_private(kv_blocks)

    def make_room_to_grow(self, now: int) -> None:
        """Sees to it that the next step has room, by eviction and, if need be, preemption."""
        while self._grows and self.batch:
            need = self.batch.growth(1)
            if need <= self.store.room:
                return
            room = self.store.grow(need)
            if room is not None:
                self._move(now, room)
                return
            self._preempt(now)

    def _preempt(self, now: int) -> None:
        """Puts the request that was admitted last back into the queue."""
        self.unsettled = True
        latest = max([*self.batch.members, *self.prefilling, *self.resuming])
        swapped = None
        if latest in self.prefilling:
            running = self.prefilling.pop(latest)
        else:
            if latest in self.batch.members:
                running = self.batch.members[latest]
                self.leave_batch(running)
            else:
                running = self.resuming.pop(latest)
            if self.config.preemption == "swap":
                swapped = self._swap_out(running, now)
        kept = len(running.pinned) if swapped else 0
        self.release(running, now)
        running.served.preemptions += 1
        self.result.counts["preemptions"] += 1
        self.queue.appendleft(Waiting(running.served, running.index, now, running.generated, kept,
                                      swapped))

    def _swap_out(self, running: Running, now: int) -> tuple[int, int] | None:
        kv_blocks = running.private + running.grown
        found = self.store.swap_out(kv_blocks)
        if found is None:
            return None
        place, moved = found
        moved.moves[0, place] += kv_blocks
        self.result.counts["swapped_out_kv_blocks"] += kv_blocks
        self._move(now, moved, "swap_out")
        return place, kv_blocks


def _block_prices(system: System, config: EngineConfig, block_tokens: int) -> tuple[int, int, int]:
    """Times to bring back a prefix block, and to compute one again: the first, and per place."""
    move = 0
    if len(system.tiers) > 1:
        cost = system.routes[1, 0].cost(-(-block_tokens // BLOCK_TOKENS))
        move = sum(ps for _, ps in cost)
    gpu, tokens = system.gpu, config.step_tokens
    first = (gpu.dense(tokens, 0).ps * block_tokens // tokens
             + gpu.prefill_attention(block_tokens, 0).ps)
    second = (gpu.prefill_attention(block_tokens, block_tokens).ps
              - gpu.prefill_attention(block_tokens, 0).ps)
    return move, first, second
