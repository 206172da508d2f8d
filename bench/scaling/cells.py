"""A suite of so many tiny cells, whose own work is next to nothing: what remains is that of running a suite."""

import tempfile
import weakref
from itertools import count
from pathlib import Path

from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.scaling.setups import Call
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite

ESTIMATORS = ("reinforce", "rloo", "disarm", "straight-through")


def _text(cells: int) -> str:
    """A suite of toys, one point each, for every four cells."""
    problems = [
        f'{{kind = "toy", objective = "quadratic", family = "bernoulli", latents = 2, logits = [1], label = "toy-{i}"}}'
        for i in range(cells // len(ESTIMATORS))
    ]
    lists = [f"estimators = {list(ESTIMATORS)}", f"problems = [{', '.join(problems)}]"]
    return "\n".join(['name = "cells"', *lists, "[moments]", "draws = 10", "warm_up = 0"])


def suite_of(cells: int) -> Suite:
    """A suite of so many cells, a multiple of four."""
    return parse_suite(_text(cells).encode(), "cells.toml")


def parsing(cells: int) -> Call:
    """Read and check the suite's text."""
    text = _text(cells).encode()
    return lambda: parse_suite(text, "cells.toml")


def planning(cells: int) -> Call:
    """Resolve the suite to its cells."""
    suite = suite_of(cells)
    return lambda: plan(suite)


def first_run(cells: int) -> Call:
    """Run the whole suite, into a new folder each time."""
    suite, numbers, folder = suite_of(cells), count(), tempfile.TemporaryDirectory(prefix="gradest-scaling-")
    root = Path(folder.name)

    def call() -> object:
        return run_suite(suite, root / str(next(numbers)), executor=inline)

    weakref.finalize(call, folder.cleanup)  # not while it is timed
    return call


def second_run(cells: int) -> Call:
    """Run the suite where there is nothing left to do."""
    suite, folder = suite_of(cells), tempfile.TemporaryDirectory(prefix="gradest-scaling-")
    root = Path(folder.name)
    run_suite(suite, root, executor=inline)

    def call() -> object:
        return run_suite(suite, root, executor=inline)

    weakref.finalize(call, folder.cleanup)
    return call
