"""Variance against the time of a step, from hand-made records."""

import numpy as np
import pytest

from tests.bench.drawn import (
    ABOUT,
    DIGITS,
    SPENT,
    Record,
    cell,
    exact,
    failed,
    inches,
    legend,
    lines,
    looks,
    made,
    marks,
    names,
    plain_lines,
    point,
    show,
    ticks,
    times,
)

LABELS = ("arms", "bitflip", "disarm", "exact", "gumbel", "rloo", "timed-only", "unfinished", "untimed", "vimco")
LOOKS = looks(*LABELS, biased=["gumbel"])
# ms with its quartiles, variance at the last checkpoint with its interval
SHOWN = {
    "arms": ((2, 1, 3), (50, 20, 80)),
    "bitflip": ((4, 3, 5), (50, 40, 60)),  # no better than arms, and slower: not on the front
    "disarm": ((8, 6, 9), (10, 1e-3, None)),
    "gumbel": ((6, 5, 7), (2, 1, 4)),  # declared biased: not on the front
    "rloo": ((10, 9, 20), (5, 4, 6)),
    "vimco": ((5, 4.5, 5.5), (20, 10, 40)),  # on a busy machine: not on the front
}


def measured() -> list[Record]:
    """A plain step takes 2 ms in the middle of all; the first checkpoint's variances must not count."""
    plain = {"arms": 0.001, "disarm": 0.009, "rloo": 0.001, "vimco": 0.009}
    records = []
    for label in LABELS:
        biased = label == "gumbel"
        milliseconds, last = SHOWN.get(label, ((7, 6, 8), (0, 0, 0) if label == "exact" else (9, 8, 10)))
        draws = 400 if label == "rloo" else 1000
        points = [point((777, 700, 800), step=0, draws=9), point(last, step=300, draws=draws)]
        if label not in ("timed-only", "unfinished"):
            records.append(cell("moments", DIGITS, label, {"points": points}, biased=biased))
        load, rounds = 9.0 if label == "vimco" else 2.0, 50 if label == "arms" else 30
        seconds = times(plain.get(label, 0.002), tuple(x / 2 for x in milliseconds), load=load, rounds=rounds)
        if label not in ("untimed", "unfinished"):
            records.append(cell("time", DIGITS, label, seconds, biased=biased))
    return [failed("time", DIGITS, "unfinished"), *records]


def test_an_efficiency_figure_says_what_it_shows() -> None:
    plot = made(measured())["efficiency-digits-b"]
    assert (plot.section, plot.wide) == ("digits/b", False)
    assert plot.said == (
        f"Gradient variance at step 300 against the time of a step on {ABOUT}. Bars: interquartile range of 30 to 50 "
        "rounds, and 95 % jackknife interval on log variance, n = 400 to 1000 draws. Dashed: front of the unbiased. "
        f"Hollow, †: declared biased. {SPENT} Timed while the machine did "
        "something else (load above its cores), and so without a place on the front: vimco. Not shown, no "
        "variance measured or none but rounding: exact, timed-only. Not shown, nothing measured: unfinished "
        "(failed)."
    )


def test_an_efficiency_figure_without_a_remark_makes_none() -> None:
    records = []
    for label in "ba":
        records.append(cell("moments", DIGITS, label, {"points": [point((2, 1, 3), step=1)]}))
        records.append(cell("time", DIGITS, label, times(0.002, (3, 2, 4))))
    common = made(records)["efficiency-digits-b"].said
    assert common.endswith(
        "Bars: interquartile range of 30 rounds, and 95 % jackknife interval on log variance, n = 1000 draws. "
        f"Dashed: front of the unbiased. {SPENT}"
    )


def test_an_efficiency_figure_of_a_point_without_a_name_names_none() -> None:
    records = []
    for label in "ba":
        records.append(cell("moments", DIGITS, label, {"points": [point((2, 1, 3))]}))
        records.append(cell("time", DIGITS, label, times(0.002, (3, 2, 4))))
    caption = made(records)["efficiency-digits-b"].said
    assert caption.startswith("Gradient variance against the time of a step on")


def test_an_efficiency_figure_shows_times_and_variances_with_both_intervals() -> None:
    figure = show(made(measured())["efficiency-digits-b"])
    (axes,) = figure.axes
    assert legend(figure) == []
    assert figure.get_size_inches() == pytest.approx((3.4, 2.2))
    assert (inches(axes)[0], *inches(axes)[2:]) == pytest.approx((0.54, 0.36, 0.08))
    left, right = 1 / 20**0.1, 20 * 20**0.1  # from 1 to 20 ms
    bottom, top = 1 / 80**0.06, 80 * 80**0.06  # from 1 to 80; what lies more than a decade off is cut
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlim(), axes.get_ylim()) == (pytest.approx((left, right)), pytest.approx((bottom, top)))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time of a training step, ms", "gradient variance w.r.t. q")
    assert ticks(axes.xaxis) == {1: "1", 3: "3", 10: "10"}
    assert ticks(axes.yaxis) == {1: "1", 3: "3", 10: "10", 30: "30", 100: "100"}
    assert marks(axes) == sorted(LOOKS[label].mark(x[0], y[0], 4.2) for label, (x, y) in SHOWN.items())
    bars = []
    for label, ((x, x_low, x_high), (y, y_low, y_high)) in SHOWN.items():
        high = top if y_high is None else y_high
        bars.append(LOOKS[label].line([(x_low, y), (x_high, y)], 0.8))
        bars.append(LOOKS[label].line([(x, max(y_low, bottom)), (x, high)], 0.8))
    assert lines(axes) == sorted(bars)
    order = ["arms", "bitflip", "vimco", "disarm", "rloo", "gumbel\u00a0†"]  # by variance, from the top
    assert sorted(name.text for name in names(axes)[:2]) == order[:2]
    assert [name.text for name in names(axes)][2:] == order[2:]
    for name in names(axes):
        assert name.mark[2:] == LOOKS[name.text.removesuffix("\u00a0†")].mark(0, 0, 4.0)[2:]
    assert lines(axes, beside=True) == []  # no curve ends at the key


def test_the_front_is_of_unbiased_estimators_on_an_idle_machine_and_lines_of_equal_cost_lie_behind() -> None:
    (axes,) = show(made(measured())["efficiency-digits-b"]).axes
    left, right, bottom, top = 1 / 20**0.1, 20 * 20**0.1, 1 / 80**0.06, 80 * 80**0.06
    *equal, front = plain_lines(axes)
    assert front == ("--", "steps-post", [2, 8, 10, exact(right)], [50, 10, 5, 5])
    assert len(equal) == 5
    assert [(stroke.get_zorder(), stroke.get_linewidth()) for stroke in axes.lines] == [(0, 0.5)] * 5 + [(1, 0.8)]
    # In equal steps of the logarithm between the two corners, which themselves have no line.
    costs = (left * bottom) * (right * top / (left * bottom)) ** (np.arange(1, 6) / 6)
    for (dash, steps, x, y), cost in zip(equal, costs, strict=True):
        assert (dash, steps) == (":", "default")
        assert x == pytest.approx([left, right])
        assert y == pytest.approx([cost / left, cost / right])


def test_of_two_as_fast_or_as_noisy_the_front_holds_the_better() -> None:
    records = []
    for label, milliseconds, variance in (
        ("a", 2, 9), ("b", 2, 6), ("c", 4, 6), ("d", 4, 3), ("e", 8, 3), ("f", 8, 3), ("g", 6, 4),
    ):  # fmt: skip
        ratio = (milliseconds / 2,) * 3
        records.append(cell("moments", DIGITS, label, {"points": [point((variance,) * 3, step=1)]}))
        records.append(cell("time", DIGITS, label, times(0.002, ratio)))
    (axes,) = show(made(records)["efficiency-digits-b"]).axes
    *_, x, y = plain_lines(axes)[-1]
    assert (x[:-1], y) == ([2, 4], [6, 3, 3])


def test_all_timed_on_a_busy_machine_have_no_front() -> None:
    records = measured()
    for record in records:
        if record["config"]["measurement"]["kind"] == "time" and record["measurements"]:
            record["measurements"]["load"] = [2.5, 0.0, 0.0]
    (axes,) = show(made(records)["efficiency-digits-b"]).axes
    assert len(plain_lines(axes)) == 5


def test_one_alone_makes_no_efficiency_figure_and_many_a_wide_one() -> None:
    def some(count: int) -> list[Record]:
        labels = [f"e{i:02}" for i in range(count)]
        return [
            cell(kind, DIGITS, label, found)
            for label in labels
            for kind, found in (
                ("moments", {"points": [point((2, 1, 3), step=1)]}), ("time", times(0.002, (3, 2, 4)))
            )
        ]  # fmt: skip

    assert "efficiency-digits-b" not in made([*some(1), cell("time", DIGITS, "x", times(0.002, (3, 2, 4)))])
    assert "efficiency-digits-b" in made(some(2))
    for count, width in ((30, 3.4), (31, 7.0)):
        plot = made(some(count))["efficiency-digits-b"]
        assert plot.wide == (width == 7.0)
        assert show(plot).get_size_inches() == pytest.approx((width, count * 1.3 * 7 / 72 + 0.5))


def test_who_was_not_measured_at_the_last_point_has_no_place() -> None:
    records = [record for record in measured() if record["config"]["estimator"]["label"] in ("arms", "rloo", "disarm")]
    for record in records:
        if record["config"]["estimator"]["label"] == "disarm":
            record["measurements"].get("points", [])[1:] = []
    plot = made(records)["efficiency-digits-b"]
    assert "Not shown, no variance measured or none but rounding: disarm." in plot.said
    assert "at step 300 against" in plot.said
    (axes,) = show(plot).axes
    assert [name.text for name in names(axes)] == ["arms", "rloo"]
    assert axes.get_xlim() == pytest.approx((0.5 * 1 / 20**0.1, 0.5 * 20 * 20**0.1))  # the plain step now takes 1 ms


def test_who_has_no_plain_step_to_compare_by_has_no_place_and_is_named() -> None:
    """As in records of an earlier release; of the lowest variance, it would end the front."""
    records = []
    for label, variance, ratio in (("a", 1, (9, 9, 9)), ("b", 5, (2, 1, 3)), ("c", 4, (4, 3, 5)), ("d", 1, (9, 9, 9))):
        records.append(cell("moments", DIGITS, label, {"points": [point((variance,) * 3, step=1)]}))
        records.append(cell("time", DIGITS, label, times(0.002, ratio)))
        if variance == 1:
            for name in ("plain", "plain_ratio"):
                del records[-1]["measurements"][name]
    plots = made(records)
    for kind in ("efficiency", "time"):
        plot = plots[f"{kind}-digits-b"]
        assert plot.said.endswith(". Not shown, no plain step timed beside it: a, d.")
        (axes,) = show(plot).axes
        assert {name.text for name in names(axes)} == {"b", "c"}
    *_, x, y = plain_lines(show(plots["efficiency-digits-b"]).axes[0])[-1]
    assert (x[:2], y) == ([4, 8], [5, 4, 4])
