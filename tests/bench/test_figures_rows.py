"""Figures of a row an estimator, from hand-made records: variance, bias and time."""

import math
import re
from typing import Any

import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from bench.report.figures.canvas import Plot, text_width
from tests.bench.drawn import (
    ABOUT,
    DIGITS,
    GREY,
    LOOKS,
    NAMES,
    SHARED,
    SPENT,
    Mark,
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
    paler,
    point,
    show,
    ticks,
    times,
    words,
)
from tests.bench.records import problem

INK = "#222222"


@pytest.fixture(scope="module")
def variance() -> Plot:
    return made(checkpoints())["variance-digits-b"]


def test_a_variance_figure_says_what_it_shows(variance: Plot) -> None:
    assert variance.section == "digits/b"
    assert not variance.wide
    assert variance.said == (
        f"Variance of the gradient with respect to q's parameters on {ABOUT}; paler dots are earlier points. "
        "Bars: 95 % jackknife interval on log variance, n = 400 to 1000 draws. "
        "Hollow, †: declared biased. "
        f"{SHARED.format(', trained by rebar')} "
        "No noise but rounding, marked 0 at the left edge: disarm. "
        "Outcomes of q too rare for the draws, so that a variance may be too low: at step 300. "
        "Heavy tails (draws / kurtosis below 20, or too few rare outcomes), whose intervals are optimistic or missing: "
        "bitflip at step 0, step 30. "
        "Not shown, nothing measured: relax (failed)."
    )


def test_a_variance_figure_shows_each_estimate_with_its_interval(variance: Plot) -> None:
    figure = show(variance)
    (axes,) = figure.axes
    # From the lowest variance at the last point to the highest, then who has none there.
    order = ["disarm", "rloo", "straight-through", "arms", "bitflip"]
    assert [name.text for name in names(axes)] == [NAMES[label] for label in order]
    margin = 400**0.06  # of the ends from .5 to 200, which lie within a decade of the estimates from 1 to 100
    left, right = 0.5 / margin, 200 * margin
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == pytest.approx((left, right))
    assert axes.get_xlabel() == "gradient variance w.r.t. q"
    assert ticks(axes.xaxis) == {1: "1", 10: "10", 100: "100"}
    assert axes.get_ylim() == pytest.approx((5 * 0.275, 0))  # inches, from the top: .075 a point and .05 between rows
    assert ticks(axes.yaxis) == {}
    centre = {label: 0.1375 + 0.275 * i for i, label in enumerate(order)}
    first, middle, last = -0.075, 0.0, 0.075
    shown = [
        ("disarm", first, 0.45, 5, 4, 7), ("disarm", middle, 0.725, 3, 2, 4),
        ("rloo", first, 0.45, 10, 5, 25), ("rloo", middle, 0.725, 9, 6, 18),
        ("straight-through", first, 0.45, 100, 50, 200), ("straight-through", middle, 0.725, 30, 20, 50),
        ("straight-through", last, 1, 1, 0.5, 1.5),
        ("arms", first, 0.45, 8, 4, 16), ("arms", middle, 0.725, 6, 3, 12), ("arms", last, 1, 2, left, 4),
        ("bitflip", first, 0.45, 40, 20, right), ("bitflip", middle, 0.725, 20, 10, 30),
    ]  # fmt: skip
    assert marks(axes) == sorted(
        LOOKS[label].mark(x, centre[label] + y, 3.6, strength) for label, y, strength, x, _, _ in shown
    )
    assert lines(axes) == sorted(
        LOOKS[label].line([(low, centre[label] + y), (high, centre[label] + y)], 1.0, strength)
        for label, y, strength, _, low, high in shown
    )
    assert words(axes) == [
        ("0", exact(left), exact(centre["disarm"] + last), LOOKS["disarm"].colour),
        ("none drawn", exact(left), exact(centre["rloo"] + last), LOOKS["rloo"].colour),
    ]
    assert legend(figure) == [
        ("step 0", "o", paler(INK, 0.45)), ("step 30", "o", paler(INK, 0.725)), ("step 300", "o", INK),
    ]  # fmt: skip


def test_rows_are_named_beside_the_panel_and_parted_by_faint_lines(variance: Plot) -> None:
    figure = show(variance)
    (axes,) = figure.axes
    assert figure.get_size_inches() == pytest.approx((3.4, 5 * 0.275 + 0.24 + 0.4))
    left = text_width(NAMES.values()) + 0.26
    assert inches(axes) == pytest.approx((left, 0.12, 0.4, 0.24))
    width = 3.4 - left - 0.12
    for i, name in enumerate(names(axes)):
        label = name.text.removesuffix("\u00a0†")
        assert name.y == exact(0.1375 + 0.275 * i)
        assert name.mark == LOOKS[label].mark(-0.1 / width, name.y, 3.6)
    assert {(text.get_ha(), exact(text.get_position()[0])) for text in axes.texts if text.get_text() in NAMES} == {
        ("right", exact(-13 / 72 / width))
    }
    assert lines(axes, beside=True) == [line([(0, y), (1, y)], "#e8e8e8", 0.5) for y in (0.275, 0.55, 0.825, 1.1)]
    assert grid(axes.xaxis) == {(True, "#bbbbbb", 0.3, 0.6)}
    assert axes.get_axisbelow()
    assert not any(spine.get_visible() for side, spine in axes.spines.items() if side in ("top", "right"))


def test_of_one_point_a_variance_figure_needs_no_legend() -> None:
    toy = problem("toy", "cubic/b", "bernoulli", logit=-2.0)
    where = [cell("moments", toy, label, {"points": [point((v, v / 2, v * 3))]}) for label, v in (("b", 1), ("a", 2))]
    plots = made(where)
    assert list(plots) == ["variance-cubic-b"]
    assert plots["variance-cubic-b"].said == (
        "Variance of the gradient with respect to q's parameters on cubic/b (bernoulli latents, ELBO, sampled "
        "entropy). Bars: 95 % jackknife interval on log variance, n = 1000 draws. "
        f"The parameters of q are fixed at each point. {SPENT}"
    )
    figure = show(plots["variance-cubic-b"])
    (axes,) = figure.axes
    assert legend(figure) == []
    assert figure.get_size_inches() == pytest.approx((3.4, 2 * 0.18 + 0.08 + 0.4))
    assert inches(axes)[3] == pytest.approx(0.08)
    a, b = looks("a", "b").values()
    assert marks(axes) == [b.mark(1, 0.09, 3.6), a.mark(2, 0.27, 3.6)]
    assert lines(axes) == [b.line([(0.5, 0.09), (3, 0.09)], 1.0), a.line([(1, 0.27), (6, 0.27)], 1.0)]


def test_a_name_of_several_lines_gets_a_row_of_its_height() -> None:
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    long = "reinforce[baseline=moving-average,temperature=0.5]"  # three lines
    where = [cell("moments", toy, label, {"points": [point((v, v / 2, v * 3))]}) for label, v in (("b", 1), (long, 2))]
    figure = show(made(where)["variance-cubic-b"])
    tall = 3 * 1.3 * 7 / 72 + 0.05
    assert [(name.text, name.y) for name in names(figure.axes[0])] == [
        ("b", 0.09), ("reinforce, moving-\naverage, temperature\n0.5", exact(0.18 + tall / 2)),
    ]  # fmt: skip
    assert figure.get_figheight() == pytest.approx(0.18 + tall + 0.48)


@pytest.mark.parametrize("noisy", [True, False])
def test_without_noise_there_is_a_row_of_noughts_and_no_trajectory(noisy: bool) -> None:
    zero, one = (0.0, 0.0, 0.0), (4.0, 2.0, 8.0)
    points = [point(zero, step=0, rows=1), point(one if noisy else zero, step=10, rows=1)]
    plots = made([cell("moments", DIGITS, "enumerated", {"points": points})])
    assert list(plots) == ["variance-digits-b", *(["trajectory-digits-b"] if noisy else [])]
    assert "No noise but rounding, marked 0 at the left edge: enumerated." in plots["variance-digits-b"].said
    assert "minibatch (1 row) are" in plots["variance-digits-b"].said
    (axes,) = show(plots["variance-digits-b"]).axes
    # Of one value the interval's ends decide, and of none a decade to each side of 1.
    assert axes.get_xlim() == pytest.approx((2 / 1.1, 8 * 1.1) if noisy else (0.1, 10))
    assert [word for word, *_ in words(axes)] == ["0"] * (1 if noisy else 2)


def sparse(*values: float, **more: Any) -> list[Record]:
    """One point of a toy without a remark to make, of estimators a, b, ... with these variances."""
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    return [
        cell("moments", toy, chr(97 + i), {"points": [point((v, v / 2, 2 * v), **more)]}) for i, v in enumerate(values)
    ]


def test_names_in_a_caption_are_listed() -> None:
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    lost = [failed("moments", toy, label) for label in ("y", "x")]
    caption = made([*sparse(0, 3, 0), *lost])["variance-cubic-b"].said
    assert "marked 0 at the left edge: a, c. Not shown, nothing measured: x (failed), y (failed)." in caption
    records = []
    for label, driver in (("b", "rloo"), ("a", "disarm"), ("c", None)):
        at = cell("moments", DIGITS, label, {"points": [point((2, 1, 3), step=1)]})
        at["config"]["measurement"]["reference"] = {"label": driver} if driver else None
        records.append(at)
    # Settings that differ make a section each.
    said = {plot.section: plot.said for plot in made(records).values()}
    assert [section.split(" (reference")[0] for section in said] == ["digits/b"] * 3
    assert [re.findall(r"trained by (\w+)", caption) for caption in said.values()] == [[], ["disarm"], ["rloo"]]


def test_a_problem_of_which_nothing_is_said_has_its_name_alone() -> None:
    bare = {**problem("mine", "mine", "x"), "family": None, "bound": None, "entropy": None}
    plot = made([cell("moments", bare, "a", {"points": [point((2, 1, 3))]})])["variance-mine"]
    assert "with respect to q's parameters on mine. Bars:" in plot.said


def test_a_bias_figure_without_a_remark_makes_none() -> None:
    bias = {"relative": 0.2, "relative_low": 0.1, "relative_high": 0.4, "smallest_visible": 0.1, "p_value": 0.5}
    records = sparse(1, 2, bias=bias)
    assert made(records)["bias-cubic-b"].said == (
        "Norm of the bias over the norm of the gradient on cubic/b (bernoulli latents, ELBO, sampled entropy). Bars: "
        "95 % score interval of the squared bias carried to its root, n = 1000 draws. "
        f"The parameters of q are fixed at each point. {SPENT}"
    )


def biases() -> list[Record]:
    """Five checkpoints, at the fourth of which one estimator alone was tested; (bias, low, high, visible) of each."""
    measured: dict[str, dict[int, tuple[float, float, float, float | None]]] = {
        "arms": {
            0: (0.2, 0.1, 0.4, 0.05), 10: (9, 8, 9.9, 7), 30: (0.02, 0, 0.08, 0.04), 100: (9, 8, 9.9, 7),
            300: (0.5, 0.4, 0.6, None),
        },
        "bitflip": {0: (0.3, 0.1, 0.9, 0.2), 10: (9, 8, 9.9, 7), 300: (1e-9, 0, 2e-9, 3e-9)},
        "disarm": {0: (0.01, 0, 5e-6, 0.02), 10: (9, 8, 9.9, 7), 100: (9, 8, 9.9, 7), 300: (9, 8, 9.9, 7)},
        "straight-through": {0: (2, 1, 4, 0.1), 10: (9, 8, 9.9, 7), 30: (1, 0.5, 1.6, 0.1), 300: (0.8, 0.7, 1, 0.1)},
    }  # fmt: skip
    variances = {"bitflip": 1.0, "disarm": 2.0, "arms": 3.0, "straight-through": 4.0}
    records = [failed("moments", DIGITS, "relax")]
    for label, values in measured.items():
        points = []
        for step, (estimate, low, high, visible) in values.items():
            untested = label == "disarm" and step >= 100
            rare = untested or (label == "bitflip" and step == 0)  # where some coordinates could be tested
            bias = {
                "squared": {"estimate": 1.0, "low": 0.5, "high": 2.0},
                "relative": estimate, "relative_low": low, "relative_high": high, "smallest_visible": visible,
                "p_value": None if untested else 0.5, "untestable": 3 if rare else 0, "seldom_moved": 1,
                "reference": "a long run" if label == "arms" else "enumeration",
            }  # fmt: skip
            v = variances[label]
            heavy = label == "bitflip" and step < 30
            # Of the points drawn only, so that those of step 10 and 100 must not count.
            draws = {0: 500, 30: 700, 300: 700}.get(step, 9000)
            at = {"step": step, "rows": 20, "draws": draws, "heavy": heavy}
            points.append(point((v, v / 2, v * 2), bias=bias, **at))
        records.append(cell("moments", DIGITS, label, {"points": points}, biased=label == "straight-through"))
    return records


def test_a_bias_figure_shows_the_points_that_most_were_tested_at() -> None:
    plot = made(biases())["bias-digits-b"]
    own = looks("arms", "bitflip", "disarm", "relax", "straight-through", biased=["straight-through"])
    assert (plot.section, plot.wide) == ("digits/b", False)
    assert plot.said == (
        f"Norm of the bias over the norm of the gradient on {ABOUT}. "
        "Bars: 95 % score interval of the squared bias carried to its root, n = 500 to 700 draws. "
        "Hollow, †: declared biased. "
        "Shown: 3 of its 5 points (first, middle and last that most estimators have); the table has all. "
        "Reference: a long run or enumeration; the noise of a long run is part of the interval. "
        f"{SHARED.format('')} "
        "Heavy tails (draws / kurtosis below 20, or too few rare outcomes), whose intervals are optimistic or missing: "
        "bitflip at step 0. "
        "Not shown, outcomes too rare for the draws: 2 points. Not shown, nothing measured: relax (failed)."
    )
    figure = show(plot)
    (axes,) = figure.axes
    order = ["bitflip", "disarm", "arms", "straight-through"]
    assert [name.text for name in names(axes)] == [NAMES[label] for label in order]
    margin = 400**0.08  # from .01 to 4
    left, right = 0.01 / margin, 4 * margin
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == pytest.approx((left, right))
    assert axes.get_xlabel() == "norm of bias / norm of gradient"
    assert ticks(axes.xaxis) == {0.01: "0.01", 0.1: "0.1", 1: "1"}
    centre = {label: 0.1375 + 0.275 * i for i, label in enumerate(order)}
    strengths = {-0.075: 0.45, 0.0: 0.725, 0.075: 1}
    seen = [
        ("bitflip", -0.075, 0.3, 0.1, 0.9), ("arms", -0.075, 0.2, 0.1, 0.4), ("arms", 0.075, 0.5, 0.4, 0.6),
        ("straight-through", -0.075, 2, 1, 4), ("straight-through", 0.0, 1, 0.5, 1.6),
        ("straight-through", 0.075, 0.8, 0.7, 1),
    ]  # fmt: skip
    holding_zero = [("arms", 0.0, 0.08), ("disarm", -0.075, left)]  # a bar from the edge to their end
    visible = [
        ("bitflip", -0.075, 0.2), ("disarm", -0.075, 0.02), ("arms", -0.075, 0.05), ("arms", 0.0, 0.04),
        *(("straight-through", y, 0.1) for y in strengths),
    ]  # fmt: skip
    dots = [own[label].mark(x, centre[label] + y, 3.6, strengths[y]) for label, y, x, _, _ in seen]
    dots += [
        own[label]._replace(shape="edge").mark(left, centre[label] + y, 3.6, strengths[y])
        for label, y, _ in holding_zero
    ]
    dots += [Mark(exact(x), exact(centre[label] + y), GREY, GREY, "|", 4.5) for label, y, x in visible]
    assert marks(axes) == sorted(dots)
    bars = [
        own[label].line([(low, centre[label] + y), (high, centre[label] + y)], 1.0, strengths[y])
        for label, y, _, low, high in seen
    ]
    bars += [
        own[label].line([(left, centre[label] + y), (end, centre[label] + y)], 1.0, strengths[y], (2, 1.5))
        for label, y, end in holding_zero
    ]
    assert lines(axes) == sorted(bars)
    assert words(axes) == [("0", exact(left), exact(centre["bitflip"] + 0.075), own["bitflip"].colour)]
    assert legend(figure) == [
        ("step 0", "o", paler(INK, 0.45)), ("step 30", "o", paler(INK, 0.725)), ("step 300", "o", INK),
        ("smallest visible", "|", GREY),
    ]  # fmt: skip


def test_an_estimate_and_an_end_off_the_axis_are_cut_at_its_edge() -> None:
    """A bar that is infinite, and a smallest visible bias that stands on the edge itself."""
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    ends = {"relative": 0.2, "relative_low": 0.0, "relative_high": math.inf, "smallest_visible": 0.2}
    bias = {**ends, "p_value": 0.5, "reference": "enumeration"}
    (axes,) = show(made([cell("moments", toy, "a", {"points": [point((1, 0.5, 2), bias=bias)]})])["bias-cubic-b"]).axes
    left, right = 0.2 / 1.1, 0.2 * 1.1
    (a,) = looks("a").values()
    assert axes.get_xlim() == pytest.approx((left, right))
    assert lines(axes) == [a.line([(left, 0.09), (right, 0.09)], 1.0, dash=(2, 1.5))]


def test_nothing_tested_or_nothing_but_rounding_makes_no_bias_figure() -> None:
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    rounding = {"relative": 1e-9, "relative_low": 0.0, "relative_high": 9e-6, "smallest_visible": 0.1, "p_value": 1.0}
    for bias, kinds in (
        (None, ["variance"]),
        (rounding, ["variance"]),
        ({**rounding, "relative_high": 2e-5}, ["variance", "bias"]),
    ):
        plots = made([cell("moments", toy, "a", {"points": [point((1, 0.5, 2), bias=bias)]})])
        assert list(plots) == [f"{kind}-cubic-b" for kind in kinds]


def timed() -> list[Record]:
    """A plain step takes 1, 2 or 3 ms beside its estimator, 2 in the middle of all."""
    return [
        cell("time", DIGITS, "arms", times(0.001, (4, 3, 6))),
        cell("time", DIGITS, "bitflip", times(0.002, (1, 0.5, 2), to_floor=0.8)),
        cell("time", DIGITS, "disarm", times(0.003, (2, 1.5, 2.5), to_floor=4, load=3.0)),
        failed("time", DIGITS, "relax"),
        cell("time", DIGITS, "rloo", times(0.002, (10, 9, 15), to_floor=5, rounds=50)),
        cell("time", DIGITS, "straight-through", times(0.002, (3, 2.5, 3.5), to_floor=1.5), biased=True),
    ]


def test_a_time_figure_shows_the_cost_in_milliseconds_beside_its_floor() -> None:
    plots = made(timed())
    assert list(plots) == ["time-digits-b"]  # no variance was measured, so that there is no efficiency
    plot = plots["time-digits-b"]
    assert (plot.section, plot.wide) == ("digits/b", False)
    assert plot.said == (
        f"Time of one training step on {ABOUT}, 1 thread. Bars: interquartile range of 30 to 50 rounds. Grey bar: "
        f"floor. Hollow, †: declared biased. Without a floor, since their step was below it, so that it is "
        "none: bitflip. Timed while the machine did something else (load above its cores): disarm. Not shown, nothing "
        "measured: relax (failed)."
    )
    figure = show(plot)
    (axes,) = figure.axes
    shown = {  # ms, fastest first: estimate, low, high, floor
        "bitflip": (2, 1, 4, None), "disarm": (4, 3, 5, 1), "straight-through": (6, 5, 7, 4), "arms": (8, 6, 12, 4),
        "rloo": (20, 18, 30, 4),
    }  # fmt: skip
    assert [name.text for name in names(axes)] == [NAMES[label] for label in shown]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == pytest.approx((1 / 30**0.08, 30 * 30**0.08))
    assert axes.get_xlabel() == "time of a training step, ms"
    assert ticks(axes.xaxis) == {1: "1", 3: "3", 10: "10", 30: "30"}
    assert axes.get_ylim() == pytest.approx((0.9, 0))
    rows = [(LOOKS[label], 0.09 + 0.18 * i, *values) for i, (label, values) in enumerate(shown.items())]
    floors = [Mark(floor, exact(y), GREY, GREY, "|", 4.5) for _, y, *_, floor in rows if floor]
    assert marks(axes) == sorted([look.mark(x, y, 3.6) for look, y, x, *_ in rows] + floors)
    assert lines(axes) == sorted(look.line([(low, y), (high, y)], 1.0) for look, y, _, low, high, _ in rows)
    assert legend(figure) == [("floor", "|", GREY)]
    assert inches(axes)[3] == pytest.approx(0.24)


def test_a_time_figure_without_a_remark_makes_none_and_with_several_lists_them() -> None:
    def some(**more: float) -> list[Record]:
        return [cell("time", DIGITS, label, times(0.002, (2, 1, 3), **more)) for label in "ba"]

    common = f"Time of one training step on {ABOUT}, 1 thread. Bars: interquartile range of 30 rounds. Grey bar: floor."
    assert made(some())["time-digits-b"].said == common
    records = some()
    for record in records:
        record["config"]["threads"] = 2
    assert made(records)["time-digits-b"].said == common.replace("1 thread", "2 threads")
    records = some()
    for record in records:
        record["config"]["matmul_precision"] = "high"
    with_tf32 = ABOUT.replace(")", ", matmul precision high)")
    assert made(records)["time-digits-b"].said == common.replace(ABOUT, with_tf32)
    records = some()
    for record in records:
        record["config"]["device"] = "cuda"
        record["measurements"]["captured"] = True
    on_gpu = common.replace(ABOUT, ABOUT.replace(")", ", on cuda)"))
    assert made(records)["time-digits-b"].said == (f"{on_gpu} Steps are captured, each replayed as one CUDA graph.")
    records[0]["measurements"]["captured"] = False  # b, the first
    assert made(records)["time-digits-b"].said == (
        f"{on_gpu} Steps are captured, each replayed as one CUDA graph, but those of b."
    )
    assert made(some(to_floor=0.9, load=2.5))["time-digits-b"].said == (
        f"{common} Without a floor, since their step was below it, so that it is none: a, b. Timed while the machine "
        "did something else (load above its cores): a, b."
    )


def test_dots_lie_over_bars_over_floors_and_beside_the_panel_nothing_is_cut() -> None:
    (axes,) = show(made(biases())["bias-digits-b"]).axes
    levels: dict[str, set[float]] = {}
    for collection in axes.collections:
        inside = collection.get_offset_transform() == axes.transData
        if isinstance(collection, LineCollection):
            inside = collection.get_transform() == axes.transData
            levels.setdefault("bar" if inside else "row", set()).add(collection.get_zorder())
            assert collection.get_clip_on()
            continue
        grey = to_hex(collection.get_edgecolors()[0]) == GREY
        edge = inside and not grey and collection.get_offsets()[0][0] == axes.get_xlim()[0]
        levels.setdefault("floor" if grey else "dot", set()).add(collection.get_zorder())
        assert collection.get_clip_on() == (inside and not edge)
    assert levels == {"row": {0}, "floor": {1}, "bar": {2}, "dot": {3}}


def test_one_time_alone_makes_no_figure_and_a_failed_cell_none() -> None:
    assert list(made(timed()[:1] + timed()[3:4])) == []
    assert list(made(timed()[2:5])) == ["time-digits-b"]
