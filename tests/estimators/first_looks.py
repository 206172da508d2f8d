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


def each_check(wanted: Sequence[Wanted | tuple[Wanted, Mapping[str, Any]]], draws: int) -> pytest.MarkDecorator:
    """Decorate a test of one argument, `check`."""
    chosen: list[BoundCheck] = [check for check in checks_for(wanted, draws=draws) if looked_at(check.subject)]
    return pytest.mark.parametrize("check", chosen, ids=[check.id for check in chosen])
