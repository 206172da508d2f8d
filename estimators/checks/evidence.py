"""What the sums of a sampled subject say: intervals, the worst mean, the power, and what could not be told."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from estimators.checks import bernstein
from estimators.checks.grid import DOUBLE
from estimators.checks.sequence import Sampled
from estimators.checks.subject import LEARNED, PERTURBED, SHARE, WARM_UP, Subject
from estimators.checks.tally import Tally
from estimators.families import family_named

QUANTILE = 1.959964


class RelativeBias(NamedTuple):
    """||E g - exact|| / ||exact|| of one problem."""

    bias: float
    low: float
    """Ends of its 95 % interval; below 0 where the interval of the squared bias is."""
    high: float
    significant: bool
    """Whether it is beyond twice that interval, which chance is once in 10,000 problems."""


def relative_bias(tally: Tally, row: int) -> RelativeBias:
    """Relative bias; if it is sampled, from a U-statistic of its square, with a normal interval."""
    if bool(tally.unsampled[row]):
        known, spread = tally.mean[row, : tally.width], tally.error[row, : tally.width]
        unit, length, error = float(tally.norm[row]), float(known.norm()), float(spread.norm())
        beyond = bool((known.abs() > tally.detectable(0.0)[row, : tally.width]).any())
        return RelativeBias(length / unit, (length - error) / unit, (length + error) / unit, beyond)
    n, width = float(tally.count[row]), tally.width
    total, products = tally.total[row, :width], tally.products[row]
    mean = total / n
    covariance = (products - n * mean.outer(mean)) / (n - 1)
    squared = float((total.square().sum() - products.trace()) / (n * (n - 1)))
    variance = float(4 * mean @ covariance @ mean / n + 2 * covariance.square().sum() / n**2)
    half = QUANTILE * math.sqrt(max(variance, 0.0))
    rounding = width * float(tally.rounding[row, 0]) ** 2
    norm = float(tally.norm[row])
    low, high = (math.copysign(math.sqrt(abs(x)), x) / norm for x in (squared - half - rounding, squared + half))
    return RelativeBias(math.sqrt(max(squared, 0.0)) / norm, low, max(high, 0.0), squared - 2 * half > rounding)


def case_of(tally: Tally, row: int) -> dict[str, Any]:
    """A problem and its bias, as plain values."""
    problem = tally.grid.rows[row]
    where = {"objective": problem.objective, "level": problem.level} | _grid(tally)
    return where | {"draws": int(tally.count[row])} | relative_bias(tally, row)._asdict()


def _grid(tally: Tally) -> dict[str, Any]:
    """A grid, as plain values."""
    found: dict[str, Any] = {"event": tally.grid.event, "samples": tally.grid.samples}
    return found | ({"own_parameters": tally.moved} if tally.moved else {})


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
        return relative_bias(self.tally, self.row).bias

    @property
    def interval(self) -> str:
        """95 % interval of `relative`, or how exactly it is known."""
        if self.proved:
            return self._exactly(
                float(self.tally.error[self.row, : self.tally.width].norm() / self.tally.norm[self.row])
            )
        found = relative_bias(self.tally, self.row)
        return f"95 % interval {max(found.low, 0):.1%} to {found.high:.1%}, n = {int(self.tally.count[self.row])}"

    @property
    def interval_absolute(self) -> str:
        """95 % interval of `difference`, or how exactly it is known."""
        if self.proved:
            return self._exactly(float(self.tally.error[self.row, self.column]))
        half = QUANTILE * float(self.tally.error[self.row, self.column])
        return f"95 % interval +- {half:.2g}, n = {int(self.tally.count[self.row])}"

    @property
    def proved(self) -> bool:
        """Whether the mean is known by integration."""
        return bool(self.tally.proved.rows[self.row])

    @staticmethod
    def _exactly(error: float) -> str:
        return f"to {error:.0e}, by integration over the noise"

    @property
    def size(self) -> str:
        """`relative` in words: three digits where it is known by integration."""
        return f"{100 * self.relative:.3g} %" if self.proved else f"{self.relative:.0%}"

    @property
    def chance(self) -> str:
        """The p-value in words; nothing is left to chance where the mean is known by integration."""
        return "proved" if self.proved else f"p < {p_words(self.log_p)}"

    def words(self, subject: Subject) -> str:
        """Where, in words."""
        grid, row = self.tally.grid, self.tally.grid.rows[self.row]
        size = " x ".join(map(str, grid.event)) + (" latent" if math.prod(grid.event) == 1 else " latents")
        sharp = grid.kind.level_words(row.level)
        where = f"on the {row.objective} objective at {sharp}, {size}, samples={grid.samples}"
        return f"{where}, own parameters {self.tally.moved}" if self.tally.moved else where


def worst_of(found: Sampled, columns: Callable[[Tally], slice], constant: bool | None) -> Worst:
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


def pooled_by_level(found: Sampled) -> list[dict[str, Any]]:
    """Projections of the error on the exact gradient, averaged over a level's problems: a common factor shows.

    Only over problems that were sampled: a proof sees a factor in each.
    """
    pooled = []
    for level in found.tallies[0].grid.levels:
        means, variances, steps = [], [], []
        for tally in found.tallies:
            skipped = tally.rare | tally.unsampled
            for index, row in enumerate(tally.grid.rows):
                if row.level == level and row.objective != "constant" and not bool(skipped[index]):
                    means.append(float(tally.mean[index, -1]))
                    variances.append(float(tally.error[index, -1]) ** 2)
                    steps.append(float(tally.largest[index, -1] / tally.count[index]))
        if not means:
            continue
        count = len(means)
        mean, variance, step = sum(means) / count, sum(variances) / count**2, max(steps) / count
        # Variance and largest deviation of one draw of this mean.
        spread = torch.tensor(variance, dtype=DOUBLE), torch.tensor(step, dtype=DOUBLE)
        excess = torch.tensor(max(abs(mean) - 1e-6, 0.0), dtype=DOUBLE)
        log_p = float(bernstein.log_p(excess, 1, *spread))
        seen = float(bernstein.detectable(found.log_alpha, 1, *spread))
        pooled.append({"level": level, "ratio": mean, "log_p": log_p, "detectable": seen, "problems": count})
    return pooled


def power(found: Sampled) -> dict[str, Any]:
    """For each level, the relative bias that would have been detected even on its least conclusive problem."""
    by_level: dict[float, float] = {}
    for tally in found.tallies:
        seen = tally.detectable(found.log_alpha)[:, : tally.width].amax(1) / tally.norm
        for index, row in enumerate(tally.grid.rows):
            if row.objective != "constant" and not bool(tally.rare[index]):
                by_level[row.level] = max(by_level.get(row.level, 0.0), float(seen[index]))
    return {"by_level": by_level, "chance": 0.99}


def counts(found: Sampled) -> dict[str, Any]:
    """How much was tested, and at which level."""
    return {
        "problems": sum(int((~tally.rare).sum()) for tally in found.tallies),
        "means": sum(int((~tally.rare).sum()) * tally.width for tally in found.tallies),
        "grids": [_grid(tally) for tally in found.tallies],
        "draws": float(sum(tally.count.sum() for tally in found.tallies)),
        "log_alpha": found.log_alpha,
        "looks": found.looks,
        "refuted": sum(
            int((tally.log_p()[~tally.rare, : tally.width] < found.log_alpha).sum()) for tally in found.tallies
        ),
    }


def refuted_cases(found: Sampled) -> list[dict[str, Any]]:
    """Every problem that was refuted."""
    cases: list[dict[str, Any]] = []
    for tally in found.tallies:
        refuted = (tally.log_p() < found.log_alpha).any(1) & ~tally.rare
        cases += [case_of(tally, row) for row in refuted.nonzero()[:, 0].tolist()]
    return cases


def undecided(found: Sampled) -> dict[str, Any]:
    """Problems whose rare outcomes plain sampling does not reach, and the noise that could not be forced."""
    rare = [
        (tally, row)
        for tally in found.tallies
        for row, is_rare in zip(tally.grid.rows, tally.rare, strict=True)
        if is_rare
    ]
    sources = sorted({source for tally, _ in rare for source in tally.plain})
    return {"problems": len(rare), "levels": sorted({row.level for _, row in rare}), "noise": sources}


def warnings_of(found: dict[str, Any]) -> tuple[str, ...]:
    """What `undecided` found, in a sentence."""
    if not found["problems"]:
        return ()
    levels = ", ".join(f"{level:g}" for level in found["levels"])
    sources = f" ({', '.join(found['noise'])})" if found["noise"] else ""
    return (
        f"cannot tell by sampling at |logit| {levels}: in {found['problems']} problems f met too few "
        f"rare outcomes of a latent, since the noise that decides them{sources} could not be forced; "
        "draw it as torch.rand(S, *B, ...) to have these decided too",
    )


def moved_words(found: Sampled) -> str:
    """How own parameters were moved, as the end of a sentence; nothing if there are none."""
    moved = [tally.moved for tally in found.tallies]
    if not any(moved):
        return ""
    return (
        f"; own parameters were perturbed, by {SHARE:g} of their length or by {SHARE:g} if that is more, in "
        f"{moved.count(PERTURBED)} of {len(moved)} sizes of problem, and learned for {WARM_UP} steps in "
        f"{moved.count(LEARNED)}"
    )


def sharpness(subject: Subject) -> str:
    """What a level is, in words."""
    return family_named(subject.family).sharpness


def p_words(log_p: float) -> str:
    """A p-value's order of magnitude, rounded up."""
    return f"1e{math.ceil(log_p / math.log(10))}" if log_p > -690 else "1e-300"
