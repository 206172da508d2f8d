"""Tables in LaTeX: a few columns that fit a page, aligned numbers, the best in bold, and notes below."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.records.record import Record
from bench.report.output import write
from bench.report.selection import Selection
from bench.report.summary import summarise
from bench.report.tables import latex, variance
from bench.report.tables.best import best
from bench.run.store import Store
from estimators.errors import BadInput
from tests.bench.drawn import cell, point
from tests.bench.records import problem, quick

PUBLISHED = Path(__file__).parents[2] / "results" / "quick"
TABLES = ("variance", "bias", "elbo", "time")
PAGE = r"""\documentclass[%s]{article}
\usepackage[textwidth=6.5in,textheight=9in]{geometry}
\usepackage{array,booktabs,longtable,threeparttable,threeparttablex}
\begin{document}
%s
\end{document}
"""


def compiled(folder: Path, options: str) -> str:
    """What LaTeX says of a page with all tables of a folder, in a document of such options."""
    inputs = "\n".join(rf"\input{{{path.name}}}\clearpage" for path in sorted(folder.glob("*.tex")))
    (folder / "page.tex").write_text(PAGE % (options, inputs))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    for _ in range(2):  # the first one finds how wide tables of several pages are
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    said = (folder / "page.log").read_text(errors="replace")
    assert done.returncode == 0, said[-2000:]
    return said


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex is installed")
@pytest.mark.parametrize(
    ("run", "columns", "options"),
    [
        ("published", (), "onecolumn"),
        ("small", (), "onecolumn"),
        ("small", ("estimator", "variance", "ratio", "note"), "twocolumn"),  # as most conferences have it
    ],
)
def test_every_table_compiles_and_fits_between_the_margins(
    tmp_path: Path, run: str, columns: tuple[str, ...], options: str
) -> None:
    records: list[Record] = Store(PUBLISHED).records() if run == "published" else quick()  # type: ignore[assignment]
    write(records, tmp_path, {"tex"}, selection=Selection(columns=columns))
    tables = tmp_path / "tables"
    shown = subprocess.run(["kpsewhich", "threeparttablex.sty"], capture_output=True, text=True, check=False)
    if not shown.stdout.strip():
        pytest.skip("no threeparttablex is installed")
    said = compiled(tables, options)
    too_wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", said)]
    assert not [points for points in too_wide if points > 1], run
    assert {path.stem for path in tables.glob("*.tex")} >= set(TABLES)


def toy(label: str, values: tuple[float, float, float], **more: object) -> dict[str, object]:
    """A cell of one point."""
    where = problem("toy", "cubic/b", "bernoulli", logit=2.0)
    return cell("moments", where, label, {"points": [point(values)]}, **more)  # type: ignore[arg-type]


def rows(*records: dict[str, object], words: tuple[str, ...] = ()) -> list[str]:
    """The lines of the table of variances between its rules."""
    summary = summarise(records)
    text = latex.tex(variance.make(summary.variance, "rloo"), words, best("variance", summary))
    return text.split("\\midrule\n")[1].split("\n\\bottomrule")[0].splitlines()


def test_numbers_are_aligned_at_their_points_and_the_best_is_bold_with_all_that_is_not_told_apart() -> None:
    found = rows(
        toy("rloo", (2, 1.9, 2.1)),
        toy("disarm", (1, 0.95, 1.05)),
        toy("bitflip", (1.02, 0.95, 1.1)),
        toy("straight-through", (1e-5, 0.9e-5, 1.1e-5), biased=True),
        words=("estimator", "variance", "ratio"),
    )
    assert found == [
        r"straight-through~\textsuperscript{\textdagger} & 1 & $.00\times10^{-5}$ & [$9.00\times10^{-6}$, "
        r"$1.10\times10^{-5}$] & 5 & $.00\times10^{-6}$ & " + found[0].split(" & ")[-1],
        r"disarm & {\bfseries\boldmath 1} & {\bfseries\boldmath .00} & [0.95, 1.05] & 0 & .500 & "
        + found[1].split(" & ")[-1],
        r"bitflip & {\bfseries\boldmath 1} & {\bfseries\boldmath .02} & [0.95, 1.10] & 0 & .510 & "
        + found[2].split(" & ")[-1],
        r"rloo & 2 & .00 & [1.90, 2.10] & 1 &  & (reference) \\",
    ]


def test_what_no_column_says_is_a_note() -> None:
    where = problem("toy", "cubic/b", "bernoulli", logit=2.0)
    heavy = cell("moments", where, "bitflip", {"points": [point((3, 1, 9), heavy=True)]})
    summary = summarise([heavy, toy("rloo", (2, 1.9, 2.1)), toy("disarm", (4, 3.9, 4.1))])
    table = variance.make(summary.variance, "rloo")
    text = latex.tex(table, (), best("variance", summary))
    assert r"bitflip\tnote{a} &" in text and r"\item[a] heavy tails." in text
    assert r"\item n: 1000 in all rows." in text and r"\item f-evals: 2 in all rows." in text
    assert "Bold: the lowest variance of an unbiased estimator" in text and "† is never" not in text
    assert latex.escape_tex(table.caption) in text  # nothing of what limits the numbers is left out
    whole = latex.tex(table, ("estimator", "note"), None)
    assert r"\tnote{" not in whole and r"bitflip & heavy tails \\" in whole


def test_columns_are_called_by_title_or_name_and_the_point_stays_where_it_tells_rows_apart() -> None:
    points = {"points": [point((v, v, v), step=step) for step, v in ((0, 2), (9, 3))]}
    of_two = [cell("moments", problem("vae", "digits/b", "bernoulli"), label, points) for label in ("rloo", "disarm")]
    summary = summarise(of_two)
    table = variance.make(summary.variance, "rloo")
    for words in (("estimator", "snr"), ("estimator", "SNR")):
        assert "\npoint & estimator & SNR \\\\\n" in latex.tex(table, words)
    with pytest.raises(BadInput, match=r"unknown column: 'varaince'; did you mean 'variance'"):
        latex.chosen([table], ("varaince",))


def test_a_table_of_more_rows_than_a_page_goes_over_several() -> None:
    many = [toy(f"e{i:02}", (1 + i, 1 + i, 1 + i)) for i in range(latex.LONG + 1)]
    for records, kind in ((many, "longtable"), (many[1:], "tabular")):
        text = latex.tex(variance.make(summarise(records).variance, "rloo"))
        assert rf"\end{{{kind}}}" in text and text.count(r"\end{longtable}") + text.count(r"\end{tabular}") == 1
