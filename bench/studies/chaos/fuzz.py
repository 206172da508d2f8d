"""`python -m bench.studies.chaos.fuzz --count 10000 --seed 0`: whatever is typed is answered in one line.

Suites are made of those that ship, with values, keys and bytes changed, and of the schema alone; command lines of every
verb, with options, paths and labels changed. Half of the command lines, and of the suites of the schema, are such as
somebody would type, so that what lies behind a refusal is reached too.

Each is given to the command line in this process, within five seconds. Nothing is run: what would run cells, or a
certificate, or write outside of the folder, ends there and counts as accepted; no figures are drawn. An accepted suite
is written, read back, and must be equal, with the same cells.
"""

import argparse
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from bench.cli import VERBS
from bench.cli.guard import BAD_INPUT
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.studies.chaos.answer import Outcome, typed
from bench.studies.chaos.made import a_label, as_typed, of_bytes, of_schema, of_values
from bench.studies.chaos.odd import COMMANDS, NUMBERS, PATHS, WORDS
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.suite.toml import dumps

HELD = b"""
name = "held"
problems = [{kind = "toy", objective = "cubic", family = "bernoulli", logits = [1]}]
estimators = ["rloo", "disarm"]
moments = {draws = 30}
"""
"""The suite of the one folder that is there, of two records."""
WARM = (
    ["doctor"],
    ["compare", "held", "held"],
    ["run", "quick", "--dry-run"],
    ["report", "held", "--format", "md,csv,tex"],
    ["list", "estimators"],
)


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
            return (
                rng.choice(PATHS) if pick < 0.6 else rng.choice(WORDS) if pick < 0.8 else as_typed(rng.choice(NUMBERS))
            )

        if rng.random() < 0.5:
            return typed(verb, *rng.choice(COMMANDS[verb]), *rng.choice(((), (), ("--quiet",), ("--verbose",))))
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
