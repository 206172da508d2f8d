"""`python -m bench.studies.chaos OUT`: try faults for so many minutes, and write reliability.{json,md,csv}."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.run.provenance import machine
from bench.studies.chaos import kinds, table
from bench.studies.chaos.process import last_words
from bench.studies.results import Run
from estimators.errors import unknown

PATIENCE = 300.0
"""Seconds that a lane may take for one fault, which it ends by itself before that, and says what was under way."""


class Lane:
    """A process that tries faults, one after another."""

    def __init__(self) -> None:
        # What its processes leave behind lies in here, and goes with it.
        self.folder = tempfile.TemporaryDirectory(prefix="gradest-lane-", ignore_cleanup_errors=True)
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": self.folder.name}
        command = [sys.executable, "-m", "bench.studies.chaos.lane"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )

    def tried(self, kind: str, seed: int) -> dict[str, Any]:
        """What came of a fault; the lane is of no use any more where that is `broken`."""
        asking, answering = self.process.stdin, self.process.stdout
        assert asking is not None and answering is not None
        late = threading.Timer(PATIENCE, self.kill)
        late.start()
        began = time.monotonic()
        try:
            asking.write(json.dumps({"kind": kind, "seed": seed}) + "\n")
            asking.flush()
            if line := answering.readline():
                return dict(json.loads(line))
        except BrokenPipeError:  # it has ended
            pass
        finally:
            late.cancel()
        took = time.monotonic() - began
        why = f"no answer within {PATIENCE:.0f} s" if took >= PATIENCE else f"the lane ended after {took:.0f} s"
        return {"kind": kind, "seed": seed, "broken": why, "under_way": self.last_words()}

    def last_words(self, most: int = 12) -> list[str]:
        """Of those of its processes that wrote last, a line each."""
        said = sorted(Path(self.folder.name).glob("*/said-*"), key=lambda path: path.stat().st_mtime)[-most:]
        return [f"{path.name}: {last_words(path.read_text(errors='replace'))}" for path in reversed(said)]

    def kill(self) -> None:
        """Kill it, with all that it started in its group; the others die with their parents."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """The same, and remove what it left."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):  # somebody has its pipe still
            self.process.communicate(timeout=10)
        self.folder.cleanup()


def scheduled(chosen: Sequence[kinds.Kind], seed: int) -> Iterator[tuple[str, int]]:
    """Kinds and seeds without end: a round of all kinds for each seed, those that cost more in some rounds only."""
    for turn in itertools.count():
        for place, one in enumerate(chosen):
            if (turn + place) % one.every == 0 or len(chosen) == 1:
                yield one.name, seed + turn


def try_all(wanted: Iterator[tuple[str, int]], lanes: int, until: float, most: int | None) -> list[dict[str, Any]]:
    """Try faults on so many lanes until a time of `time.monotonic`, or until there are enough."""
    found, lock = list[dict[str, Any]](), threading.Lock()
    given = itertools.count()

    def work() -> None:
        lane = Lane()
        while True:
            with lock:
                if time.monotonic() >= until or (most is not None and next(given) >= most):
                    break
                name, seed = next(wanted)
            one = lane.tried(name, seed)
            with lock:
                found.append(one)
            if wrong := table.guilty(one):
                print(f"{table.command(name, seed)}: {wrong[0][:300]}", flush=True)
            if "broken" in one:
                lane.end()
                lane = Lane()
        lane.end()

    threads = [threading.Thread(target=work) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found, key=lambda one: (one["kind"], one["seed"]))


def main(
    out: Annotated[Path, typer.Argument(help="Folder to write into.")],
    minutes: Annotated[float, typer.Option(help="How long to go on.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Of the first round.")] = 0,
    only: Annotated[str, typer.Option("--kinds", help="Kinds, with commas between them; all by default.")] = "",
    faults: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    lanes: Annotated[int, typer.Option(min=1, help="How many faults at a time.")] = 2,
) -> None:
    """Try faults and write what came of them."""
    known = kinds.load()
    names = only.split(",") if only else list(known)
    for name in names:
        if name not in known:
            raise typer.BadParameter(unknown("kind of fault", name, list(known)))
    reasons = {name: reason for name in names if (reason := known[name].needs())}
    chosen = [known[name] for name in names if name not in reasons]
    about = machine("cpu")  # before anything runs: the load is that of others
    began = time.monotonic()
    found = try_all(scheduled(chosen, seed), lanes, began + 60 * minutes, faults)
    run = Run(
        name="faults",
        provenance=about,
        about={
            "seed": seed,
            "minutes": (time.monotonic() - began) / 60,
            "skipped": [f"{name} ({reason})" for name, reason in reasons.items()],
            "failures": table.failures_of(found),
        },
        rows=tuple(table.rows_of(known, found)),
    )
    table.publish(run, out)
    if run.about["failures"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
