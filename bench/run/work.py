"""What is left of a run, and which of its cells is taken next, beside other runners on the same folder."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from bench.records.record import Record
from bench.run.claims import Claims, Runner
from bench.run.executors import Died, Executor, Run
from bench.run.executors.apart import Apart
from bench.run.limit import Limit
from bench.run.saying import say
from bench.suite.schema import Cell
from bench.training.stopped import Stopped

TRIES = 2
"""How often a cell is tried that ends its process, or runs out of memory: the second time with nothing beside it."""
MOST_DEATHS = 5
"""Of runners in a row over one cell, none of which got any further with it; then it is not tried any more."""


POLL = 0.3
"""Seconds between two looks at what other runners are at."""

SAID = 3
"""Cells that lines are written of."""

Result = Record | Exception | Stopped


class Work:
    """The cells of a run that have no record yet. Each is claimed as it is taken, and by nobody else then.

    Args:
        claims: of this runner.
        limit: heard while it waits for other runners.
        done: the record of a cell that is done, by another runner perhaps; None while it is to be run.
        found: called with a record that another runner made of a cell that was left, and the cell.
    """

    def __init__(
        self,
        claims: Claims,
        limit: Limit,
        done: Callable[[Cell], Record | None],
        found: Callable[[Record, Cell], None],
    ) -> None:
        self.claims, self.limit, self._done, self._found = claims, limit, done, found
        self.left: dict[str, Cell] = {}
        """Neither done nor given up in this run."""
        self.given_up: set[str] = set()
        """Of those that were to be run: stopped, and not done."""
        self._elsewhere: dict[str, Runner] = {}
        self._said_elsewhere = False
        self._passed_over = False
        """Whether this round left cells to other runners, which may have ended since, so that they can be run."""
        self.deaths: dict[str, int] = {}
        """How many runners died of a cell, or beside it."""
        self._tried: set[str] = set()
        """Cells of which a process of this run died, or that ran out of memory in it."""
        self._death: Died | None = None
        """The last one of which a line was written, and which had more than one cell."""
        self._apart: set[str] = set()
        """Cells that are to run last, in a process of their own."""

    def results(self, executor: Executor, apart: Apart, run: Run) -> Iterator[tuple[Cell, Result]]:
        """What comes of all cells that are left, those included that other runners have and do not finish.

        A cell stays claimed until the next one is asked for.
        """
        while self.left:
            before, apart_before = len(self.left), len(self._apart)
            self._passed_over = False
            for cell, result in self._round(executor, apart, run):
                if (isinstance(result, Died) or _lacked_memory(result)) and self._again(cell, result):
                    continue
                yield cell, result
                if isinstance(result, Stopped):
                    self.given_up.add(cell.id)
                self._remove(cell)
            if len(self.left) == before and len(self._apart) == apart_before:
                if not self._passed_over:
                    return  # the executor was told to stop, and left them
                self._wait()

    def _round(self, executor: Executor, apart: Apart, run: Run) -> Iterator[tuple[Cell, Result]]:
        """All cells that this runner gets now: those that run beside others, then the timed ones, then the doubtful."""
        for cell in [cell for cell in self.left.values() if self.deaths.get(cell.id, 0) >= MOST_DEATHS]:
            yield cell, Died(f"the run ended without a word each of the {MOST_DEATHS} times that it was under way")
        yield from executor(self._ordinary(), run)
        yield from executor.singly(self._suspects(), run)
        if self._may_time():
            with self.claims.alone(self._wait):
                yield from executor.alone(self._timed(), run)
        yield from apart(self._last(), run)

    def _may_time(self) -> bool:
        """Whether there are timed cells that no other runner has, and none measures times on this machine."""
        timed = [cell for cell in self.left.values() if self._is_timed(cell)]
        may = not self.claims.kept_out and any(self.claims.owner(cell.id) is None for cell in timed)
        self._passed_over |= bool(timed) and not may
        return may

    def _again(self, cell: Cell, result: Result) -> bool:
        """Put a cell last, whose process died or had no memory left; false where it was tried often enough."""
        if self.tries(cell) >= TRIES:
            return False
        self._tried.add(cell.id)
        self._apart.add(cell.id)
        self._release(cell)
        if isinstance(result, Died) and result.cells > 1:
            if result is not self._death:
                self._death, more = result, result.cells - 1
                say(
                    f"{cell.title} and {more} more cell{'s' * (more > 1)}: {result}, which had them all; they are "
                    "tried once more, last and in a process of their own"
                )
            return True
        why = result if isinstance(result, Exception) else result.reason
        say(f"{cell.title}: {why}; it is tried once more, last and in a process of its own")
        return True

    def _remove(self, cell: Cell) -> None:
        self.left.pop(cell.id, None)
        self._release(cell)

    def _release(self, cell: Cell) -> None:
        """Give a cell free, wholly: a signal in between would leave a claim, as of a runner that died of the cell."""
        with self.limit.finishing():
            self.claims.release(cell.id)

    def _wait(self) -> None:
        """A moment, for what other runners are at."""
        self.limit.check()
        if not self._said_elsewhere:
            self._said_elsewhere = True
            runners = Counter(runner.words for cell, runner in self._elsewhere.items() if cell in self.left)
            counts = ", ".join(f"{count} of {words}" for words, count in runners.items())
            say("waits for what runs beside it in this folder" + (f", cells: {counts}" if counts else ""))
        time.sleep(POLL)

    def suspect(self, deaths: dict[str, int]) -> list[Cell]:
        """Note which cells were under way when runners died, and how many of them; returns those that are left."""
        self.deaths |= deaths
        found = [cell for cell in self.left.values() if cell.id in deaths]
        for cell in found[:SAID]:
            say(f"{cell.title}: was under way when an earlier run ended without a word, and is put last")
        if found[SAID:]:
            say(f"and {len(found) - SAID} more such cells")
        return found

    def add(self, cells: Iterable[Cell]) -> None:
        """Cells to run."""
        self.left |= {cell.id: cell for cell in cells}

    def tries(self, cell: Cell) -> int:
        """How often a cell has been tried, by dead runners too, the present time included."""
        return 1 + self.deaths.get(cell.id, 0) + (cell.id in self._tried)

    def _ordinary(self) -> Iterator[Cell]:
        """Cells that run beside each other."""
        return self._taken([cell for cell in self._beside() if cell.id not in self.deaths])

    def _suspects(self) -> Iterator[Cell]:
        """Of such cells those that were under way when a runner died, one of which may have killed it."""
        return self._taken([cell for cell in self._beside() if cell.id in self.deaths])

    def _beside(self) -> list[Cell]:
        return [cell for cell in self.left.values() if not cell.measurement.alone and cell.id not in self._apart]

    def _timed(self) -> Iterator[Cell]:
        """Cells beside which nothing is to run."""
        cells = [cell for cell in self.left.values() if self._is_timed(cell)]
        yield from self._taken(sorted(cells, key=lambda cell: cell.id in self.deaths))

    def _last(self) -> Iterator[Cell]:
        """Cells for a process of their own."""
        yield from self._taken([cell for cell in self.left.values() if cell.id in self._apart])

    def _is_timed(self, cell: Cell) -> bool:
        return cell.measurement.alone and cell.id not in self._apart

    def _taken(self, cells: list[Cell]) -> Iterator[Cell]:
        """Those of the cells that this runner gets, each claimed when it is asked for."""
        for cell in cells:
            if self.claims.kept_out:  # until the other runner has measured its times
                self._passed_over = True
                return
            if cell.id not in self.left:
                continue
            with self.limit.finishing():  # see `_release`
                owner = self.claims.take(cell.id, cell.title)
            self.limit.check()
            if owner is not None:
                self._elsewhere[cell.id] = owner
                self._passed_over = True
                continue
            self._elsewhere.pop(cell.id, None)
            if (record := self._done(cell)) is not None:
                self._remove(cell)
                self._found(record, cell)
            elif (deaths := self.claims.deaths(cell.id)) and cell.id not in self.deaths:
                self.deaths[cell.id] = deaths  # its runner died while this one was at work
                self._apart.add(cell.id)
                # Who measures times waits for all that others have, and they begin nothing meanwhile.
                self.claims.put_back(cell.id, cell.title)
            else:
                yield cell


def _lacked_memory(result: Result) -> bool:
    return isinstance(result, Record) and result.status == "out-of-memory"
