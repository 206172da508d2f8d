"""Which checks a first look takes: those of every estimator in the families that it is written for.

An estimator that asks for scores alone takes every family with the same code: in the families beyond the three that
all of them are looked at in, those without options are looked at, which is enough to see what is wrong with a family.
The full certificates leave none out.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from estimators.checks.parametrize import BoundCheck, Wanted, checks_for
from estimators.checks.subject import Subject
from tests.estimators.cases import FAMILIES


def looked_at(subject: Subject) -> bool:
    """Whether a first look takes this estimator in this family."""
    plain = list(inspect.signature(subject.entry.cls).parameters) == ["samples"]
    return subject.family in FAMILIES or subject.entry.capability != "score" or (plain and not subject.options)


def on_the_largest(check: BoundCheck) -> BoundCheck:
    """The check on the largest problem of a first look for each number of samples, or, of one number, the two largest.

    For options beside the defaults, which are looked at on problems of all sizes. Between them these problems have
    several latents and more than two classes, and own parameters that were perturbed and others that have learned.
    """
    grids = check.subject.grids  # for each number of samples in ascending order of size
    largest = {grid.samples: grid for grid in grids}
    vars(check.subject)["grids"] = (*largest.values(),) if len(largest) > 1 else grids[-2:]
    return check


def each_check(wanted: Sequence[Wanted | tuple[Wanted, Mapping[str, Any]]], draws: int) -> pytest.MarkDecorator:
    """Decorate a test of one argument, `check`."""
    chosen: list[BoundCheck] = [check for check in checks_for(wanted, draws=draws) if looked_at(check.subject)]
    return pytest.mark.parametrize("check", chosen, ids=[check.id for check in chosen])
