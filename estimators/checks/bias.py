"""The mean of an estimator against the exact gradient: the checks unbiased, bias, theta, value and constant."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Generator

from estimators.checks.diagnosis import cause
from estimators.checks.grid import Grid
from estimators.checks.result import Result
from estimators.checks.sampling import (
    AT_ONCE,
    LOOKS,
    PRIMES,
    RARE_EVENTS,
    TARGETS,
    Broken,
    Prepared,
    Tally,
    deviations,
    noise_of,
)
from estimators.checks.subject import Subject

PRECISE = 0.005
"""Standard error of a relative bias at which the measurement of a declared bias stops early."""
ENOUGH = 2**16
"""Draws at most to measure a declared bias."""
NEGLIGIBLE = 0.1
"""Where every interval of a relative bias holds 0 and ends below this, there is no bias to be seen."""
QUANTILE = 1.959964


class Sampled(NamedTuple):
    """All that sampling a subject has shown."""

    tallies: tuple[Tally, ...]
    log_alpha: float
    """Level at which each mean is tested at each look."""
    looks: int
    """Looks taken."""


class _Work:
    """One grid's estimator, noise and sums."""

    def __init__(self, subject: Subject, index: int, grid: Grid) -> None:
        self.subject, self.grid, self.tally = subject, grid, Tally(grid)
        self.prepared: Prepared = subject.prepared(grid)
        self.generator: Generator = subject.generator(10 + 2 * index)
        self.choices: Generator = subject.generator(11 + 2 * index)
        self.noise, evaluations = noise_of(self.prepared, grid, subject.generator(9))
        self.latents = max(evaluations, grid.samples) * math.prod(grid.event)
        self.active = list(range(len(grid.rows)))

    def advance(self, look: int, target: float) -> None:
        """Draw until every active row has `look` draws; those that could show a bias of `target` are done."""
        while self.active and self.tally.count[self.active[0]] < look:
            fits = AT_ONCE // (len(self.active) * self.latents)
            count = next((prime for prime in PRIMES if prime <= fits), PRIMES[-1])
            found = deviations(self.prepared, self.grid, self.active, count, self.generator, self.choices, self.noise)
            self.tally.add(self.active, found)
            if not self.tally.count.gt(count).any() and bool((found.error.abs() <= self.tally.rounding).all()):
                self.active = []  # no noise at all
        if self.active:
            width = self.tally.products.shape[-1]
            if self.subject.unbiased:
                seen = self.tally.detectable(self.log_alpha)[:, :width].amax(1) / self.tally.norm
                self.active = [row for row in self.active if seen[row] > target]
            else:
                error = self.tally.error[:, :width].norm(dim=1) / self.tally.norm
                self.active = [row for row in self.active if error[row] > PRECISE]

    log_alpha = 0.0


def sampled(subject: Subject) -> Sampled:
    """Draw on every grid of the subject, look by look, until all is decided; made once a subject.

    Raises:
        Broken: the estimator cannot be called.
    """
    return _sampled(subject)


@cache
def _sampled(subject: Subject) -> Sampled:
    works = [_Work(subject, index, grid) for index, grid in enumerate(subject.grids)]
    if not works:
        raise Broken("there is no problem on which it is legal and whose exact gradient is known")
    most = subject.draws if subject.unbiased else min(subject.draws, ENOUGH)
    looks = [look for look in LOOKS if look <= most] or [most]
    columns = sum(work.tally.total.numel() for work in works) + len(works[0].grid.levels)
    log_alpha = math.log(subject.alpha / (columns * len(looks)))
    refuted, taken = False, 0
    with ThreadPoolExecutor(subject.workers) as pool:
        for work in works:
            work.log_alpha = log_alpha
        for look, target in zip(looks, TARGETS, strict=False):
            list(pool.map(lambda work, look=look, target=target: work.advance(look, target), works))
            taken += 1
            if refuted:  # one more look than it took, to see how far the fault reaches
                break
            refuted = subject.unbiased and any(
                bool((work.tally.log_p()[~work.tally.rare] < log_alpha).any()) for work in works
            )
    return Sampled(tuple(work.tally for work in works), log_alpha, taken)


def unbiased(subject: Subject) -> Result:
    """The mean gradient of q's parameters, or for a declared bias its size."""
    return _unbiased(subject) if subject.unbiased else _measured(subject)


def _unbiased(subject: Subject) -> Result:
    found = sampled(subject)
    worst = _worst(found, lambda tally: slice(0, tally.products.shape[-1]), constant=False)
    pooled = _pooled(found)
    numbers: dict[str, Any] = _counts(found) | {"pooled": pooled}
    undecided = _undecided(found)
    if worst.log_p >= found.log_alpha and all(p["log_p"] >= found.log_alpha for p in pooled):
        power = _power(found)
        numbers |= {"detectable": power, "smallest_log_p": worst.log_p, "undecided": undecided}
        by_level = ", ".join(f"{value:.1%} at {level:g}" for level, value in power["by_level"].items())
        scale = ", ".join(f"{p['detectable']:.1%} at {p['level']:g}" for p in pooled)
        message = (
            f"the mean is the exact gradient in all {numbers['means']} coordinates of {numbers['problems']} problems"
        )
        if max(power["by_level"].values()) < 1e-3:
            message += ", to rounding: there is no noise"
        else:
            message += (
                f" ({numbers['draws']:.2g} draws); by {_sharpness(subject)}, 99 % chance to see on any one problem a bias "
                f"of {by_level} of the gradient's length, and a factor on all of them off by {scale}"
            )
        return Result("unbiased", subject.family, "passed", message, numbers, _warnings(undecided))
    numbers["cases"] = _cases(found)
    if worst.log_p >= found.log_alpha:
        case = min(pooled, key=lambda p: p["log_p"])
        message = (
            f"the mean is {1 + case['ratio']:.4g} times the exact gradient, averaged over all problems of level "
            f"{case['level']:g} (p < {_p(case['log_p'])})"
        )
    else:
        message = (
            f"the mean is wrong: off by {worst.relative:.0%} of the exact gradient's length ({worst.interval}) "
            f"{worst.words(subject)}, p < {_p(worst.log_p)}; {numbers['refuted']} of {numbers['means']} means are wrong"
        )
    message += f". {cause(subject, found.tallies, found.log_alpha)}"
    return Result("unbiased", subject.family, "failed", message, numbers, _warnings(undecided))


def _measured(subject: Subject) -> Result:
    """Bias by objective and level, the noise floor subtracted."""
    found = sampled(subject)
    table = []
    for tally in found.tallies:
        for index, row in enumerate(tally.grid.rows):
            if row.objective == "constant" or bool(tally.rare[index]):
                continue
            table.append(
                {"objective": row.objective, "level": row.level, "event": tally.grid.event}
                | {"samples": tally.grid.samples, "draws": int(tally.count[index])}
                | dict(zip(("bias", "low", "high"), _relative_bias(tally, index), strict=True))
            )
    by_objective = {}
    for name in dict.fromkeys(case["objective"] for case in table):
        cases = [case for case in table if case["objective"] == name]
        by_level = [
            max((case for case in cases if case["level"] == level), key=lambda case: case["bias"])
            for level in sorted({case["level"] for case in cases})
        ]
        by_objective[name] = {
            "by_level": [{key: case[key] for key in ("level", "bias", "low", "high")} for case in by_level],
            "vanishes": all(case["low"] <= 0 for case in cases) and max(c["high"] for c in cases) <= NEGLIGIBLE,
        }
    gone = [name for name, found_bias in by_objective.items() if found_bias["vanishes"]]
    words = []
    for name, found_bias in by_objective.items():
        if name not in gone:
            largest = max(found_bias["by_level"], key=lambda case: case["bias"])
            ends = f"{max(largest['low'], 0):.0%}, {largest['high']:.0%}"
            words.append(f"{name} {largest['bias']:.0%} [{ends}] at {largest['level']:g}")
    message = (
        f"declared biased; largest bias relative to the exact gradient, with its 95 % interval and {_sharpness(subject)}: "
        f"{', '.join(words) or 'none to be seen'}"
    )
    if gone:
        high = max(case["high"] for name in gone for case in by_objective[name]["by_level"])
        message += f"; none to be seen on {', '.join(gone)} (at most {high:.1%})"
    numbers = _counts(found) | {"bias": table, "by_objective": by_objective}
    return Result("bias", subject.family, "measured", message, numbers, _warnings(_undecided(found)))


def _relative_bias(tally: Tally, row: int) -> tuple[float, float, float]:
    """||E g - exact|| / ||exact|| with a 95 % interval, from the U-statistic of its square: no noise floor."""
    n, width = float(tally.count[row]), tally.products.shape[-1]
    total, products = tally.total[row, :width], tally.products[row]
    mean = total / n
    covariance = (products - n * mean.outer(mean)) / (n - 1)
    squared = float((total.square().sum() - products.trace()) / (n * (n - 1)))
    variance = float(4 * mean @ covariance @ mean / n + 2 * covariance.square().sum() / n**2)
    half = QUANTILE * math.sqrt(max(variance, 0.0))
    norm = float(tally.norm[row])
    # Rounding is no bias.
    low = squared - half if squared - half > float(tally.rounding[row, 0]) ** 2 else min(squared - half, 0.0)
    ends = (math.copysign(math.sqrt(abs(x)), x) / norm for x in (squared, low, squared + half))
    estimate, lower, upper = ends
    return max(estimate, 0.0), lower, max(upper, 0.0)


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
            value = tally.mean[:, -2] + exact[:, -1]
            gap = ((gradient - value).abs() / value.abs().clamp_min(0.1))[plain & ~tally.rare]
            worst = max(worst, float(gap.max()))
    if worst > 1e-6:
        message = (
            f"theta's gradient differs by {worst:.0%} from that of the value it reports, though f is linear in theta. "
            + _THETA
        )
        return Result("theta", subject.family, "failed", message, {"largest_difference": worst})
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
    estimator = subject.create()
    grid = subject.small(subject.sample_counts[0])
    values = [v.clone().requires_grad_() for v in grid.values]
    from estimators.checks.sampling import call

    estimate = call(
        estimator, grid.family, values, grid.f(grid.theta), subject.generator(3), subject.context(len(grid.rows))
    )
    if estimate.value.requires_grad:
        message = (
            "the value carries a graph: return it detached, so that a log of values does not keep every step alive"
        )
        return Result("value", subject.family, "failed", message)
    return found


_VALUE = (
    "Usually it is a sum over samples instead of their mean, the surrogate instead of the cost, or the cost of another "
    "draw's distribution"
)


def constant(subject: Subject) -> Result:
    """A constant objective has no gradient in mean."""
    found = sampled(subject)
    worst = _worst(found, lambda tally: slice(0, tally.products.shape[-1]), constant=True)
    numbers = {"smallest_log_p": worst.log_p, "objective": "constant"}
    if not subject.unbiased:
        level = max(
            float((tally.mean[tally.constant & ~tally.rare, : tally.products.shape[-1]]).abs().max())
            for tally in found.tallies
        )
        words = "zero" if worst.log_p >= found.log_alpha else f"up to {level:.2g} where f is constant, not zero: biased"
        return Result("constant", subject.family, "measured", f"declared biased; mean gradient {words}", numbers)
    if worst.log_p >= found.log_alpha:
        message = "a constant objective gives zero in mean"
        return Result("constant", subject.family, "passed", message, numbers)
    message = (
        f"a constant objective gives a mean gradient of {worst.difference:.2g} ({worst.interval_absolute}) instead of "
        f"zero, {worst.words(subject)}, p < {_p(worst.log_p)}. Usually a score is used whose mean is not zero (clipped "
        "probabilities, a score of other parameters than those that were sampled from), or a baseline that has seen "
        "its own draw"
    )
    return Result("constant", subject.family, "failed", message, numbers)


def _column(subject: Subject, check: str, column: int, what: str, usual: str) -> Result:
    found = sampled(subject)
    worst = _worst(found, lambda tally: slice(column, column + 1), constant=None)
    numbers = {"smallest_log_p": worst.log_p}
    if worst.log_p >= found.log_alpha:
        return Result(check, subject.family, "passed", f"{what} is exact in mean", numbers)
    message = (
        f"{what} is off by {worst.difference:.3g} ({worst.interval_absolute}) from the exact {worst.exact:.3g} "
        f"{worst.words(subject)}, p < {_p(worst.log_p)}. {usual}"
    )
    return Result(check, subject.family, "failed", message, numbers)


class Worst(NamedTuple):
    """The mean with the smallest p-value."""

    tally: Tally
    row: int
    column: int
    log_p: float

    @property
    def difference(self) -> float:
        """Mean minus the exact number."""
        return float(self.tally.mean[self.row, self.column])

    @property
    def exact(self) -> float:
        """The exact number."""
        return float(self.tally.grid.exact[self.row, self.column if self.column >= 0 else self.column + 1])

    @property
    def relative(self) -> float:
        """Size of the whole row's bias, relative to its exact gradient."""
        return _relative_bias(self.tally, self.row)[0]

    @property
    def interval(self) -> str:
        """95 % interval of `relative`."""
        _, low, high = _relative_bias(self.tally, self.row)
        return f"95 % interval {max(low, 0):.1%} to {high:.1%}, n = {int(self.tally.count[self.row])}"

    @property
    def interval_absolute(self) -> str:
        """95 % interval of `difference`."""
        half = QUANTILE * float(self.tally.error[self.row, self.column])
        return f"95 % interval +- {half:.2g}, n = {int(self.tally.count[self.row])}"

    def words(self, subject: Subject) -> str:
        """Where, in words."""
        grid, row = self.tally.grid, self.tally.grid.rows[self.row]
        size = " x ".join(map(str, grid.event)) + (" latent" if math.prod(grid.event) == 1 else " latents")
        sharp = f"scale {2 / (1 + row.level):.2g}" if grid.family == "gaussian" else f"|logit| {row.level:g}"
        return f"on the {row.objective} objective at {sharp}, {size}, samples={grid.samples}"


def _worst(found: Sampled, columns: Callable[[Tally], slice], constant: bool | None) -> Worst:
    """The smallest p-value among some columns, over rows whose objective is (not) constant, or all for None."""
    best: Worst | None = None
    for tally in found.tallies:
        log_p = tally.log_p().clone()
        keep = ~tally.rare if constant is None else ~tally.rare & (tally.constant == constant)
        log_p[~keep] = 0.0
        span = columns(tally)
        chosen = log_p[:, span] if span.stop != 0 else log_p[:, span.start :]
        index = int(chosen.argmin())
        row, column = divmod(index, chosen.shape[1])
        if best is None or float(chosen.min()) < best.log_p:
            best = Worst(tally, row, span.start + column, float(chosen.min()))
    assert best is not None
    return best


def _pooled(found: Sampled) -> list[dict[str, Any]]:
    """A level's projections on the exact gradient, averaged over its problems: a factor on all of them shows here."""
    pooled = []
    for level in found.tallies[0].grid.levels:
        means, variances, steps = [], [], []
        for tally in found.tallies:
            for index, row in enumerate(tally.grid.rows):
                if row.level == level and row.objective != "constant" and not bool(tally.rare[index]):
                    means.append(float(tally.mean[index, -1]))
                    variances.append(float(tally.error[index, -1]) ** 2)
                    steps.append(float(tally.largest[index, -1] / tally.count[index]))
        if not means:
            continue
        count = len(means)
        mean, variance, step = sum(means) / count, sum(variances) / count**2, max(steps) / count
        excess = max(abs(mean) - 1e-6, 0.0)
        log_p = math.log(2) - (excess**2 / (2 * (variance + step * excess / 3)) if excess > 0 else 0.0)
        cost = math.log(2) - found.log_alpha
        half = cost * step / 3
        seen = half + math.sqrt(half**2 + 2 * cost * variance) + 2.33 * math.sqrt(variance)
        pooled.append({"level": level, "ratio": mean, "log_p": min(log_p, 0.0), "detectable": seen, "problems": count})
    return pooled


def _power(found: Sampled) -> dict[str, Any]:
    """The relative bias that the least conclusive problem of each level would have shown."""
    by_level: dict[float, float] = {}
    for tally in found.tallies:
        seen = tally.detectable(found.log_alpha)[:, : tally.products.shape[-1]].amax(1) / tally.norm
        for index, row in enumerate(tally.grid.rows):
            if row.objective != "constant" and not bool(tally.rare[index]):
                by_level[row.level] = max(by_level.get(row.level, 0.0), float(seen[index]))
    return {"by_level": by_level, "chance": 0.99}


def _counts(found: Sampled) -> dict[str, Any]:
    tested = [tally for tally in found.tallies for _ in tally.grid.rows]
    return {
        "problems": len(tested),
        "means": sum(tally.products.shape[0] * tally.products.shape[1] for tally in found.tallies),
        "draws": float(sum(tally.count.sum() for tally in found.tallies)),
        "log_alpha": found.log_alpha,
        "looks": found.looks,
        "refuted": sum(
            int((tally.log_p()[~tally.rare, : tally.products.shape[-1]] < found.log_alpha).sum())
            for tally in found.tallies
        ),
    }


def _cases(found: Sampled) -> list[dict[str, Any]]:
    """Every problem that was refuted."""
    cases = []
    for tally in found.tallies:
        refuted = (tally.log_p() < found.log_alpha).any(1) & ~tally.rare
        for index in refuted.nonzero()[:, 0].tolist():
            row = tally.grid.rows[index]
            bias, low, high = _relative_bias(tally, index)
            cases.append(
                {"objective": row.objective, "level": row.level, "event": tally.grid.event}
                | {"samples": tally.grid.samples, "draws": int(tally.count[index])}
                | {"bias": bias, "low": low, "high": high}
            )
    return cases


def _undecided(found: Sampled) -> dict[str, Any]:
    """Problems whose rare outcomes plain sampling does not reach, and the noise that could not be forced."""
    rare = [
        (tally, row)
        for tally in found.tallies
        for row, is_rare in zip(tally.grid.rows, tally.rare, strict=True)
        if is_rare
    ]
    sources = sorted({source for tally, _ in rare for source in tally.plain})
    return {"problems": len(rare), "levels": sorted({row.level for _, row in rare}), "noise": sources}


def _warnings(undecided: dict[str, Any]) -> tuple[str, ...]:
    if not undecided["problems"]:
        return ()
    levels = ", ".join(f"{level:g}" for level in undecided["levels"])
    return (
        f"cannot tell by sampling at |logit| {levels}: fewer than {RARE_EVENTS} rare outcomes are to be expected in "
        f"{undecided['problems']} problems, and noise from {', '.join(undecided['noise'])} cannot be forced; draw it "
        "as torch.rand(S, *B, ...) to have these decided too",
    )


def _sharpness(subject: Subject) -> str:
    return "sharpness, scale 2 / (1 + it)" if subject.family == "gaussian" else "|logit|"


def _p(log_p: float) -> str:
    return f"1e{math.ceil(log_p / math.log(10))}" if log_p > -690 else "1e-300"
