"""What is timed, each built for one size: a training step, the moments of a gradient, and the running of a suite.

The suite has tiny cells, whose own work is next to nothing: what remains is that of reading, planning and running it.
"""

import tempfile
import weakref
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch

from bench.measure import gradient_moments
from bench.run.executors import inline
from bench.run.runner import run_suite
from bench.studies.models import Setting, build
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.training.settings import Optimisation
from bench.training.trainer import Trainer

Call = Callable[[], object]
ESTIMATORS = ("reinforce", "rloo", "disarm", "straight-through")


def training_step(name: str, setting: Setting, varied: str, size: int) -> Call:
    """One optimiser step of an estimator, with one size of the setting replaced."""
    replaced: dict[str, Any] = {varied: size}
    vae, estimator, x = build(name, setting._replace(**replaced))
    trainer = Trainer(vae, estimator, Optimisation(), noise_seed=0)
    return lambda: trainer.step(x)


def moments(name: str, setting: Setting, draws: int) -> Call:
    """Moments of an estimator's gradient over so many draws."""
    vae, estimator, x = build(name, setting)
    with torch.no_grad():
        q = vae.encode(x)
    return lambda: gradient_moments(estimator, q, vae.objective(x), draws=draws, seed=0, context=x)


def _text(cells: int) -> bytes:
    """A suite of so many cells, a multiple of four: toys, one point each, with four estimators."""
    problems = [
        f'{{kind = "toy", objective = "quadratic", family = "bernoulli", latents = 2, logits = [1], label = "toy-{i}"}}'
        for i in range(cells // len(ESTIMATORS))
    ]
    lists = [f"estimators = {list(ESTIMATORS)}", f"problems = [{', '.join(problems)}]"]
    return "\n".join(['name = "cells"', *lists, "[moments]", "draws = 10", "warm_up = 0"]).encode()


def parsing(cells: int) -> Call:
    """Read and check the suite's text."""
    text = _text(cells)
    return lambda: parse_suite(text, "cells.toml")


def planning(cells: int) -> Call:
    """Resolve the suite to its cells."""
    suite = parse_suite(_text(cells), "cells.toml")
    return lambda: plan(suite)


def running(anew: bool, cells: int) -> Call:
    """Run the whole suite: into a new folder each time, or into one where there is nothing left to do."""
    suite, numbers = parse_suite(_text(cells), "cells.toml"), count()
    folder = tempfile.TemporaryDirectory(prefix="gradest-scaling-")

    def call() -> object:
        return run_suite(suite, Path(folder.name) / str(next(numbers) if anew else 0), executor=inline)

    if not anew:
        call()
    weakref.finalize(call, folder.cleanup)  # not while it is timed
    return call
