"""The usual cause of a bias, told from where a mean is wrong: means made by hand, each with its sentence."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import Estimator
from estimators.checks.diagnosis import GENERIC, cause
from estimators.checks.grid import Grid, Row
from estimators.checks.subject import Subject
from estimators.checks.tally import Tally
from estimators.entry import entry_of

LOG_ALPHA = math.log(1e-6)
DRAWS = 10_000
Found = Callable[[Grid, int, Tensor], Tensor]
"""The mean gradient of a row, given the exact one."""


def a_tally(grid: Grid, found: Found, spread: float) -> Tally:
    """Means as given, with draws that alternate about them by a share of the exact gradient's length (or of 1)."""
    tally, width = Tally(grid), grid.exact.shape[1] - 2
    exact = grid.exact[:, :width]
    mean = torch.zeros_like(tally.total)
    for row in range(len(grid.rows)):
        mean[row, :width] = found(grid, row, exact[row]) - exact[row]
    length = exact.norm(dim=1, keepdim=True)
    mean[:, -1] = (mean[:, :width] * exact).sum(-1) / length[:, 0].square().clamp_min(1e-24) * (length[:, 0] > 1e-9)
    sd = torch.zeros_like(mean)
    sd[:, :width] = spread * torch.where(length > 1e-9, length, 1.0)
    sd[:, -1] = spread
    tally.count += DRAWS
    tally.total += DRAWS * mean
    tally.squares += DRAWS * (sd.square() + mean.square())
    tally.largest = sd + mean.abs()
    tally.mass += 1e9  # every rare outcome was met
    tally.mass_squares += 1e9
    return tally


def the_cause(
    found: Found,
    *,
    family: str = "bernoulli",
    samples: tuple[int, ...] = (1, 3),
    events: tuple[tuple[int, ...], ...] | None = None,
    levels: tuple[float, ...] = (0.0, 1.0, 3.0, 6.0, 15.0),
    spread: float = 0.02,
    tag: Any = None,
) -> str:
    entry = entry_of(Estimator, "any", families=(family,), unbiased=True, **({"samples": tag} if tag else {}))
    subject = Subject(entry, family, {}, 0, 4096, 1e-3, 1)
    vars(subject)["sample_counts"] = samples
    chosen = events or (((1, 3), (2, 4)) if family == "categorical" else ((1,), (3,)))
    tallies = [
        a_tally(Grid(family, event, count, levels=levels), found, spread) for count in samples for event in chosen
    ]
    return cause(subject, tallies, LOG_ALPHA)


def times(factor: Callable[[int], float]) -> Found:
    """A multiple of the exact gradient that depends on the number of samples."""
    return lambda grid, row, exact: factor(grid.samples) * exact


def where(holds: Callable[[Grid, Row], bool], factor: float = 1.4) -> Found:
    """Wrong in some problems: by a factor, and beside it by a push that no factor explains."""

    def found(grid: Grid, row: int, exact: Tensor) -> Tensor:
        if not holds(grid, grid.rows[row]) or grid.rows[row].objective == "constant":
            return exact
        tilt = torch.linspace(0.7, 1.0, len(exact), dtype=exact.dtype)
        return factor * exact + exact.norm() * tilt * (-1) ** row

    return found


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (lambda s: -1.0, "-1 times (samples=1), -1 times (samples=3): the sign is flipped"),
        (
            lambda s: (s - 1) / s if s > 1 else 1.0,
            "1 times (samples=1), 0.667 times (samples=3): the factor is (S - 1) / S, as where a draw's own cost is in "
            "its baseline (leave-one-out forgotten)",
        ),
        (
            lambda s: float(s),
            "1 times (samples=1), 3 times (samples=3): the factor is S: summed over the samples instead of averaged",
        ),
        (
            lambda s: 1 / s,
            "1 times (samples=1), 0.333 times (samples=3): the factor is 1 / S: averaged over the samples twice",
        ),
        (
            lambda s: s / 2,
            "0.5 times (samples=1), 1.5 times (samples=3): the factor is S / 2: summed over pairs of samples instead "
            "of averaged",
        ),
        (
            lambda s: 0.9,
            "0.9 times (samples=1), 0.9 times (samples=3): a factor of the formula is left out, or used twice",
        ),
    ],
)
def test_a_factor_is_read_off_and_explained(factor: Callable[[int], float], words: str) -> None:
    assert the_cause(times(factor)) == f"In every problem the mean is the exact gradient {words}"


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (
            lambda s: s / (s - 1),
            "2 times (samples=2), 1.33 times (samples=4): the factor is S / (S - 1): the leave-one-out correction is "
            "made twice",
        ),
        (
            lambda s: s - 1,
            "1 times (samples=2), 3 times (samples=4): the factor is S - 1: not divided by the number of other samples",
        ),
        (
            lambda s: (s - 1) / s,
            "0.5 times (samples=2), 0.75 times (samples=4): the factor is (S - 1) / S, as where a draw's own cost is "
            "in its baseline (leave-one-out forgotten)",
        ),
    ],
)
def test_a_factor_of_leave_one_out_is_explained(factor: Callable[[int], float], words: str) -> None:
    expected = f"In every problem the mean is the exact gradient {words}"
    assert the_cause(times(factor), samples=(2, 4), tag=(2, 2)) == expected


def test_one_number_of_samples_tells_leave_one_out_only_where_it_needs_two() -> None:
    start = "In every problem the mean is the exact gradient 0.5 times (samples=2): "
    assert the_cause(times(lambda s: 0.5), samples=(2,), tag=(2, 2)) == (
        start + "the factor is (S - 1) / S, as where a draw's own cost is in its baseline (leave-one-out forgotten)"
    )
    assert the_cause(times(lambda s: 0.5), samples=(2,)) == (
        start + "a factor of the formula is left out, or used twice"
    )


def test_a_factor_must_be_beyond_its_error_and_fit_all_problems() -> None:
    # 60 problems of 2 coordinates on average at spread .02: the slope's error is below 1e-4, so that 1.001 is a factor.
    assert "0.99 times" in the_cause(times(lambda s: 0.99))
    assert "times" not in the_cause(times(lambda s: 1.0))
    uneven = the_cause(lambda grid, row, exact: exact * (1.5 if row % 2 else 0.7))
    assert "In every problem" not in uneven


def test_a_mean_of_zero_in_every_problem() -> None:
    assert the_cause(times(lambda s: 0.0)) == (
        "The mean is zero in every problem: a sign is lost, so that draws cancel, or draws are used twice"
    )


def test_a_gradient_that_never_comes_is_detached() -> None:
    assert the_cause(times(lambda s: 0.0), spread=0.0, levels=(0.0, 1.0)) == (
        "No gradient reaches all of q's parameters: it is detached where z or its log-probability is made"
    )

    def half(first: float, second: float) -> Found:
        def found(grid: Grid, row: int, exact: Tensor) -> Tensor:
            loc, scale = exact.chunk(2)
            return torch.cat((first * loc, second * scale))

        return found

    for found, name in ((half(0, 1), "loc"), (half(1, 0), "scale")):
        assert the_cause(found, family="gaussian", spread=0.0) == (
            f"No gradient reaches {name}: it is detached where z or its log-probability is made"
        )
    assert "No gradient" not in the_cause(half(1e-3, 1), family="gaussian", spread=0.0)


def test_one_variable_without_a_gradient_is_a_softmax_over_variables() -> None:
    def found(grid: Grid, row: int, exact: Tensor) -> Tensor:
        return 0 * exact if grid.event[0] == 1 else 0.8 * exact

    assert the_cause(found, family="categorical", spread=0.0, levels=(0.0, 1.0)) == (
        "With one variable there is no gradient: a softmax runs over the wrong axis, variables for categories"
    )
    assert "variable" not in the_cause(found, spread=0.0, levels=(0.0, 1.0))  # bits have no classes


@pytest.mark.parametrize(
    ("least", "words"),
    [
        (0.0, ": usually it is that of other parameters than those drawn from, or noise is used twice"),
        (3.0, ": usually it is that of other parameters than those drawn from, or noise is used twice"),
        (6.0, ", from |logit| 6 on: usually clipped probabilities or logits"),
        (15.0, ", from |logit| 15 on: usually clipped probabilities or logits"),
    ],
)
def test_a_constant_objective_that_is_wrong_too_means_a_score_with_a_mean(least: float, words: str) -> None:
    def found(grid: Grid, row: int, exact: Tensor) -> Tensor:
        tilt = torch.linspace(0.4, 1.0, len(exact), dtype=exact.dtype) * max(float(exact.norm()), 1e-3)
        constant = grid.rows[row].objective == "constant"
        return exact + (0.5 if constant else tilt) * (grid.rows[row].level >= least) * (-1) ** row

    assert the_cause(found) == f"A constant objective has a gradient too, so the score has a mean{words}"


@pytest.mark.parametrize(("sign", "word"), [(1, "positive"), (-1, "negative")])
def test_logits_of_one_sign(sign: int, word: str) -> None:
    def found(grid: Grid, row: int, exact: Tensor) -> Tensor:
        wrong = (grid.values[0][row] * sign > 0) & (grid.rows[row].objective != "constant")
        return exact * torch.where(wrong & (grid.values[0][row] != 0), 1.5, 1.0)

    assert the_cause(found) == (
        f"Only coordinates of {word} logits are wrong: usually sigmoid(logit) where the formula has sigmoid(|logit|), "
        "or a sign forgotten"
    )


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        (
            lambda grid, row: row.objective == "entropy",
            "Only objectives with log q inside are wrong: the gradient of the entropy is dropped, or counted twice",
        ),
        (
            lambda grid, row: row.level >= 15,
            "Only |logit| 15 is wrong: usually clipped probabilities, logits or noise, or float32 inside",
        ),
        (
            lambda grid, row: row.level >= 6,
            "Only |logit| 6 and above are wrong: usually clipped probabilities or noise",
        ),
        (
            lambda grid, row: row.level > 0,
            "Only at logits 0 the mean is right: usually logits are used where probabilities belong, or a sign or "
            "|logit| is forgotten",
        ),
        (
            lambda grid, row: grid.event != (1,),
            "Only with several latents the mean is wrong: usually latents are drawn with shared noise, or a product or "
            "softmax runs over the wrong axis",
        ),
        (
            lambda grid, row: grid.samples > 1,
            "Only with more than 1 sample the mean is wrong: usually a mean where a sum belongs, or pairs are mixed up",
        ),
        (
            lambda grid, row: row.objective not in ("quadratic", "coupled"),
            "Only objectives beyond the quadratic are wrong: the rule is exact to second order only, so it is biased",
        ),
        (lambda grid, row: row.objective in ("cubic", "quadratic"), GENERIC),
        (lambda grid, row: True, GENERIC),
    ],
)
def test_what_all_wrong_problems_share(holds: Callable[[Grid, Row], bool], words: str) -> None:
    assert the_cause(where(holds)) == words


def test_more_than_the_least_number_of_samples() -> None:
    found = where(lambda grid, row: grid.samples > 2)
    assert the_cause(found, samples=(2, 4)) == (
        "Only with more than 2 samples the mean is wrong: usually a mean where a sum belongs, or pairs are mixed up"
    )


@pytest.mark.parametrize(("share", "seen"), [(4, True), (3, False)])
def test_a_good_share_of_what_has_a_property_must_be_wrong(share: int, seen: bool) -> None:
    """Of the ten problems of the entropy in a grid of two sizes, two in five."""

    def found(grid: Grid, row: int, exact: Tensor) -> Tensor:
        chosen = grid.rows[row].objective == "entropy" and (grid.event, row % 5) in WRONG[:share]
        return where(lambda grid, row: chosen)(grid, row, exact)

    words = the_cause(found, samples=(1,))
    assert words.startswith("Only objectives with log q inside") == seen


WRONG = [((1,), 0), ((3,), 1), ((1,), 2), ((3,), 3)]
