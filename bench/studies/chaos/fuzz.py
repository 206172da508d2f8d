"""`python -m bench.studies.chaos.fuzz --count 10000 --seed 0`: whatever is typed is answered in one line.

Suites are made of those that ship, with values, keys and bytes changed, and of the schema alone; command lines of every
verb, with options, paths and labels changed. Each is given to the command line in this process, within five seconds.
Nothing is run: what would run cells, or a certificate, ends there and counts as accepted. An accepted suite is written,
read back, and must be equal, with the same cells.
"""

import argparse
import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from bench.cli import VERBS, main
from bench.cli.guard import BAD_INPUT, LONGEST
from bench.config import EstimatorConfig
from bench.measure.base import MEASUREMENTS
from bench.printed import visible
from bench.problems.base import PROBLEMS
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.studies.chaos.odd import BYTES, COMMANDS, NAMES, NUMBERS, OPTIONS, PATHS, WORDS
from bench.suite.load import SUITES, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite
from bench.suite.toml import dumps
from bench.training.settings import Optimisation
from estimators import registry

MOST = 5.0
"""Seconds that an answer may take."""


HELD = b"""
name = "held"
problems = [{kind = "toy", objective = "cubic", family = "bernoulli", logits = [1]}]
estimators = ["rloo", "disarm"]
moments = {draws = 30}
"""
"""The suite of the one folder that is there, of two records."""
FIRST = "runs code of your own: "
"""What is said before an answer where something named is imported."""
WARM = (
    ["doctor"],
    ["compare", "held", "held"],
    ["run", "quick", "--dry-run"],
    ["report", "nowhere"],
    ["list", "estimators"],
)


class TooLong(BaseException):
    """An answer took longer; nothing catches it on its way."""


class Outcome(NamedTuple):
    """What came of one thing that was typed."""

    code: int | None
    """None where it ended in a traceback, or not at all."""
    said: str
    """On stderr, or the traceback."""
    seconds: float
    whole: bool = False
    """Whether all was asked for, however long."""

    @property
    def refused(self) -> bool:
        """Whether it was refused as it should be: in one line that is not too long."""
        lines = [line for line in self.said.splitlines() if not line.startswith(FIRST)]
        if self.code != BAD_INPUT or len(lines) != 1 or visible(lines[0]) != lines[0]:
            return False
        return self.whole or len(lines[0]) <= LONGEST


class Row(NamedTuple):
    """A row of the table."""

    what: str
    tried: int = 0
    refused: int = 0
    """In one line."""
    accepted: int = 0
    badly: int = 0
    """Refused, but in no line, in several, or in one that is too long; or accepted, and read back as another suite."""
    tracebacks: int = 0
    hangs: int = 0
    longest: int = 0
    """Characters of the longest line."""

    def with_one(self, outcome: Outcome) -> "Row":
        """With one more."""
        hangs, badly = outcome.code is None and not outcome.said, outcome.code == BAD_INPUT and not outcome.refused
        length = max(map(len, outcome.said.splitlines())) if outcome.refused and not outcome.whole else 0
        return self._replace(
            tried=self.tried + 1,
            refused=self.refused + outcome.refused,
            accepted=self.accepted + (outcome.code not in (None, BAD_INPUT)),
            badly=self.badly + badly,
            tracebacks=self.tracebacks + (outcome.code is None and not hangs),
            hangs=self.hangs + hangs,
            longest=max(self.longest, length),
        )

    @property
    def faults(self) -> int:
        """What should not be."""
        return self.badly + self.tracebacks + self.hangs


@contextmanager
def nothing_runs() -> Iterator[None]:
    """What would take long ends instead, as if it were done."""

    def end(*_: object, **__: object) -> None:
        raise SystemExit(0)

    def made(name: str, arguments: dict[str, Any], **_: object) -> None:
        registry.get(name).create(**arguments)
        raise SystemExit(0)

    with (
        mock.patch("bench.run.runner.run_suite", end),
        mock.patch("estimators.checks.certify", made),
        mock.patch("bench.run.probe.slowness", return_value=1.0),
    ):
        yield


def _too_long(*_: object) -> None:
    raise TooLong


def typed(*arguments: str, within: float = MOST) -> Outcome:
    """What the command line answers, in this process and folder, within so many seconds."""
    out, err, started = io.StringIO(), io.StringIO(), time.perf_counter()
    path, environment = list(sys.path), os.environ.get("PYTHONPATH")
    before = signal.signal(signal.SIGALRM, _too_long)
    code: int | None = None
    try:
        with (
            mock.patch.object(sys, "argv", ["gradest", *arguments]),
            nothing_runs(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            signal.setitimer(signal.ITIMER_REAL, within)
            main()
    except SystemExit as ended:
        code, said = ended.code if isinstance(ended.code, int) else 0, err.getvalue()
    except TooLong:
        said = ""
    except BaseException:
        said = traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.path[:] = path
        if environment is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = environment
    whole = any(one in ("-v", "--verbose") for one in arguments)
    return Outcome(code, said, time.perf_counter() - started, whole)


def a_value(rng: random.Random, like: Any = None) -> Any:
    """Something to stand in the place of a value: near to it, or nothing like it."""
    match rng.randrange(8):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2:
            return rng.choice(WORDS)
        case 3:
            return [a_value(rng) for _ in range(rng.randrange(4))]
        case 4:
            return {rng.choice(WORDS): a_value(rng) for _ in range(rng.randrange(3))}
        case 5 if isinstance(like, list):
            return like * rng.choice((0, 2, 50))
        case 6 if isinstance(like, int | float):
            return rng.choice((-like, like + 1, like / 3, like * 10**9, float(like)))
    return rng.choice((True, False, rng.randrange(10), rng.random()))


def changed(rng: random.Random, table: dict[str, Any]) -> dict[str, Any]:
    """A table with one thing changed somewhere in it: a value, a key, one more, one less."""
    table = dict(table)
    key = rng.choice([*table]) if table else ""
    inside = table.get(key)
    if isinstance(inside, dict) and inside and rng.random() < 0.8:
        return table | {key: changed(rng, inside)}
    if isinstance(inside, list) and inside and rng.random() < 0.7:
        place = rng.randrange(len(inside))
        one = inside[place]
        other: Any = a_label(rng) if isinstance(one, str) else a_value(rng, one)
        if isinstance(one, dict):
            other = changed(rng, one)
        return table | {key: [*inside[:place], other, *inside[place + 1 :]]}
    match rng.randrange(6):
        case 0 if table:
            del table[key]
        case 1 if table:
            table[rng.choice(WORDS)] = table.pop(key)
        case 2:
            table[rng.choice(NAMES)] = a_value(rng)
        case _:
            table[key] = a_value(rng, inside)
    return table


def a_label(rng: random.Random) -> str:
    """An estimator as a person types it, or nearly so."""
    name = rng.choice([entry.name for entry in registry.available()] if rng.random() < 0.7 else NAMES)
    options = [f"{rng.choice(OPTIONS)}={rng.choice([*map(_short, NUMBERS), *WORDS])}" for _ in range(rng.randrange(3))]
    label = f"{name}[{','.join(options)}]" if options or rng.random() < 0.2 else name
    if rng.random() < 0.2:
        place = rng.randrange(len(label) + 1)
        label = label[:place] + rng.choice(("[", "]", "=", ",", " ", *WORDS)) + label[place:]
    return label


def _short(number: float) -> str:
    try:
        return str(number)
    except ValueError:  # more digits than Python writes
        return "9" * 5000


def shipped(rng: random.Random) -> dict[str, Any]:
    """A suite that ships, of a few of its problems and estimators, so that it is planned at once."""
    suite = tomllib.loads(rng.choice(sorted(SUITES.glob("*.toml"))).read_text())
    for name in ("problems", "estimators"):
        suite[name] = rng.sample(suite[name], min(len(suite[name]), rng.randrange(1, 4)))
    return suite


def of_values(rng: random.Random) -> bytes:
    """A suite that ships, with up to two things changed."""
    suite = shipped(rng)
    for _ in range(rng.choice((0, 1, 1, 2))):
        suite = changed(rng, suite)
    return _written(suite)


def of_bytes(rng: random.Random) -> bytes:
    """The text of one, with bytes changed."""
    text = bytearray(dumps(shipped(rng)).encode())
    for _ in range(rng.randrange(1, 6)):
        place = rng.randrange(len(text))
        match rng.randrange(5):
            case 0:
                text[place] = rng.randrange(256)
            case 1:
                del text[place : place + rng.randrange(1, 40)]
            case 2:
                text[place:place] = rng.choice(WORDS).encode("utf-8", "surrogatepass")
            case 3:
                text[place:place] = text[place : place + rng.randrange(1, 300)]
            case 4:
                text[place:place] = rng.choice(BYTES)
        if not text:
            break
    return bytes(text)


def of_schema(rng: random.Random) -> bytes:
    """A suite of fields that there are, with whatever values."""

    def table(model: Any, kind: str = "") -> dict[str, Any]:
        names = [name for name in model.model_fields if name != "kind" and rng.random() < 0.4]
        return ({"kind": kind} if kind else {}) | {name: a_value(rng) for name in names}

    suite = {"name": "a"} | table(Suite)
    suite["problems"] = [table(cls, kind) for kind, cls in PROBLEMS.all().items() if rng.random() < 0.7]
    if rng.random() < 0.8:
        suite["problems"].append({"kind": "toy", "objective": "cubic", "family": "bernoulli", "logits": [1]})
    suite["estimators"] = [a_label(rng) if rng.random() < 0.7 else table(EstimatorConfig) for _ in range(2)]
    for name, cls in {**MEASUREMENTS.all(), "training": Optimisation}.items():
        if rng.random() < 0.5:
            suite[name] = table(cls)
    return _written(suite)


def _written(suite: dict[str, Any]) -> bytes:
    try:
        return dumps(suite).encode("utf-8", "surrogatepass")
    except ValueError:  # a number that has no word in JSON, or too many digits: as a person would type it
        return repr(suite).encode("utf-8", "surrogatepass")[:4000]


def a_suite(make: Callable[[random.Random], bytes]) -> Callable[[random.Random], Outcome]:
    """Plan a suite of this sort."""

    def attempt(rng: random.Random) -> Outcome:
        text = make(rng)
        Path("fuzzed.toml").write_bytes(text)
        outcome = typed("run", "fuzzed.toml", "--dry-run", *rng.choice(((), ("--json",), ("--verbose",))))
        if outcome.code != 0:
            return outcome
        suite = parse_suite(text, "fuzzed.toml")
        again = parse_suite(dumps(suite.model_dump(mode="json", exclude_none=True)).encode(), "again.toml")
        same = again == suite and [cell.id for cell in plan(again).cells] == [cell.id for cell in plan(suite).cells]
        return outcome if same else Outcome(BAD_INPUT, "read back as another suite", outcome.seconds)

    return attempt


def a_command(verb: str) -> Callable[[random.Random], Outcome]:
    """Type a command line of a verb."""
    import typer.main

    from bench.cli import app

    options = typer.main.get_command(app).commands[verb].params  # type: ignore[attr-defined]
    names = [name for option in options for name in (*option.opts, *option.secondary_opts) if name.startswith("-")]

    def attempt(rng: random.Random) -> Outcome:
        def word() -> str:
            pick = rng.random()
            if pick < 0.3:
                return a_label(rng)
            return rng.choice(PATHS) if pick < 0.6 else rng.choice(WORDS) if pick < 0.8 else _short(rng.choice(NUMBERS))

        words = [*rng.choice(COMMANDS[verb])] if rng.random() < 0.7 else [word() for _ in range(rng.randrange(3))]
        if words and rng.random() < 0.6:
            words[rng.randrange(len(words))] = word()
        for _ in range(rng.choice((0, 0, 1, 3))):
            words += [rng.choice(names)] + ([word()] if rng.random() < 0.8 else [])
        if rng.random() < 0.1:
            rng.shuffle(words)
        typeable = [one.replace("\x00", "") for one in words if len(one) < 100_000]  # no argument holds a zero byte
        return typed(verb, *(one for one in typeable if one != "--traceback"))

    return attempt


SORTS: dict[str, Callable[[random.Random], Outcome]] = {
    "suites, values changed": a_suite(of_values),
    "suites, bytes changed": a_suite(of_bytes),
    "suites, of the schema": a_suite(of_schema),
    **{f"gradest {verb}": a_command(verb) for verb in VERBS},
}
"""What is tried, in turn."""


def fuzz(count: int, seed: int, told: Callable[[str, Outcome, int], None] = lambda *_: None) -> list[Row]:
    """Try so many things, in a folder of their own, and count what came of them.

    Args:
        count: in all, of all sorts in turn.
        seed: each thing has a generator of its own, of this and its number.
        told: called with what should not be: the sort, the outcome, and the number of the attempt.
    """
    rows, here = {what: Row(what) for what in SORTS}, Path.cwd()
    sorts = [*SORTS.items()]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.chdir(folder)
        try:
            stack.enter_context(mock.patch.dict(os.environ, {"GRADEST_DATA": folder}))  # no data to be looked through
            run_suite(parse_suite(HELD, "held.toml"), Path("held"), executor=inline)
            for arguments in WARM:  # what it imports takes seconds, once in a process
                typed(*arguments, within=60.0)
            for number in range(count):
                what, attempt = sorts[number % len(sorts)]
                outcome = attempt(random.Random(f"{seed} {number}"))
                before, rows[what] = rows[what], rows[what].with_one(outcome)
                if rows[what].faults > before.faults:
                    told(what, outcome, number)
        finally:
            os.chdir(here)
    return [*rows.values()]


def table(rows: Sequence[Row]) -> str:
    """The rows as text, with all of them together at the end."""
    every = Row("all")
    for row in rows:
        sums = {name: getattr(every, name) + getattr(row, name) for name in Row._fields[1:-1]}
        every = every._replace(**sums, longest=max(every.longest, row.longest))
    cells = [Row._fields, *(tuple(map(str, row)) for row in (*rows, every))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        f"{what:{widths[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(numbers, widths[1:], strict=True))
        for what, *numbers in cells
    )


def command(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 where anything should not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)

    def told(what: str, outcome: Outcome, number: int) -> None:
        print(f"{what}, number {number} of seed {asked.seed}: {outcome.said[-2000:] or 'no answer'}", file=sys.stderr)

    rows = fuzz(asked.count, asked.seed, told)
    print(table(rows))
    return int(any(row.faults for row in rows))


if __name__ == "__main__":
    sys.exit(command())
