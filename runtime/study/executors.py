"""Where cells are worked on: in this process, or by Dask workers here and on other machines."""

import contextlib
import logging
from collections import deque
from collections.abc import Iterator
from typing import Any, Self

from model.spec.errors import UserError
from runtime.study.cells import Cell, code_fingerprint
from runtime.study.simulate import Inputs, simulate_cell

Record = dict[str, Any]


class InProcess:
    """One cell after the other, in this process; for tests and debuggers."""

    width = 1

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._asked: deque[tuple[str, Cell]] = deque()

    def submit(self, key: str, cell: Cell) -> None:
        """See :class:`runtime.study.loop.Executor`."""
        self._asked.append((key, cell))

    def finished(self) -> tuple[str, Record]:
        """See :class:`runtime.study.loop.Executor`."""
        key, cell = self._asked.popleft()
        return key, simulate_cell(cell, self._inputs)


def remote_cell(cell: Cell, inputs: Inputs, code: str) -> Record:
    """What a worker does; one that has other code refuses."""
    if code_fingerprint() != code:
        raise UserError("scheduler: expected workers of the same version of this project, not "
                        "one whose runtime differs")
    return simulate_cell(cell, inputs)


class OnDask:
    """Cells as tasks of a Dask cluster; cycle table and traces are sent to each worker once."""

    def __init__(self, client: Any, inputs: Inputs) -> None:
        from distributed import as_completed  # half a second to import: only if it is used

        self._client = client
        self._inputs = client.scatter(inputs, broadcast=True, hash=False)
        self._code = code_fingerprint()
        self._done = as_completed(loop=client.loop, raise_errors=False)
        self._running = 0

    @property
    def width(self) -> int:
        """Two cells for each worker's thread, so that none waits for the client."""
        return max(2 * sum(self._client.nthreads().values()), 2)

    def submit(self, key: str, cell: Cell) -> None:
        """See :class:`runtime.study.loop.Executor`."""
        # The function is pure for a key, but a key of ours must not hide behind one of Dask's.
        self._done.add(self._client.submit(remote_cell, cell, self._inputs, self._code,
                                           key=f"cell-{key}", pure=False, retries=1))

    def finished(self) -> tuple[str, Record]:
        """See :class:`runtime.study.loop.Executor`."""
        future = next(self._done)
        error = future.exception()
        if isinstance(error, UserError):
            raise error
        if error is not None:
            raise UserError(f"scheduler: expected workers that finish {future.key}, not "
                            f"{type(error).__name__}: {error}")
        return future.key.removeprefix("cell-"), future.result()


class Deferred:
    """An executor that starts its workers with the first cell: a finished study needs none.

    Parameters
    ----------
    inputs : Inputs
    scheduler : str or None
        Address of a Dask scheduler; None starts a cluster on this machine.
    workers : int
        Processes of that cluster.
    """

    def __init__(self, inputs: Inputs, scheduler: str | None, workers: int) -> None:
        self._inputs, self._scheduler, self._workers = inputs, scheduler, workers
        self._running: OnDask | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def width(self) -> int:
        """See :class:`runtime.study.loop.Executor`."""
        return 1 if self._running is None else self._running.width

    def submit(self, key: str, cell: Cell) -> None:
        """See :class:`runtime.study.loop.Executor`."""
        if self._running is None:
            self._running = OnDask(self._stack.enter_context(
                _client(self._scheduler, self._workers)), self._inputs)
        self._running.submit(key, cell)

    def finished(self) -> tuple[str, Record]:
        """See :class:`runtime.study.loop.Executor`."""
        assert self._running is not None
        return self._running.finished()


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client of the scheduler there, or of a cluster of processes made here."""
    from distributed import Client, LocalCluster

    for name in ("distributed", "distributed.worker", "distributed.nanny", "distributed.scheduler"):
        logging.getLogger(name).setLevel(logging.CRITICAL)   # its notes belong into no result
    if scheduler is None:
        quiet: dict[str, Any] = {"dashboard_address": None, "host": "127.0.0.1"}
        with (LocalCluster(n_workers=workers, threads_per_worker=1, **quiet) as cluster,
              Client(cluster, set_as_default=False) as client):
            yield client
        return
    try:
        client = Client(scheduler, timeout="5s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UserError(f"scheduler: expected a Dask scheduler at {scheduler}, not "
                        f"{str(error) or type(error).__name__!r}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=30)
        except TimeoutError:
            raise UserError(f"scheduler: expected at least one worker at {scheduler}, "
                            "not none within 30 s") from None
        yield client


def executor(inputs: Inputs, scheduler: str | None,
             workers: int) -> contextlib.AbstractContextManager[InProcess | Deferred]:
    """In this process for no workers, else a local cluster, or the one at ``scheduler``."""
    if scheduler is None and workers == 0:
        return contextlib.nullcontext(InProcess(inputs))
    return Deferred(inputs, scheduler, workers)
