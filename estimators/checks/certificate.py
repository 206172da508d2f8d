"""All checks of an estimator, as one certificate."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from estimators.checks import bias, calls, leading, precision, rows, single, state
from estimators.checks.result import Certificate, Result, failed
from estimators.checks.subject import Subject
from estimators.contract import Broken
from estimators.entry import Entry
from estimators.errors import BadInput, unknown
from estimators.labels import label_of
from estimators.registry import get

ALPHA = 1e-3
"""Chance that a certificate refutes a correct estimator by bad luck, over all its statistical tests."""
DRAWS = 2**18

Check = Callable[[Subject], Result]

CHECKS: dict[str, Check] = {
    "generator": calls.generator,
    "evaluations": calls.evaluations,
    "dtype": precision.dtype,
    "float32": single.float32,
    "rows": rows.rows,
    "leading-dims": leading.leading_dims,
    "state": state.state,
    "auxiliary": state.auxiliary,
    "finite": precision.finite,
    "unbiased": bias.unbiased,
    "theta": bias.theta,
    "value": bias.value,
    "constant": bias.constant,
}
"""Every check by name, in the order in which they run."""


REPEATABLE = ("dtype", "float32", "rows", "leading-dims", "state")
"""Checks that compare calls with the same noise, and say nothing where the generator does not decide it."""


def subjects(
    estimator: str | Entry,
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    alpha: float = ALPHA,
    workers: int = 1,
) -> tuple[Subject, ...]:
    """What there is to certify of an estimator: one subject a family, sharing the chance of a false refutation.

    Args:
        estimator: an entry, or the name or `module:Class` of one.
        options: of the estimator.
        seed: of all noise.
        draws: at most so many on each problem.
        alpha: chance that a correct estimator is refuted.
        workers: threads; the results do not depend on them.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    entry = get(estimator) if isinstance(estimator, str) else estimator
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise BadInput(f"draws = {draws!r} is no whole number of at least 1")
    if not isinstance(entry, Entry):
        raise BadInput(f"{entry!r} is no name and no entry of an estimator; for options give them apart")
    options = dict(options or {})
    entry.create(**options)  # bad options are bad input, not a refutation
    share = alpha / len(entry.families)
    return tuple(Subject(entry, family, options, seed, draws, share, workers) for family in entry.families)


def run_check(name: str, subject: Subject) -> Result:
    """One check of one subject; what an estimator raises is a failure of it.

    Raises:
        BadInput: no such check.
    """
    if name not in CHECKS:
        raise BadInput(unknown("check", name, list(CHECKS)))
    try:
        if name in REPEATABLE and calls.generator(subject).status == "failed":
            message = "cannot be told where the generator does not decide the noise: see generator"
            return Result(name, subject.family, "not applicable", message)
        return CHECKS[name](subject)
    except Broken as error:
        return failed(name, subject.family, str(error))
    except (
        Exception
    ) as error:  # foreign code can break a check in ways we did not foresee; the other checks are still wanted
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return failed(
            name, subject.family, f"the check could not be completed with what the estimator returns ({reason})"
        )


def certify(
    estimator: str | Entry,
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    alpha: float = ALPHA,
    workers: int = 1,
    progress: Callable[[Result], None] | None = None,
) -> Certificate:
    """Every check of an estimator, for every family it is for; the same seed gives the same certificate.

    Takes what `subjects` takes, and `progress`, which is called with every result as it comes.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    started = time.perf_counter()
    found = subjects(estimator, options, seed=seed, draws=draws, alpha=alpha, workers=workers)
    results: list[Result] = []
    for subject in found:
        said: dict[str, str] = {}
        for name in CHECKS:
            result = run_check(name, subject)
            if result.status == "failed" and result.message in said:
                result = replace(result, message=f"for the same reason as {said[result.message]}")
            elif result.status == "failed":
                said[result.message] = name
            results.append(result)
            if progress:
                progress(results[-1])
    first = found[0]
    label = label_of(first.entry.name, first.options)
    return Certificate(label, first.unbiased, first.sample_counts, seed, tuple(results), time.perf_counter() - started)
