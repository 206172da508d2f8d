"""A cell with its checkpoint: what executors run in the place of `run_cell`."""

import io
import platform
import time
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.config import example
from bench.records.record import Record
from bench.run.checkpoints import Checkpoints, Header
from bench.run.limit import AT_LIMIT, MARGIN, Limit
from bench.run.provenance import machine_name, source_hash, source_of
from bench.run.saying import say
from bench.run.sealed import Unusable
from bench.run.threads import set_threads
from bench.run.version import version
from bench.run.weights import Weights
from bench.suite.schema import Cell
from bench.training.checkpoint import KEEPER, Keeper, State, misfit
from bench.training.stopped import Stopped

OURS = ("bench", "estimators")
"""Packages whose classes are not a person's own."""
INTERVAL = 30.0
"""Seconds between two checkpoints of a cell, and before the first: a cell that is done by then has none."""
SHARE = 0.05
"""Of a cell's time that may go into its checkpoints, where writing one takes long."""


def made_by(cell: Cell) -> dict[str, str]:
    """What a checkpoint of a cell depends on, besides the cell: in words that its header holds."""
    return {
        "the estimator's source": source_hash(example(cell.estimator)),
        "the source of the problem or the measurement": source_of(type(cell.problem), type(cell.measurement)),
        "torch": torch.__version__,
        "gradest": version(),
        "the device": cell.device,
        "the number of threads": str(cell.threads),
    }


class Stoppable(Keeper):
    """Keeps nothing, and stops where a limit says so."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit

    def due(self) -> bool:
        """Whether the cell is to stop."""
        return self.limit.reached

    def keep(self, state: Callable[[], State]) -> None:
        """Stop, where it is time: see `Keeper.keep`."""
        self.limit.check()


class CellKeeper(Stoppable):
    """Keeps the training of a cell in the run's folder.

    Args:
        cell: what is run.
        checkpoints: where.
        limit: when it is to stop.
        said: names of weights of which a line was written already; shared by the cells of a run.
    """

    def __init__(self, cell: Cell, checkpoints: Checkpoints, limit: Limit, said: set[str] | None = None) -> None:
        super().__init__(limit)
        self.cell, self.checkpoints = cell, checkpoints
        self._said = set[str]() if said is None else said
        self._machine, self._made_by = machine_name(cell.device), dict[str, str]()
        self._between = True
        self._begun = time.monotonic()
        self._next = self._begun + INTERVAL

    def due(self) -> bool:
        """Whether a checkpoint is to be written, or the cell to stop."""
        return time.monotonic() >= self._next or self.limit.reached

    def keep(self, state: Callable[[], State]) -> None:
        """Write a checkpoint, or stop: see `Keeper.keep`."""
        self.limit.check()
        self._write(state())

    def load(self, present: State) -> State | None:
        """What was kept of this cell, by whatever process; one line says so, or why it cannot be used."""
        self._made_by = made_by(self.cell)  # of the files as they were when they were imported, or soon after
        try:
            found = self.checkpoints.read(self.cell.id)
            if found is None:
                return None
            header, content = found
            state = self._state(header, content, present)
        except Unusable as error:
            self._say(f"the checkpoint {error}; the cell begins anew")
            return None
        self.seconds, self.resumed = header.seconds, header.resumed + 1
        self.elsewhere = tuple(name for name in header.machines if name != self._machine)
        other = f", of another machine ({', '.join(self.elsewhere)}): last digits may differ" if self.elsewhere else ""
        self._say(f"goes on at step {header.step} of {header.steps}{other}")
        return state

    def _state(self, header: Header, content: bytes, present: State) -> State:
        for name, now in self._made_by.items():
            if (before := header.made_by.get(name)) != now:
                change = f" ({before}, now {now})" if max(len(str(before)), len(now)) < 40 else ""  # than a hash
                raise Unusable(f"is of before {name} changed{change}")
        try:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            problem = misfit(state["parts"], present["parts"])
        except Exception as error:  # whatever torch makes of foreign bytes
            raise Unusable(f"cannot be read ({type(error).__name__})") from error
        if problem:
            raise Unusable(f"does not fit: {problem}")
        return dict(state)

    def shared(self, name: str, make: Callable[[], State], *, of: Sequence[type], own: bool = False) -> State:
        """What cells of the run share, from its folder, where it is kept once it was made: see `Keeper.shared`."""
        kept = Weights(self.checkpoints.folder.parent)
        made = made_by(self.cell) | {"the machine": self._machine}
        source = made.pop("the estimator's source")
        must = {"the estimator's source": source} if own else {}
        if foreign := [cls for cls in of if cls.__module__.partition(".")[0] not in OURS]:
            must["the source of a class of your own"] = source_of(*foreign)
        damaged = False
        try:
            if (found := kept.read(name, must)) is not None:
                header, state = found
                other = next((key for key, value in made.items() if header.made_by.get(key) != value), None)
                if other and name not in self._said:
                    self._said.add(name)
                    self._say(f"takes the kept weights {kept.path(name).name}: {other} was another when they were made")
                return state
        except Unusable as error:
            damaged = True
            self._say(f"{kept.path(name)} {error}, and is made anew")
        state = make()
        with self.limit.finishing():
            try:
                kept.write(name, made | must, state, replace=damaged)
                # Of several processes that made it at once the first one's counts for all.
                return (kept.read(name, must) or (None, state))[1]
            except (OSError, Unusable) as error:  # a full disk costs the file, not the cell
                self._say(f"weights could not be kept ({getattr(error, 'strerror', None) or error})")
        return state

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Steps are taken inside: see `Keeper.steps`."""
        with self.limit.finishing():
            self._between = False
            yield
            self._between = True  # unless a step was left in its middle

    @contextmanager
    def stoppable(self, state: Callable[[], State]) -> Iterator[None]:
        """Whatever stops what is inside leaves a checkpoint: see `Keeper.stoppable`."""
        try:
            yield
        except (Stopped, KeyboardInterrupt):
            if self._between:
                self._write(state())
            raise

    def _write(self, state: State) -> None:
        started = time.monotonic()
        header = Header(
            cell=self.cell.id,
            title=self.cell.title,
            step=state["step"],
            steps=state["steps"],
            seconds=self.seconds + started - self._begun,
            resumed=self.resumed,
            machines=(*self.elsewhere, self._machine),
            made_by=self._made_by,
        )
        with self.limit.finishing():
            packed = io.BytesIO()
            torch.save(state, packed)
            try:
                self.checkpoints.write(header, packed.getvalue())
            except OSError as error:  # a full disk costs the checkpoint, not the cell
                self._say(f"no checkpoint could be written ({error.strerror or error})")
        ended = time.monotonic()
        self._next = ended + max(INTERVAL, (ended - started) / SHARE)

    def _say(self, words: str) -> None:
        say(f"{self.cell.title}: {words}")


class Kept:
    """Runs cells with their checkpoints, up to a limit.

    What of it is sent to a worker, with each cell, is small and does not grow.

    Args:
        root: the run's folder, which is there.
        limit: when to stop.
        run: what makes a cell's record.
    """

    def __init__(self, root: Path, limit: Limit, run: Callable[[Cell], Record]) -> None:
        self.checkpoints, self.limit, self.run = Checkpoints(root.absolute()), limit, run
        self.took: dict[str, Median] = {}
        """Seconds of cells so far, by what they measure."""
        self.number = _number(root)
        """By which another machine knows the folder: one that has a folder of that name to itself may hold anything."""

    def __getstate__(self) -> dict[str, Any]:
        took = {kind: Median([median.value]) for kind, median in self.took.items()}
        return self.__dict__ | {"took": took}

    def __call__(self, cell: Cell) -> Record | Stopped:
        """A cell's record, or what stopped it; then `lost` says how many seconds of work nothing is left of."""
        started, began = time.monotonic(), False
        keeper, kept = self._keeper(cell)
        token = KEEPER.set(keeper)
        try:
            self.limit.check()
            if self.limit.left < self._wants(cell):
                return Stopped(AT_LIMIT)
            began = True
            set_threads(cell.threads)
            return self.run(cell)
        except Stopped as stopped:
            nothing_kept = began and not (cell.measurement.resumes and kept)
            return Stopped(stopped.reason, time.monotonic() - started if nothing_kept else None)
        finally:
            KEEPER.reset(token)

    def _keeper(self, cell: Cell) -> tuple[Keeper, bool]:
        """What keeps a cell, and whether it does: not on a machine that does not see the run's folder."""
        said = _said_of(self.limit.token)
        root = self.checkpoints.folder.parent
        if _number(root) == self.number:
            return CellKeeper(cell, self.checkpoints, self.limit, said), True
        if "folder" not in said:
            said.add("folder")
            say(f"{platform.node()} does not see the folder {root}: no checkpoints of the cells that run there")
        return Stoppable(self.limit), False

    def done(self, record: Record) -> None:
        """Note how long a cell took: none of its kind begins where less time is left than their median."""
        self.took.setdefault(record.kind, Median()).add(record.seconds or 0.0)

    def _wants(self, cell: Cell) -> float:
        """Seconds that must be left for a cell to begin; one that can be resumed is worth any."""
        measurement = cell.measurement
        took = None if measurement.resumes else self.took.get(measurement.kind)
        return max(MARGIN, took.value if took else 0.0)


class Median:
    """The median of numbers that come one by one; there is one at least."""

    def __init__(self, numbers: Sequence[float] = ()) -> None:
        self._sorted = sorted(numbers)

    def add(self, number: float) -> None:
        """Take one more."""
        insort(self._sorted, number)

    @property
    def value(self) -> float:
        """Of those so far."""
        middle = len(self._sorted) // 2
        return self._sorted[middle] if len(self._sorted) % 2 else sum(self._sorted[middle - 1 : middle + 1]) / 2


def _number(folder: Path) -> int | None:
    """The number by which a file system, of the network too, knows a folder; None where there is none."""
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _said_of(token: str) -> set[str]:
    """What this process has said for the run of a token; what it said for others is forgotten."""
    if token not in _SAID:
        _SAID.clear()
    return _SAID.setdefault(token, set())


_SAID: dict[str, set[str]] = {}
