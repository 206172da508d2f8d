"""The rule that sets a published number beside ours: each verdict where it is right, and how often chance errs."""

import math
from functools import partial

import numpy as np
import pytest

from bench.published import AGREES, CANNOT_TELL, DIFFERS, LEVEL, Number, judge


def test_exact_numbers_agree_within_the_errors_and_differ_beyond_them() -> None:
    printed = Number(1.23, 0.005)
    assert judge(printed, Number(1.2349), matters=0.05).verdict == AGREES
    assert judge(printed, Number(1.2351), matters=0.05).verdict == DIFFERS
    assert judge(printed, Number(1.2351, 0.001), matters=0.05).verdict == AGREES
    assert judge(printed, Number(1.2351, 0.001), matters=0.05)[1:] == pytest.approx((0.0051, 0.006))
    assert judge(Number(0.0), Number(0.0), matters=1e-6).verdict == AGREES


def test_what_is_too_coarse_to_show_a_difference_that_matters_cannot_tell() -> None:
    assert judge(Number(1.0, 0.06), Number(1.0), matters=0.05).verdict == CANNOT_TELL
    assert judge(Number(1.0, 0.06), Number(1.07), matters=0.05).verdict == DIFFERS  # seen all the same
    assert judge(Number(1.0), Number(1.0, 0.0, 0.1, 5), matters=0.05).verdict == CANNOT_TELL


def test_a_sampled_number_of_unknown_error_tells_nothing() -> None:
    found = judge(Number(1.0, 0.0, None), Number(7.0), matters=0.1)
    assert found == (CANNOT_TELL, 6.0, math.inf)
    assert judge(Number(1.0), Number(7.0, 0.0, None), matters=0.1).verdict == CANNOT_TELL


def test_the_reach_is_that_of_welch() -> None:
    """Standard errors 3 and 4 of 5 and 10: s = 5, 25^2 / (9^2 / 4 + 16^2 / 9) = 12.83 degrees, t of 1 % is 3.0189."""
    found = judge(Number(0.0, 0.5, 3.0, 5), Number(0.0, 0.25, 4.0, 10), matters=1.0)
    assert found.reach == pytest.approx(0.75 + 5 * 3.0189, abs=2e-3)
    known = judge(Number(0.0, 0.0, 1.0), Number(0.0), matters=1.0)
    assert known.reach == pytest.approx(2.5758, abs=1e-4)


@pytest.mark.parametrize(("theirs", "n"), [(5, 5), (5, 400), (math.inf, 8)])
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_chance_makes_equal_numbers_differ_no_more_often_than_the_level(theirs: float, n: int, spread: float) -> None:
    rng, runs = np.random.default_rng(0), 4000
    wrong, level = 0, 0.05
    for _ in range(runs):
        published = Number(rng.uniform(-0.5, 0.5) * 0.1, 0.05)  # rounded, and exact but for that
        if theirs < math.inf:
            drawn = rng.normal(size=int(theirs))
            published = Number(drawn.mean() + published.value, 0.05, drawn.std(ddof=1) / math.sqrt(theirs), theirs)
        ours = rng.normal(scale=spread, size=n)
        own = Number(ours.mean(), 0.0, ours.std(ddof=1) / math.sqrt(n), n)
        wrong += judge(published, own, matters=1.0, level=level).verdict == DIFFERS
    assert wrong <= runs * level + 3 * math.sqrt(runs * level * (1 - level))


def test_what_matters_is_seen_where_anything_agrees() -> None:
    """Where a cell would agree, one that is off by twice what matters differs but for chance."""
    rng, verdicts = np.random.default_rng(1), []
    for _ in range(1000):
        ours = Number(2.0 + rng.normal() * 0.1, 0.0, 0.1, 1000)
        verdicts.append(judge(Number(1.0, 0.05), ours, matters=0.5).verdict)
    assert judge(Number(1.0, 0.05), Number(1.0, 0.0, 0.1, 1000), matters=0.5).verdict == AGREES
    assert verdicts.count(DIFFERS) >= (1 - 2 * LEVEL) * 1000


def test_what_is_no_number_is_refused() -> None:
    right = partial(judge, Number(1.0), matters=0.1)
    with pytest.raises(ValueError, match=r"our number is nan: give one that is finite"):
        right(Number(math.nan))
    with pytest.raises(ValueError, match=r"our errors must be finite and not negative, got -1 and 0"):
        right(Number(1.0, -1.0))
    with pytest.raises(ValueError, match=r"our standard error rests on n = 1: one draw or seed shows no spread"):
        right(Number(1.0, 0.0, 0.5, 1))
    with pytest.raises(ValueError, match=r"matters must be above 0 and level between 0 and 1, got 0 and 0\.01"):
        judge(Number(1.0), Number(1.0), matters=0.0)
