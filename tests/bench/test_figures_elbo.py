"""ELBO along training, from hand-made records whose means, spreads and Student intervals are round numbers."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.axes import Axes

from bench.report.figures.canvas import text_width
from tests.bench.drawn import (
    ABOUT,
    DIGITS,
    Band,
    Line,
    Mark,
    Record,
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
    show,
    ticks,
    trained,
)
from tests.bench.drawn import bands as areas
from tests.bench.records import problem

DASHED = (3, 1.5)
T4, T5 = 2.776445, 2.570582  # Student's quantile of .975 for five and for six seeds
FIVE, SIX = [-3, -1, 0, 1, 3], [-3, -2, 0, 0, 1, 4]  # whose standard error is 1: their squares sum up to n (n - 1)
LABELS = ("arms", "bitflip", "disarm", "gone", "relax", "rloo", "st")
LOOKS = looks(*LABELS, biased=["st"])
LATE = [-100, -60, -50, -40, -36, -34, -33, -32, -31, -30.5, -30]  # arms, on the training set
SPREAD = [1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 0.5]
STEPS = list(range(0, 1001, 100))


def around(means: Sequence[float], spreads: Sequence[float], seeds: Sequence[float]) -> list[list[float]]:
    """[points, seeds] with these means and these standard errors."""
    return [[mean + spread * seed for seed in seeds] for mean, spread in zip(means, spreads, strict=True)]


def runs() -> list[Record]:
    """Six seeds, five, three of which one is lost, one, one of which none is left, and a cell that failed."""
    three, lower = [0, 500, 1000], [mean - 2 for mean in LATE]
    return [
        trained("arms", STEPS, [s / 100 for s in STEPS], around(LATE, SPREAD, FIVE), around(lower, SPREAD[::-1], FIVE)),
        trained(
            "bitflip", three, [0, 7, 20], [[-101, -102, -103], [-51, None, -55], [-41, None, -45]],
            [[-104, -105, -108], [-54, None, -60], [-44, None, -50]], lost=1,
        ),
        trained("disarm", three, [0, 0.4, 0.8], [[-110], [-80], [-70]], [[-111], [-82], [-72]], host="node-2"),
        trained("gone", three, [0, 1, 900], [[-1], [None], [None]], [[-2], [None], [None]], lost=0),
        failed("train", DIGITS, "relax"),
        trained(
            "rloo", three, [0, 5, 10], around([-90, -60, -55], [1, 2, 3], SIX), around([-91, -62, -58], [3, 2, 1], SIX)
        ),
        trained("st", three, [0, 3, 90], [[-900], [-650], [-500]], [[-910], [-700], [-600]], biased=True),
    ]  # fmt: skip


CAPTION = (
    "ELBO against training {} on " + ABOUT + ": training set dashed, test set solid, mean over seeds. Bands: 95 % "
    "Student-t interval over 5 to 6 seeds. Thin lines: single seeds, no band below 5 seeds (n = 1 to 2). Hollow, †: "
    "declared biased. ELBO of 1000 training and 256 test rows, drawn at random once for all estimators and seeds, with "
    "as many draws of z a row for both. {}2 diverged seeds left out of mean and band, "
    "counted in the key. Not shown, nothing measured: gone (ok), relax (failed)."
)


def test_elbo_figures_say_what_they_show() -> None:
    plots = made(runs())
    assert list(plots) == ["elbo-steps-digits-b", "elbo-seconds-digits-b"]
    assert {(plot.section, plot.wide) for plot in plots.values()} == {("digits/b", True)}
    assert plots["elbo-steps-digits-b"].said == CAPTION.format("steps", "")
    assert plots["elbo-seconds-digits-b"].said == CAPTION.format(
        "seconds",
        "Seconds: training of all seeds stacked together, evaluation excluded. Measured on 2 machines, so that it "
        "compares machines too. ",
    )
    few = made(runs()[1:3])["elbo-steps-digits-b"]
    assert few.caption.endswith("mean over seeds. Thin lines: single seeds, no band below 5 seeds (n = 1 to 2).")
    assert few.notes[-1] == "1 diverged seed left out of mean and band, counted in the key."
    many = made([runs()[0], runs()[5]])["elbo-seconds-digits-b"]
    assert many.caption.endswith("mean over seeds. Bands: 95 % Student-t interval over 5 to 6 seeds.")
    assert many.notes[-1] == "Seconds: training of all seeds stacked together, evaluation excluded."


def drawn(name: str, places: dict[str, Sequence[float]], dash: Sequence[float]) -> tuple[list, list, list]:
    """Markers, lines and bands of a panel that the records above ask for, at these abscissae."""
    down = 2 if name == "test" else 0
    means: dict[str, list[float]] = {
        "arms": [mean - down for mean in LATE],
        "bitflip": [-106, -57, -47] if down else [-102, -53, -43],
        "disarm": [-111, -82, -72] if down else [-110, -80, -70],
        "rloo": [-91, -62, -58] if down else [-90, -60, -55],
        "st": [-910, -700, -600] if down else [-900, -650, -500],
    }
    seeds = {"bitflip": [[-104, -54, -44], [-108, -60, -50]] if down else [[-101, -51, -41], [-103, -55, -45]]}
    halves = {
        "arms": [T4 * spread for spread in (SPREAD[::-1] if down else SPREAD)],
        "rloo": [T5 * spread for spread in ([3, 2, 1] if down else [1, 2, 3])],
    }
    dots: list[Mark] = []
    strokes: list[Line] = []
    filled: list[Band] = []
    for label, mean in means.items():
        x, look = places[label], LOOKS[label]
        points = list(zip(x, mean[len(mean) - len(x) :], strict=True))
        strokes.append(look.line(points, 0.9, dash=dash))
        dots += [look.mark(*place, 3.0) for place in points[:: 2 if len(points) > 9 else 1]]
        for seed in seeds.get(label, []):
            strokes.append(line(zip(x, seed[len(seed) - len(x) :], strict=True), f"{look.colour}59", 0.4, dash))  # 35 %
        if label in halves:
            half = halves[label][len(mean) - len(x) :]
            low = [(at, y - h) for (at, y), h in zip(points, half, strict=True)]
            high = [(at, y + h) for (at, y), h in zip(points, half, strict=True)]
            filled.append(look.band([*low, *high[::-1]]))
    return sorted(dots), sorted(strokes), sorted(filled)


def rounded(bands: list[Band]) -> list[Band]:
    """To the digits that a table of Student's quantiles has."""
    return [Band(tuple((x, round(y, 4)) for x, y in band.points), band.colour) for band in bands]


def same(axes: Axes, expected: tuple[list, list, list]) -> None:
    assert marks(axes) == expected[0]
    assert lines(axes) == expected[1]
    assert rounded(areas(axes)) == rounded(expected[2])


def test_elbo_against_steps_shows_mean_band_and_single_seeds_of_both_sets() -> None:
    figure = show(made(runs())["elbo-steps-digits-b"])
    train, test = figure.axes
    assert legend(figure) == []
    three = (0, 500, 1000)
    places = {"arms": STEPS, "bitflip": three, "disarm": three, "rloo": three, "st": three}
    same(train, drawn("train", places, DASHED))
    same(test, drawn("test", places, ()))
    # The final means on both sets have the median (-58 - 55) / 2 of ten; 8 times as far below the highest at most.
    top, bottom = -30, -30 - 8 * (56.5 - 30)
    for axes in (train, test):
        assert axes.get_ylim() == pytest.approx((bottom - 0.05 * (top - bottom), top + 0.05 * (top - bottom)))
        assert axes.get_xlim() == pytest.approx((-50, 1050))
        assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")
        assert axes.get_xlabel() == "training step"
        assert grid(axes.yaxis) == {(True, "#bbbbbb", 0.3, 0.6)}
        assert {seen for seen, *_ in grid(axes.xaxis)} == {False}
    assert [(axes.get_title(), axes.get_ylabel()) for axes in (train, test)] == [
        ("training set", "ELBO, nats"), ("test set", ""),
    ]  # fmt: skip
    assert [axes.yaxis.get_tick_params()["labelleft"] for axes in (train, test)] == [True, False]


def test_the_key_counts_lost_seeds_and_tells_a_value_below_the_axis() -> None:
    figure = show(made(runs())["elbo-steps-digits-b"])
    train, test = figure.axes
    assert (list(train.texts), marks(train, beside=True)) == ([], [])
    assert [(name.text, name.mark[2:5]) for name in names(test)] == [
        (text, (LOOKS[label].colour, LOOKS[label].colour if label != "st" else "#ffffff", LOOKS[label].shape))
        for label, text in (
            ("arms", "arms"), ("bitflip", "bitflip\n(2 of 3 seeds)"), ("rloo", "rloo"), ("disarm", "disarm"),
            ("st", "st\u00a0†\n(-600, below)"),
        )
    ]  # fmt: skip
    assert figure.get_size_inches() == pytest.approx((7.0, 2.3))
    right = text_width(["(2 of 3 seeds)"]) + 0.32
    assert inches(test)[1:] == pytest.approx((right, 0.36, 0.2))
    assert inches(train)[0] == pytest.approx(0.6)
    each = (7 - 0.6 - right - 0.12) / 2
    assert inches(test)[0] == pytest.approx(0.6 + each + 0.12)
    assert inches(train)[1] == pytest.approx(right + each + 0.12)
    height, own_line = 2.3 - 0.36 - 0.2, 1.3 * 7 / 72
    # Down from the top, each as high as its lines, and at the lower edge the two lines of who lies below it.
    below_top = [0.5, 0.5 + 0.5 + 1, 2 + 1 + 0.5, 3.5 + 0.5 + 0.5]
    places = [height - lines * own_line for lines in below_top] + [own_line]
    assert [name.y * height for name in names(test)] == pytest.approx(places)
    bottom, top = test.get_ylim()
    wanted = [max(0, (y - bottom) / (top - bottom)) for y in (-32, -47, -58, -72, -600)]
    ties = lines(test, beside=True)
    assert sorted(tie.points[0][1] for tie in ties) == [exact(y) for y in sorted(wanted)]
    assert sorted(tie.points[1][1] for tie in ties) == sorted(name.y for name in names(test))


def test_elbo_against_seconds_begins_after_the_start_and_spans_what_can_be_seen() -> None:
    train, test = show(made(runs())["elbo-seconds-digits-b"]).axes
    places = {
        "arms": [s / 100 for s in STEPS[1:]], "bitflip": (7, 20), "disarm": (0.4, 0.8), "rloo": (5, 10), "st": (3, 90),
    }  # fmt: skip
    same(train, drawn("train", places, DASHED))
    same(test, drawn("test", places, ()))
    for axes in (train, test):
        assert axes.get_xscale() == "log"
        assert axes.get_xlim() == pytest.approx((0.4 / 1.1, 20 * 1.1))  # the 90 s of st lie below the axis
        assert axes.get_xlabel() == "training seconds, all seeds together"
        assert ticks(axes.xaxis) == {1: "1", 3: "3", 10: "10"}


def test_a_value_that_is_missing_interrupts_mean_and_band() -> None:
    five = around([-50, -40, -30, -20, -15, -10], [1, 2, 1, 2, 1, 2], FIVE)
    lower = (np.array(five) - 4).tolist()
    five[2][3] = None  # of a seed that ended
    steps = list(range(6))
    (train, test) = show(made([trained("a", steps, steps, five, lower)])["elbo-steps-digits-b"]).axes
    first, second = areas(train)
    assert [x for x, _ in first.points] == [0, 1, 1, 0]
    assert [y for _, y in first.points] == pytest.approx([-50 - T4, -40 - 2 * T4, -40 + 2 * T4, -50 + T4], abs=1e-4)
    assert [x for x, _ in second.points] == [3, 4, 5, 5, 4, 3]
    (mean,) = lines(train)
    assert [None if math.isnan(y) else y for _, y in mean.points] == [-50, -40, None, -20, -15, -10]
    assert [len(band.points) for band in areas(test)] == [12]
    # The ends -10 and -14 have the median -12: 8 times its distance from the top, where training came from -44.
    assert train.get_ylim() == pytest.approx((-26 - 0.05 * 16, -10 + 0.05 * 16))


def test_panels_hold_training_after_its_first_fifth() -> None:
    rise = [-1000.0, -500, -40, -35, -30, -25, -20, -18, -16, -14, -10]
    lower = [[mean - 20] for mean in rise]
    steps = list(range(11))
    plots = made([trained("a", steps, steps, [[mean] for mean in rise], lower)])
    # From the third of 11 points: -60; the ends -10 and -30 allow for 8 times 10 below -10.
    assert show(plots["elbo-steps-digits-b"]).axes[1].get_ylim() == pytest.approx((-60 - 2.5, -10 + 2.5))


def test_training_that_never_began_or_of_which_nothing_ended_makes_no_figure() -> None:
    start = trained("a", [0], [0], [[-5, -6]], [[-7, -8]])
    assert list(made([start])) == []
    assert list(made([runs()[3], failed("train", DIGITS, "relax")])) == []


def test_a_key_of_many_seeds_makes_the_panels_higher() -> None:
    records = []
    for i in range(14):
        train = [[-50.0 - i, None], [-40.0 - i, None]]
        records.append(trained(f"e{i:02}", [0, 10], [0, 1], train, train, lost=1))
    figure = show(made(records)["elbo-steps-digits-b"])
    assert figure.get_figheight() == pytest.approx(14 * (1.3 * 7 / 72 + 0.13) + 0.55)
    assert figure.get_figwidth() == 7


def test_records_of_an_earlier_release_and_of_two_problems() -> None:
    gaussian = problem("vae", "digits/g", "gaussian")
    old = copy.deepcopy(runs()[2])
    del old["measurements"]["evaluated_rows"]
    other = trained("arms", [0, 9], [0, 1], [[-3.0], [-2.0]], [[-4.0], [-3.0]])
    other["config"]["problem"] = gaussian
    other["cell"] = "f" * 16
    plots = made([other, old])
    assert list(plots) == [f"elbo-{kind}-digits-{which}" for which in "bg" for kind in ("steps", "seconds")]
    first, second = plots["elbo-steps-digits-b"], plots["elbo-steps-digits-g"]
    assert "Train ELBO: of the first evaluation_rows rows; test ELBO: of the whole test set." in first.said
    assert "on digits/g (digits, gaussian latents, ELBO, sampled entropy)" in second.said
    arms, disarm = looks("arms", "disarm").values()
    assert marks(show(second).axes[0]) == [arms.mark(0, -3, 3.0), arms.mark(9, -2, 3.0)]
    # In different problems two estimators may look as they like, but never alike.
    assert {mark.shape for mark in marks(show(first).axes[1])} == {disarm.shape}
    assert exact(np.ptp(show(second).axes[1].get_ylim())) == exact(1.1 * 2)
