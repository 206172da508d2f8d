"""Bounds on log p(x) that trained models reach."""

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from bench.problems.model import Model
from bench.seeds import stream
from bench.training.compiling import compile_if_worth, copy_of, look_at_call
from bench.training.noise import Noted
from bench.training.program import Program
from bench.training.worth import WORTH, Wish

EVALUATION_ROWS = 2**15
"""Rows of the decoder evaluated at once, where an event has few numbers."""
EVALUATION_NUMBERS = 2**27
"""Numbers of latents at most, where it has many: half a gigabyte, of which several copies are held."""


def rows_at_once(samples: int, stack: int, event: Sequence[int]) -> int:
    """Rows of data that are evaluated at once, so many draws of an event of this shape for each of the stack."""
    return max(1, min(EVALUATION_ROWS, EVALUATION_NUMBERS // math.prod(event)) // (samples * stack))


@torch.no_grad()
def evaluate(model: Model, rows: Tensor, *, samples: int, seed: int, compile: Wish = False) -> tuple[Tensor, Tensor]:
    """Bounds on log p(x) in nats a row, averaged over the rows: each [E].

    Args:
        model: E stacked models.
        rows: [N, X], the same for all seeds.
        samples: K, draws of z a row.
        seed: of the draws.
        compile: whether to compile what is done to some rows at once; with "auto", where so many rows pay for it.

    Returns:
        The ELBO, and the K-sample importance-weighted bound from the same draws (`Model.bounds`).
    """
    generator = stream("evaluate", seed, device=rows.device)
    totals = torch.zeros(2, model.stack, dtype=torch.float64, device=rows.device)
    parts = torch.split(rows, rows_at_once(samples, model.stack, model.event))
    place = parts[0].clone()
    program = _program(model, totals, place, samples, generator, len(parts), compile)
    for part in parts:
        if program is None or part.shape != place.shape:
            _add(model, totals, part, samples, generator)
        else:
            place.copy_(part)
            program.draw()
            program.run()
    elbo, iwae = totals / len(rows)
    return elbo, iwae


def _add(model: Model, totals: Tensor, part: Tensor, samples: int, generator: Generator) -> None:
    """Add the bounds of some rows [n, X] to the totals [2, E]."""
    integrand, log_weights = model.bounds(part.expand(model.stack, *part.shape), samples, generator)
    bounds = integrand, log_weights.logsumexp(0) - math.log(samples)
    totals.add_(torch.stack([bound.double().sum(-1) for bound in bounds]))


def _program(
    model: Model, totals: Tensor, place: Tensor, samples: int, generator: Generator, runs: int, wish: Wish
) -> Program | None:
    """The same, of the rows in `place`, compiled; None where that is not wished or cannot be done."""
    twin = model

    def look() -> Noted:
        nonlocal twin
        twin = copy_of(model, "the model")
        return look_at_call(lambda: _add(twin, totals.clone(), place, samples, generator), twin, generator)

    def build(seen: Noted) -> Program:
        return Program(lambda totals, place: _add(twin, totals, place, samples, generator), [totals, place], seen.draws)

    worth, largest = WORTH[place.device.type], EVALUATION_ROWS * place.shape[-1]
    program, made = compile_if_worth(wish, worth, runs, look=look, build=build, of="parts", largest=largest)
    if wish is True and not made.compiled:
        warnings.warn(f"the bounds of a {type(model).__name__} are not compiled: {made.because}", stacklevel=3)
    return program
