"""Both sides of every threshold, forms of numbers, names, references: small reports with a row for each case."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.records.identity import cell_id
from bench.report.output import write
from bench.report.sweeps import sweeps
from bench.report.tables.elbo import _references
from tests.bench.golden.publish import Outline, outline, printed
from tests.bench.golden.runs import (
    DISARM,
    QUICK,
    RLOO,
    WEAK,
    Made,
    Record,
    at,
    bias,
    point,
    problem,
    record,
    timed,
    toy,
    trained,
)
from tests.bench.test_suite import SMALL

ZOO = toy("zoo", logit=1.0)
ROUNDED = {"relative": 1e-6, "relative_low": 0.0, "relative_high": 9.9e-6, "smallest_visible": 9.9e-6}
RARE, SELDOM, BOTH = ({"untestable": n, "seldom_moved": m} for n, m in ((2, 1), (3, 3), (3, 2)))
EQUAL = "none: equal to the reference up to rounding"
SEEN = "none seen (could have seen >= 3.1 %)"
TOO_RARE, TOO_FEW = "; some coordinates too rare to test", "; some coordinates moved by too few draws to test"

# Of the cases below 20 are tests of estimators declared unbiased: p is held against 0.01 / 20 = 0.0005.
VERDICTS: list[tuple[bool, dict[str, Any], bool, str]] = [  # declared unbiased, bias, heavy tails, verdict
    (True, {}, False, SEEN),
    (True, {"p_value": 0.0005}, False, SEEN),
    (True, {"p_value": 0.000499}, False, "AGAINST ITS TAG"),
    (True, {"p_value": 0.000499}, True, "differs, but its tails are too heavy to tell"),
    (True, {"p_value": 0.0005}, True, SEEN),
    (True, {"p_value": 0.000499, **RARE}, False, "AGAINST ITS TAG"),
    (True, {"p_value": 0.0, **ROUNDED}, False, EQUAL),
    (False, {"p_value": 0.0, **ROUNDED}, False, EQUAL),
    (True, {**ROUNDED, "p_value": None}, False, EQUAL),
    (True, {**ROUNDED, "relative_high": 1e-5}, False, "none seen (could have seen >= 9.9e-4 %)"),
    (True, {**ROUNDED, "smallest_visible": 1e-5}, False, "none seen (could have seen >= 0.0010 %)"),
    (True, {"smallest_visible": 1.0}, False, "none seen (could have seen >= 100 %: says little)"),
    (True, {"smallest_visible": 0.984}, False, "none seen (could have seen >= 98 %)"),
    (True, {"relative": None, "smallest_visible": None}, False, "none seen (the gradient is 0)"),
    (False, {"smallest_visible": None}, False, "declared biased, none seen (no interval)"),
    (True, RARE, False, f"{SEEN[:-1]}{TOO_RARE}{TOO_FEW})"),
    (True, {"untestable": 2}, False, f"{SEEN[:-1]}{TOO_RARE})"),
    (True, SELDOM, False, f"{SEEN[:-1]}{TOO_FEW})"),
    (True, {"smallest_visible": 1.5, **SELDOM}, False, f"none seen (could have seen >= 150 %: says little{TOO_FEW})"),
    (False, {"p_value": 0.0}, False, f"declared biased, {SEEN}"),
    (False, {"relative_low": 1e-5}, False, f"declared biased, {SEEN}"),
    (False, {"relative_low": 1.01e-5}, False, "biased by 2.0 %"),
    (False, {"relative_low": 0.01, "relative": 0.124, "p_value": 0.9, **BOTH}, True,
     f"biased by 12 %{TOO_RARE}{TOO_FEW}"),
    (False, {"relative": None, "smallest_visible": None}, False, "declared biased, none seen (the gradient is 0)"),
    (True, {"p_value": None}, False, "not tested"),
    (True, {"p_value": None, **RARE}, False, "not tested: outcomes too rare for the draws"),
    (False, {"p_value": None, "relative_low": 0.5, **RARE}, False, "not tested: outcomes too rare for the draws"),
    (True, {"p_value": None, **SELDOM}, False, "not tested: too few draws move the gradient"),
    *[(True, {"p_value": 0.9}, False, SEEN)] * 4,
]  # fmt: skip


def test_verdicts_on_both_sides_of_each_threshold(tmp_path: Path) -> None:
    fair = {"p_value": 0.5, "relative": 0.02, "relative_low": 0.0, "relative_high": 0.04, "smallest_visible": 0.0312}
    records = [
        at(ZOO, Made(f"case-{i:02}", 1, unbiased), point(1, 2, 0.05, bias(1) | fair | own, heavy=heavy))
        for i, (unbiased, own, heavy, _) in enumerate(VERDICTS)
    ]
    write(records, tmp_path, {"md", "html"})
    unsure = "1 test of unbiased estimators differs, but with tails too heavy to tell; see the bias table."
    assert unsure in (tmp_path / "report.html").read_text()
    assert sum(unbiased and own.get("p_value", 0.5) is not None for unbiased, own, _, _ in VERDICTS) == 20
    assert "AGAINST ITS TAG where p < 0.01 / 20, the number" in (tmp_path / "tables" / "bias.md").read_text()
    found = {row["estimator"].removesuffix(" †"): row["verdict"] for row in printed(tmp_path, "bias")}
    assert found == {f"case-{i:02}": words for i, (*_, words) in enumerate(VERDICTS)}


def test_a_variance_that_rounding_can_make_is_none(tmp_path: Path) -> None:
    """Below (1e-5 of the gradient) squared: here 1."""
    cases = [  # variance, gradient's norm, outcomes too rare, note
        (1.0, 1e5, False, "no noise"),
        (1.001, 1e5, False, ""),
        (1.0, 1e5, True, "rare outcomes never drawn"),
        (1.001, 1e5, True, "rare outcomes"),
        (0.0, 0.0, False, "no noise"),
        (1e-20, 0.0, False, ""),
        (0.0, None, False, "no noise"),
        (1e-20, None, False, ""),
    ]
    records = [
        at(ZOO, Made(f"case-{i}"), point(1, variance, 0.05, bias(1, untestable=int(rare)), norm=norm))
        for i, (variance, norm, rare, _) in enumerate(cases)
    ]
    write(records, tmp_path, {"md", "html"})
    found = {row["estimator"]: row["note"] for row in printed(tmp_path, "variance")}
    assert found == {f"case-{i}": note for i, (*_, note) in enumerate(cases)}
    # Without noise no estimator is the best of any, and one of outcomes that were never drawn is not said to have none.
    page = (tmp_path / "report.html").read_text()
    still = ", ".join(f"<code>case-{i}</code>" for i in (4, 6, 0))
    assert f"zoo at 2 evaluations of f a row, of 4 unbiased estimators (apart from {still}, without noise):" in page


def times(tmp_path: Path, records: list[Record]) -> pd.DataFrame:
    """The rows of time.csv by estimator."""
    write(records, tmp_path, {"csv"})
    return pd.read_csv(tmp_path / "tables" / "time.csv").set_index("estimator")


def test_a_squared_error_that_rounding_can_make_costs_nothing(tmp_path: Path) -> None:
    """Below (1e-5 of the reference's) squared: here 1."""
    where = problem("mse")
    errors = {"rloo": 1e10, "below": 0.999, "above": 1.001, "none": 0.0}
    records = [
        made
        for k, (label, mse) in enumerate(errors.items(), 1)
        for made in (
            at(where, Made(label), point(k, 8, 0.03, step=1, mse=mse)),
            record("time", where, Made(label), timed(k, 6, 4, (1.5, 0.01), 1, (2.0 * k, 0.04))),
        )
    ]
    found = times(tmp_path, records)["efficiency_mse_seconds"]
    assert found.to_dict() == pytest.approx({"rloo": 1.0, "below": math.inf, "above": 1e10 / 3.003, "none": math.inf})


@pytest.mark.parametrize(("seconds", "beaten"), [(0.0999, True), (0.1001, False)])
def test_a_step_is_below_its_floor_where_its_interval_is(tmp_path: Path, seconds: float, beaten: bool) -> None:
    """The upper end of a median of 0.9 is 1 where 1.96 standard errors are log(1 / 0.9)."""
    log_se = math.log(1 / 0.9) / 1.959964 * seconds / 0.1
    measured = timed(1, 6, 4, (0.9, log_se), 1, (2, 0.04)) | {}
    found = times(tmp_path, [record("time", problem("floor"), RLOO, measured)])
    assert found["below_floor"].item() == beaten


def test_no_efficiency_without_a_cost_or_beside_a_reference_without_noise(tmp_path: Path) -> None:
    where, still = problem("costs"), problem("still")
    bare = timed(2, 6, 4, (1.5, 0.01), 1, (3, 0.04)) | {"plain_ratio": {}}
    records = [
        at(where, RLOO, point(1, 8, 0.03, step=1)),
        at(where, DISARM, point(2, 4, 0.04, step=1)),
        record("time", where, RLOO, timed(1, 6, 4, (1.5, 0.01), 1, (2, 0.04))),
        record("time", where, DISARM, bare),
        at(still, RLOO, point(3, 0, 0.0, step=1, mse=2)),
        at(still, WEAK, point(4, 4, 0.04, step=1, mse=3)),
        record("time", still, RLOO, timed(3, 6, 4, (1.5, 0.01), 1, (2, 0.04))),
        record("time", still, WEAK, timed(4, 6, 4, (1.5, 0.01), 1, (5, 0.04))),
    ]
    found = times(tmp_path, records)
    for label in ("disarm", "weak-derivative"):
        efficiencies = found.loc[label, ["efficiency_seconds", "efficiency_seconds_low", "efficiency_seconds_high"]]
        assert efficiencies.isna().all()
    assert found.loc["disarm", "efficiency_f_evals"] == 2.0  # its cost in evaluations is known
    assert math.isnan(found.loc["weak-derivative", "efficiency_f_evals"])
    assert found.loc["weak-derivative", "efficiency_mse_seconds"] == pytest.approx(2 * 2 / (3 * 5))


NUMBERS = [
    (0.0, "0"), (0.001, "0.00100"), (0.00099, "9.90e-4"), (0.012345, "0.0123"), (0.126, "0.126"), (1.0, "1.00"),
    (12.34, "12.3"), (123.4, "123"), (98765.4, "98765"), (100000.0, "1.00e5"), (-2.5, "-2.50"), (-0.00012, "-1.20e-4"),
    (None, ""),
]  # fmt: skip
COUNTS = [(0, "0"), (7, "7"), (100000, "100000"), (1234567, "1234567"), (2.5, "2.50"), (0.0004, "4.00e-4"), (None, "")]
INTERVALS = [
    ((1.234, 1.201, 1.262), "1.23 [1.20, 1.26]"),
    ((1.234, 1.2335, 1.2346), "1.2340 [1.2335, 1.2346]"),  # as many digits as the width needs
    ((97.34, 97.319, 97.361), "97.34 [97.32, 97.36]"),
    ((123.4, 61.0, 187.0), "123 [61, 187]"),
    ((2.0, -3.0, 7.0), "2.0 [-3.0, 7.0]"),  # wider than its estimate: two digits of the width
    ((0.02, -0.31, 0.35), "0.02 [-0.31, 0.35]"),
    ((15.0, -20.0, 60.0), "15 [-20, 60]"),
    ((5.0, 1.0, 10.0), "5.00 [1.00, 10.00]"),
    ((5.0, 1.0, 10.2), "5.00 [1.00, 10.2]"),  # more than a factor of 10: each end for itself
    ((0.0, -0.5, 0.25), "0 [-0.500, 0.250]"),
    ((3.0, 3.0, 3.0), "3.00 [3.00, 3.00]"),
    ((0.00012, 0.0001, 0.00014), "1.20e-4 [1.00e-4, 1.40e-4]"),
    ((250000.0, 200000.0, 300000.0), "2.50e5 [2.00e5, 3.00e5]"),
    ((20.0, None, None), "20.0 (no interval)"),
    ((20.0, 19.0, None), "20.0 (no interval)"),
    ((None, None, None), ""),
]
PERCENTAGES = [
    ((0.1236, 0.0312, 0.5), "12 % [3.1 %, 50 %]"),
    ((0.0996, 9.9e-9, 1.1e-8), "10 % [0 %, 1.1e-6 %]"),  # less than 1e-8 is rounding
    ((2.0, -0.5, 12.34), "200 % [-50 %, 1234 %]"),
    ((0.00052, 0.000012, 0.1), "0.052 % [0.0012 %, 10 %]"),
    ((None, None, None), ""),
]


def test_numbers_counts_intervals_and_percentages_in_print(tmp_path: Path) -> None:
    """Where the tables print them: as SNR, number of draws, encoder's minibatch variance and relative bias."""
    records = []
    for i in range(len(INTERVALS)):
        measured = point(1, 2, 0.05, step=1)
        if i < len(NUMBERS):
            measured["q"]["snr"] = NUMBERS[i][0]
        if i < len(COUNTS):
            measured["draws"] = COUNTS[i][0]
        named = dict(zip(("estimate", "low", "high"), INTERVALS[i][0], strict=True))
        measured["encoder"]["minibatch_variance"] = named
        if i < len(PERCENTAGES):
            measured["bias"] |= dict(zip(("relative", "relative_low", "relative_high"), PERCENTAGES[i][0], strict=True))
        records.append(at(problem("print"), Made(f"case-{i:02}"), measured))
    write(records, tmp_path, {"md"})
    rows = sorted(printed(tmp_path, "variance"), key=lambda row: row["estimator"])
    biases = sorted(printed(tmp_path, "bias"), key=lambda row: row["estimator"])
    for found, expected in (
        ([row["SNR"] for row in rows], NUMBERS),
        ([row["n"] for row in rows], COUNTS),
        ([row["minibatch variance"] for row in rows], INTERVALS),
        ([row["relative bias"] for row in biases], PERCENTAGES),
    ):
        assert found[: len(expected)] == [text for _, text in expected]


LABELS = {  # a record's label -> what is printed
    "plain": "plain",
    "any[baseline=moving-average]": "any, moving-average",
    "any[straight_through=true]": "any, straight-through",
    "any[a_b=Yes,c=]": "any, a-b, c",
    "any[a_b=no]": "any, no a-b",
    "any[b=False,c=None]": "any, no b, no c",
    "any[d=null]": "any, no d",
    "any[temperature=0.5]": "any, temperature 0.5",
    "any[shift=-2,scale=+3,rate=.5]": "any, shift -2, scale +3, rate .5",
    "any[ a = x , b= 2]": "any, x, b 2",
    "two[b=x]": "two[b=x]",  # two that would be shortened alike stay long
    "two[c=x]": "two[c=x]",
    "half[": "half[",
}


def test_labels(tmp_path: Path) -> None:
    write([at(ZOO, Made(label), point(1, 2, 0.05)) for label in LABELS], tmp_path, {"csv", "md"})
    labels = pd.read_csv(tmp_path / "tables" / "variance.csv")["estimator"].tolist()
    assert dict(zip(labels, (row["estimator"] for row in printed(tmp_path, "variance")), strict=True)) == LABELS


@pytest.mark.parametrize(
    ("estimators", "wanted", "reference"),
    [
        ([("rloo[x=1]", 2), ("rloo", 4)], "rloo", "rloo"),  # the label before the name, whatever the samples
        ([("rloo[x=1]", 4), ("rloo[y=2]", 2)], "rloo", "rloo, y 2"),  # then the fewest samples
        ([("rloo", 4), ("rloo", 3), ("rloo", 5)], "rloo", "rloo, S=3"),
        ([("rloo", 2), ("disarm", 2)], "disarm", "disarm"),
        ([("rloo[x=1]", 2), ("rloo", 2)], "rloo[x=1]", "rloo, x 1"),
        ([("rloo", 2)], "nobody", None),
    ],
)
def test_the_reference(tmp_path: Path, estimators: list[tuple[str, int]], wanted: str, reference: str | None) -> None:
    records = [at(ZOO, Made(label, n), point(i, i, 0.05)) for i, (label, n) in enumerate(estimators, 1)]
    write(records, tmp_path, {"md"}, relative_to=wanted)
    rows = printed(tmp_path, "variance")
    found = [row["estimator"] for row in rows if row[f"ratio to {wanted}"] == "1 (reference)"]
    assert found == ([] if reference is None else [reference])
    assert f"the ratio to {wanted} takes" in (tmp_path / "tables" / "variance.md").read_text()


def test_a_report_relative_to_another_says_so_everywhere(tmp_path: Path) -> None:
    write(QUICK, tmp_path, {"md", "html"}, relative_to="disarm")
    assert "Test ELBO minus disarm's: paired" in (tmp_path / "tables" / "elbo.md").read_text()
    assert "relative to disarm, variance" in (tmp_path / "tables" / "time.md").read_text()
    differences = {row["estimator"]: row["test ELBO - disarm"] for row in printed(tmp_path, "elbo")}
    assert differences["disarm"] == "0 (reference)"
    assert differences["rloo"].startswith("-2.50 [")
    page = outline((tmp_path / "report.html").read_text())
    assert "Ratios and efficiencies are relative to disarm, where a problem has it." in page
    # 6 at 4 plain steps over 2.25 at 8
    assert "<code>relax, no eta</code>, 1.33 [" in page
    # The halves that choose are 2.25 (1 - 22 / 64) of relax and 2 (1 - 13 / 64) of rebar; those that judge 2.25 (1 +
    # 22 / 64) of relax and 6 (1 + 6 / 64) of disarm, of log errors 1.5 times 0.05 and 0.04.
    ratio, factor = 2.25 * (86 / 64) / (6 * 70 / 64), math.exp(1.959964 * 1.5 * math.hypot(0.05, 0.04))
    told = f"{ratio:.3f} [{ratio / factor:.3f}, {ratio * factor:.3f}]"
    assert f"(not told apart from <code>relax, no eta</code>), <code>relax, no eta</code> {told} of disarm" in page


ORDER = {  # within a problem: points, then those that measured nothing; estimators by variance at its last point
    "variance": ["bitflip", "exact", "straight-through", "rebar", "relax", "disarm", "rloo"] * 3
    + ["a_b", "pathwise", "weak-derivative"],
    "elbo": ["exact", "straight-through", "rebar", "disarm", "rloo", "bitflip", "relax", "pathwise", "weak-derivative"],
    "time": ["bitflip", "exact", "straight-through", "rebar", "relax", "disarm", "rloo", "a_b", "weak-derivative"],
}  # fmt: skip


@pytest.mark.parametrize("reverse", [False, True])
def test_the_order_of_rows_is_not_that_of_the_records(tmp_path: Path, reverse: bool) -> None:
    write(QUICK[::-1] if reverse else QUICK, tmp_path, {"csv"})
    for table, names in ORDER.items():
        assert pd.read_csv(tmp_path / "tables" / f"{table}.csv")["name"].tolist() == names, table


def test_of_several_measurements_the_lowest_variance_ranks_an_estimator(tmp_path: Path) -> None:
    """With other numbers of draws, which a table states row by row: 1 and 9 stand before 4 and 5."""
    variances = {"wide": (9, 1), "narrow": (4, 5)}
    records = [
        at(ZOO, Made(label), point(1, variance, 0.05), measurement={"draws": draws})
        for label, pair in variances.items()
        for draws, variance in enumerate(pair, 1000)
    ]
    write(records, tmp_path, {"csv"})
    assert pd.read_csv(tmp_path / "tables" / "variance.csv")["name"].tolist() == ["wide", "wide", "narrow", "narrow"]


def test_who_ends_where_the_reference_does_is_not_the_reference(tmp_path: Path) -> None:
    ends = {seed: -90.0 + seed for seed in range(3)}
    records = [
        record("train", problem("same"), Made(label), trained(1, ends, [1.0] * 3, {})) for label in ("rloo", "equal")
    ]
    write(records, tmp_path, {"md"})
    found = {row["estimator"]: row["test ELBO - rloo"] for row in printed(tmp_path, "elbo")}
    assert found == {"rloo": "0 (reference)", "equal": "0 [0, 0]"}


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_trainings_of_the_reference_that_of_as_many_seeds_is_it(tmp_path: Path, reverse: bool) -> None:
    """Pairs are never of both: -100 and -90 are of two runs, which may differ in their learning rates too."""
    more, fewer = {0: -90.0, 1: -91.0, 2: -92.0}, {0: -100.0, 1: -101.0}
    records = [
        record(
            "train", problem("twice"), Made(label), trained(1, ends, [1.0] * len(ends), {}), measurement={"seeds": n}
        )
        for label, ends, n in (("rloo", more, 3), ("rloo", fewer, 2), ("other", {0: -85.0, 1: -86.0, 2: -87.0}, 3))
    ]
    write(records[::-1] if reverse else records, tmp_path, {"md"})
    found = {(row["estimator"], row["seeds"]): row["test ELBO - rloo"] for row in printed(tmp_path, "elbo")}
    assert found == {
        ("rloo", "3"): "0 (reference)",
        ("rloo", "2"): "0 (reference)",
        ("other", "3"): "5.00 [5.00, 5.00]",
    }


@pytest.mark.parametrize(("first", "second", "chosen"), [(3, 2, "a"), (2, 3, "b"), (2, 2, "a")])
def test_the_reference_has_most_seeds_then_the_first_id(first: int, second: int, chosen: str) -> None:
    """In an order of records that is not that of ids."""
    seeds = [
        {
            "section": "s",
            "label": "rloo",
            "is_reference": True,
            "diverged": False,
            "cell": cell,
            "seed": seed,
            "test_elbo": elbo - seed,
        }
        for cell, elbo, count in (("b", -20.0, second), ("a", -10.0, first))
        for seed in range(count)
    ]
    count, elbo = (first, -10.0) if chosen == "a" else (second, -20.0)
    alike = {"label": "rloo", "learning_rate": 1e-3}
    found = sweeps([seed | alike | {"seeds_asked": {"a": first, "b": second}[seed["cell"]]} for seed in seeds])
    assert _references(list(found)) == {("s", "rloo"): [{seed: elbo - seed for seed in range(count)}]}


def test_records_of_several_versions_are_named_together(tmp_path: Path) -> None:
    records = [
        at(ZOO, made, point(1, 2, 0.05), measurement={"draws": draws}, provenance={"estimator_source": source})
        for made in (RLOO, DISARM)
        for draws, source in ((1, "one"), (2, "another"))
    ]
    write(records, tmp_path, {"html"})
    page = (tmp_path / "report.html").read_text()
    words = "Records of more than one version of the source stand together here: "
    assert f"{words}<code>disarm</code>, <code>rloo</code>." in page


def test_a_long_section_is_closed_and_a_file_name_is_plain(tmp_path: Path) -> None:
    """More than 40 rows open on demand; a name without a letter or digit is that of a problem."""
    records = [
        at(toy(label), Made(f"case-{i:02}"), point(1, 2, 0.05))
        for label, count in (("Many  [of_them]/v1.5!", 41), ("?", 40))
        for i in range(count)
    ]
    files = write(records, tmp_path, {"html", "svg"})
    lines = outline((tmp_path / "report.html").read_text()).splitlines()
    opened = [" open" in line for line in lines if "<details class=part" in line]
    assert opened == [True, False] * 2  # variance and bias
    assert sum("case-00</" not in line and ", 41 rows" in line for line in lines) == 0
    counted = [line.split("<span class=count>")[1].partition("<")[0] for line in lines if "<summary id=" in line]
    assert counted == ["40 rows", "41 rows"] * 2
    names = {path.stem for path in files if path.suffix == ".svg"}
    assert names == {f"{kind}-{slug}" for kind in ("variance", "bias") for slug in ("many-of-them-v1.5", "problem")}
    headings = [line.strip().partition(" <a ")[0].partition("<a ")[0] for line in lines if "<h3 id=figures" in line]
    assert headings == ["<h3 id=figures-problem>?", "<h3 id=figures-many-of-them-v1.5>Many [of_them]/v1.5!"]
    assert "<a href=figures/variance-problem.svg>svg</a>" in "".join(lines)


def test_a_page_with_nothing_to_say_says_so(tmp_path: Path) -> None:
    lonely = record("time", problem("lonely"), DISARM, timed(1, 6, 4, (1.5, 0.01), 1, (2, 0.04)), started=None)
    write([lonely], tmp_path / "lonely", {"html"})
    lines = [line.strip() for line in outline((tmp_path / "lonely" / "report.html").read_text()).splitlines()]
    assert "<p>The records carry no comparison." in lines
    assert lines.count("<p>Nothing of this kind was measured.") == 3
    assert "<p>1 cell (1 time) on 1 problem with 1 estimator; 0.5 minutes of cells." in lines
    assert not any("#broken" in line for line in lines)
    failed = record("moments", ZOO, DISARM, status="failed", reason="late", seconds=None)
    write([failed, {**failed, "cell": "another"}], tmp_path / "failed", {"html", "md"})
    lines = [line.strip() for line in outline((tmp_path / "failed" / "report.html").read_text()).splitlines()]
    assert "<p>Nothing to draw." in lines
    assert "<li>2 cells of 2: failed; see the list below." in lines
    started = "The first started 2026-01-02T03:04:05, the last 2026-01-02T03:04:05."
    assert f"<p>2 cells (2 moments) on 1 problem with 1 estimator; 0.0 minutes of cells. {started}" in lines
    assert "Nothing of this kind was measured." in (tmp_path / "failed" / "tables" / "elbo.md").read_text()
    for table, words in (
        ("elbo", "with K samples"),
        ("elbo", "Seeds: none. †"),
        ("time", "of no rounds, in milliseconds"),
    ):
        assert words in (tmp_path / "failed" / "tables" / f"{table}.md").read_text()
    flat = at(ZOO, DISARM, point(1, 2, 0.05, bias(1, smallest_visible=None)))  # no bias would have shown
    write([flat], tmp_path / "flat", {"html"})
    page = outline((tmp_path / "flat" / "report.html").read_text())
    assert "<li>No unbiased estimator was measured against its tag in 1 test (p < 0.01 / 1).\n" in page


def test_files_are_written_in_order_and_each_stage_is_told(tmp_path: Path) -> None:
    stages: list[str] = []
    records = [at(ZOO, RLOO, point(1, 2, 0.05)), at(ZOO, DISARM, point(2, 3, 0.05))]
    files = write(records, tmp_path, finished=stages.append)
    tables = [
        f"tables/{table}.{ending}" for table in ("variance", "bias", "elbo", "time") for ending in ("csv", "md", "tex")
    ]
    figures = [f"figures/{kind}-zoo.{ending}" for kind in ("variance", "bias") for ending in ("pdf", "svg", "png")]
    expected = [*tables, "cells.parquet", *figures, "figures/captions.md", "report.html"]
    assert [str(path.relative_to(tmp_path)) for path in files] == expected
    assert stages == ["frames", "tables", "figures", "page"]
    page = Outline((tmp_path / "report.html").read_text())
    links = "".join(f"<a href=figures/bias-zoo.{ending}>{ending}</a>" for ending in ("pdf", "svg", "png"))
    assert any(links in line for line in page.lines)
    stages.clear()
    assert write(records, tmp_path / "none", set(), finished=stages.append) == []
    assert stages == ["frames", "tables"]


def test_fewer_than_five_seeds_are_warned_of_and_counts_are_listed(tmp_path: Path) -> None:
    def caption(*counts: int) -> str:
        records = [
            record(
                "train", problem("seeds"), Made(f"case-{n}"), trained(n, {s: -9.0 - s for s in range(n)}, [0.5] * n, {})
            )
            for n in counts
        ]
        write(records, tmp_path, {"md"})
        return (tmp_path / "tables" / "elbo.md").read_text().splitlines()[2]

    wanted = "A published table wants 10 or more."
    assert "Seeds: 10 seeds or 11 seeds. † declared" in caption(11, 10)
    assert f"Seeds: 5 seeds or 9 seeds. {wanted} † declared" in caption(9, 5)
    assert f"Seeds: 4 seeds or 5 seeds. Fewer than 5 seeds: read the intervals with care. {wanted} †" in caption(5, 4)
    assert "ELBO of 506 training and 66 test rows" in caption(6)


def test_report_of_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`gradest report` reads what runs wrote: of each the newer of two settings, of both one of each cell."""
    older = at(ZOO, RLOO, point(1, 2, 0.05), started="2026-01-01", measurement={"warm_up": 3})
    newer = at(ZOO, RLOO, point(2, 4, 0.05))
    again = at(ZOO, RLOO, point(3, 8, 0.05), started="2026-02-01")
    other = at(ZOO, DISARM, point(4, 16, 0.05))
    for folder, title, records in (("one", "", [older, newer]), ("two", "A title", [again, other])):
        (tmp_path / folder / "cells").mkdir(parents=True)
        (tmp_path / folder / "suite.toml").write_text(f'title = "{title}"\n{SMALL}' if title else SMALL)
        for kept in records:
            name = cell_id(kept["config"])
            (tmp_path / folder / "cells" / f"{name}.json").write_text(json.dumps(kept | {"cell": name}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setattr(sys, "argv", ["gradest", "report", "one", "two", "--out", "both", "--format", "md,html"])
    from bench.cli import main

    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    said = capsys.readouterr().out.splitlines()
    left_out = [
        "1 record left out of one: an older one of the same thing with other settings.",
        "1 record left out of one: an older one of the same cell.",
    ]
    noted = said.index(left_out[0])
    assert " ".join(" ".join(said[:noted]).split()).startswith(
        "other: Unbiased, where f is differentiable: rloo is the best or not told apart from it in the only comparison"
    )
    assert said[noted : noted + 2] == left_out
    assert said[noted + 2].startswith("wrote 5 files in ")
    assert said[noted + 3 :] == ["report: both/report.html"]
    shown = {row["estimator"]: row["variance w.r.t. q"] for row in printed(tmp_path / "both", "variance")}
    assert shown == {"rloo": "8.00 [6.00, 12.00]", "disarm": "16.0 [12.0, 24.0]"}
    page = outline((tmp_path / "both" / "report.html").read_text())
    assert "<h1>small and A title\n" in page
    assert f"      <p>{left_out[0]}\n" in page  # a note; the other is a finding
    assert f"          <li>{left_out[1]}\n" in page
