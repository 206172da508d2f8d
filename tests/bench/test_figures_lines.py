"""Figures of a line an estimator, from hand-made records: along a trajectory and over a sweep; and the key beside."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from matplotlib.figure import Figure

from bench.report.figures.canvas import text_width
from bench.report.figures.lines import _legible
from tests.bench.drawn import (
    ABOUT,
    LABELS,
    LOOKS,
    NAMES,
    SHARED,
    SPENT,
    Look,
    Record,
    cell,
    checkpoints,
    exact,
    failed,
    grid,
    inches,
    legend,
    line,
    lines,
    looks,
    made,
    marks,
    names,
    point,
    show,
    ticks,
)
from tests.bench.drawn import bands as areas
from tests.bench.records import problem

LINE = 1.3 * 7 / 72  # inches that a line of the key takes
FAINT = "#bbbbbb"
Values = Sequence[float]


def outline(x: Values, low: Values, high: Values) -> list[tuple[float, float]]:
    """Along the low ends and back along the high ones."""
    return [*zip(x, low, strict=True), *zip(x[::-1], high[::-1], strict=True)]


def expected(look: Look, x: Values, y: Values, low: Values, high: Values) -> tuple:
    """Markers, line and band of an estimator."""
    places = list(zip(x, y, strict=True))
    return [look.mark(*place, 3.4) for place in places], look.line(places, 0.9), look.band(outline(x, low, high))


def test_a_trajectory_joins_the_variances_of_an_estimator_in_a_band() -> None:
    plots = made(checkpoints())
    assert list(plots) == ["variance-digits-b", "trajectory-digits-b"]
    plot = plots["trajectory-digits-b"]
    assert (plot.section, plot.wide) == ("digits/b", False)
    assert plot.said == (
        f"Variance of the gradient with respect to q's parameters along training, on {ABOUT}. "
        "Bands: 95 % jackknife interval on log variance, n = 400 to 1000 draws. "
        "Hollow, †: declared biased. "
        f"{SHARED.format(', trained by rebar')} "
        "ELBO of the trajectory: -45.0 at step 0, -30.3 at step 30, -25.0 at step 300. "
        "Heavy tails (draws / kurtosis below 20, or too few rare outcomes), whose intervals are "
        "optimistic or missing: bitflip at step 0, step 30. "
        "Outcomes of q too rare for the draws, so that a variance may be too low: at step 300. "
        "Not shown, nothing measured: relax (failed)."
    )
    figure = show(plot)
    (axes,) = figure.axes
    assert legend(figure) == []
    margin = 400**0.06  # of the ends from .5 to 200, which lie within a decade of the estimates from 1 to 100
    bottom, top = 0.5 / margin, 200 * margin
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == pytest.approx((bottom, top))
    assert ticks(axes.yaxis) == {1: "1", 10: "10", 100: "100"}
    assert axes.get_ylabel() == "gradient variance w.r.t. q"
    assert axes.get_xlabel() == "step of the reference trajectory"
    assert ticks(axes.xaxis) == {0: "0", 30: "30", 300: "300"}
    assert list(axes.xaxis.get_minorticklocs()) == []
    # As far from 0 to 30 as from 30 to a decade further, times 10/9; a twentieth of all of it to either side.
    assert axes.get_xscale() == "symlog"
    whole = 10 / 9 + 1
    ends = (-30 * 0.05 * whole * 9 / 10, 30 * 10 ** (1.05 * whole - 10 / 9))
    assert axes.get_xlim() == pytest.approx(ends)
    drawn = [
        expected(LOOKS["disarm"], (0, 30), (5, 3), (4, 2), (7, 4)),
        expected(LOOKS["rloo"], (0, 30), (10, 9), (5, 6), (25, 18)),
        expected(LOOKS["straight-through"], (0, 30, 300), (100, 30, 1), (50, 20, 0.5), (200, 50, 1.5)),
        expected(LOOKS["arms"], (0, 30, 300), (8, 6, 2), (4, 3, bottom), (16, 12, 4)),
        expected(LOOKS["bitflip"], (0, 30), (40, 20), (20, 10), (top, 30)),
    ]
    assert marks(axes) == sorted(mark for some, _, _ in drawn for mark in some)
    assert lines(axes) == sorted(stroke for _, stroke, _ in drawn)
    assert areas(axes) == sorted(band for _, _, band in drawn)
    assert grid(axes.yaxis) == {(True, "#bbbbbb", 0.3, 0.6)}
    assert {seen for seen, *_ in grid(axes.xaxis)} == {False}


def test_the_key_names_each_line_at_its_last_value() -> None:
    figure = show(made(checkpoints())["trajectory-digits-b"])
    (axes,) = figure.axes
    assert figure.get_size_inches() == pytest.approx((3.4, 2.2))
    right = text_width(NAMES.values()) + 0.32
    assert inches(axes) == pytest.approx((0.54, right, 0.36, 0.08))
    width, height = 3.4 - 0.54 - right, 2.2 - 0.36 - 0.08
    bottom, top = 0.5 / 400**0.06, 200 * 400**0.06
    last = {"bitflip": 20, "rloo": 9, "disarm": 3, "arms": 2, "straight-through": 1}
    at = {label: math.log(y / bottom) / math.log(top / bottom) * height for label, y in last.items()}
    tied = {exact(y / height) for y in at.values()}
    assert at["disarm"] - at["arms"] < LINE < at["arms"] - at["straight-through"]
    at["disarm"] = at["arms"] + LINE  # or the two would touch; the others have room at their own height
    found = names(axes)
    assert [name.text for name in found] == [NAMES[label] for label in last]
    for name, label in zip(found, last, strict=True):
        assert name.y * height == pytest.approx(at[label])
        assert name.mark == LOOKS[label].mark(1 + 0.18 / width, name.y, 4.0)
    assert {(exact(text.get_position()[0]), text.get_va()) for text in axes.texts} == {
        (exact(1 + 0.26 / width), "center")
    }
    left, right = 1 + 0.02 / width, 1 + 0.12 / width
    own = sorted(tied, reverse=True)
    assert lines(axes, beside=True) == sorted(
        line([(left, y), (right, name.y)], FAINT, 0.5) for y, name in zip(own, found, strict=True)
    )
    assert sorted(LABELS) == sorted(["relax", *last])  # who measured nothing has no name there


def swept(**values: dict[float, float]) -> list[Record]:
    """A toy's sweep of |logit|: value -> variance by estimator, with half and three times it as ends."""
    records = []
    for label, at in values.items():
        for logit, variance in at.items():
            toy = problem("toy", "cubic/b", "bernoulli", logit=logit)
            kept = point((variance, variance / 2, 3 * variance), norm=0.0 if variance == 7 else 0.5)
            records.append(cell("moments", toy, label, {"points": [kept]}, biased=label == "st"))
    return records


def test_a_sweep_shows_standard_deviations_over_the_norm_of_the_gradient() -> None:
    records = swept(b={0: 16, -2: 4, 6: 1}, a={0: 100, -2: 36}, still={0: 0, -2: 0, 6: 0}, st={-2: 9, 6: 64, 9: 7})
    records.append(failed("moments", problem("toy", "cubic/b", "bernoulli", logit=2.0), "broken"))
    plots = made(records)
    assert list(plots) == ["logit-cubic-b"]
    plot = plots["logit-cubic-b"]
    assert (plot.section, plot.wide) == ("cubic/b", False)
    assert plot.said == (
        "Standard deviation of the gradient over the norm of the exact gradient, against the |logit| of q, on cubic/b "
        "(bernoulli latents, ELBO, sampled entropy). Bands: 95 % jackknife interval on log variance, n = 1000 draws. "
        f"Hollow, †: declared biased. The parameters of q are fixed at each point. {SPENT} Not shown, no noise but "
        "rounding: still. Not shown, gradient 0: 1 point. Not shown, nothing measured: broken (failed)."
    )
    (axes,) = show(plot).axes
    half, three = math.sqrt(0.5), math.sqrt(3)
    look = looks("a", "b", "broken", "st", "still", biased=["st"])
    drawn = []
    for label, x, y in (("b", (0, 2, 6), (8, 4, 2)), ("a", (0, 2), (20, 12)), ("st", (2, 6), (6, 16))):
        drawn.append(expected(look[label], x, y, [v * half for v in y], [v * three for v in y]))
    assert marks(axes) == sorted(mark for some, _, _ in drawn for mark in some)
    assert lines(axes) == sorted(stroke for _, stroke, _ in drawn)
    assert areas(axes) == sorted(band for _, _, band in drawn)
    assert axes.get_xscale() == "linear"
    assert axes.get_xlim() == pytest.approx((-0.3, 6.3))  # a twentieth to either side
    assert ticks(axes.xaxis) == {0: "0", 2: "2", 6: "6"}
    assert axes.get_xlabel() == "|logit| of q"
    assert axes.get_ylabel() == "standard deviation / gradient norm"
    low, high = 2 * half, 20 * three
    margin = (high / low) ** 0.06
    assert axes.get_ylim() == pytest.approx((low / margin, high * margin))
    assert ticks(axes.yaxis) == {3: "3", 10: "10", 30: "30"}
    assert [name.text for name in names(axes)] == ["st\u00a0†", "a", "b"]  # by their last values: 16, 12, 2


def test_lines_to_sampled_points_beside_exact_ones_are_dashed() -> None:
    records = []
    for label, exactly in (("a", (True, True, False)), ("b", (False, True, True)), ("c", (True, True, True))):
        for logit, is_exact in enumerate(exactly):
            toy = problem("toy", "cubic/b", "bernoulli", logit=float(logit))
            kept = point((4, None, None) if is_exact else (4, 1, 16), norm=1.0)
            how = {"method": "exact", "tolerance": 1e-9, "draws": None} if is_exact else {}
            records.append(cell("moments", toy, label, {"points": [kept | how]}))
    (axes,) = show(made(records)["logit-cubic-b"]).axes
    look = looks("a", "b", "c")
    ab, bc, abc = [(0, 2), (1, 2)], [(1, 2), (2, 2)], [(0, 2), (1, 2), (2, 2)]
    found = lines(axes)
    assert [stroke for stroke in found if not stroke.dash] == sorted(
        [look["a"].line(ab, 0.9), look["b"].line(bc, 0.9), look["c"].line(abc, 0.9)]
    )
    dashed = [stroke._replace(dash=()) for stroke in found if stroke.dash]
    assert dashed == sorted([look["a"].line(bc, 0.9), look["b"].line(ab, 0.9)])
    assert len(marks(axes)) == 9
    assert len(areas(axes)) == 2


def test_figures_of_lines_without_a_remark_make_none_and_with_several_list_them() -> None:
    common = (
        "Standard deviation of the gradient over the norm of the exact gradient, against the |logit| of q, on cubic/b "
        "(bernoulli latents, ELBO, sampled entropy). Bands: 95 % jackknife interval on log variance, n = 1000 draws. "
        f"The parameters of q are fixed at each point. {SPENT}"
    )
    assert made(swept(a={0: 1, 1: 2}))["logit-cubic-b"].said == common
    still = made(swept(b={0: 0, 1: 0}, a={0: 1, 1: 2}, c={0: 0, 1: 7, 2: 7}))["logit-cubic-b"]
    # In the order of the table, where c alone has a variance at the last point.
    assert still.said == f"{common} Not shown, no noise but rounding: c, b. Not shown, gradient 0: 2 points."
    points = [point((2, 1, 3), step=step, draws=50) for step in (1, 2)]
    records = [cell("moments", problem("vae", "digits/b", "bernoulli"), label, {"points": points}) for label in "ab"]
    assert made(records)["trajectory-digits-b"].said == (
        f"Variance of the gradient with respect to q's parameters along training, on {ABOUT}. "
        "Bands: 95 % jackknife interval on log variance, n = 50 draws. "
        f"{SHARED.format('').replace(' (20 rows)', '')}"
    )


def test_a_sweep_of_scales_is_logarithmic() -> None:
    records = []
    for label, heavy in (("a", True), ("b", False)):
        for scale, variance in ((0.1, 4.0), (0.5, 9.0), (10.0, 16.0)):
            toy = problem("toy", "exp/gaussian-1", "gaussian", scale=scale)
            rare = {"untestable": 2} if scale > 0.1 and label == "b" else None
            kept = point((variance, variance, variance), norm=1.0, heavy=heavy, bias=rare)
            records.append(cell("moments", toy, label, {"points": [kept]}))
    plot = made(records)["logit-exp-gaussian-1"]
    assert "against the scale of q, on exp/gaussian-1 (gaussian latents, ELBO, sampled entropy)." in plot.said
    assert plot.said.endswith(
        "Heavy tails (draws / kurtosis below 20, or too few rare outcomes), whose intervals are "
        "optimistic or missing: a at scale 0.1, scale 0.5, scale 10. "
        "Outcomes of q too rare for the draws, so that a variance may be too low: at scale 0.5, scale 10."
    )
    (axes,) = show(plot).axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "scale of q"
    assert ticks(axes.xaxis) == {0.1: "0.1", 0.5: "0.5", 10: "10"}
    assert axes.get_xlim() == pytest.approx((0.1 / 100**0.05, 10 * 100**0.05))
    assert {mark[:2] for mark in marks(axes)} == {(0.1, 2), (0.5, 3), (10, 4)}


@pytest.mark.parametrize("steps", [(0, 1, 10), (1, 10, 100)])
def test_a_trajectory_is_linear_up_to_its_first_step_after_the_start(steps: tuple[int, ...]) -> None:
    points = [point((4, 2, 8), step=step) for step in steps]
    records = [cell("moments", problem("vae", "digits/b", "bernoulli"), "a", {"points": points})]
    (axes,) = show(made(records)["trajectory-digits-b"]).axes
    assert axes.get_xscale() == "symlog"
    across = axes.transData.transform([(step, 4) for step in (0, 1, 10)])[:, 0]
    assert (across[2] - across[1]) / (across[1] - across[0]) == pytest.approx(0.9)  # 1 is as far as 10/9 of a decade
    assert ticks(axes.xaxis) == {step: str(step) for step in steps}


def test_heavy_tails_of_many_estimators_are_counted_after_the_first_four() -> None:
    toy = problem("toy", "cubic/b", "bernoulli", logit=1.0)
    heavy = {label: point((1, 0.5, 2), heavy=True) for label in "fedcba"}
    plots = made([cell("moments", toy, label, {"points": [kept]}) for label, kept in heavy.items()])
    places = "; ".join(f"{label} at |logit| 1" for label in "abcd")
    assert plots["variance-cubic-b"].said.endswith(f"are optimistic or missing: {places}; and 2 more estimators.")
    plots = made([cell("moments", toy, label, {"points": [heavy[label]]}) for label in "abcde"])
    assert plots["variance-cubic-b"].said.endswith(f"are optimistic or missing: {places}; and 1 more estimator.")
    plots = made([cell("moments", toy, label, {"points": [heavy[label]]}) for label in "abcd"])
    assert plots["variance-cubic-b"].said.endswith(f"are optimistic or missing: {places}.")


def ladder(ends: Sequence[float]) -> list[Record]:
    """Two checkpoints each, from 1 or 1e4, to these last variances; estimators a, b, ..."""
    return [
        cell("moments", problem("vae", "digits/b", "bernoulli"), chr(97 + i), {"points": [
            point((first, first, first), step=0), point((end, end, end), step=1),
        ]})
        for i, (end, first) in enumerate(zip(ends, [1.0, 1e4, *[10.0] * len(ends)], strict=False))
    ]  # fmt: skip


TOP = 10**4.24
"""Of the panel."""


@pytest.mark.parametrize(
    ("ends", "places"),
    [
        ([1, 10, 100, 1000], [(1, 0), (10, 0), (100, 0), (1000, 0)]),  # each at its own height
        ([100, 100, 100], [(100, 0), (100, 1), (100, 2)]),  # one above the other, from the first
        ([10, 100, 101, 1000], [(10, 0), (100, 0), (100, 1), (1000, 0)]),
        ([1e4, 1e4, 1e4], [(TOP, -2.5), (TOP, -1.5), (TOP, -0.5)]),  # downwards from the top for want of room
    ],
)
def test_names_in_the_key_do_not_touch(ends: list[float], places: list[tuple[float, float]]) -> None:
    """Each place is a value and how many lines above it."""
    (axes,) = show(made(ladder(ends))["trajectory-digits-b"]).axes
    height = 2.2 - 0.36 - 0.08
    bottom, top = axes.get_ylim()
    assert (bottom, top) == pytest.approx((10**-0.24, TOP))
    found = names(axes)[::-1]
    assert [name.text for name in found] == [chr(97 + i) for i in range(len(ends))]
    for name, (value, above) in zip(found, places, strict=True):
        own = math.log(value / bottom) / math.log(top / bottom) * height
        assert name.y * height == pytest.approx(own + above * LINE)


def test_more_names_than_a_figure_has_room_for_make_it_higher_and_more_than_thirty_wider() -> None:
    many = [f"e{i:02}" for i in range(31)]
    vae = problem("vae", "digits/b", "bernoulli")
    records = [
        cell("moments", vae, label, {"points": [point((1 + i, 1, 99), step=s) for s in (0, 1)]})
        for i, label in enumerate(many)
    ]
    plots = made(records)
    plot = plots["trajectory-digits-b"]
    figure = show(plot)
    assert plot.wide
    assert figure.get_size_inches() == pytest.approx((7.0, 31 * LINE + 0.5))
    assert inches(figure.axes[0])[0] == pytest.approx(0.54)
    found = names(figure.axes[0])
    gaps = [(a.y - b.y) * (31 * LINE + 0.5 - 0.44) for a, b in pairwise(found)]
    assert min(gaps) == pytest.approx(LINE)
    rows = show(plots["variance-digits-b"])
    assert plots["variance-digits-b"].wide
    assert rows.get_size_inches() == pytest.approx((7.0, 16 * 0.2 + 0.24 + 0.4))  # two panels, of 16 rows and of 15
    assert [len(names(panel)) for panel in rows.axes] == [16, 15]
    assert len({panel.get_xlim() for panel in rows.axes}) == 1
    fewer = made(records[:30])["trajectory-digits-b"]
    assert not fewer.wide
    assert show(fewer).get_size_inches() == pytest.approx((3.4, 30 * LINE + 0.5))


def test_a_label_that_would_run_into_the_next_is_left_out() -> None:
    """The ticks stay, and the last label is always there."""
    axes = Figure(figsize=(1.3, 2)).add_axes((0, 0, 1, 1))
    axes.set_xscale("symlog", linthresh=100)
    axes.set_xlim(0, 20_000)
    assert _legible(axes, [0, 100, 1000, 3000, 10_000]) == ["0", "100", "1000", "", "10000"]
    axes.set_xscale("linear")
    assert _legible(axes, [0, 10_000, 20_000]) == ["0", "10000", "20000"]
