"""The mean of an estimator against the exact gradient: the checks unbiased (or bias), theta, value and constant."""

from typing import Any

import torch

from estimators.checks.decisions import decided_words, decisions
from estimators.checks.diagnosis import cause
from estimators.checks.evidence import (
    case_of,
    counts,
    moved_words,
    p_words,
    pooled_by_level,
    power,
    refuted_cases,
    sharpness,
    undecided,
    warnings_of,
    worst_of,
)
from estimators.checks.result import Result, failed
from estimators.checks.sampling import call
from estimators.checks.sequence import sampled
from estimators.checks.subject import Subject
from estimators.checks.tally import scales

NEGLIGIBLE = 0.1
"""A declared bias counts as invisible where no relative bias is significant and most intervals end below this."""


def unbiased(subject: Subject) -> Result:
    """The mean gradient of q's parameters, or for a declared bias its size."""
    return _unbiased(subject) if subject.unbiased else _measured(subject)


def _unbiased(subject: Subject) -> Result:
    found = sampled(subject)
    worst = worst_of(found, lambda tally: slice(0, tally.width), constant=False)
    pooled = pooled_by_level(found)
    numbers: dict[str, Any] = counts(found) | {"pooled": pooled}
    untold = undecided(found)
    if worst.log_p >= found.log_alpha and all(p["log_p"] >= found.log_alpha for p in pooled):
        seen = power(found)
        numbers |= {"detectable": seen, "smallest_log_p": worst.log_p, "undecided": untold}
        known = decisions(found)
        whole = all(not (d.bounded or d.sampled) for d in known.values())
        message = (
            f"{'there is no bias' if whole else 'no bias was seen'} in the {numbers['means']} coordinates of "
            f"{numbers['problems']} problems with samples={', '.join(map(str, subject.tested_counts))}: "
            f"{decided_words(known, sharpness(subject))}"
        )
        if any(d.sampled for d in known.values()):
            scale = ", ".join(f"{p['detectable']:.1%} at {p['level']:g}" for p in pooled)
            message += f", and a factor on all of them off by {scale} ({numbers['draws']:.2g} draws)"
        numbers["decided"] = {f"{level:g}": d._asdict() for level, d in known.items()}
        message += moved_words(found)
        return Result("unbiased", subject.family, "passed", message, numbers, warnings_of(untold))
    numbers["cases"] = refuted_cases(found)
    if worst.log_p >= found.log_alpha:
        case = min(pooled, key=lambda p: p["log_p"])
        message = (
            f"the mean is {1 + case['ratio']:.4g} times the exact gradient, averaged over all problems of level "
            f"{case['level']:g} (p < {p_words(case['log_p'])})"
        )
        if min(p["level"] for p in pooled if p["log_p"] < found.log_alpha) >= 6:
            message += ". Usually an epsilon in a logarithm, or clipped probabilities"
    else:
        message = (
            f"the mean is wrong: off by {worst.size} of the exact gradient's length ({worst.interval}) "
            f"{worst.words(subject)}, {worst.chance}; {numbers['refuted']} of {numbers['means']} "
            "coordinates are wrong"
        )
    message += f"{moved_words(found)}. {cause(subject, found.tallies, found.log_alpha)}"
    return failed("unbiased", subject.family, message, warnings=warnings_of(untold), **numbers)


def _measured(subject: Subject) -> Result:
    """Bias by objective and level, the noise floor subtracted."""
    found = sampled(subject)
    cases: list[dict[str, Any]] = []
    for tally in found.tallies:
        for index, row in enumerate(tally.grid.rows):
            if row.objective != "constant" and not bool(tally.rare[index]):
                cases.append(case_of(tally, index))
    by_objective: dict[str, Any] = {}
    for name in dict.fromkeys(case["objective"] for case in cases):
        own = [case for case in cases if case["objective"] == name]
        by_objective[name] = {
            "by_level": [
                max((case for case in own if case["level"] == level), key=lambda case: float(case["bias"]))
                for level in sorted({case["level"] for case in own})
            ],
            "problems": len(own),
            "narrow": sum(case["high"] <= NEGLIGIBLE for case in own),
        }
        found_here = by_objective[name]
        found_here["vanishes"] = not any(c["significant"] for c in own) and found_here["narrow"] >= 0.8 * len(own)
    gone = [name for name, found_bias in by_objective.items() if found_bias["vanishes"]]
    words = []
    for name, found_bias in by_objective.items():
        if name not in gone:
            largest = max(found_bias["by_level"], key=lambda case: case["bias"])
            ends = f"{max(largest['low'], 0):.0%}, {largest['high']:.0%}"
            words.append(f"{name} {largest['bias']:.0%} [{ends}] at {largest['level']:g}")
    message = (
        f"declared biased; largest bias relative to the exact gradient, with its 95 % interval and "
        f"{sharpness(subject)}: {', '.join(words) or 'none to be seen'}"
    )
    if gone:
        narrow, problems = (sum(by_objective[name][key] for name in gone) for key in ("narrow", "problems"))
        message += (
            f"; none to be seen on {', '.join(gone)}, whose intervals end below {NEGLIGIBLE:.0%} in {narrow} of "
            f"{problems} problems"
        )
    message += moved_words(found)
    numbers = counts(found) | {"cases": cases, "by_objective": by_objective}
    return Result("bias", subject.family, "measured", message, numbers, warnings_of(undecided(found)))


def theta(subject: Subject) -> Result:
    """The gradient of f's own parameter: exact in mean, or for a declared bias that of the value it reports."""
    if subject.unbiased:
        return _column(subject, "theta", -3, "the gradient of f's own parameters", _THETA)
    found = sampled(subject)
    worst = 0.0
    if subject.entry.bound == "elbo":
        for tally in found.tallies:
            # f is linear in theta but for log q, so that theta d/dtheta is the value itself.
            plain = torch.tensor([row.objective != "entropy" for row in tally.grid.rows])
            exact = tally.grid.exact
            gradient = (tally.mean[:, -3] + exact[:, -2]) * tally.grid.theta
            reported = tally.mean[:, -2] + exact[:, -1]
            gap = ((gradient - reported).abs() / reported.abs().clamp_min(0.1))[plain & ~tally.rare]
            worst = max(worst, float(gap.max()))
    if worst > 1e-6:
        message = (
            f"theta's gradient differs by {worst:.0%} from that of the value it reports, though f is linear in theta. "
            + _THETA
        )
        return failed("theta", subject.family, message, largest_difference=worst)
    message = "theta's gradient is that of the value, draw by draw"
    return Result("theta", subject.family, "passed", message, {"largest_difference": worst})


_THETA = (
    "Usually the cost is detached before it is added to the surrogate, added twice, summed over the samples instead of "
    "averaged, or multiplied by something that depends on the draw"
)


def value(subject: Subject) -> Result:
    """The value: unbiased for E_q[f], where the gradient is."""
    if not subject.unbiased:
        message = "a biased estimator may report the value of a relaxed objective"
        return Result("value", subject.family, "not applicable", message)
    found = _column(subject, "value", -2, "the reported value", _VALUE)
    grid = subject.small(subject.sample_counts[0])
    estimator = subject.create(grid)
    values = [v.clone().requires_grad_() for v in grid.values]
    estimate = call(
        estimator, grid.family, values, grid.f(grid.theta), subject.generator(3), subject.context(len(grid.rows))
    )
    if estimate.value.requires_grad:
        message = (
            "the value carries a graph: return it detached, so that a log of values does not keep every step alive"
        )
        return failed("value", subject.family, message)
    return found


_VALUE = (
    "Usually it is a sum over samples instead of their mean, the surrogate instead of the cost, or the cost of another "
    "draw's distribution"
)


def constant(subject: Subject) -> Result:
    """A constant objective has no gradient in mean."""
    found = sampled(subject)
    worst = worst_of(found, lambda tally: slice(0, tally.width), constant=True)
    numbers: dict[str, Any] = {"smallest_log_p": worst.log_p, "objective": "constant"}
    if not subject.unbiased:
        level = max(
            float(tally.mean[tally.constant & ~tally.rare, : tally.width].abs().max()) for tally in found.tallies
        )
        words = "zero" if worst.log_p >= found.log_alpha else f"up to {level:.2g} where f is constant, not zero: biased"
        return Result("constant", subject.family, "measured", f"declared biased; mean gradient {words}", numbers)
    if worst.log_p >= found.log_alpha:
        message = "a constant objective gives zero in mean"
        return Result("constant", subject.family, "passed", message, numbers)
    message = (
        f"a constant objective gives a mean gradient of {worst.difference:.2g} ({worst.interval_absolute}) instead of "
        f"zero, {worst.words(subject)}, {worst.chance}. Usually a score is used whose mean is not zero "
        "(clipped probabilities, a score of other parameters than those that were sampled from), or a baseline that "
        "has seen its own draw"
    )
    return failed("constant", subject.family, message, **numbers)


def _column(subject: Subject, check: str, column: int, what: str, usual: str) -> Result:
    found = sampled(subject)
    worst = worst_of(found, lambda tally: slice(column, column + 1), constant=None)
    numbers: dict[str, Any] = {"smallest_log_p": worst.log_p}
    if worst.log_p >= found.log_alpha:
        proved, others = [], []
        for tally in found.tallies:
            rows = tally.proved.rows
            known = (tally.mean.abs() + tally.error) / scales(tally.grid, tally.variance)
            proved += known[rows, column].tolist()
            seen = tally.detectable(found.log_alpha) / abs(tally.grid.size)
            others += seen[~rows & ~tally.rare, column].tolist()
        numbers["detectable"] = {"largest": max([*proved, *others]), "chance": 0.99}
        message = f"no bias {'was seen ' if others else ''}in {what}"
        if proved:
            message += f", proved to {max(proved):.0e} of its size"
        if others:
            elsewhere = "elsewhere " if proved else ""
            message += f"; {elsewhere}{max(others):.2g} would have been, with 99 % chance, where costs spread by 1"
        return Result(check, subject.family, "passed", message, numbers)
    message = (
        f"{what} is off by {worst.difference:.3g} ({worst.interval_absolute}) from the exact {worst.exact:.3g} "
        f"{worst.words(subject)}, {worst.chance}. {usual}"
    )
    return failed(check, subject.family, message, **numbers)
