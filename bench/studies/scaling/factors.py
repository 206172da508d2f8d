"""The factors, each with the cases that are measured of it."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from bench.studies.models import DIGITS, MNIST, Setting
from bench.studies.scaling.subjects import ESTIMATORS, Call, moments, parsing, planning, running, training_step

Quantity = Literal["seconds", "bytes"]
Growth = Literal["linear", "constant"]
KINDS = ("rloo", "disarm", "gumbel-sigmoid", "rebar")
"""One estimator a kind: score function, antithetic, relaxation, control variate."""


class Case(NamedTuple):
    """One subject, and what it is built of for each size."""

    subject: str
    setting: str
    """What is held fixed."""
    sizes: tuple[int, ...]
    make: Callable[[int], Call]
    """Builds what is measured; it must be found by name in a fresh process where bytes are."""
    quantity: Quantity = "seconds"
    expected: Growth = "linear"
    """How the work grows: in proportion to the size, or not at all."""


class Factor(NamedTuple):
    """A size that cost grows with."""

    name: str
    unit: str
    """What a size counts, as an axis names it."""
    rounds: int
    """Rounds that count, in each of which every size of every case takes its turn."""
    cases: tuple[Case, ...]
    repeats: int = 3
    """Fresh processes for each size of a case in bytes."""


def _sizes(first: int, last: int, times: int = 2) -> tuple[int, ...]:
    return (first,) if times * first > last else (first, *_sizes(times * first, last, times))


def _steps(names: tuple[str, ...], setting: Setting, varied: str, sizes: tuple[int, ...]) -> list[Case]:
    words = f"{setting.shape} {setting.words(varied)}"
    return [
        Case(f"{name}, {setting.shape}", words, sizes, partial(training_step, name, setting, varied)) for name in names
    ]


def _moments(sizes: tuple[int, ...], quantity: Quantity, expected: Growth) -> list[Case]:
    setting = MNIST._replace(batch=10)
    words = f"{setting.shape} {setting.words('')}"
    return [Case(name, words, sizes, partial(moments, name, setting), quantity, expected) for name in KINDS]


def _cells(subject: str, last: int, make: Callable[[int], Call]) -> Case:
    return Case(subject, f"toys of two bits, {len(ESTIMATORS)} estimators, inline", _sizes(4, last), make)


_BOTH = ("rloo", "rebar")
_SAMPLED = ("rloo", "disarm", "vimco")
_DRAWS = (
    *_moments(_sizes(16, 2048), "seconds", "linear"),
    *_moments(_sizes(128, 32768, 4), "bytes", "constant"),
)
_BATCH = (
    *_steps(KINDS, MNIST, "batch", _sizes(4, 4096)),
    *_steps(_BOTH, DIGITS, "batch", _sizes(16, 65536)),
)
_LATENTS = tuple(_steps(KINDS, MNIST._replace(batch=200), "latents", _sizes(8, 4096)))
_SEEDS = (
    *_steps(_BOTH, DIGITS, "seeds", _sizes(1, 1024)),
    *_steps(_BOTH, MNIST, "seeds", _sizes(1, 64)),
)
_SAMPLES = (
    *_steps(_SAMPLED, DIGITS._replace(batch=200), "samples", _sizes(2, 512)),
    *_steps(_SAMPLED, MNIST._replace(batch=10), "samples", _sizes(2, 512)),
)
_CELLS = (
    _cells("first run", 256, partial(running, True)),
    _cells("second run", 1024, partial(running, False)),
    _cells("plan", 4096, planning),
    _cells("parse", 4096, parsing),
)
FACTORS = {
    factor.name: factor
    for factor in (
        Factor("draws", "draws", 7, _DRAWS),
        Factor("batch", "rows in a batch", 15, _BATCH),
        Factor("latents", "latents", 15, _LATENTS),
        Factor("seeds", "seeds stacked", 15, _SEEDS),
        Factor("samples", "samples a row", 15, _SAMPLES),
        Factor("cells", "cells", 7, _CELLS),
    )
}
