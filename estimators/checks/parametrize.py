"""The checks for a user's own pytest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from estimators.checks.certificate import CHECKS, DRAWS, run_check, subjects
from estimators.checks.result import Result
from estimators.checks.subject import Subject
from estimators.entry import Entry
from estimators.errors import BadInput, unknown

if TYPE_CHECKING:
    import pytest

Wanted = str | Entry | tuple[str | Entry, Mapping[str, Any]]


class BoundCheck(NamedTuple):
    """A check of one subject; calling it runs it, and raises where it fails."""

    name: str
    subject: Subject

    @property
    def id(self) -> str:
        """Such as rloo-bernoulli-unbiased; `pytest -k` picks by it."""
        return f"{self.subject.label}-{self.name}"

    def __call__(self) -> Result:
        """Run the check.

        Raises:
            AssertionError: it failed; the message is the certificate's sentence.
        """
        result = run_check(self.name, self.subject)
        if result.status == "failed":
            raise AssertionError(f"{self.id}: {result.message}")
        return result


def checks_for(estimators: Sequence[Wanted] | Wanted, *, seed: int = 0, draws: int = DRAWS) -> Iterator[BoundCheck]:
    """Every check of these estimators: names, `module:Class`, entries, or pairs of one of them and its options.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    pair = isinstance(estimators, tuple) and len(estimators) == 2 and isinstance(estimators[1], Mapping)
    wanted: Sequence[Any] = [estimators] if pair or isinstance(estimators, str | Entry) else list(estimators)
    for item in wanted:
        estimator, options = item if isinstance(item, tuple) else (item, {})
        for subject in subjects(estimator, options, seed=seed, draws=draws):
            for name in CHECKS:
                yield BoundCheck(name, subject)


def parametrize_with_checks(
    estimators: Sequence[Wanted] | Wanted,
    *,
    expected_failures: Mapping[str, str] | Callable[[BoundCheck], Mapping[str, str]] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> "pytest.MarkDecorator":
    """Decorate a test of one argument, `check`, with every check of these estimators.

        @parametrize_with_checks(["mine:Mine"], expected_failures={"dtype": "float32 on purpose"})
        def test_mine(check):
            check()

    Args:
        estimators: names, `module:Class`, entries, or pairs of one of them and its options.
        expected_failures: name of a check to the reason why it is known to fail, or a function that gives that for a
            check at hand; such a test is a strict xfail, so that it speaks up when the check passes after all.
        seed: of all noise.
        draws: at most so many on each problem.

    Raises:
        BadInput: no such estimator or check, or options that it does not take.
    """
    import pytest

    parameters = []
    for check in checks_for(estimators, seed=seed, draws=draws):
        expected = expected_failures(check) if callable(expected_failures) else expected_failures or {}
        for name in expected:
            if name not in CHECKS:
                raise BadInput(unknown("check", name, list(CHECKS)))
        reason = expected.get(check.name)
        marks = [pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)] if reason else []
        parameters.append(pytest.param(check, id=check.id, marks=marks))
    return pytest.mark.parametrize("check", parameters)
