"""The audit of intervals and comparisons: what its tables say of draws whose law is known."""

import math

import numpy as np
import pytest
from scipy import stats

from bench.statistics import variance_interval, variance_log_se
from bench.studies.audit import coverage, page, pools, replicates
from bench.studies.audit.pools import Pool, samples


def pool(events: float = math.nan, scale: float = 1.0) -> Pool:
    draws = scale * np.random.default_rng(0).normal(size=(pools.POOL, 2))
    return Pool("toy", "|logit| 6", "rloo", events, draws, 2 * scale**2, "exact")


def test_samples_have_the_estimates_of_the_suite() -> None:
    found, d = samples(pool(), 50), pool().draws[50:100]
    squares = np.square(d - d.mean(0)).sum(1)
    assert math.exp(found.logs[1]) == pytest.approx(variance_interval(squares).estimate)
    assert found.log_se[1] == pytest.approx(variance_log_se(squares))
    assert found.effective[1] == pytest.approx(squares.sum() ** 2 / (squares**2).sum())
    nothing = samples(pool()._replace(draws=np.zeros((100, 2))), 50)
    assert (nothing.logs == -math.inf).all() and (nothing.log_se == 0).all()


def test_gaussian_draws_are_covered_and_say_nothing() -> None:
    rows = [*coverage.covered(pool(events=0.01))]
    assert [row["interval"] for row in rows] == ["no", "no", "yes", "yes"]
    assert [row["rare events"] for row in rows] == [1, 3, 10, 30]
    assert 0.93 <= rows[0]["covered"] <= 0.97
    assert all(row["covered"] * row["samples"] >= stats.binom.ppf(0.01, row["samples"], 0.95) for row in rows)
    missed = [*coverage.covered(pool()._replace(truth=4.0))]
    assert all(row["covered"] < 0.1 and row["too low"] > 0.9 for row in missed)
    (row,) = coverage.said(pool(events=0.01))
    assert row["false, one by one"] >= 3 and row["false"] == 0
    assert not [*coverage.said(pool(events=0.001))]


def test_the_page_states_what_the_tables_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicates, "RUNS", 20)
    tables = {
        "coverage": [*coverage.covered(pool(events=0.01))],
        "null": [*coverage.said(pool(events=0.01))],
        "replicates": [*replicates.coverage()],
        "effects": [*replicates.seeds()],
        "power": [*replicates.power()],
    }
    text = page.markdown(tables, "a machine")
    assert "5 groups of equal labels at 1 points. Anything is called worse in 0 of them (0.0%)" in text
    assert len(tables["replicates"]) == len(replicates.CASES) * len(replicates.SHAPES)
    assert "| all equal | stepped down | 0 |" in text
