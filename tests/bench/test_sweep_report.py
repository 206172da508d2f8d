"""Each estimator at its own best learning rate in tables, sentences and figures; what power and targets say."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, t

from bench.report.figures import rates as rates_figure
from bench.report.findings import FIRST, findings
from bench.report.output import write
from bench.report.summary import Summary, summarise
from bench.report.sweeps import Sweep
from bench.report.tables import elbo as elbo_table
from bench.statistics import mean_interval
from bench.statistics.median import median_interval
from bench.statistics.power import detectable_difference, deviation_interval, seeds_needed
from tests.bench.compared import compare
from tests.bench.plain import Store, identity
from tests.bench.records import VAE, Made, Record, record
from tests.bench.test_sweep import SWEPT, Ends

RLOO, DISARM = Made("rloo", 2, True, 1.0, 0.0, 1.0), Made("disarm", 2, True, 1.0, 0.0, 1.0)
HIGHEST = "Highest test ELBO"


def trained(made: Made, rate: float, ends: Ends, **more: Any) -> Record:
    """A training of one seed an end, whose test ELBO rises by a nat at each of four evaluations; train is a nat above.

    A seed without an end diverged at the last step.
    """
    seeds = range(len(ends))
    curve = [[None if end is None and i == 4 else (end or -99.0) - 4 + i for end in ends] for i in range(5)]
    on_train = [[None if end is None else end + 1 for end in row] for row in curve]
    measurements = {
        "seeds": [*seeds],
        "diverged": [40 if end is None else None for end in ends],
        "curve": {
            "step": [0, 10, 20, 30, 40],
            "f_evals": [0, 200, 400, 600, 800],
            "seconds": [0.0, 0.5, 1.0, 1.5, 2.0],
            "train_elbo": on_train,
            "test_elbo": curve,
        },
        "final": {"train_elbo": on_train[-1], "test_elbo": ends, "test_iwae": ends, "iwae_samples": 5},
    }
    optimisation = {"steps": 40, "learning_rate": rate}
    measurement = {"kind": "train", "optimisation": optimisation, "seeds": len(ends), **more}
    return record(measurement, VAE, made, measurements)


def row_of(summary: Summary, label: str) -> dict[str, Any]:
    (row,) = summary.elbo[summary.elbo["label"] == label].to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_the_rate_of_a_seed_is_chosen_by_the_other_seeds() -> None:
    """By all seeds the first rate is the best, -10 to -10.25; without the second seed the other one, -10.3 to -10.6."""
    first, second = [-11.0, -7.0, -11.0, -11.0], [-10.0, -10.5, -10.5, -10.0]
    summary = summarise([trained(RLOO, 1e-3, first), trained(RLOO, 3e-3, second)])
    row = row_of(summary, "rloo")
    assert (row["learning_rate"], row["rates"], row["at_edge"], row["other_rate"]) == (1e-3, 2, True, 1)
    # Without the second seed: -11 against -10.17, so that it is judged at the other rate.
    judged, *rates = (mean_interval(ends) for ends in ([-11.0, -10.5, -11.0, -11.0], first, second))
    assert row["test_elbo"] == judged.estimate
    assert row["test_elbo_low"] == min(one.low for one in (judged, *rates)), "as the seeds do not settle the rate"
    assert row["test_elbo_high"] == max(one.high for one in (judged, *rates))
    assert row["train_elbo"] == row["test_elbo"] + 1
    rates = summary.rates.set_index("learning_rate")
    assert rates["judges"].to_dict() == {1e-3: 3, 3e-3: 1}
    assert rates["test_elbo"].to_dict() == {1e-3: -10.0, 3e-3: -10.25}
    assert rates["best"].to_dict() == {1e-3: True, 3e-3: False}


def test_a_choice_among_equals_gains_nothing() -> None:
    """Of eight rates that do the same, the best mean of five seeds is high by half a nat; the mean reported is not."""
    rng, chosen, naive = np.random.default_rng(0), [], []
    for _ in range(60):
        ends = rng.normal(-10, 1, (8, 5))
        summary = summarise([trained(RLOO, 2.0**-i, list(row)) for i, row in enumerate(ends)])
        chosen.append(row_of(summary, "rloo")["test_elbo"])
        naive.append(ends.mean(axis=1).max())
    assert np.mean(naive) > -9.5
    assert abs(np.mean(chosen) + 10) < 3 * np.std(chosen) / math.sqrt(60)


def test_differences_are_between_the_best_rates_of_both() -> None:
    records = [
        trained(RLOO, 1e-3, [-12.0, -12.5, -13.0]),
        trained(RLOO, 3e-3, [-10.0, -10.5, -11.0]),
        trained(RLOO, 9e-3, [None, -9.0, -9.0]),
        trained(DISARM, 1e-3, [-11.0, -11.0, -11.5]),
        trained(DISARM, 3e-3, [-15.0, -15.0, -15.0]),
    ]
    summary = summarise(records)
    rloo, disarm = row_of(summary, "rloo"), row_of(summary, "disarm")
    assert (rloo["learning_rate"], rloo["at_edge"], rloo["seeds"], rloo["diverged"]) == (3e-3, False, 3, 0)
    assert (disarm["learning_rate"], disarm["at_edge"]) == (1e-3, True)
    pairs = [-1.0, -0.5, -0.5]
    assert (disarm["difference"], disarm["difference_low"], disarm["difference_high"]) == mean_interval(pairs)
    assert disarm["detectable"] == detectable_difference(pairs)
    assert disarm["detectable_corrected"] == disarm["detectable"]  # of one comparison
    needed = (disarm["seeds_needed"], disarm["seeds_needed_low"], disarm["seeds_needed_high"])
    assert (needed, rloo["difference"]) == (seeds_needed(pairs), 0)
    assert math.isnan(rloo["detectable"])
    assert [(row["learning_rate"], row["diverged"]) for row in summary.rates.to_dict("records")] == [
        (1e-3, 0), (3e-3, 0), (1e-3, 0), (3e-3, 0), (9e-3, 1)
    ]  # fmt: skip
    sentences = [finding.text for finding in findings(summary)[FIRST]]
    assert "disarm` at 0.001." in next(text for text in sentences if "edge of the grid" in text)
    assert not any("`rloo` at" in text for text in sentences)


def test_no_rate_is_left_out_as_an_older_record_of_the_same(tmp_path: Path) -> None:
    """Nor are runs with other rates a section of their own; the same rate with other seeds is another sweep."""
    records = [trained(made, rate, [-10.0, -11.0]) for made in (RLOO, DISARM) for rate in (1e-3, 3e-3)]
    for choose in (identity.newest, identity.merged):
        assert len(choose(records).records) == 4
    summary = summarise([*records, trained(RLOO, 1e-3, [-10.0, -11.0, -12.0])])
    assert set(summary.elbo["section"]) == {VAE["label"]}
    assert sorted(summary.elbo["rates"]) == [1, 2, 2]
    for name, run in (("a", records[:3]), ("b", records[1:])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "suite.toml").write_text(SWEPT)
        for one in run:
            Store(tmp_path / name).write(one | {"traceback": None})
    rows, notes = compare(tmp_path / "a", tmp_path / "b")
    assert [row["quantity"] for row in rows] == ["test ELBO B - A"] * 2  # of the two cells that both have
    assert not any("SETTINGS DIFFER" in note for note in notes)


def test_a_rate_at_which_nothing_was_measured_is_not_the_best_and_not_lost() -> None:
    failed = trained(RLOO, 3e-3, [-1.0, -1.0]) | {"status": "failed", "reason": "luck", "measurements": {}}
    gone = trained(RLOO, 9e-3, [None, None]) | {"status": "diverged", "reason": "all"}
    summary = summarise([failed, gone, trained(RLOO, 1e-3, [-10.0, -10.0])])
    assert row_of(summary, "rloo")["learning_rate"] == 1e-3
    assert {row["status"] for row in summary.rates.to_dict("records")} == {"ok", "failed", "diverged"}
    nothing = row_of(summarise([failed, gone]), "rloo")
    assert (nothing["learning_rate"], nothing["seeds"], nothing["diverged"]) == (9e-3, 2, 2)
    assert (nothing["status"], nothing["measured"]) == ("diverged", False)


def test_what_a_target_takes_is_a_median_with_its_misses(tmp_path: Path) -> None:
    """Of ten seeds: reached at the first evaluation after the start, and one later for each nat; four never do."""
    ends: Ends = [-7.0, -8.0, -8.0, -9.0, -9.0, -10.0, -11.0, -12.0, None, -13.0]
    summary = summarise([trained(RLOO, 1e-3, ends, target=-10.0), trained(DISARM, 1e-3, ends[6:], target=-10.0)])
    rloo, disarm = row_of(summary, "rloo"), row_of(summary, "disarm")
    # -11 + 1 = -10 for the best seed, whose first evaluation is -11: 10, 20, 20, 30, 30, 40 and four that never do.
    assert (rloo["reached"], rloo["seeds"], rloo["target_step"]) == (6, 10, 35.0)
    # From the second of ten to the last but one: 97.9 %.
    assert (rloo["target_step_low"], rloo["target_step_high"]) == (20.0, math.inf)
    assert (rloo["target_f_evals"], rloo["target_seconds"], rloo["target_seconds_low"]) == (700.0, 1.75, 1.0)
    assert (disarm["reached"], disarm["target_step"]) == (0, math.inf)
    assert math.isnan(disarm["target_step_low"])  # four seeds have no interval
    write([trained(RLOO, 1e-3, ends, target=-10.0)], tmp_path, {"md"})
    text = (tmp_path / "tables" / "elbo.md").read_text()
    assert "6 of 10" in text and "700 [400, ∞]" in text and "1.75 [1.00, ∞]" in text
    assert "Target: a test ELBO of -10 nats, fixed before the run" in text
    assert not (tmp_path / "tables" / "rates.md").exists()  # nothing was swept


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], (3.0, None, None)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], (3.0, None, None)),  # all of five: 1 - 2 / 32
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (3.5, 1.0, 6.0)),  # 1 - 2 / 64
        ([*range(10)], (4.5, 1.0, 8.0)),  # 1 - 2 * 11 / 1024; the third to the eighth cover 89 %
        ([1.0, 2.0, math.inf, math.inf], (math.inf, None, None)),
        ([*range(5), *[math.inf] * 4], (4.0, 1.0, math.inf)),
    ],
)
def test_the_median_has_an_interval_of_order_statistics(
    values: list[float], expected: tuple[float | None, ...]
) -> None:
    found = [None if math.isnan(x) else x for x in median_interval(values)]
    assert tuple(found) == expected


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_the_power_of_few_seeds_is_that_of_the_test(n: int) -> None:
    """Where scipy's noncentral t is NaN or wrong: four of five tests see the difference that is called detectable."""
    rng, pairs = np.random.default_rng(0), _spread(n, 1.5)
    for comparisons in (1, 22):
        difference = detectable_difference(pairs, comparisons=comparisons)
        x = rng.normal(difference, 1.5, (40_000, n))
        statistic = x.mean(axis=1) / x.std(axis=1, ddof=1) * math.sqrt(n)
        assert np.mean(abs(statistic) > t.isf(0.025 / comparisons, n - 1)) == pytest.approx(0.8, abs=0.008)
    for mean in (0.1, 3.0, 1000.0) if n > 2 else ():
        found = seeds_needed(mean + pairs)
        assert found.low <= found.estimate <= found.high


def _spread(n: int, spread: float) -> Any:
    """So many numbers of this standard deviation and mean 0."""
    x = np.arange(n) - (n - 1) / 2
    return x * spread / x.std(ddof=1)


def test_the_highest_elbo_is_named_with_all_that_it_is_not_told_apart_from() -> None:
    def highest(*records: Record) -> str:
        (found,) = findings(summarise(records))[HIGHEST]
        return found.text.removeprefix(f"{VAE['label']}: ")

    base = np.array([-10.0, -10.4, -9.8, -10.2, -9.6])
    third = Made("arm", 2, False, 1.0, 0.0, 1.0)
    alike = base + np.array([0.05, -0.1, 0.2, -0.2, -0.05])
    first, second = trained(RLOO, 1e-3, list(base)), trained(DISARM, 1e-3, list(alike))
    last = trained(third, 1e-3, list(base - 3 + np.array([0.5, 0, 0.02, 0, -0.02])))
    text = highest(first, second, last)
    assert text.startswith("`rloo`, -10.0 [")
    # By 2.98, 3 and 3.02 of the last three seeds alone: t = 4.303 times .02 / sqrt(3).
    assert "not told apart from `disarm` by 5 seeds; next `arm` †, 3.00 [2.95, 3.05] lower than `rloo`, " in text
    assert text.endswith("which 2 seeds chose and the 3 others judge.")
    ahead = trained(DISARM, 1e-3, list(alike + np.array([0.2, 0.0, -0.1, -0.1, -0.1])))
    assert "`arm` †, 2.88 [" in (other := highest(first, ahead, last)) and "lower than `disarm`, which 2" in other
    few = [
        trained(made, 1e-3, list(ends[:3]))
        for made, ends in ((RLOO, base), (third, base[:3] - np.array([3.0, 3.0, 3.1])))
    ]
    assert highest(*few).endswith("next `arm` †, 3.03 [2.89, 3.18] lower, paired over the 3 seeds that chose `rloo`.")
    assert "not told apart" not in highest(first, last)
    lost = trained(third, 1e-3, [-1.0, -1.0, -1.0, None, -1.0])
    assert highest(first, lost).endswith("not compared, as seeds of the first diverged or are missing: `arm` †.")
    assert highest(lost).startswith("`arm` †, -1.00 [-1.00, -1.00] (1 of 5 seeds diverged)")


@pytest.mark.parametrize(("n", "words"), [(2, ""), (3, "3 pairs tell badly"), (4, "4 pairs tell badly"), (5, "")])
def test_what_few_seeds_can_tell_is_said_to_be_uncertain(n: int, words: str) -> None:
    records = [trained(made, 1e-3, [at * k * k - 10.0 for k in range(n)]) for made, at in ((RLOO, 0.5), (DISARM, 0.8))]
    summary = summarise(records)
    assert math.isnan(row_of(summary, "disarm")["detectable"]) is (n == 2)
    caption = elbo_table.make(summary.elbo, "rloo").caption
    assert ("Detectable: " in caption) is (n > 2)
    assert ("tell badly" in caption) is bool(words) and words in caption
    if n == 3:  # 2 degrees of freedom: the quantiles of chi-squared are -2 log p
        low, high = math.sqrt(-1 / math.log(0.025)), math.sqrt(-1 / math.log(0.975))
        assert deviation_interval(3) == pytest.approx((low, high))
        assert f"between {low:.2f} and {high:.1f} times what is printed" in caption


def test_the_figure_of_rates_holds_any_that_a_record_has() -> None:
    """Over more decades than one number has."""
    records = [trained(RLOO, rate, [-10.0 - n]) for n, rate in enumerate((1e-3, 1e-300, 1e300))]
    (plot,) = rates_figure.plots(summarise(records))
    assert np.isfinite(plot.draw().axes[0].get_xlim()).all()


def test_the_figure_of_rates_shows_what_the_second_best_costs() -> None:
    """Three that do the same at their best rate, and lose 9 nats at the others."""
    arms = Made("arms", 2, True, 1.0, 0.0, 1.0)
    ends = {1e-3: -19.0, 1e-2: -10.0, 1e-1: -90.0}
    records = [
        trained(made, rate, [end + i / 100])
        for i, made in enumerate((RLOO, DISARM, arms))
        for rate, end in ends.items()
    ]
    (plot,) = rates_figure.plots(summarise(records))
    bottom, top = plot.draw().axes[0].get_ylim()
    assert -25 < bottom < -19 and -10 < top < -8


def test_the_figure_of_rates_marks_the_best_and_has_bands_of_five_seeds(tmp_path: Path) -> None:
    records = [
        trained(made, rate, [best - abs(math.log(rate / 3e-3)) - 0.1 * seed for seed in range(count)])
        for made, best, count in ((RLOO, -10.0, 5), (DISARM, -11.0, 3))
        for rate in (1e-3, 3e-3, 9e-3)
    ]
    summary = summarise(records)
    (plot,) = rates_figure.plots(summary)
    assert plot.name == "rates-digits-bernoulli-8-nonlinear"
    assert "Bands: 95 % Student-t interval over 5 to 5 seeds" not in plot.said
    assert "Bands: 95 % Student-t interval over 5 seeds. No band below 5 seeds." in plot.said
    assert "edge" not in plot.said
    lines = rates_figure._lines(summary.rates, summary)
    assert [line.best for line in lines] == [1, 1]
    assert [bool(np.isfinite(line.low).all()) for line in lines] == [made.style.label == "rloo" for made in lines]
    figure = plot.draw()
    assert figure.axes[0].get_ylim()[1] > np.nanmax([line.high[line.best] for line in lines]), "a band is not cut off"
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0.001", "0.003", "0.009"]
    assert not list(rates_figure.plots(summarise([records[0]])))
    write(records, tmp_path, {"csv", "svg"})
    assert pd.read_csv(tmp_path / "tables" / "rates.csv")["best"].sum() == 2
    assert (tmp_path / "figures" / "rates-digits-bernoulli-8-nonlinear.svg").exists()


def test_a_sweep_that_is_not_finished_is_said_to_be() -> None:
    """DisARM has one rate where rloo went on to a second; of a third, at which rloo is worse, nobody is asked."""
    behind = [
        trained(RLOO, 1e-3, [-11.0, -11.2, -11.1]),
        trained(RLOO, 3e-3, [-10.0, -10.2, -10.1]),
        trained(RLOO, 9e-3, [-12.0, -12.2, -12.1]),
        trained(DISARM, 1e-3, [-11.0, -11.3, -11.1]),
    ]
    unfinished = [one.text for one in findings(summarise(behind))[FIRST] if "is not finished" in one.text]
    assert len(unfinished) == 1 and unfinished[0].endswith("beyond the best rate so far of `disarm`, 0.001.")
    done = [*behind, trained(DISARM, 3e-3, [-11.5, -11.6, -11.4]), trained(DISARM, 3e-4, [-12.5, -12.6, -12.4])]
    assert "is not finished" not in str(findings(summarise(done)))


def test_rates_that_were_given_and_differ_are_said_and_no_sweep_is_missed() -> None:
    """As those of a suite whose overrides give one estimator another rate."""
    given = [trained(RLOO, 1e-3, [-11.0, -11.2, -11.1]), trained(DISARM, 3e-3, [-10.0, -10.3, -10.1])]
    first = [one.text for one in findings(summarise(given))[FIRST]]
    (said,) = (text for text in first if "each estimator was trained at one learning rate" in text)
    assert said.endswith("so that a difference may be the rate's: `rloo` at 0.001, `disarm` at 0.003.")
    assert "is not finished" not in str(first)
    alike = [given[0], trained(DISARM, 1e-3, [-10.0, -10.3, -10.1])]
    assert "at one learning rate" not in str(findings(summarise(alike)))


def test_estimators_of_runs_with_other_seeds_and_rates_are_compared_run_by_run() -> None:
    """Of four seeds at the lower rate alone, and of three at a higher one, at which both gain 5 nats."""
    low, other, high = [-10.0, -10.4, -9.8, -10.2], [-10.9, -11.5, -10.8, -11.3], [-5.0, -5.4, -4.8]
    records = [trained(RLOO, 1e-3, low), trained(DISARM, 1e-3, other), trained(RLOO, 1e-2, high)]
    records.append(trained(DISARM, 1e-2, [end - 1 for end in high]))
    summary = summarise(records)
    rows = summary.elbo.set_index(["label", "seeds"])["difference"].to_dict()
    assert rows == {
        ("rloo", 4): 0, ("rloo", 3): 0, ("disarm", 3): pytest.approx(-1), ("disarm", 4): pytest.approx(-1.025)
    }  # fmt: skip
    found = [one.text for one in findings(summary)[HIGHEST]]
    assert [re.findall("trained with . seeds|next `[a-z]+`", text) for text in found] == [
        ["trained with 3 seeds", "next `disarm`"], ["trained with 4 seeds", "next `disarm`"]
    ]  # fmt: skip


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_single_seed_is_said_to_choose_for_itself(tmp_path: Path, seeds: int) -> None:
    write([trained(RLOO, rate, [-10.0, -11.0][:seeds]) for rate in (1e-3, 3e-3)], tmp_path, {"md"})
    for table in ("elbo", "rates"):
        text = (tmp_path / "tables" / f"{table}.md").read_text()
        assert ("A single seed chooses for itself, and looks better than it is." in text) is (seeds == 1)


def test_intervals_hold_where_rates_do_the_same() -> None:
    """Of four equal rates two seeds that do well at one choose it for each other: judged alone, 80 % would be held."""
    rng, truth_held, judged_held, both_held = np.random.default_rng(1), 0, 0, 0
    for _ in range(150):
        own, other = (sweep(-10 + rng.normal(size=(4, 10))) for _ in range(2))
        row = elbo_table._row(own, other.ended(), 1)
        truth_held += row["test_elbo_low"] <= -10 <= row["test_elbo_high"]
        both_held += row["difference_low"] <= 0 <= row["difference_high"]
        ends = [list(one.ended()[0].values()) for one in (own, other)]
        _, low, high = mean_interval(np.subtract(*ends))
        judged_held += low <= 0 <= high
    assert min(truth_held, both_held) >= binom.ppf(0.001, 150, 0.95) > judged_held


def sweep(ends: Any) -> Sweep:
    """Of [rates, seeds] test ELBOs."""
    own = {"section": "", "label": "", "is_reference": False, "diverged": False, "target": math.nan}
    cells = {
        float(rate): [
            {**own, "cell": str(rate), "seed": float(i), **dict.fromkeys(ELBOS, end)} for i, end in enumerate(row)
        ]
        for rate, row in enumerate(ends)
    }
    return Sweep(cells)


ELBOS = ("train_elbo", "test_elbo", "test_iwae", "target_step", "target_f_evals", "target_seconds")


def test_whoever_is_told_apart_is_so_at_every_rate_that_a_seed_is_judged_at() -> None:
    """rloo's seeds choose both rates, of which the second is no better than disarm's one."""
    first, second = [-10.0, -9.0, -10.1, -9.9, -10.2], [-9.7, -10.4, -9.6, -10.5, -9.4]
    other = [end - 0.5 for end in first]
    swept = [trained(RLOO, 1e-3, first), trained(RLOO, 3e-3, second), trained(DISARM, 1e-3, other)]
    (found,) = findings(summarise(swept))[HIGHEST]
    assert "not told apart from `disarm` by 5 seeds" in found.text
    (found,) = findings(summarise([swept[0], swept[2]]))[HIGHEST]
    assert "next `disarm`, 0.500 [0.500, 0.500] lower than `rloo`" in found.text
    row = row_of(summarise([*swept[1:], swept[0]]), "disarm")
    judged, also = [mean_interval(np.subtract(other, ends)) for ends in (first, second)]
    assert row["difference_low"] == pytest.approx(min(judged.low, also.low))
    assert row["difference_high"] == pytest.approx(max(judged.high, also.high))


def of(one: Record, **optimisation: Any) -> Record:
    """The same training with other settings."""
    measurement = one["config"]["measurement"]
    settings = measurement["optimisation"] | optimisation
    return one | {
        "config": one["config"] | {"measurement": measurement | {"optimisation": settings}},
        "cell": str(settings),
    }


def test_settings_that_estimators_are_given_are_compared_and_said() -> None:
    """As DisARM's protocol gives its decoder draws of its own, and RODEO's another rate to a network."""
    rloo, disarm = trained(RLOO, 0.01, [-99.0, -98.0]), trained(DISARM, 0.01, [-97.0, -96.5])
    found = summarise([rloo, of(disarm, decoder_samples=2, own_betas=[0.999, 0.999])])
    assert found.elbo["section"].nunique() == 1 and not found.elbo["setting"].any()
    assert row_of(found, "disarm")["difference"] == pytest.approx(1.75)
    said = [one.text for one in findings(found)[FIRST] if "settings of their own" in one.text]
    assert len(said) == 1
    assert said[0].endswith(
        "so that a difference may be that of these: `disarm`: decoder_samples=2, own_betas=[0.999, 0.999]."
    )
    assert "settings of their own" not in str(findings(summarise([rloo, disarm])))


@pytest.mark.parametrize("several", [True, False])
def test_other_trainings_stand_apart(several: bool) -> None:
    """Of other lengths, or those of which an estimator has two."""
    rloo, disarm = trained(RLOO, 0.01, [-99.0, -98.0]), trained(DISARM, 0.01, [-97.0, -96.5])
    records = (
        [rloo, of(disarm, decoder_samples=2), of(rloo, decoder_samples=2)] if several else [rloo, of(disarm, steps=80)]
    )
    assert summarise(records).elbo["section"].nunique() == 2
