"""What must not reach a report: a person's settings of matplotlib, and what signs in a label mean elsewhere."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager
from matplotlib.font_manager import get_font

from bench.report import drawing, fonts
from bench.report.figures import plots
from bench.report.output import write
from bench.report.summary import summarise
from bench.report.tables import latex
from bench.report.tables.render import escape_markdown, escape_tex
from tests.bench.records import Record, quick

ROOT = Path(__file__).parents[2]
HOSTILE = """
text.usetex: True
text.color: red
axes.facecolor: black
figure.facecolor: black
savefig.facecolor: black
savefig.bbox: tight
savefig.pad_inches: 0.7
font.family: serif
font.weight: bold
font.size: 23
lines.linewidth: 9
lines.solid_capstyle: round
path.sketch: 1, 100, 2
axes.formatter.use_mathtext: True
axes.unicode_minus: False
axes.labelpad: 30
pdf.compression: 0
svg.fonttype: none
"""
DRAW = """
import sys
from pathlib import Path
from bench.report.output import write
from tests.bench.records import quick
kept = [r for r in quick() if r["config"]["problem"]["family"] == "bernoulli"]
records = [r for r in kept if r["config"]["estimator"]["name"] in ("rloo", "disarm", "gumbel-softmax")]
write(records, Path(sys.argv[1]), {"pdf", "svg", "png"})
"""
ODD = r"$x$_a%b\c^{d}"
"""A label with a sign for each of LaTeX, mathtext and Markdown."""
BROKEN = "half_a_$formula^{"
"""One dollar more and it would be a formula that does not parse."""


def drawn(out: Path, **environment: str) -> dict[str, bytes]:
    """The figures of a report made in a process with this environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "MATPLOTLIB"))}
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(out)], cwd=ROOT, env=clean | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in (out / "figures").iterdir()}


def test_a_persons_matplotlib_changes_no_byte_of_a_figure(tmp_path: Path) -> None:
    """Neither a matplotlibrc that breaks what it touches, nor the backend of a notebook that is not at hand."""
    rc = tmp_path / "matplotlibrc"
    rc.write_text(HOSTILE)
    expected = drawn(tmp_path / "clean")
    assert len(expected) > 20
    backend = "module://matplotlib_inline.backend_inline"
    assert drawn(tmp_path / "theirs", MATPLOTLIBRC=str(rc), MPLBACKEND=backend) == expected


@pytest.mark.parametrize("named", ["svg", "module://nowhere.to_be_found"])
def test_the_backend_of_a_person_stays_theirs(named: str) -> None:
    code = "import bench.report, matplotlib, os; print(matplotlib.rcParams['backend'], os.environ['MPLBACKEND'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"MPLBACKEND": named}, capture_output=True, text=True
    )
    backend, environment = done.stdout.split()
    assert environment == named
    assert backend == named or "nowhere" in named


def test_a_report_leaves_a_persons_matplotlib_as_it_was(tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 23, "axes.facecolor": "black", "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        write(quick()[:6], tmp_path, {"svg"})
        assert dict(matplotlib.rcParams) == before


def renamed(label: str, problem: str = "") -> list[Record]:
    """Records in which one estimator, and the problems where it is asked for, have an odd label."""
    records = copy.deepcopy(quick())
    for record in records:
        config = record["config"]
        if config["estimator"]["label"] == "disarm":
            config["estimator"]["label"] = label
        config["problem"]["label"] = problem or config["problem"]["label"]
    return [record for record in records if record["config"]["estimator"]["name"] in ("rloo", "disarm", "relax")]


def test_signs_in_a_label_are_drawn_as_they_are() -> None:
    """An SVG holds a shape for each sign of a text: dollars, braces and underscores are there, as often as written."""
    seen, font = 0, get_font(font_manager.findfont(fonts.families()[0]))
    shapes = {sign: f"{font.get_char_index(ord(sign)):x}" for sign in "$_%\\^{}"}
    for plot, files in _drawn(renamed(ODD)):
        if plot.name.startswith("budget"):  # of whom two budgets were measured
            continue
        text = files["svg"].decode()
        uses = {sign: len(re.findall(rf'href="#ReportSans-{shapes[sign]}"', text)) for sign in shapes}
        assert uses == {"$": 2, **dict.fromkeys("_%\\^{}", 1)}, plot.name
        seen += 1
    assert seen > 5


def _drawn(records: list[Record]):
    chosen = [plot for plot in plots(summarise(records)) if "bernoulli" in plot.name]
    return zip(chosen, drawing.files(chosen, ("svg",)), strict=True)


def test_half_a_formula_breaks_no_figure() -> None:
    for plot, files in _drawn(renamed(f"{BROKEN}$")):
        assert files["svg"].startswith(b"<?xml"), plot.name


@pytest.mark.parametrize(
    ("text", "markdown", "tex"),
    [
        (ODD, r"\$x\$\_a%b\\c^{d}", r"\$x\$\_a\%b\textbackslash{}c\textasciicircum{}\{d\}"),
        ("snake_case", "snake_case", r"snake\_case"),
        ("a*b*", r"a\*b\*", "a*b*"),
        ("4 to 8 *", "4 to 8 *", "4 to 8 *"),
        ("_a_", r"\_a\_", r"\_a\_"),
        ("p < 0.01", "p < 0.01", r"p \textless{} 0.01"),
        ("<b>", r"\<b>", r"\textless{}b\textgreater{}"),
        ("`a`", r"\`a\`", "`a`"),
        ("rloo[samples=4]", "rloo[samples=4]", "rloo[samples=4]"),
    ],
)
def test_signs_in_tables(text: str, markdown: str, tex: str) -> None:
    assert escape_markdown(text) == markdown
    assert escape_tex(text) == tex


def test_signs_in_a_label_stand_in_every_table_caption_and_page(tmp_path: Path) -> None:
    write(renamed(ODD, ODD), tmp_path, {"md", "tex", "html", "svg"})
    for name in ("variance", "bias", "elbo", "time"):
        markdown = (tmp_path / "tables" / f"{name}.md").read_text()
        assert ODD not in markdown
        assert f"| {escape_markdown(ODD)} " in markdown
        assert f"## {escape_markdown(ODD)}" in markdown
        source = (tmp_path / "tables" / f"{name}.tex").read_text()
        assert ODD not in source
        assert escape_tex(ODD) in source
        assert re.sub(r"\\[{}$]", "", source).count("$") % 2 == 0
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert ODD not in captions
    assert escape_markdown(ODD) in captions
    assert ODD in (tmp_path / "report.html").read_text()


def test_a_row_that_begins_with_a_bracket_is_no_argument_of_the_line_before() -> None:
    assert latex.row(["[a]", "1"]) == r"{}[a] & 1 \\"
    assert latex.row(["*a", "1"]) == r"{}*a & 1 \\"
    assert latex.row(["a", "[1, 2]"]) == r"a & [1, 2] \\"
