"""The factors, each with the cases that are measured of it."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from bench.scaling import cells
from bench.scaling.records import Growth, Quantity
from bench.scaling.setups import DIGITS, MNIST, Call, Setting, moments, training_step

KINDS = ("rloo", "disarm", "gumbel-sigmoid", "rebar")
"""One estimator a kind: score function, antithetic, relaxation, control variate."""


class Case(NamedTuple):
    """One subject, and what it is built of for each size."""

    subject: str
    setting: str
    sizes: tuple[int, ...]
    make: Callable[[int], Call]
    """Builds what is measured; it must be found by name in a fresh process where bytes are."""
    quantity: Quantity = "seconds"
    expected: Growth = "linear"


class Factor(NamedTuple):
    """A size that cost grows with."""

    name: str
    unit: str
    cases: tuple[Case, ...]
    rounds: int
    """Rounds that count, in each of which every size of every case takes its turn."""
    repeats: int = 3
    """Fresh processes for each size of a case in bytes."""


def _sizes(first: int, last: int, times: int = 2) -> tuple[int, ...]:
    return (first,) if times * first > last else (first, *_sizes(times * first, last, times))


def _steps(names: tuple[str, ...], setting: Setting, varied: str, sizes: tuple[int, ...]) -> list[Case]:
    return [
        Case(
            f"{name}, {setting.shape}",
            f"{setting.shape} {setting.words(varied)}",
            sizes,
            partial(training_step, name, setting, varied),
        )
        for name in names
    ]


def _moments(sizes: tuple[int, ...], quantity: Quantity, expected: Growth) -> list[Case]:
    setting = MNIST._replace(batch=10)
    words = f"{setting.shape} {setting.words('')}"
    return [Case(name, words, sizes, partial(moments, name, setting), quantity, expected) for name in KINDS]


def _cells() -> list[Case]:
    subjects: dict[str, tuple[Callable[[int], Call], int]] = {
        "first run": (cells.first_run, 256),
        "second run": (cells.second_run, 1024),
        "plan": (cells.planning, 4096),
        "parse": (cells.parsing, 4096),
    }
    words = f"toys of two bits, {len(cells.ESTIMATORS)} estimators, inline"
    return [Case(subject, words, _sizes(4, most), make) for subject, (make, most) in subjects.items()]


_BOTH = ("rloo", "rebar")
_SAMPLED = ("rloo", "disarm", "vimco")
FACTORS = {
    name: Factor(name, unit, tuple(cases), rounds)
    for name, unit, rounds, cases in (
        (
            "draws",
            "draws",
            7,
            [*_moments(_sizes(16, 2048), "seconds", "linear"), *_moments(_sizes(128, 32768, 4), "bytes", "constant")],
        ),
        (
            "batch",
            "rows in a batch",
            15,
            [*_steps(KINDS, MNIST, "batch", _sizes(4, 4096)), *_steps(_BOTH, DIGITS, "batch", _sizes(16, 65536))],
        ),
        ("latents", "latents", 15, _steps(KINDS, MNIST._replace(batch=200), "latents", _sizes(8, 4096))),
        (
            "seeds",
            "seeds stacked",
            15,
            [*_steps(_BOTH, DIGITS, "seeds", _sizes(1, 1024)), *_steps(_BOTH, MNIST, "seeds", _sizes(1, 64))],
        ),
        (
            "samples",
            "samples a row",
            15,
            [
                *_steps(_SAMPLED, DIGITS._replace(batch=200), "samples", _sizes(2, 512)),
                *_steps(_SAMPLED, MNIST._replace(batch=10), "samples", _sizes(2, 512)),
            ],
        ),
        ("cells", "cells", 7, _cells()),
    )
}
