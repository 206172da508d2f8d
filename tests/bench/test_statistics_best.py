"""Comparison with the lowest: what is said under equality and otherwise, by hand and with estimators' own draws."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.statistics import lowest, lowest_paired, margin, margin_paired, variance_log_se
from tests.bench.pools import LABELS, pools


def test_one_estimator_under_twenty_labels_is_told_apart_at_no_more_than_a_twentieth_of_points() -> None:
    """Real draws at every sharpness at which there are intervals: whoever is called worse is called so falsely."""
    said, points = 0, 0
    for pool in pools():
        d = pool.distances()
        found = lowest(np.log(d.mean(1)), [variance_log_se(one) for one in d])
        assert sorted(found.best + found.worse) == [*range(LABELS)]
        said, points = said + bool(found.worse), points + 1
    assert points > 50
    assert said <= 0.05 * points


CONFIGURATIONS = {
    "all equal": [0.0] * 12,
    "one lower by little": [0.0] + 11 * [0.1],
    "ties of five": 5 * [0.0] + 7 * [0.2],
    "a ladder": [0.05 * i for i in range(12)],
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
@pytest.mark.parametrize("paired", [False, True])
def test_the_truly_lowest_are_seldom_called_worse(case: str, paired: bool) -> None:
    """In 200 runs at most 5 %, and a binomial's spread; units that are paired share what they vary by."""
    truth, rng = np.array(CONFIGURATIONS[case]), np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        if paired:
            shared = rng.normal(size=10)
            found = lowest_paired(truth[:, None] + shared + 0.1 * rng.normal(size=(12, 10)))
        else:
            se = np.linspace(0.03, 0.09, 12)
            found = lowest(truth + se * rng.normal(size=12), se)
        wrong += any(truth[j] == 0 for j in found.worse)
    assert wrong <= stats.binom.ppf(0.999, 200, 0.05)


def test_what_several_versions_of_an_estimate_say_holds_for_each() -> None:
    """The second is two above the first as it is, and by one of its versions no more than they vary."""
    noise = 0.1 * np.array([[1.0, -2.0, 0.5, 0.5, 0.0], [-1.0, 0.5, 0.0, 2.0, -1.5], [0.0, 0.5, -1.0, 1.5, -1.0]])
    rows = np.array([[0.0], [2.0], [0.0]]) + noise
    plain = lowest_paired(rows[:2])
    assert plain == lowest_paired(rows[:2], of=[0, 1]) and plain.worse == (1,)
    both = lowest_paired(rows, of=[0, 1, 1])
    assert (both.best, both.worse, both.low[1]) == ((0, 1), (), 0.0)
    assert both.high[1] == plain.high[1]
    other = lowest_paired(rows[[0, 2, 1]], of=[0, 0, 1])  # now the first one may be as low as either
    assert (other.best, other.worse) == ((0,), (1,))
    swapped = lowest_paired(rows[[2, 1, 0]], of=[0, 0, 1])
    assert swapped.worse == (), "a version of the first is above the second, and one is not"


def test_errors_that_units_share_are_added_to_theirs() -> None:
    x = np.array([[0.0, 0.1, -0.1], [1.0, 1.0, 1.0]])
    t = math.sqrt(0.1**2 / 3 + 0.3**2 + 0.4**2)
    found = lowest_paired(x, errors=[0.3, 0.4])
    assert found.worse == () and lowest_paired(x).worse == (1,)
    assert found.high[1] == pytest.approx(1 + stats.t.isf(0.025, 2) * t)
    assert lowest_paired(x, errors=[0.0, math.inf]).worse == ()


def test_distances_from_the_lowest_are_covered_all_at_once() -> None:
    truth, rng, held = np.array([0.0, 0.0, 0.1, 0.2, 0.5]), np.random.default_rng(6), 0
    for _ in range(200):
        found = lowest(truth + 0.05 * rng.normal(size=5), np.full(5, 0.05))
        held += all(low <= gap <= high for low, gap, high in zip(found.low, truth, found.high, strict=True))
    assert held >= stats.binom.ppf(0.001, 200, 0.95)


def test_two_are_told_apart_as_by_their_own_test() -> None:
    """Of two, exactly where the distance is above the two-sided quantile in standard errors."""
    errors = 1e-4 * np.ones(2)  # so well known that their law is Gaussian
    for gap, worse in ((1.93, ()), (1.99, (1,))):
        assert lowest([0.0, gap * math.sqrt(2) * 1e-4], errors).worse == worse
    x = np.array([[0.0, 1.0, 2.0, 3.0], [2.0, 2.5, 4.0, 5.5]])
    p = stats.ttest_rel(x[0], x[1]).pvalue
    for level in (1 - 0.9 * p, 1 - 1.1 * p):
        assert lowest_paired(x, level).worse == ((1,) if level < 1 - p else ())


def test_a_second_step_says_more_than_the_first() -> None:
    """Of twenty, 19 of which are far above: the two that are left are compared as two against all."""
    logs, se = np.r_[0.0, 0.3, np.full(18, 9.0)], np.full(20, 0.08)
    found = lowest(logs, se)
    assert (found.best, len(found.worse), found.low[1]) == ((0, 1), 18, 0.0)
    nearer = lowest(np.r_[0.0, 0.38, np.full(18, 9.0)], se)
    assert nearer.best == (0,) and nearer.low[1] == 0.0, "one step would not have told it apart"


def test_what_is_exact_unknown_or_missing() -> None:
    inf, nan = math.inf, math.nan
    found = lowest([0.5, 0.0, 0.0, nan, 0.2, 0.1], [0.0, 0.0, 0.0, 0.1, inf, inf])
    assert (found.best, found.worse) == ((1, 2, 4, 5), (0,))
    assert math.isnan(found.low[3]) and found.high[0] == inf and found.low[0] == 0.5
    assert lowest([-inf, 0.0], [0.0, 0.1])[:2] == ((0,), (1,))
    assert lowest([-inf, 0.0, 1.0], [inf, 0.1, 0.1]).best == (1, 0)
    assert lowest([], [])[:2] == ((), ()) and lowest([3.0], [0.1])[:2] == ((0,), ())
    assert lowest_paired([[1.0, 2.0]])[:2] == ((0,), ())


def test_a_winners_margin_is_judged_by_what_did_not_choose_it() -> None:
    found = margin([0.0, -1.0, math.nan], [0.0, math.log(0.5), 0.0], [0.1, 0.2, 0.1], 0)
    factor = math.exp(1.959964 * math.hypot(0.1, 0.2))
    assert found.chosen == 1 and found.interval == pytest.approx((0.5, 0.5 / factor, 0.5 * factor))
    assert math.isnan(margin([0.0, 1.0], [0.0, 1.0], [0.1, 0.1], 0).interval.estimate)
    x = np.array([[1.0, 1.0, 5.0, 6.0, 9.0], [0.0, 1.0, 7.0, 9.0, 9.0]])
    paired, expected = margin_paired(x, 0), stats.ttest_1samp([2.0, 3.0, 0.0], 0).confidence_interval(0.95)
    assert paired.chosen == 1 and paired.interval == pytest.approx((5 / 3, *expected))
    assert math.isnan(margin_paired(x, 1).interval.low)


def test_a_winner_of_twenty_equals_is_flattered_only_by_the_draws_that_chose_it() -> None:
    rng, se = np.random.default_rng(8), np.full(20, 0.05)
    honest = flattering = 0
    for _ in range(400):
        first, second = 0.05 * rng.normal(size=(2, 20))
        for judged, held in ((second, True), (first, False)):
            _, (estimate, low, high) = margin(first, judged, se, 7)
            inside = math.isnan(estimate) or low <= 1 <= high
            honest, flattering = honest + (inside and held), flattering + (inside and not held)
    assert honest >= 0.93 * 400 and flattering < 0.8 * 400


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lowest([0.0, 1.0], [0.1]), r"rows of one length, got \(2,\) and \(1,\)"),
        (lambda: lowest([0.0], [0.1], level=95), "strictly between"),
        (lambda: lowest_paired([[1.0], [2.0]]), "at least 2 units"),
        (lambda: lowest_paired([[1.0, math.nan]]), "must be finite"),
        (lambda: margin([math.nan], [0.0], [0.1], 0), "nothing to choose from"),
        (lambda: margin_paired([[1.0, 2.0, 3.0]], 0), "at least 4 units"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
