"""Cells over the workers of a dask cluster, whoever started them: a worker runs one at a time.

Each cell is given to one worker by its address, short ones by a few at once (`batches`), so that the scheduler never
tries a cell again somewhere else: where a worker dies, what it had comes back as `Died`, and nothing else is touched.
What happens (a worker joins or goes, cells are done, a worker has something to say) comes through one queue that the
main thread reads, so that a signal is heard at once, whatever dask is at.
"""

import asyncio
import math
import os
import queue
import sys
import time
from collections import ChainMap, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Self

import distributed
from distributed.protocol.pickle import dumps

from bench.records.record import Record
from bench.run.executors.base import TO_STOP, Died, Results, Run
from bench.run.executors.batches import TOGETHER, Batches
from bench.run.executors.inline import inline
from bench.run.executors.quiet import Quiet
from bench.run.executors.same import Other, greet, own_modules, refusal
from bench.run.executors.worker import TOPIC, run_here, stop_here
from bench.run.executors.workers import Workers
from bench.run.limit import AT_LIMIT, GRACE, Limit
from bench.run.saying import say
from bench.suite.schema import Cell
from bench.training.stopped import Stopped
from estimators.errors import BadInput

SILENT = 10.0
"""Seconds after which dask's own thread of this process, if it does nothing that is asked of it, is taken for dead."""
ASK = 5.0
"""Seconds between two questions for the workers that a scheduler has, where nothing happens."""
LOOK = 0.2
"""Seconds between two looks at the limit and at the scheduler where nothing happens."""
Result = Record | Exception | Stopped


class Given(NamedTuple):
    """Cells that a worker has."""

    cells: Sequence[Cell]
    worker: str
    since: float
    """By `time.monotonic`."""
    future: Any
    done: int | None = None
    """How many of them are done and have been given on, once it has been told to stop and has answered."""

    def may_end(self, reason: str) -> bool:
        """Whether to wait for it, once it has been told to stop: something of it can be kept."""
        several = len(self.cells) > 1 and (self.done is None or time.monotonic() - self.since < 2 * TOGETHER)
        return several or reason == AT_LIMIT or self.cells[0].measurement.resumes


class Pool:
    """An executor over workers, which are asked for at the first cell.

    Args:
        workers: where they come from.
        limit: when to stop. What runs hears of it; what does not end within a few seconds then is left.
        device: that cells compute on.
    """

    def __init__(self, workers: Workers, limit: Limit, device: str = "cpu") -> None:
        self.workers, self.limit, self.device = workers, limit, device
        self.elsewhere = not workers.here
        self._client: Any = None
        self._events = queue.SimpleQueue[tuple[str, Any]]()
        self._present = dict[str, None]()
        """Workers that may be given cells, in the order in which they came."""
        self._greeted = set[str]()
        """Those that have been, or are being, asked what they are."""
        self._given = dict[str, Given]()
        """By the key of the future."""
        self._count = 0
        self._waits = False
        """Whether it was said that no worker is left."""
        self._loggers = Quiet()
        self._batches = Batches()
        self._scheduler = ""
        self._stamped = self._asked = 0.0
        self._gone = set[str]()
        """Workers that have cells, and that the scheduler did not know when it was asked last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, cells: Iterable[Cell], run: Run) -> Results:
        """Run the cells; neighbours, of one problem and kind, share their trajectories in a worker."""
        return self._spread(Batches(cells), run)

    def singly(self, cells: Iterable[Cell], run: Run) -> Results:
        """Run the cells, of which a worker is never given more than one."""
        return self._spread(Batches(cells, most=1), run)

    def alone(self, cells: Iterable[Cell], run: Run) -> Results:
        """Run the cells one at a time: here, or on one worker where the workers are of other machines."""
        if not self.workers.here:
            yield from self._spread(Batches(cells, most=1), run, workers=1)
            return
        for cell in cells:
            self._close()  # a scheduler and idle workers wake now and then, which a time would show
            yield from inline.alone([cell], run)

    def _spread(self, batches: Batches, run: Run, workers: int = sys.maxsize) -> Results:
        """Run cells on at most so many workers."""
        self._batches = batches
        if not (first := batches.take()):
            return
        batches.put_back(first)
        results = deque[tuple[Cell, Result]]()
        try:
            self._open()
            while True:
                self.limit.check()
                while len(self._given) < workers and (worker := self._free()) is not None and (taken := batches.take()):
                    self._give(worker, taken, run)
                while results:  # their worker has the next cells already
                    # A signal that comes while the record is written is heard here, where the workers can be told.
                    with self.limit.finishing():
                        yield results.popleft()
                    self.limit.check()
                if batches.ended and not self._given:
                    return
                results.extend(self._next())
        except (Stopped, KeyboardInterrupt) as stop:
            yield from results
            yield from self._stopped(str(stop))
            raise
        finally:
            for given in self._given.values():
                with suppress(Exception):  # the scheduler has gone
                    given.future.cancel()
            self._given.clear()

    def _open(self) -> None:
        if self._client is not None:
            return
        with self.limit.finishing():
            self._loggers.begin()
            try:
                self._client = self.workers.start()
            except BaseException:
                self._loggers.end()
                raise
            self._scheduler = self._its_id()
            self._stamp()
            self._opened = time.monotonic()
            self._until = self._opened + self.workers.patience
            self._client.subscribe_topic("all", self._heard)
            self._client.subscribe_topic(TOPIC, self._heard)
            self._read_present()

    def _close(self) -> None:
        if self._client is None:
            return
        with self.limit.finishing():
            lost, self._client = self._client.status != "running", None
            self._present.clear()
            self._greeted.clear()
            self.workers.stop()
            if not lost:  # or it tells of its loss later
                self._loggers.end()

    def _heard(self, event: tuple[float, Any]) -> None:
        """Note an event of the scheduler's, in its thread."""
        match event[1]:
            case {"action": "add-worker" | "remove-worker" as action, "worker": worker}:
                self._events.put((action, worker))
            case {"run": self.limit.token, "words": words}:
                self._events.put(("said", words))

    def _read_present(self) -> None:
        """Note the workers that came before anybody listened."""
        for worker in self._client.scheduler_info(n_workers=-1)["workers"]:
            self._joined(worker)

    def _joined(self, worker: str) -> None:
        """A worker is there: one that this process did not start is asked what it is before it is given anything."""
        if self.workers.here:
            self._present.setdefault(worker)
        elif worker not in self._greeted:
            self._greeted.add(worker)
            asyncio.run_coroutine_threadsafe(self._greet(self._client, worker), self._client.loop.asyncio_loop)

    async def _greet(self, client: Any, worker: str) -> None:
        try:
            answer = (await client.run(greet, os.getcwd(), workers=[worker], on_error="return"))[worker]
        except Exception as error:  # it has gone again
            answer = error
        self._events.put(("greeted", (worker, answer)))

    def _greeting(self, worker: str, answer: Any) -> None:
        """Take a worker, or not.

        Raises:
            BadInput: it cannot be used; one that comes later than the first cell is told of and left.
        """
        if worker not in self._greeted:  # gone meanwhile
            return
        if (why := refusal(answer, self.device)) is None:
            self._present[worker] = None
            self._waits = False
            return
        words = f"the worker {worker} of {self.workers.name} {why}"
        if self._count == 0:
            raise BadInput(words)
        say(f"{words}; it is not used")

    def _free(self) -> str | None:
        """A worker that has no cells; None where there is none."""
        busy = {given.worker for given in self._given.values()}
        return next((worker for worker in self._present if worker not in busy), None)

    def _give(self, worker: str, cells: Sequence[Cell], run: Run) -> None:
        self._count += 1
        modules = [own_modules(cell) for cell in cells] if self.elsewhere else []
        with self.limit.finishing():
            future = self._client.submit(
                run_here,
                dumps((run, cells)),  # which the scheduler passes on as it is
                self.limit.token,
                dict(ChainMap(*modules)),
                key=(f"gradest-{self.limit.token}", self._count),  # one group: a scheduler keeps numbers of each
                workers=[worker],
                retries=0,
            )
            self._given[future.key] = Given(cells, worker, time.monotonic(), future)
            asyncio.run_coroutine_threadsafe(self._follow(future), self._client.loop.asyncio_loop)

    async def _follow(self, future: Any) -> None:
        """Wait for what comes of cells, in the thread of the client."""
        try:
            result = await self._client.gather(future, asynchronous=True)
        except BaseException as error:  # of the cell's, or of what lies between
            result = error
        self._events.put(("done", (future.key, result)))

    def _next(self) -> list[tuple[Cell, Result]]:
        """What happens next: the cells that it ends, if it does.

        Raises:
            Stopped: the scheduler is lost.
        """
        try:
            what, about = self._events.get(timeout=LOOK)
        except queue.Empty:
            self._look()
            return []
        with self.limit.finishing():
            return self._heeded(what, about)

    def _heeded(self, what: str, about: Any) -> list[tuple[Cell, Result]]:
        """Do what an event asks for; the cells that it ends, if it does."""
        match what:
            case "add-worker":
                self._joined(about)
            case "greeted":
                self._greeting(*about)
            case "remove-worker":
                self._present.pop(about, None)
                self._greeted.discard(about)
                for given in [given for given in self._given.values() if given.worker == about]:
                    return self._ended(given.future.key, distributed.KilledWorker(str(given.future.key), about, 0))
            case "said":
                say(about)
            case "done":
                return self._ended(*about)
            case "told":
                return self._so_far(*about)
        return []

    def _look(self) -> None:
        """Whether the scheduler is still there, and workers are or may come; called where nothing happens.

        Raises:
            Stopped: the scheduler is lost.
            BadInput: no worker will come.
        """
        if self._client.status != "running" or self._its_id() != self._scheduler:
            raise self._lost()
        try:  # a scheduler that comes back may end that thread, and leave the status as it was
            self._client.loop.add_callback(self._stamp)
        except RuntimeError as error:
            raise self._lost() from error
        if time.monotonic() - self._stamped > SILENT:
            raise self._lost()
        self._ask_after_workers()
        if self._present or self._given:
            return
        if (why := self.workers.trouble()) is not None:
            raise BadInput(why)
        if self._count == 0 and time.monotonic() > self._until:
            raise BadInput(f"no worker of {self.workers.name} was ready within {self.workers.patience:.0f} s")
        self._say_that_it_waits()
        if self._waits and time.monotonic() > self._until:
            raise Stopped(f"the loss of all workers of {self.workers.name}")
        with self.limit.finishing():
            self._read_present()

    def _say_that_it_waits(self) -> None:
        """Once, where those of a cluster are slow to answer at first, or none is left later on."""
        now, name, patience = time.monotonic(), self.workers.name, self.workers.patience
        if self._waits or not self.elsewhere:
            return
        if self._count:
            self._waits, self._until = True, now + self.workers.absence
            say(f"no worker of {name} is left; what is to run waits for one (Ctrl-C keeps what is done)")
        elif now > self._opened + SILENT and math.isfinite(patience):  # a queue has said that it is waited for
            self._waits = True
            say(f"no worker of {name} has answered yet; the run waits for one, {patience:.0f} s at most")

    def _ask_after_workers(self) -> None:
        """Ask whether the workers that have cells are there still: nobody says so of those of a scheduler that went."""
        if not self._given or self.workers.here or time.monotonic() - self._asked < ASK:
            return
        self._asked = time.monotonic()
        with self.limit.finishing():
            there = self._client.scheduler_info(n_workers=-1)["workers"]
        gone = {given.worker for given in self._given.values()} - set(there)
        for worker in gone & self._gone:  # twice in a row: one that starts again has told of that by then
            self._events.put(("remove-worker", worker))
        self._gone = gone

    def _stamp(self) -> None:
        """Note that dask's thread is alive; called in it."""
        self._stamped = time.monotonic()

    def _its_id(self) -> str:
        """Of the scheduler; one that came back under its address has another, and knows of no cell."""
        return str(self._client._scheduler_identity.get("id"))

    def _lost(self) -> Stopped:
        return Stopped(f"the loss of {self.workers.name}")

    def _ended(self, key: str, result: Any) -> list[tuple[Cell, Result]]:
        """The end of cells, which is known once: a worker that dies is heard of in more ways than one."""
        if (given := self._given.pop(key, None)) is None:
            return []
        count = len(given.cells)
        if isinstance(result, distributed.KilledWorker):
            self._present.pop(given.worker, None)
            given.future.cancel()  # or it waits for a worker of that address
            result = Died(f"its worker process {self.workers.how_died(given.worker)}", count)
        elif isinstance(result, asyncio.CancelledError | distributed.client.FutureCancelledError):
            raise self._lost()
        elif isinstance(result, Other):
            raise BadInput(f"the worker {given.worker} of {self.workers.name} {result}")
        elif isinstance(result, Exception):  # a cell's own become its record: this is of what lies between
            words = f"{type(result).__name__}: {' '.join(str(result).split())[:200]}"
            result = Died(f"its worker process could not give what came of it ({words})", count)
        if isinstance(result, Died):
            self._batches.died(given.cells)
            return [(cell, result) for cell in given.cells[given.done or 0 :]]
        ended = list(zip(given.cells, result, strict=False))
        for cell, one in ended:
            if isinstance(one, Record):
                self._batches.took(one, cell)
        self._batches.put_back(given.cells[len(ended) :])
        return ended[given.done or 0 :]

    def _so_far(self, worker: str, results: Sequence[Record | Stopped]) -> list[tuple[Cell, Result]]:
        """What came of several cells before their worker was told to stop: it may be at another of them for long."""
        for key, given in self._given.items():
            if given.worker == worker:
                self._given[key] = given._replace(done=len(results))
                return list(zip(given.cells, results, strict=False))
        return []

    def _stopped(self, reason: str) -> Results:
        """What comes of the cells that are under way, when they are told to stop."""
        if self._client is None:
            return
        until = time.monotonic() + TO_STOP
        if reason == AT_LIMIT:  # as in one process: then what cannot stop inside has a little longer
            until = min(until, time.monotonic() + self.limit.left + GRACE)
        if self._client.status == "running":
            workers = [given.worker for given in self._given.values()]
            asyncio.run_coroutine_threadsafe(self._tell(self._client, workers, reason), self._client.loop.asyncio_loop)
        while time.monotonic() < until and any(given.may_end(reason) for given in self._given.values()):
            try:
                yield from self._next()
            except Stopped:  # the scheduler is lost too
                break
        for given in self._given.values():
            # Short ones went before it, if any did.
            if (done := given.done or 0) < len(given.cells) and not given.cells[done].measurement.resumes:
                yield given.cells[done], Stopped(reason, time.monotonic() - given.since)

    async def _tell(self, client: Any, workers: list[str], reason: str) -> None:
        with suppress(Exception):  # of a worker or a scheduler that has gone
            answers = await client.run(stop_here, self.limit.token, reason, workers=workers, on_error="ignore")
            for worker, results in answers.items():
                self._events.put(("told", (worker, results)))
