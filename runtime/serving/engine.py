"""The serving engine: continuous batching with chunked prefill, in integer picoseconds.

A step is one pass of the model over all decoding requests (one token each) and a chunk of waiting
prompts, together at most ``step_tokens`` tokens. Within a layer the GPU's part and the PIM units'
part follow each other: attention needs the layer's queries and the output projection needs the
attention, so a step's time is the sum of its parts. Requests are admitted in order of arrival,
between steps, when the first tier has room for their prompts beside what is in use. Steps that
differ in their contexts only are advanced many at a time, up to the next event.
"""

from collections.abc import Iterator

from runtime.policies import eviction_policy
from runtime.policies.placement import placement_policy
from runtime.policies.replication import replication_policy
from runtime.serving.attention import Attention, GpuAttention, PimAttention
from runtime.serving.config import EngineConfig
from runtime.serving.decode_batch import DecodeBatch
from runtime.serving.events import Agenda, Priority
from runtime.serving.observer import Observer
from runtime.serving.queueing import Requests
from runtime.serving.result import EngineResult, Served, check_fits
from runtime.serving.running import Running, Waiting
from runtime.serving.steps import Steps
from runtime.serving.transfers import Transfers
from runtime.serving.watching import Watcher
from runtime.systems import System
from runtime.tiers.copies import Copies
from runtime.tiers.kv_store import KvStore
from runtime.tiers.layout import Layout, PimLayout
from runtime.tiers.units import PimUnits
from runtime.workload import Request, RequestStream, Workload


class Engine:
    """Serves one workload on one system; use once.

    Parameters
    ----------
    system : System
    workload : Workload
    config : EngineConfig
    observer : Observer, optional
        Is told what happens.
    """

    steps_class: type[Steps] = Steps

    def __init__(self, system: System, workload: Workload, config: EngineConfig,
                 observer: Observer | None = None) -> None:
        check_fits(system.spec.name, system.tiers[0], system.model, workload)
        spec = system.spec
        self.system, self.workload, self.config = system, workload, config
        self.result = EngineResult()
        self.batch = DecodeBatch()
        layout = Layout()
        self.attention: Attention = GpuAttention(system, self.batch)
        copies = Copies()
        if system.pim is not None:
            placement = placement_policy(config.placement or spec.placement)()
            layout = PimLayout(PimUnits(system.pim, system.tiers[0].kv_blocks), placement)
            self.attention = PimAttention(system, self.batch, layout)
            copies = Copies(replication_policy(config.replication or spec.replication)())
        self.store = KvStore(tiers=system.tiers, layout=layout, copies=copies,
                             policy=eviction_policy(config.eviction or spec.eviction))
        copies.pool = min(copies.pool,
                          max(0, system.tiers[0].kv_blocks - workload.longest.kv_blocks))
        self.transfers = Transfers(system, config.no_overlap, self.result, observer)
        self.watcher = Watcher(observer, self.store, self.attention) if observer else None
        self.requests = Requests(system=system, workload=workload, config=config,
                                 store=self.store, batch=self.batch, attention=self.attention,
                                 transfers=self.transfers, result=self.result,
                                 watcher=self.watcher)
        self.steps = self.steps_class(system=system, config=config, batch=self.batch,
                                      attention=self.attention, result=self.result,
                                      watcher=self.watcher)
        self._agenda = Agenda()
        self._streamed = isinstance(workload.requests, RequestStream)
        self._arrivals: Iterator[Request] = iter(workload.requests)
        self._arrived = 0
        self._next_arrival_ps: int | None = None
        self._stepping = False

    def run(self) -> EngineResult:
        """Serves all requests and returns what was measured."""
        agenda = self._agenda
        self._expect_arrival()
        while agenda:
            event = agenda.pop()
            while True:
                if event.priority is Priority.ARRIVAL:
                    assert isinstance(event.payload, Waiting)
                    self.requests.arrive(event.payload)
                    self.result.served.append(event.payload.served)
                    self._expect_arrival()
                elif event.priority is Priority.STEP_DONE:
                    self._stepping = False
                    self._end_step(agenda.now)
                if agenda.peek() != agenda.now:
                    break
                event = agenda.pop()
            if not self._stepping:
                self._start_step(agenda.now)
        self.requests.check_all_served()
        return self.result

    def _expect_arrival(self) -> None:
        request = next(self._arrivals, None)
        self._next_arrival_ps = None if request is None else request.arrival_ps
        if request is not None:
            waiting = Waiting(Served(request), self._arrived, request.arrival_ps)
            self._arrived += 1
            self._agenda.push(request.arrival_ps, Priority.ARRIVAL, waiting)

    def _start_step(self, now: int) -> None:
        requests = self.requests
        if self._next_arrival_ps is not None or requests.queue:
            requests.move_ahead(now)
        requests.admit(now)
        requests.make_room_to_grow(now)
        start = max(now, self.transfers.stall_ps)
        requests.resume(start)
        chunks = self._chunks(start)
        if not chunks and not self.batch:
            waiting = requests.next_ready(start)
            if waiting is not None:
                self._agenda.push(waiting, Priority.TRANSFER_DONE)
            return
        self.result.time_ps["dma_wait"] += start - now
        end = self.steps.run(start, chunks, room=requests.room_to_grow(),
                             horizon=self._horizon(start), transfers=self.transfers)
        requests.grown(self.steps.grown)
        self._agenda.push(end, Priority.STEP_DONE)
        self._stepping = True

    def _chunks(self, start: int) -> list[tuple[Running, int]]:
        """Prompts in order of admission, cut to the step's budget of tokens."""
        budget = self.config.step_tokens - len(self.batch)
        chunks = []
        for running in self.requests.prefilling.values():
            if budget == 0:
                break
            if running.ready_ps <= start:
                tokens = min(budget, running.prompt - running.prefilled)
                chunks.append((running, tokens))
                budget -= tokens
        return chunks

    def _horizon(self, start: int) -> int | None:
        """The next time at which something could change; None if only the end of a request can."""
        if self.requests.unsettled:
            return start
        ready = self.requests.next_ready(start)
        arrival = self._next_arrival_ps if self.requests.would_admit() else None
        due = self.requests.forecast.next_due() if self.requests.forecast else None
        return min([t for t in (ready, arrival, due) if t is not None], default=None)

    def _end_step(self, now: int) -> None:
        self.requests.end_prefills(now)
        for running in self.batch.finished():
            self.requests.leave_batch(running)
            self._finish(running, now)
        for running in self.requests.take_done():
            self._finish(running, now)
        if self.watcher:
            self.watcher.residency(now)

    def _finish(self, running: Running, now: int) -> None:
        running.served.finished_ps = now
        self.requests.release(running, now)
        due = self.requests.expect_reuse(running, now)
        if due is not None:
            self._agenda.push(due, Priority.TRANSFER_DONE)
        if self._streamed:
            self.requests.forget_blocks(running.served)
