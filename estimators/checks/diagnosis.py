"""What usually causes a bias of the shape that was found."""

import math
from collections.abc import Callable, Sequence

import torch

from estimators.checks.subject import Subject
from estimators.checks.tally import Tally
from estimators.families import Enumerated

Case = tuple[Tally, int]
GENERIC = (
    "Common causes: a factor or a term of the formula left out, or a score of other parameters than those drawn from"
)


def cause(subject: Subject, tallies: Sequence[Tally], log_alpha: float) -> str:
    """One sentence on the usual cause, inferred from which problems have a wrong mean and which have not."""
    cases = [
        (tally, row)
        for tally in tallies
        for row in range(len(tally.grid.rows))
        if tally.grid.rows[row].objective != "constant" and not bool(tally.rare[row])
    ]
    wrong = [case for case in cases if _wrong(case, log_alpha)]
    for rule in (_nothing, _one_variable, _factor, _constant_too, _sign, _only):
        if words := rule(subject, cases, wrong, log_alpha):
            return words
    return GENERIC


def _wrong(case: Case, log_alpha: float) -> bool:
    tally, row = case
    log_p = tally.log_p()[row]
    return bool((log_p[: tally.width] < log_alpha).any() or log_p[-1] < log_alpha)


def _nothing(subject: Subject, cases: list[Case], *_: object) -> str | None:
    """The gradient is zero, of all parameters or of one of them."""
    names = subject.kind.parameter_names
    parts = names if len(names) > 1 else ("all of q's parameters",)
    for index, name in enumerate(parts):
        size = [_largest(case, index if len(names) > 1 else None) for case in cases]
        if max(size) < 1e-6:
            return f"No gradient reaches {name}: it is detached where z or its log-probability is made"
    return None


def _largest(case: Case, index: int | None) -> float:
    """Size of the mean and the spread of one kind of parameter, or of all, relative to the exact gradient."""
    tally, row = case
    if bool((tally.grid.shift[row] > 0).any()):
        return 0.0  # forced noise has weights, so that even a gradient that is always zero would have a variance
    spread = tally.variance[row, : tally.width].sqrt()
    found = _found(case).abs() + spread
    kinds = found.split([value[0].numel() for value in tally.grid.values])
    size = (found if index is None else kinds[index]).max()
    return float(size / tally.norm[row].clamp_min(1e-12))


def _one_variable(subject: Subject, cases: list[Case], *_: object) -> str | None:
    """An estimator for one-hot latents has no gradient where there is one of them: it normalises over the latents."""
    single = [case for case in cases if case[0].grid.event[0] == 1]
    if subject.kind.latent_dims and single and max(_largest(case, None) for case in single) < 1e-6:
        return "With one variable there is no gradient: a softmax runs over the wrong axis, variables for categories"
    return None


def _found(case: Case) -> torch.Tensor:
    tally, row = case
    return tally.mean[row, : tally.width] + tally.grid.exact[row, : tally.width]


def _slope(cases: Sequence[Case]) -> tuple[float, float, float]:
    """Factor between mean and exact gradient by weighted least squares, its standard error, and chi-square a degree."""
    top = bottom = 0.0
    pieces = []
    for tally, row in cases:
        width = tally.width
        exact, found = tally.grid.exact[row, :width], _found((tally, row))
        floor = 1e-9 * float(exact.norm())
        error = (tally.error[row, :width].square() + floor**2).sqrt()
        top += float((exact * found / error.square()).sum())
        bottom += float((exact.square() / error.square()).sum())
        pieces.append((exact, found, error))
    slope = top / bottom
    chi = [((found - slope * exact) / error).square().clamp_max(1e4) for exact, found, error in pieces]
    degrees = sum(c.numel() for c in chi) - 1
    return slope, bottom**-0.5, float(sum(c.sum() for c in chi)) / max(degrees, 1)


def _digits(slope: float) -> str:
    """Three digits of a factor, or as many as tell it from 1."""
    return f"{slope:.3g}" if abs(abs(slope) - 1) > 0.005 else f"{slope:.6g}"


def _factor(subject: Subject, cases: list[Case], *_: object) -> str | None:
    """The mean is a multiple of the exact gradient, the same for all problems of a number of samples."""
    by_samples: dict[int, list[Case]] = {}
    for case in cases:
        by_samples.setdefault(case[0].grid.samples, []).append(case)
    slopes = {samples: _slope(own) for samples, own in by_samples.items()}
    if any(chi > 3 for _, _, chi in slopes.values()) or all(
        abs(slope - 1) < 5 * se for slope, se, _ in slopes.values()
    ):
        return None

    def near(formula: Callable[[int], float]) -> bool:
        return all(abs(slope - formula(s)) < max(5 * se, 0.02) for s, (slope, se, _) in slopes.items())

    if all(abs(slope) < max(5 * se, 0.02) for slope, se, _ in slopes.values()):
        return "The mean is zero in every problem: a sign is lost, so that draws cancel, or draws are used twice"
    words = ", ".join(f"{_digits(slope)} times (samples={samples})" for samples, (slope, _, _) in slopes.items())
    start = f"In every problem the mean is the exact gradient {words}: "
    if near(lambda s: -1):
        return start + "the sign is flipped"
    if len(slopes) > 1 or subject.entry.samples.min > 1:
        if near(lambda s: (s - 1) / s if s > 1 else 1.0):
            return (
                start
                + "the factor is (S - 1) / S, as where a draw's own cost is in its baseline (leave-one-out forgotten)"
            )
        if near(lambda s: s / (s - 1) if s > 1 else math.nan):
            return start + "the factor is S / (S - 1): the leave-one-out correction is made twice"
    if len(slopes) > 1:
        if near(lambda s: s):
            return start + "the factor is S: summed over the samples instead of averaged"
        if near(lambda s: 1 / s):
            return start + "the factor is 1 / S: averaged over the samples twice"
        if near(lambda s: s / 2):
            return start + "the factor is S / 2: summed over pairs of samples instead of averaged"
        if near(lambda s: s - 1):
            return start + "the factor is S - 1: not divided by the number of other samples"
    return start + "a factor of the formula is left out, or used twice"


def _constant_too(subject: Subject, cases: list[Case], wrong: list[Case], log_alpha: float) -> str | None:
    """Constant objectives are wrong as well: the score itself has a mean."""
    for tally in {id(case[0]): case[0] for case in cases}.values():
        refuted = (tally.log_p()[:, : tally.width] < log_alpha).any(1)
        if bool((refuted & tally.constant & ~tally.rare).any()):
            levels = sorted({case[0].grid.rows[case[1]].level for case in wrong})
            start = "A constant objective has a gradient too, so the score has a mean"
            if levels and levels[0] >= 6:
                return f"{start}, from |logit| {levels[0]:g} on: usually clipped probabilities or logits"
            return f"{start}: usually it is that of other parameters than those drawn from, or noise is used twice"
    return None


def _sign(subject: Subject, cases: list[Case], wrong: list[Case], log_alpha: float) -> str | None:
    """Only the logits of one sign are wrong."""
    if not isinstance(subject.kind, Enumerated) or subject.kind.latent_dims:
        # The sign of a logit means something for bits alone.
        return None
    seen = {1: [0, 0], -1: [0, 0]}
    for tally, row in cases:
        if tally.grid.rows[row].level < 1:
            continue
        refuted = tally.log_p()[row, : tally.width] < log_alpha
        for logit, bad in zip(tally.grid.values[0][row].tolist(), refuted.tolist(), strict=True):
            seen[1 if logit > 0 else -1][int(bad)] += 1
    for sign, word in ((1, "positive"), (-1, "negative")):
        if seen[-sign][1] == 0 and seen[sign][1] >= 3:
            return (
                f"Only coordinates of {word} logits are wrong: usually sigmoid(logit) where the formula has "
                "sigmoid(|logit|), or a sign forgotten"
            )
    return None


def _only(subject: Subject, cases: list[Case], wrong: list[Case], log_alpha: float) -> str | None:
    """All problems with a wrong mean share a property that explains it."""
    if not wrong:  # no single problem is refuted, only their average
        return None

    def split(name: Callable[[Case], bool], share: float = 0.4) -> bool:
        """Whether all wrong problems have a property, and a good share of the problems that have it are wrong."""
        having = [case for case in cases if name(case)]
        return all(name(case) for case in wrong) and len(having) < len(cases) and len(wrong) >= share * len(having)

    def objective(case: Case) -> str:
        return case[0].grid.rows[case[1]].objective

    def level(case: Case) -> float:
        return case[0].grid.rows[case[1]].level

    if split(lambda case: objective(case) == "entropy"):
        return "Only objectives with log q inside are wrong: the gradient of the entropy is dropped, or counted twice"
    if split(lambda case: level(case) >= 15, 0.05):
        return "Only |logit| 15 is wrong: usually clipped probabilities, logits or noise, or float32 inside"
    if split(lambda case: level(case) >= 6, 0.05):
        return "Only |logit| 6 and above are wrong: usually clipped probabilities or noise"
    if split(lambda case: level(case) > 0):
        return (
            "Only at logits 0 the mean is right: usually logits are used where probabilities belong, or a sign or "
            "|logit| is forgotten"
        )
    if split(lambda case: math.prod(case[0].grid.event) > min(math.prod(c[0].grid.event) for c in cases)):
        return (
            "Only with several latents the mean is wrong: usually latents are drawn with shared noise, or a product or "
            "softmax runs over the wrong axis"
        )
    least = subject.sample_counts[0]
    if len(subject.sample_counts) > 1 and split(lambda case: case[0].grid.samples > least):
        return (
            f"Only with more than {least} sample{'s' if least > 1 else ''} the mean is wrong: usually a mean where a "
            "sum belongs, or pairs are mixed up"
        )
    if split(lambda case: objective(case) not in ("quadratic", "coupled")):
        return "Only objectives beyond the quadratic are wrong: the rule is exact to second order only, so it is biased"
    return None
