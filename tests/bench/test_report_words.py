"""The words of a report and what decides them: verdicts on bias, intervals, names, settings, refusals, efficiencies."""

import copy
import math
import re
from pathlib import Path

import numpy as np
import pytest

from bench.config import Config
from bench.measure.basket import BasketConfig
from bench.measure.elbo import TrainConfig
from bench.measure.toy import ToyMoments
from bench.measure.wallclock import TimeConfig
from bench.records.record import smallest_visible
from bench.report import text
from bench.report.output import FORMATS, write
from bench.report.tables.time import Noise, _efficiency
from bench.report.verdicts import AGAINST, UNSURE, BiasTest, verdict
from estimators.errors import BadInput
from tests.bench.plain import naming
from tests.bench.records import VAE, Made, moments, quick

FAIR = BiasTest(True, 0.5, 0.02, 0.0, 0.04, 0.031, heavy_tailed=False, rare=False)


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (FAIR, "none seen (could have seen >= 3.1 %)"),
        (
            FAIR._replace(p_value=5e-4),
            "none seen (could have seen >= 3.1 %)",
        ),  # one of 100 tests: no surprise
        (FAIR._replace(p_value=5e-5), AGAINST),
        (FAIR._replace(p_value=5e-5, heavy_tailed=True), UNSURE),
        (
            FAIR._replace(p_value=0.0, relative_high=1e-9, floor=1e-9),
            "none: equal to the reference up to rounding",
        ),
        (FAIR._replace(floor=2.0), "none seen (could have seen >= 200 %: says little)"),
        (FAIR._replace(p_value=math.nan, rare=True), "not tested: outcomes too rare for the draws"),
        (FAIR._replace(p_value=math.nan, seldom_moved=True), "not tested: too few draws move the gradient"),
        (
            FAIR._replace(seldom_moved=True),
            "none seen (could have seen >= 3.1 %; some coordinates moved by too few draws to test)",
        ),
        (FAIR._replace(unbiased=False, relative=0.12, relative_low=0.1), "biased by 12 %"),
        (FAIR._replace(unbiased=False), "declared biased, none seen (could have seen >= 3.1 %)"),
        (FAIR._replace(relative=math.nan, floor=math.nan), "none seen (the gradient is 0)"),
        (FAIR._replace(floor=math.nan), "none seen (no interval)"),  # as of a single trajectory
    ],
)
def test_verdicts(test: BiasTest, words: str) -> None:
    assert verdict(test, tests=100) == words


def test_the_smallest_visible_bias_is_where_an_interval_would_leave_zero() -> None:
    assert smallest_visible(-0.02, 0.02, 2.0) == pytest.approx(math.sqrt(0.02) / 2)
    assert math.isnan(smallest_visible(-0.02, 0.02, 0.0))


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1.234, 1.201, 1.262), "1.23 [1.20, 1.26]"),
        ((-97.34, -97.361, -97.319), "-97.34 [-97.36, -97.32]"),
        ((0.0123, -0.9, 0.9), "0.01 [-0.90, 0.90]"),
        ((1.234e-7, 1.2e-7, 1.3e-7), "1.23e-7 [1.20e-7, 1.30e-7]"),
        ((10.0, 0.02, 5000.0), "10.0 [0.0200, 5000]"),
        ((55.2, 0.0, math.inf), "55.2 [0, ∞]"),
        ((-20.0, math.nan, math.nan), "-20.0 (no interval)"),
        ((math.nan, math.nan, math.nan), ""),
        ((None, 1.0, 2.0), ""),
        ((1.5, None, 2.0), "1.50 (no interval)"),
        ((1.5, 1.0, None), "1.50 (no interval)"),
        ((1.5, math.nan, 2.0), "1.50 (no interval)"),
        ((-0.004, -0.48, 0.47), "0.00 [-0.48, 0.47]"),
    ],
)
def test_intervals_as_text(numbers: tuple[float | None, float | None, float | None], words: str) -> None:
    assert text.interval(*numbers) == words


def test_long_labels_are_shortened_without_knowing_names() -> None:
    assert naming.shortened("any[baseline=moving-average]") == "any, moving-average"
    assert naming.shortened("any[straight_through=true,temperature=0.5]") == "any, straight-through, temperature 0.5"
    same = [moments(np.random.default_rng(0), VAE, Made(label, 2, True, 1, 0, 1)) for label in ("a[b=x]", "a[c=x]")]
    assert naming.estimator_labels(same) == ["a[b=x]", "a[c=x]"]


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    records = quick()[:1]
    future, odd, nameless = (copy.deepcopy(records[0]) for _ in range(3))
    future |= {"schema": 3, "cell": "c0ffee"}
    future["provenance"]["gradest"] = "9.1"
    odd["config"]["measurement"]["kind"] = "taste"
    nameless["schema"] = None
    del nameless["cell"]
    for wrong, formats, words in (
        ([], {"md"}, "no records to report: run a suite first, or name the folder that holds its cells/"),
        (
            [future],
            {"md"},
            "record c0ffee was written by gradest 9.1, with schema 3, and this release reads 2: install that one "
            "(pip install -U gradest), or choose another folder",
        ),
        ([*records, nameless], {"md"}, "record without an id is not whole: it lacks cell"),
        (
            [odd],
            {"md"},
            f"cell {odd['cell']} has kind 'taste'; this report reads train, moments, time, and what an installed "
            "package measures: install the one of that kind",
        ),
        (records, {"md", "doc", "xls"}, f"unknown report format doc, xls; choose among {', '.join(FORMATS)}"),
    ):
        # What a folder may hold is no traceback of the command line, which checks formats itself.
        with pytest.raises(BadInput if formats == {"md"} else ValueError, match=f"^{re.escape(words)}$"):
            write(wrong, tmp_path, formats)
    assert list(tmp_path.iterdir()) == []


def test_an_efficiency_needs_noise_of_both_and_a_time() -> None:
    own, reference = (Noise(variance=variance, log_se=0.0) for variance in (2.0, 3.0))
    assert _efficiency(own, 5.0, reference, 4.0) == (1.2, 1.2, 1.2)
    assert _efficiency(own, 5.0, own, 5.0) == (1.0, 1.0, 1.0)
    assert _efficiency(own._replace(noiseless=True), 5.0, reference, 4.0) == (math.inf,) * 3
    for mine, cost, other in (
        (own._replace(at_rounding=True), 5.0, reference),
        (own, 5.0, reference._replace(at_rounding=True)),
        (own._replace(variance=0.0), 5.0, reference),
        (own, 5.0, reference._replace(variance=0.0)),
        (own, 0.0, reference),
        (own, math.nan, reference),
        (Noise(), 5.0, reference),
    ):
        assert all(map(math.isnan, _efficiency(mine, cost, other, 4.0)))


STATED = {"kind", "draws", "seeds"}
"""What a table has a column for."""


@pytest.mark.parametrize(
    ("config", "key"),
    [(config, key) for config in (BasketConfig, ToyMoments, TrainConfig, TimeConfig) for key in config.model_fields],
)
def test_cells_that_differ_in_a_setting_stand_apart(config: type[Config], key: str) -> None:
    """All but what their table states of each; and times of two machines."""
    common = dict.fromkeys(config.model_fields, 1) | {"kind": config.model_fields["kind"].default}
    records = [
        {
            "config": {"measurement": common | ({} if key == "kind" else {key: value}), "device": "cpu", "threads": 1},
            "provenance": {"host": "a", "cpu": "b", "gpu": None},
        }
        for value in (1, 2)
    ]
    words = [""] * 2 if key in STATED else [f"{key}=1", f"{key}=2"]
    assert naming.settings(records, ["digits", "digits"]) == words
    records[1]["config"] = records[0]["config"] | {"matmul_precision": "high"}
    assert naming.settings(records, ["digits", "digits"]) == ["matmul_precision=highest", "matmul_precision=high"]
