"""What a drawn figure shows, read back from matplotlib and not from its pixels; and cells of a few round numbers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFT, MarkerStyle
from matplotlib.path import Path
from matplotlib.text import Annotation

from bench.report.figures import plots
from bench.report.figures.canvas import Plot
from bench.report.matplotlib_alone import own_settings
from bench.report.style import RC
from bench.report.summary import summarise
from tests.bench.records import Made, Record, problem, record

# All estimators draw 2 samples here, where `relax` and `straight-through` take 1 by themselves: 0.88 of their hues.
COLOURS = {
    "control variate": "#c6a800",
    "coupled draws": "#0a9b6c",
    "local differences": "#51b5e9",
    "score function": "#d64500",
    "straight-through": "#a43f71",
    "other": "#444444",
}
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d")
DIGITS = problem("vae", "digits/b", "bernoulli")
ABOUT = "digits/b (digits, bernoulli latents, ELBO, sampled entropy)"
SPENT = "2 evaluations of f a row."
HOLLOW = "#ffffff"
GREY = "#777777"  # of a bar that is no estimator's


def exact(x: float) -> float:
    """A number to nine digits, so that sums of floats can be compared as they stand."""
    return 0.0 if abs(x) < 1e-12 else float(f"{x:.9g}")


class Mark(NamedTuple):
    """A marker."""

    x: float
    y: float
    colour: str
    face: str
    shape: str
    size: float  # points across


class Line(NamedTuple):
    """A stroke through some points."""

    points: tuple[tuple[float, float], ...]
    colour: str
    dash: tuple[float, ...]  # lengths of dashes and gaps in widths of the line; none where solid
    width: float  # points


class Band(NamedTuple):
    """A filled outline."""

    points: tuple[tuple[float, float], ...]
    colour: str  # with its opacity


class Look(NamedTuple):
    """How an estimator is to look in every figure of a report."""

    colour: str
    shape: str
    unbiased: bool = True

    def mark(self, x: float, y: float, size: float, strength: float = 1.0) -> Mark:
        """Its marker at a place, mixed with white where weaker than 1."""
        colour = paler(self.colour, strength)
        wide = 1.25 if self.shape in ("*", "X", "p") else 1.0
        return Mark(exact(x), exact(y), colour, colour if self.unbiased else HOLLOW, self.shape, exact(size * wide))

    def line(
        self, points: Iterable[tuple[float, float]], width: float, strength: float = 1.0, dash: Sequence[float] = ()
    ) -> Line:
        """A line in its colour."""
        return line(points, paler(self.colour, strength), width, dash)

    def band(self, points: Iterable[tuple[float, float]]) -> Band:
        """An area in its colour, 15 % opaque."""
        return Band(tuple((exact(x), exact(y)) for x, y in points), f"{self.colour}26")  # hexadecimal: 38 of 255


REGISTERED = {
    "arms": ("coupled draws", "D"),
    "bitflip": ("local differences", "s"),
    "disarm": ("coupled draws", "^"),
    "relax": ("control variate", "v"),
    "rloo": ("score function", "s"),
    "straight-through": ("straight-through", "o"),
    "vimco": ("score function", "P"),
}


def looks(*labels: str, biased: Iterable[str] = ()) -> dict[str, Look]:
    """The looks of estimators at their own numbers of samples: of those that no table lists, by a hash of the name."""
    found = {}
    for label in sorted(labels):
        darker, place = divmod(crc32(label.encode()) % 26, 13)
        other = "#292929" if darker else COLOURS["other"]  # 0.6 of 0x44 is 40.8, which is 0x29
        family, shape = REGISTERED.get(label, ("", SHAPES[place]))
        found[label] = Look(COLOURS[family] if family else other, shape, label not in biased)
    return found


def paler(colour: str, strength: float) -> str:
    """So much of a colour, the rest white."""
    return "#" + "".join(f"{round(255 * (1 - strength + strength * channel)):02x}" for channel in to_rgb(colour))


def line(points: Iterable[tuple[float, float]], colour: str, width: float, dash: Sequence[float] = ()) -> Line:
    """A line to expect."""
    return Line(tuple((exact(x), exact(y)) for x, y in points), colour, tuple(dash), width)


def _shape(path: Path) -> str:
    for shape in (*SHAPES, "|", CARETLEFT):
        style = MarkerStyle(shape)
        other = style.get_path().transformed(style.get_transform())
        if other.vertices.shape == path.vertices.shape and abs(other.vertices - path.vertices).max() < 1e-12:
            return "edge" if shape == CARETLEFT else str(shape)
    raise LookupError("no marker of a report")


def _hex(colour: Any) -> str:
    return to_hex(colour, keep_alpha=colour[3] < 1)


def marks(axes: Axes, beside: bool = False) -> list[Mark]:
    """Markers among the data, or those beside the panel, from left to right and by height."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, PathCollection) and (collection.get_offset_transform() != axes.transData) == beside:
            (path,) = collection.get_paths()
            columns = (collection.get_edgecolors(), collection.get_facecolors(), collection.get_sizes())
            for (x, y), edge, face, size in zip(collection.get_offsets().tolist(), *columns, strict=True):
                found.append(
                    Mark(exact(x), exact(y), _hex(edge), _hex(face), _shape(path), exact(math.sqrt(size)))
                )  # fmt: skip
    return sorted(found)


def lines(axes: Axes, beside: bool = False) -> list[Line]:
    """Strokes among the data, or those in coordinates of the panel, in the order of their points."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, LineCollection) and (collection.get_transform() != axes.transData) == beside:
            (width,), ((_, scaled),) = collection.get_linewidths(), collection.get_linestyles()
            dash = tuple(exact(length / width) for length in scaled or ())
            paths, colours = collection.get_paths(), collection.get_colors()
            assert len(colours) in (1, len(paths))
            for i, path in enumerate(paths):  # whose NaN `get_segments` would drop
                found.append(line(path.vertices.tolist(), _hex(colours[i % len(colours)]), width, dash))
    return sorted(found)


def bands(axes: Axes) -> list[Band]:
    """Filled areas; the closing point of an outline, its first, is left out."""
    found = []
    for collection in axes.collections:
        if isinstance(collection, PolyCollection):
            paths, colours = collection.get_paths(), collection.get_facecolors()
            for path, colour in zip(paths, colours, strict=True):
                points = [(exact(x), exact(y)) for x, y in path.vertices.tolist()]
                assert points[-1] == points[0]
                found.append(Band(tuple(points[:-1]), _hex(colour)))
    return sorted(found)


def plain_lines(axes: Axes) -> list[tuple[str, str, list[float], list[float]]]:
    """Dash, way of its steps, abscissae and ordinates of what was plotted as a line of its own."""
    return [
        (
            str(one.get_linestyle()), str(one.get_drawstyle()),
            list(map(exact, one.get_xdata())), list(map(exact, one.get_ydata())),
        )
        for one in axes.lines
    ]  # fmt: skip


class Name(NamedTuple):
    """An estimator named beside a panel."""

    text: str
    y: float
    mark: Mark


def names(axes: Axes) -> list[Name]:
    """The names beside a panel from top to bottom, each with the marker at its height."""
    texts = [text for text in axes.texts if not isinstance(text, Annotation)]
    at = {mark.y: mark for mark in marks(axes, beside=True)}
    assert len(at) == len(texts)
    top_first = axes.yaxis_inverted() and texts[0].get_transform() != axes.transAxes
    found = [Name(text.get_text(), exact(text.get_position()[1]), at[exact(text.get_position()[1])]) for text in texts]
    return sorted(found, key=lambda name: name.y if top_first else -name.y)


def words(axes: Axes) -> list[tuple[str, float, float, str]]:
    """Words among the data: text, place that they stand 3 points to the right of, and colour."""
    notes = [note for note in axes.texts if isinstance(note, Annotation)]
    for note in notes:
        assert (note.xyann, note.anncoords, note.get_va(), note.get_fontsize()) == (
            (3, 0),
            "offset points",
            "center",
            6,
        )
    return [(note.get_text(), *map(exact, note.xy), str(note.get_color())) for note in notes]


def grid(axis: Axis) -> set[tuple[bool, str, float, float | None]]:
    """How the lines at the ticks look: seen or not, colour, width and opacity."""
    strokes = axis.get_gridlines()
    return {(s.get_visible(), to_hex(s.get_color()), s.get_linewidth(), s.get_alpha()) for s in strokes}


def ticks(axis: Axis) -> dict[float, str]:
    """What stands at the ticks of an axis."""
    labels = [label.get_text() for label in axis.get_ticklabels()]
    return dict(zip(map(exact, axis.get_ticklocs()), labels, strict=True))


def legend(figure: Figure) -> list[tuple[str, str, str]]:
    """Text, marker and colour of each entry of the legend, in its order."""
    return [
        (text.get_text(), str(handle.get_marker()), to_hex(handle.get_color()))
        for legend in figure.legends
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    ]


def inches(axes: Axes) -> tuple[float, float, float, float]:
    """How far a panel is from the left, the right, the bottom and the top of its figure."""
    figure, box = axes.get_figure(root=True), axes.get_position()
    assert figure is not None
    width, height = figure.get_size_inches()
    return exact(box.x0 * width), exact((1 - box.x1) * width), exact(box.y0 * height), exact((1 - box.y1) * height)


def made(records: Sequence[Record], relative_to: str = "rloo") -> dict[str, Plot]:
    """The plots of a report by name, in order."""
    all_plots = list(plots(summarise(records, relative_to)))
    by_name = {plot.name: plot for plot in all_plots}
    assert len(by_name) == len(all_plots)
    return by_name


def show(plot: Plot) -> Figure:
    """A plot drawn as a report draws it, in its own settings of matplotlib."""
    with own_settings({**RC, "font.family": ["DejaVu Sans"]}):
        return plot.draw()


def cell(
    kind: str,
    where: Record,
    label: str,
    measured: Mapping[str, Any],
    *,
    biased: bool = False,
    settings: Mapping[str, Any] | None = None,
    host: str = "node-1",
) -> Record:
    """A record of one cell."""
    estimator = Made(label, 2, not biased, 0, 0, 0)
    kept = record({"kind": kind, **(settings or {})}, where, estimator, dict(measured))
    kept["provenance"]["host"] = host
    return kept


def failed(kind: str, where: Record, label: str, **more: Any) -> Record:
    """A cell that raised, and measured nothing."""
    return {**cell(kind, where, label, {}, **more), "status": "failed", "reason": "ValueError: no"}


def point(
    variance: tuple[float, float | None, float | None],
    *,
    step: float | None = None,
    elbo: float | None = None,
    draws: int = 1000,
    rows: int | None = None,
    norm: float = 2.0,
    heavy: bool = False,
    bias: Mapping[str, Any] | None = None,
) -> Record:
    """A measured point: its variance with low and high end, and more where it is said."""
    estimate, low, high = variance
    interval = {"estimate": estimate, "low": low, "high": high, "log_se": None if high is None else 0.1}
    q = {
        "variance": interval,
        "kurtosis": draws / 16 if heavy else 2.0,
        "heavy_tailed": heavy,
        "coordinates": 4,
        "gradient_norm": norm,
    }
    return {"step": step, "elbo": elbo, "draws": draws, "rows": rows, "f_evals": 2, "q": q, "bias": dict(bias or {})}


def times(
    plain: float, ratio: tuple[float, float, float], to_floor: float = 2.0, rounds: int = 30, load: float = 0.5
) -> Record:
    """A time cell: seconds of a plain step, the step's ratio to it with its quartiles, and the step's to its floor."""

    def quartiles(median: float, low: float, high: float, n: int = 99) -> Record:
        return {"median": median, "q25": low, "q75": high, "n": n}

    return {
        "step": quartiles(7.0, 6.0, 8.0, rounds),  # of a clock of its own: no figure shows more than how often
        "floor": quartiles(5.0, 4.0, 6.0),
        "ratio": quartiles(to_floor, to_floor, to_floor),
        "plain": quartiles(plain, plain / 2, plain * 2),
        "plain_ratio": quartiles(*ratio),
        "load": [load, 0.0, 0.0],
    }


def trained(
    label: str, step: list[int], seconds: list[float], train: list, test: list, lost: int | None = None, **more
) -> Record:
    """A train cell; of the seed that is lost nothing is left at the end."""
    count = len(train[0])
    diverged = [100 if i == lost else None for i in range(count)]
    curve = {"step": step, "seconds": seconds, "f_evals": step, "train_elbo": train, "test_elbo": test}
    final = {"train_elbo": train[-1], "test_elbo": test[-1], "test_iwae": test[-1], "iwae_samples": 100}
    return cell("train", DIGITS, label, {
        "seeds": [10 + i for i in range(count)], "diverged": diverged, "curve": curve, "final": final,
        "evaluated_rows": {"train": 1000, "test": 256},
    }, **more)  # fmt: skip


LABELS = ("arms", "bitflip", "disarm", "relax", "rloo", "straight-through")
LOOKS = looks(*LABELS, biased=["straight-through"])
NAMES = {label: f"{label}\u00a0†" if label == "straight-through" else label for label in LABELS}
SHARED = f"Parameters and minibatch (20 rows) are fixed, at checkpoints of one reference trajectory{{}}. {SPENT}"


def checkpoints() -> list[Record]:
    """Three checkpoints of a trajectory; bitflip lacks the last, where disarm has no noise and rloo drew too little."""
    measured = {
        "arms": [(8, 4, 16), (6, 3, 12), (2, 0.01, 4)],
        "bitflip": [(40, 20, None), (20, 10, 30)],
        "disarm": [(5, 4, 7), (3, 2, 4), (0, 0, 0)],
        "rloo": [(10, 5, 25), (9, 6, 18), (1e-10, 1e-11, 1e-9)],
        "straight-through": [(100, 50, 200), (30, 20, 50), (1, 0.5, 1.5)],
    }
    settings = {"reference": {"label": "rebar"}}
    records = [failed("moments", DIGITS, "relax", settings=settings)]
    for label, variances in measured.items():
        points = []
        for variance, step, elbo in zip(variances, (0, 30, 300), (-45.0, -30.26, -25.04), strict=False):
            few = label == "arms" and step == 0
            rare = {"untestable": 3, "seldom_moved": 2} if label == "rloo" and step == 300 else None
            at = {"step": step, "elbo": elbo, "draws": 400 if few else 1000, "rows": 20, "norm": 2.0}
            points.append(point(variance, heavy=label == "bitflip", bias=rare, **at))
        biased = label == "straight-through"
        records.append(cell("moments", DIGITS, label, {"points": points}, biased=biased, settings=settings))
    return records
