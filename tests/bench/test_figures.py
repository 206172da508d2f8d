"""What all figures of a report share: order, names, looks, logarithmic axes, and the files that are written."""

import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from bench.report import drawing
from bench.report.figures.canvas import Plot, blank, log_axis, log_limits, marker, text_width
from bench.report.figures.reading import READING
from bench.report.matplotlib_alone import own_settings
from bench.report.output import write, write_figures
from bench.report.pictures import embedded
from bench.report.style import RC, Style, places, tint
from tests.bench.drawn import (
    COLOURS,
    DIGITS,
    SHAPES,
    Record,
    cell,
    made,
    marks,
    names,
    paler,
    point,
    show,
    ticks,
    times,
    trained,
)
from tests.bench.records import problem

WIDTHS = {"variance": 3.4, "trajectory": 3.4, "bias": 3.4, "elbo": 7.0, "efficiency": 3.4, "time": 3.4, "logit": 3.4}
"""Inches: a column of a paper, or its page."""


def biased(relative: float) -> Record:
    """A bias that was seen."""
    return {"relative": relative, "relative_low": relative / 2, "relative_high": 2 * relative, "p_value": 0.5,
            "squared": {"estimate": 1.0, "low": 0.5, "high": 2.0}, "smallest_visible": 0.1}  # fmt: skip


def every_kind(labels: Sequence[str] = ("rloo", "disarm", "straight-through")) -> list[Record]:
    """Records of every kind, so that there is a figure of each; a toy swept over two values among them."""
    records = []
    for i, label in enumerate(labels):
        tag = {"biased": label == "straight-through"}
        points = [point((v, v / 2, v * 2), step=s, bias=biased(0.1 + i)) for s, v in ((0, 4.0 + i), (10, 2.0 + i))]
        records.append(cell("moments", DIGITS, label, {"points": points}, **tag))
        run = trained(label, [0, 10], [0, 1], [[-50.0, -60.0], [-40.0 - i, -42.0]], [[-51.0, -61.0], [-41.0, -43.0]])
        run["tags"]["unbiased"] = not tag["biased"]
        records.append(run)
        records.append(cell("time", DIGITS, label, times(0.002, (2 + i, 1 + i, 4 + i)), **tag))
        for logit in (1.0, 3.0):
            toy = problem("toy", "cubic/b", "bernoulli", logit=logit)
            bias = biased(0.2 + i)
            records.append(cell("moments", toy, label, {"points": [point((9 + i, 4, 20), bias=bias)]}, **tag))
    return records


@pytest.fixture(scope="module")
def all_plots() -> dict[str, Plot]:
    return made(every_kind())


@pytest.fixture(scope="module")
def figures(all_plots: dict[str, Plot]) -> dict[str, Figure]:
    """Each plot, drawn by a person who set up matplotlib for something else."""
    with matplotlib.rc_context({"font.size": 23, "axes.linewidth": 9}):
        return {name: show(plot) for name, plot in all_plots.items()}


def test_figures_come_kind_by_kind_problem_by_problem(all_plots: dict[str, Plot], figures: dict[str, Figure]) -> None:
    plots = all_plots
    assert list(plots) == [
        "variance-digits-b", "trajectory-digits-b", "logit-cubic-b", "bias-digits-b", "bias-cubic-b",
        "elbo-steps-digits-b", "elbo-seconds-digits-b", "efficiency-digits-b", "time-digits-b",
    ]  # fmt: skip
    assert {name: plot.section for name, plot in plots.items()} == {
        name: "digits/b" if "digits" in name else "cubic/b" for name in plots
    }
    for name, plot in plots.items():
        assert plot.wide == name.startswith("elbo")
        assert figures[name].get_figwidth() == pytest.approx(WIDTHS[name.split("-")[0]])
    # Only tables hold what is relative to an estimator.
    for reference in ("disarm", "nobody"):
        others = made(every_kind(), reference)
        assert {name: plot.said for name, plot in others.items()} == {n: p.said for n, p in plots.items()}


def test_no_text_is_cut_off_and_no_legend_lies_on_the_data(figures: dict[str, Figure]) -> None:
    for name in ("bias-digits-b", "trajectory-digits-b", "elbo-seconds-digits-b", "time-digits-b"):
        figure = figures[name]
        figure.draw_without_rendering()
        legends = [legend.get_window_extent() for legend in figure.legends]
        texts = [text for axes in figure.axes for text in (*axes.texts, axes.xaxis.label, axes.yaxis.label, axes.title)]
        boxes = [*legends, *(text.get_window_extent() for text in texts if text.get_text())]
        for box in boxes:
            inside = figure.bbox.padded(0.01 * figure.dpi)
            assert inside.x0 <= box.x0 <= box.x1 <= inside.x1, name
            assert inside.y0 <= box.y0 <= box.y1 <= inside.y1, name
        for box in legends:
            assert box.y0 >= figure.axes[0].bbox.y1
            assert box.x1 == pytest.approx(figure.bbox.x1, abs=0.05 * figure.dpi)
    assert not any(legend.get_frame_on() for figure in figures.values() for legend in figure.legends)


def test_two_problems_whose_names_make_one_file_name_have_two() -> None:
    records = [
        cell("moments", problem("vae", label, "bernoulli"), "rloo", {"points": [point((2, 1, 3), step=1)]})
        for label in ("digits/b", "Digits B", "digits_b")
    ]
    plots = made(records)
    assert list(plots) == ["variance-digits-b", "variance-digits-b-2", "variance-digits-b-3"]
    assert sorted(plot.section for plot in plots.values()) == ["Digits B", "digits/b", "digits_b"]


def test_an_estimator_looks_alike_in_every_figure_and_is_hollow_where_biased(figures: dict[str, Figure]) -> None:
    seen: dict[str, set[tuple[str, str, str]]] = {}
    for figure in figures.values():
        for axes in figure.axes:
            beside = names(axes) if axes.texts else []
            for name in beside:
                seen.setdefault(name.text, set()).add((name.mark.colour, name.mark.face, name.mark.shape))
            shown = {mark.shape for mark in marks(axes)} - {"|", "edge"}
            assert shown == {"^", "s", "o"}
    green, orange, wine = (COLOURS[name] for name in ("coupled draws", "score function", "straight-through"))
    assert seen == {
        "disarm": {(green, green, "^")},
        "rloo": {(orange, orange, "s")},
        "straight-through\u00a0†": {(wine, "#ffffff", "o")},
    }


def test_a_tint_is_a_colour_mixed_with_white() -> None:
    assert tint("#0173b2", 1) == "#0173b2"
    assert tint("#0173b2", 0) == "#ffffff"
    assert tint("#0064c8", 0.5) == "#80b2e4"  # (0, 100, 200) half way to 255, halves to even
    assert tint("#0173b2", 0.45) == "#8dc0dc" == paler("#0173b2", 0.45)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_broad_marker_is_drawn_larger(shape: str) -> None:
    size = {"*": 5.0, "X": 5.0, "p": 5.0}.get(shape, 4.0)
    assert marker(Style("a", "#0173b2", shape, True)) == {
        "marker": shape, "markersize": size, "markerfacecolor": "#0173b2", "markeredgecolor": "#0173b2",
        "markeredgewidth": 0.8, "color": "#0173b2", "linestyle": "none",
    }  # fmt: skip
    hollow = marker(Style("a", "#0173b2", shape, False), 8.0, "#123456")
    assert hollow["markersize"] == 2 * size
    assert [hollow[key] for key in ("markerfacecolor", "markeredgecolor", "color")] == ["#ffffff", "#123456", "#123456"]


def test_markers_of_all_shapes_stand_where_they_belong() -> None:
    """Thirteen estimators of one family of methods, each in its own shape and size."""
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    coupled = [label for label, place in places().items() if place.method == "coupled draws"][:13]
    values = {label: 10.0 + i for i, label in enumerate(coupled)}
    records = [cell("moments", toy, label, {"points": [point((v, v, v))]}) for label, v in values.items()]
    (axes,) = show(made(records)["variance-cubic-b"]).axes
    found = marks(axes)
    assert [mark.x for mark in found] == list(values.values())
    assert sorted(mark.shape for mark in found) == sorted(SHAPES)
    assert [mark.size for mark in found] == [4.5 if mark.shape in "*Xp" else 3.6 for mark in found]
    for collection in axes.collections[:13]:
        assert list(collection.get_linewidths()) == [0.8]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (2, 5, "2 2.5 3 4 5"),  # less than half a decade: all that are round
        (1, 3.1, "1 1.2 1.5 2 2.5 3"),
        (2.9, 9.1, "3 5 7 9"),  # of more than six every other
        (1, 3.2, "1 2"),
        (0.98, 19, "1 2 5 10"),  # less than 1.3 decades
        (0.98, 20, "1 3 10"),
        (1, 150, "1 3 10 30 100"),  # less than 2.2
        (1, 160, "1 10 100"),
        (0.05, 9e3, "0.1 1 10 100 1000"),
        (1e-3, 1e3, "0.001 0.1 10 1000"),  # of seven every other
        (1e-3, 1.1e3, "0.01 1 100"),  # beyond six decades, those of even exponents
        (1e-7, 1.1e5, "1e-6 0.001 1 1000"),  # beyond twelve, every third
        (1e-9, 1e9, "1e-9 0.001 1000 1e9"),
        (2e-11, 4e-11, "2e-11 2.5e-11 3e-11 4e-11"),  # no digit of a tick is left out
        (1.1e-4, 3.1e-4, "1.2e-4 1.5e-4 2e-4 2.5e-4 3e-4"),
        (1.1e5, 2.6e5, "1.2e5 1.5e5 2e5 2.5e5"),
        (0.0011, 0.0026, "0.0012 0.0015 0.002 0.0025"),
        (11e3, 16e3, "12000 15000"),
        (9e9, 11e10, "1e10 2e10 5e10 1e11"),
    ],
)
@pytest.mark.parametrize("which", ["x", "y"])
def test_a_logarithmic_axis_has_a_handful_of_plain_ticks(low: float, high: float, labels: str, which: str) -> None:
    axes = Figure().add_subplot()
    log_axis(axes, which, low, high)
    axis, other = (axes.xaxis, axes.yaxis) if which == "x" else (axes.yaxis, axes.xaxis)
    assert (axis.get_scale(), other.get_scale()) == ("log", "linear")
    assert tuple(axis.get_view_interval()) == pytest.approx((low, high))
    found = ticks(axis)
    assert " ".join(found.values()) == labels
    assert [float(label) for label in found.values()] == pytest.approx(list(found))
    assert list(axis.get_minorticklocs()) == []


@pytest.mark.parametrize(
    ("values", "ends", "pad", "limits"),
    [
        ([1, 100], [], 0.5, (0.1, 1000)),  # half of two decades to either side
        ([1, 100], [0.1, 1000], 0.25, (0.01, 1e4)),  # ends within a decade
        ([1, 100], [0.09, 1001], 0.5, (0.1, 1000)),  # but none beyond
        ([4], [], 0.06, (4 / 1.1, 4.4)),
        ([4], [2], 0.5, (2 / 2**0.5, 4 * 2**0.5)),
        ([100, 1, 0, -5, float("nan"), float("inf")], [float("inf"), float("nan"), 0], 0.5, (0.1, 1000)),
        ([0, float("nan")], [3], 0.06, (0.1, 10)),
        ([], [], 0.06, (0.1, 10)),
    ],
)
def test_limits_hold_all_values_and_ends_up_to_a_decade_further(
    values: list[float], ends: list[float], pad: float, limits: tuple[float, float]
) -> None:
    assert log_limits(values, ends, pad) == pytest.approx(limits)


def test_a_text_is_as_wide_as_its_widest_line() -> None:
    prop = FontProperties(family="DejaVu Sans")
    wide = TextPath((0, 0), "WWW †", size=7, prop=prop).get_extents().width / 72
    assert text_width(["iiiiii", "ii\nWWW †\ni"]) == pytest.approx(wide, rel=1e-3)
    assert text_width(["", "\n"]) == text_width([]) == 0


def test_panels_stand_side_by_side() -> None:
    figure, panels = blank(10, 4, 1, 2, bottom=0.5, top=0.25, panels=3)
    assert figure.get_size_inches() == pytest.approx((10, 4))
    each = (10 - 1 - 2 - 2 * 0.12) / 3
    for i, panel in enumerate(panels):
        box = panel.get_position()
        assert (box.x0 * 10, box.x1 * 10) == pytest.approx((1 + i * (each + 0.12), 1 + i * (each + 0.12) + each))
        assert (box.y0 * 4, box.y1 * 4) == pytest.approx((0.5, 3.75))
        assert {side for side, spine in panel.spines.items() if spine.get_visible()} == {"left", "bottom"}


def test_figures_are_drawn_in_the_settings_of_a_report_whatever_a_person_set(figures: dict[str, Figure]) -> None:
    with matplotlib.rc_context({"font.size": 23, "axes.linewidth": 9}):
        with own_settings({"axes.linewidth": 3}):
            assert (matplotlib.rcParams["axes.linewidth"], matplotlib.rcParams["font.size"]) == (3, 10)
        assert (matplotlib.rcParams["axes.linewidth"], matplotlib.rcParams["font.size"]) == (9, 23)
    (axes,) = figures["trajectory-digits-b"].axes
    texts = [*axes.texts, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
    assert {text.get_fontsize() for text in texts} == {7}
    assert {text.get_color() for text in texts} == {"#222222"}
    assert {spine.get_linewidth() for spine in axes.spines.values()} == {0.6}
    assert (RC["savefig.dpi"], RC["pdf.fonttype"]) == (200, 42)


SIZES: dict[str, Callable[[bytes], tuple[float, ...]]] = {
    "png": lambda content: tuple(pixels / 200 for pixels in struct.unpack(">II", content[16:24])),
    "svg": lambda content: tuple(
        float(points) / 72 for points in re.findall(rb'<svg [^>]*width="([\d.]+)pt" height="([\d.]+)pt"', content)[0]
    ),
    "pdf": lambda content: tuple(
        float(points) / 72 for points in re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", content)[0]
    ),
}
"""Inches across and down that a file says of itself."""
FEW = ["trajectory-digits-b", "elbo-steps-digits-b", "time-digits-b"]


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, all_plots: dict[str, Plot]
) -> tuple[Path, list[Path], dict[str, Plot]]:
    """Folder, files and plots of a few figures in all formats."""
    out = tmp_path_factory.mktemp("figures")
    plots = {name: all_plots[name] for name in FEW}
    drawn = drawing.files(list(plots.values()), ["pdf", "svg", "png"])
    files, _ = write_figures(list(plots.values()), drawn, out, {"png", "pdf", "md", "svg"})
    return out, files, plots


def test_each_figure_is_written_in_each_format_under_its_name(
    written: tuple[Path, list[Path], dict[str, Plot]], figures: dict[str, Figure]
) -> None:
    out, files, _ = written
    expected = [f"figures/{name}.{ending}" for name in FEW for ending in ("pdf", "svg", "png")]
    assert [str(path.relative_to(out)) for path in files] == [*expected, "figures/captions.md"]
    assert sorted(files) == sorted(path for path in out.rglob("*") if path.is_file())
    sizes = {name: figures[name].get_size_inches() for name in FEW}
    assert len({tuple(size) for size in sizes.values()}) == len(FEW)  # so that one is not taken for another
    for name, size in sizes.items():
        for ending, size_of in SIZES.items():
            content = (out / "figures" / f"{name}.{ending}").read_bytes()
            assert size_of(content) == pytest.approx(tuple(size), abs=0.01), (name, ending)
            assert not re.search(rb"CreationDate|dc:date", content), (name, ending)  # the same bytes tomorrow


CAPTIONS = "# Captions\n\n## How to read the figures\n\n" + "".join(f"- {sentence}\n" for sentence in READING)


def noted(plot: Plot) -> str:
    """The notes of a figure, as they stand below its caption."""
    return "\n" + "".join(f"- {note}\n" for note in plot.notes) if plot.notes else ""


def test_captions_are_listed_once_each_in_order(written: tuple[Path, list[Path], dict[str, Plot]]) -> None:
    out, _, plots = written
    listed = "".join(f"\n## {name}\n\n{plots[name].caption}\n{noted(plots[name])}" for name in FEW)
    assert (out / "figures" / "captions.md").read_text() == CAPTIONS + listed
    assert all(len(plot.caption.split()) <= 50 for plot in plots.values())
    assert len({sentence for plot in plots.values() for sentence in plot.notes} & set(READING)) == 0


def _stub(name: str, caption: str = "") -> Plot:
    return Plot(name, "", caption, lambda: Figure(figsize=(1, 1)))


@pytest.mark.parametrize(
    ("formats", "files"),
    [
        ({"svg"}, ["a.svg", "b.svg", "captions.md"]),
        ({"png", "html", "csv"}, ["a.png", "b.png", "captions.md"]),
        ({"html"}, []),  # the page holds them
        ({"svg", "html"}, ["a.svg", "b.svg", "captions.md"]),
        ({"md"}, []),
    ],
)
def test_only_formats_asked_for_are_written_and_a_page_gets_its_pictures(
    tmp_path: Path, formats: set[str], files: list[str]
) -> None:
    plots = [_stub("a", "*x*"), _stub("b", "y")]
    drawn = [{ending: f"{plot.name}{ending}".encode() for ending in ("png", "svg", "pdf")} for plot in plots]
    written, pictures = write_figures(plots, drawn, tmp_path, formats)
    assert [path.name for path in written] == files
    for path in written[:-1]:
        assert path.read_text() == path.name.replace(".", "")
    endings = tuple(name[2:] for name in files if name.startswith("a."))
    assert [(picture.plot, picture.png, picture.beside) for picture in pictures] == [
        (plot, f"{plot.name}png".encode(), endings) for plot in plots
    ]
    if files:
        assert written[-1].read_text() == f"{CAPTIONS}\n## a\n\n\\*x\\*\n\n## b\n\ny\n"


def test_without_figures_there_are_no_captions(tmp_path: Path) -> None:
    assert write_figures([], [], tmp_path, {"png"}) == ([], [])
    assert list(tmp_path.iterdir()) == []


def test_a_page_alone_holds_the_picture_that_a_file_would_in_a_small_form(tmp_path: Path) -> None:
    toy = problem("toy", "cubic/b", "bernoulli", logit=0.0)
    records = [cell("moments", toy, "rloo", {"points": [point((2, 1, 3))]})]
    stages: list[str] = []
    (page,) = write(records, tmp_path, {"html"}, finished=stages.append)
    assert stages == ["frames", "tables", "figures", "page"]
    (plot,) = made(records).values()
    (files,) = drawing.files([plot], ["png"])
    assert re.findall(r"data:image/png;base64,[^\"]+", page.read_text()) == [embedded(files["png"])]
    write(records, tmp_path / "png", {"png"}, finished=stages.append)
    assert stages[4:] == ["frames", "tables", "figures"]
    assert (tmp_path / "png" / "figures" / "variance-cubic-b.png").read_bytes() == files["png"]


@pytest.mark.parametrize(
    ("count", "cores", "asked", "expected"),
    [
        (47, 8, None, None), (48, 8, None, 2), (72, 8, None, 3), (500, 8, None, 8), (500, 1, None, None),
        (500, None, None, None), (2, 8, 2, 2), (500, 8, 1, None),
    ],
)  # fmt: skip
def test_a_long_report_is_drawn_by_several_processes(
    monkeypatch: pytest.MonkeyPatch, count: int, cores: int | None, asked: int | None, expected: int | None
) -> None:
    """One more for every 24 figures, up to the number of cores; the files come in the order of the plots."""
    started: list[int] = []

    class Pool:
        def __init__(self, processes: int, context: Any, initializer: Callable[[], None]) -> None:
            assert context.get_start_method() == "spawn"
            started.append(processes)

        def map(self, draw: Callable[[Plot], Any], plots: Sequence[Plot]) -> list[Any]:
            return [draw(plot) for plot in plots[:2]]

        def shutdown(self, wait: bool) -> None:
            assert not wait

    monkeypatch.setattr(drawing, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(drawing.os, "cpu_count", lambda: cores)
    drawn = drawing.files([_stub(str(i)) for i in range(count)], ["svg"], asked)
    assert started == ([] if expected is None else [expected])
    assert list(next(iter(drawn))) == ["svg"]
