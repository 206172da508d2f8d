"""One fault: a folder, runs that are started and hurt in it, the run that goes on, and what became of the records."""

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.studies.chaos import suites, verdict
from bench.studies.chaos.inside import without_report
from bench.studies.chaos.process import Process, start, unmount
from bench.studies.chaos.verdict import Reference

PATIENCE = 60.0
"""Seconds after which a run of a second counts as one that does not end."""
CODES = {0, 1, 2, 3, 130, 141}
"""Exit codes that are documented."""
AGAIN = 6
"""How often a run is started again until it ends."""
TURNS = 10
"""Turns that it may take to hurt a process once."""
SHOWN = 12
"""Processes of which a fault that came to nothing tells how they stand, those that still run first."""


class Late(Exception):
    """A fault is not over in time. No OSError, which may be expected where it comes up."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Go on for so long, whatever this process, of one thread, waits for.

    Raises:
        Late: it took longer.
    """

    def late(number: int, frame: object) -> None:
        raise Late(f"no end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Trial:
    """What a fault has to work with.

    Args:
        kind: of the fault.
        seed: decides all that the fault draws.
        references: runs that were left alone, by suite; made where they are missing.
        workers_said: what worker processes wrote since it was called the last time.
    """

    def __init__(
        self, kind: str, seed: int, references: dict[str, Reference], workers_said: Callable[[], str] = str
    ) -> None:
        self.workers_said = workers_said
        self.random = random.Random(f"{kind} {seed}")
        self.folder = Path(tempfile.mkdtemp(prefix="gradest-chaos-")).resolve()
        self.out = self.folder / "out"
        self.references = references
        self.suite = "small"
        self.ill = frozenset[str]()
        """Statuses that are right where an estimator misbehaves."""
        self.codes = {0}
        """Exit codes with which the run may end."""
        self.damaged = False
        """Whether the fault itself damaged files, so that torn ones are its own."""
        self.more: tuple[str, ...] = ()
        """Further arguments of every run."""
        self.inside: list[Callable[[], None]] = []
        """What is called first in every run of it."""
        self.processes: list[Process] = []
        self.closing: list[Callable[[], Any]] = []
        """What is put right before the run goes on, and in any case."""
        self.meanwhile: Callable[[], None] = lambda: None
        """What a person does, each second, who sees that a run which was hurt does not end."""
        self.mended: Callable[[str], None] = lambda said: None
        """What a person does who reads what a run said that ended otherwise."""
        self.begun: list[Process] = []
        """All processes so far, those too which are not of a run."""
        self.signals = 0
        """That reached processes which a run started."""
        self.excused = False
        """Whether what the run said was all that could be asked for, and told a person what to do."""
        self.told: list[str] = []
        """Lines of what went wrong."""

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        if error is not None:
            for line in self.stands():
                error.add_note(line)
        for process in self.processes:
            process.kill()
        self.put_right()
        unmount(self.out)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stands(self) -> list[str]:
        """How the processes stand, a text each."""
        running = [process for process in self.begun if not process.ended()]
        ended = [process for process in reversed(self.begun) if process.ended()]
        shown = [process.stands() for process in [*running, *ended][:SHOWN]]
        return [f"{self.hurts} signals were sent, {len(self.begun)} processes started", *shown]

    def put_right(self) -> None:
        """Undo what the fault did to the machine."""
        while self.closing:
            self.closing.pop()()

    def prepared(self, suite: str = "small") -> Reference:
        """Write a suite into the folder; returns the run of it that was left alone."""
        self.suite = suite
        self.path = suites.write(self.folder, suite)
        if suite not in self.references:
            self.references[suite] = left_alone(suite)
        return self.references[suite]

    def start(
        self, *more: str, inside: Sequence[Callable[[], None]] = (), report: bool = False, **options: Any
    ) -> Process:
        """Start the run of the suite; see `process.start` for the options."""
        arguments = ["gradest", "run", self.path.name, "--out", self.out.name, *self.more, *more]
        return self.command(arguments, inside=(*self.inside, *inside, *([] if report else [without_report])), **options)

    def command(self, arguments: Sequence[str], main: Callable[[], Any] | None = None, **options: Any) -> Process:
        """Start another command line of ours, or another program, in the folder."""
        from bench.cli import main as ours

        errors = self.folder / f"said-{len(self.begun) + 1}"
        process = start(main or ours, arguments, folder=self.folder, errors=errors, **options)
        self.begun.append(process)
        self.processes.append(process)
        return process

    @property
    def hurts(self) -> int:
        """Signals that reached a process."""
        return self.signals + sum(process.hurts for process in self.processes)

    def until(self, signals: int) -> Iterator[None]:
        """Turns until so many signals have reached a process, where a turn sends one at most.

        Raises:
            Late: turn after turn there was nothing to hurt.
        """
        for _ in range(TURNS * signals):
            if self.hurts >= signals:
                return
            yield
        if self.hurts < signals:
            raise Late(f"{self.hurts} of {signals} signals reached a process in {TURNS * signals} turns")

    def restarted(self, process: Process | None, *more: str, **options: Any) -> Process:
        """A run that still runs, or the next one; where the last one came to its end it makes all cells anew."""
        if process is not None and not process.ended():
            return process
        anew = ["--force"] if process is not None and process.code == 0 else []
        return self.start(*anew, *more, **options)

    def instant(self, over: float = 1.1) -> float:
        """Seconds from the start of a run at which something happens to it: any, with the same chance."""
        return self.random.uniform(0, over * self.references[self.suite].seconds)

    def over(self, process: Process, seconds: float = PATIENCE) -> None:
        """Wait for the end of a process, and note where it does not end."""
        deadline = time.monotonic() + seconds
        while not process.wait(min(1.0, seconds)) and time.monotonic() < deadline:
            self.meanwhile()
        if not process.ended():
            self.told.append(f"did not end in {seconds:.0f} s after it was hurt: {process.stands()}")
            process.kill()

    def go_on(self) -> bool:
        """Start the run again until it ends; whether it does."""
        for _ in range(AGAIN):
            process = self.start()
            if not process.wait(PATIENCE):
                self.told.append(f"a resume did not end in {PATIENCE:.0f} s: {process.stands()}")
                process.kill()
                return False
            if process.code in self.codes:
                return True
            self.mended(process.said)
            if self.excused:
                continue
            self.told.append(f"a resume ended with {process.code}: {process.said.strip()[-300:]}")
        return False

    def judged(self) -> dict[str, Any]:
        """End what still runs, go on to the end, and say what became of the records."""
        reference = self.references[self.suite]
        for process in self.processes:
            self.over(process)
        torn = [] if self.damaged or not self.out.is_dir() else verdict.torn(self.out)
        self.put_right()
        before = verdict.contents(self.out) if self.out.is_dir() else {}
        kept = {cell: text for cell, text in before.items() if not self.damaged}
        ended = self.go_on()
        found = verdict.records(self.out) if self.out.is_dir() else {}
        missing, mixed = verdict.missing_and_mixed(found, reference, self.ill)
        after = verdict.contents(self.out)
        again = [cell for cell in kept if kept[cell] != after.get(cell) and _went_well(kept[cell])]
        torn += [] if self.damaged or not self.out.is_dir() else verdict.torn(self.out)
        said = [*(process.said for process in self.processes), self.workers_said()]
        codes = {process.code for process in self.processes if process.code is not None and process.code >= 0}
        self.told += [f"a run ended with the exit code {code}" for code in sorted(codes - CODES - self.codes)]
        loud = [words for words in said if "Traceback (most recent" in words]
        spent = sum(process.processor for process in self.processes)
        return {
            "lost": [*missing, *(f"{cell}: was done, and was done again" for cell in again)],
            "mixed": mixed,
            "torn": torn,
            "tracebacks": [words[-2000:] for words in loud],
            "ended": ended,
            "signals": self.hurts,
            "told": self.told,
            "seconds": spent - reference.processor,
        }


def _went_well(content: bytes) -> bool:
    return b'"status": "ok"' in content


def left_alone(suite: str) -> Reference:
    """Run a suite, and leave it alone."""
    with Trial("left alone", 0, {}) as trial:
        trial.path = suites.write(trial.folder, suite)
        took = []
        for _ in range(2):  # the second finds what the first has made the machine remember
            shutil.rmtree(trial.out, ignore_errors=True)
            process = trial.start()
            process.wait(3 * PATIENCE)  # the first may have a step to compile
            if process.code != 0:
                raise RuntimeError(f"a run that was left alone ended with {process.code}: {process.said}")
            took.append((process.seconds, process.processor))
        return Reference(verdict.records(trial.out), *min(took))


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
