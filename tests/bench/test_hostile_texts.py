"""Records and suites whose every text means harm: no terminal, page, sheet or document obeys any of it."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.cli.terminal import Display
from bench.printed import Escaped, show_traceback, visible
from bench.records.identity import cell_id
from bench.records.record import Record, read
from bench.report import output
from bench.report.printable import printable
from bench.report.tables import render
from bench.report.tables.latex import escape_tex
from bench.run.planned import write_plan
from bench.run.store import Store
from tests.bench.command import Done
from tests.bench.page_of_stubs import records
from tests.bench.records import Made, problem, record
from tests.bench.test_progress import cell
from tests.bench.test_progress import record as record_of
from tests.bench.test_suite import SMALL

MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"onload=alert(1) {{7*7}}"
LINK = "[click](javascript:alert(1)) ![x](http://a.example/x.png) `$\\frac{` \\input{/etc/passwd} %"
TERMINAL = "\x1b[31mred\x1b]0;title\x07\r\x9b2Joh\x08\x7f\u202eevil\u2066\u200b\ufeff\u2028 \nok: forged line"
HOSTILE = f"=cmd|' /C calc'!A0 ../../../evil/ {MARKUP} {LINK} {TERMINAL}"
"""What a text of a record or a suite may hold."""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What a terminal would obey, or show in another place than it stands."""
KEPT = {"cell", "kind", "status", "started"}
"""Keys whose values are ours, and without which there would be no report."""


def spoiled(value: Any, key: str = "") -> Any:
    """A part of a record with something hostile before each of its texts, which still differ where they differed."""
    match value:
        case str():
            return value if key in KEPT else f"{HOSTILE}{value}"
        case dict():
            return {key: spoiled(item, key) for key, item in value.items()}
        case list():
            return [spoiled(item) for item in value]
    return value


def hostile_records() -> list[dict[str, Any]]:
    """Of every kind, some of which went wrong for a hostile reason."""
    unwell = record({"kind": "time"}, problem("vae", "digits/b", "bernoulli"), Made("rloo", 2, True, 1, 0, 1), {})
    some = records()
    made = [*some[:-2:3], *some[-2:], {**unwell, "status": "failed", "reason": "ValueError: no"}]
    for one in made:
        one |= {key: spoiled(item, key) for key, item in one.items()}
        one["cell"] = cell_id(one["config"])
    return made


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return hostile_records()


def run_of(folder: Path, found: list[dict[str, Any]]) -> Path:
    """A run's folder that holds these records, under a hostile title."""
    folder.mkdir()
    quoted = json.dumps(HOSTILE).replace("\x7f", "\\u007f")
    (folder / "suite.toml").write_text(f"title = {quoted}\n{SMALL}")
    for one in found:
        Store(folder).write(read(one))
    write_plan(folder, [one["cell"] for one in found])
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]) -> Path:
    """A folder that holds two runs, A and B."""
    folder = tmp_path_factory.mktemp("runs")
    run_of(folder / "A", found)
    run_of(folder / "B", [{**one, "seconds": 1.0} for one in found])
    return folder


# What is printed


def test_what_cannot_be_seen_is_printed_as_its_escape() -> None:
    assert visible("a b\u00a0c, ünï 試 †∞") == "a b\u00a0c, ünï 試 †∞"
    assert visible("\x1b[1m\r\n\t\u202e\ud800\U000e0041") == "\\x1b[1m\\r\\n\\t\\u202e\\ud800\\U000e0041"
    for emoji in ("👩‍💻", "👨‍👩‍👧", "🏳️‍🌈", "👩🏽‍⚕️", "❤️‍🔥", "✅️"):  # joined, coloured, with a selector
        assert visible(emoji) == emoji
    assert visible("a\u200db ∞\u200d∞ 👩\u200d\u202e👩\u200d") == "a\\u200db ∞\\u200d∞ 👩\\u200d\\u202e👩\\u200d"
    assert visible("a\ufe0f\u200d👩 👩\u200d\u200d👩\n") == "a\ufe0f\\u200d👩 👩\\u200d\\u200d👩\\n"
    assert visible("a\n\tb\r", kept="\n\t") == "a\n\tb\\r"
    assert visible("\x00") == "\\x00" and not OBEYED.search(visible(HOSTILE)) and "\n" not in visible(HOSTILE)


def test_an_output_escapes_what_is_written_and_is_the_stream_otherwise() -> None:
    stream = io.StringIO()
    out = Escaped(Escaped(stream))
    print("a\x1b[2Jb", "\u202ec", file=out)
    out.writelines(["\x07", "d\n"])
    assert stream.getvalue() == "a\\x1b[2Jb \\u202ec\n\\x07d\n"
    assert out.stream is stream and out.getvalue() == stream.getvalue()


def test_a_traceback_is_printed_so_too(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError(HOSTILE)
    show_traceback(ValueError, error, None)
    said = capsys.readouterr().err
    assert said.startswith("ValueError: =cmd") and not OBEYED.search(said)


@pytest.mark.parametrize(
    "typed",
    [
        ["status", "A"],
        ["status", "A", "--quiet"],
        ["compare", "A", "B", "--all"],
        ["compare", "A", "B", "--quiet"],
        ["report", "A", "--format", "md", "--out", "R"],
        ["run", "hostile.toml", "--dry-run", "--verbose"],
        ["run", "hostile.toml", "--dry-run"],
        ["status", "A", "--json"],
        ["compare", "A", "B", "--json"],
        ["report", f"no{TERMINAL}"],
        ["list", TERMINAL],
    ],
    ids=lambda typed: " ".join(typed[:1] + typed[2:]).encode("ascii", "ignore").decode()[:20],
)
def test_a_terminal_obeys_no_record(
    gradest: Callable[..., Done], runs: Path, typed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither escape sequences nor a forged line reach it, on stdout or stderr."""
    monkeypatch.setenv("COLUMNS", "80" if "--verbose" in typed else "")
    Path("A").symlink_to(runs / "A")
    Path("B").symlink_to(runs / "B")
    title = json.dumps(TERMINAL.replace("\x7f", ""))
    Path("hostile.toml").write_text(f"title = {title}\n{SMALL}")
    done = gradest(*typed)
    assert "Traceback" not in done.err
    for said in (done.out, done.err):
        assert not OBEYED.search(said)
        assert not any(line.startswith("ok: forged") for line in said.splitlines())
    assert done.out or done.err
    if typed[:2] == ["status", "A"]:  # the reason and the title of what went wrong are there to be read
        assert ("failed: time =cmd" in done.out) == (len(typed) == 2) and done.code == 1


def test_progress_obeys_no_record(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where a bar is drawn, with escape sequences that are ours, nor where a line is printed."""
    one = cell("a", "time", 1)
    one.title = TERMINAL
    unwell = record_of(one, 1.0)
    unwell.went_well, unwell.status, unwell.reason = False, "failed", TERMINAL
    for forced in ("", "1"):
        monkeypatch.setenv("FORCE_COLOR", forced)
        monkeypatch.setenv("TTY_COMPATIBLE", forced or "0")
        display = Display()
        with display.running([one], 0):
            display.cell_done(unwell, one)
        said = capsys.readouterr().err
        assert "failed: " + visible(TERMINAL) in said
        for sequence in ("\x1b[31mred", "\x1b]0;", "\u202e", "\x07", "\x9b"):
            assert sequence not in said


class Elements(HTMLParser):
    """Tags, attributes and the texts of scripts that a browser finds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]) -> Path:
    """The report of the hostile records, in all formats."""
    folder = tmp_path_factory.mktemp("hostile") / "A"
    output.write(found, folder, {"md", "tex", "csv", "html", "svg"}, title=HOSTILE, notes=[HOSTILE])
    return folder


def test_a_page_obeys_no_record(report: Path) -> None:
    text = (report / "report.html").read_text(encoding="utf-8")
    elements = Elements(text)
    # Two for the data, two of our own, and what they hold ends none of them.
    assert elements.tags.count("script") == 4 == text.count("</script>")
    assert not any(name.startswith("on") for name, _ in elements.attributes)
    assert all(value and value.startswith(("#", "figures/")) for name, value in elements.attributes if name == "href")
    assert all(value and value.startswith("data:image/png;") for name, value in elements.attributes if name == "src")
    for content in re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', text, re.DOTALL):
        assert json.loads(content) and "<" not in content
    assert not OBEYED.search(re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL))
    assert "alert(1)" in text and "49" not in re.findall(r"<h1>(.*?)</h1>", text, re.DOTALL)[0]


def test_a_page_of_a_comparison_obeys_no_record(gradest: Callable[..., Done], runs: Path) -> None:
    assert gradest("compare", str(runs / "A"), str(runs / "B"), "--html", "both.html").code == 0
    text = Path("both.html").read_text(encoding="utf-8")
    elements = Elements(text)
    assert "alert(1)" in text and not OBEYED.search(text)
    assert not {"script", "img"} & {*elements.tags}
    assert not [name for name, _ in elements.attributes if name.startswith("on") or name in ("href", "src")]


def test_files_of_a_report_lie_in_its_folder(report: Path) -> None:
    """Whatever problems and estimators are called."""
    written = [path for path in report.parent.rglob("*") if path.is_file()]
    assert {path.relative_to(report).parts[0] for path in written} == {
        "tables",
        "figures",
        "cells.parquet",
        "report.html",
    }
    assert all(re.fullmatch(r"[a-z0-9.-]+", path.name) and len(path.name) < 200 for path in written)
    assert len(written) > 15


def test_a_sheet_computes_no_record(report: Path) -> None:
    """A text that would be a formula begins with an apostrophe; numbers, negative ones too, stay numbers."""
    formulas = 0
    for path in (report / "tables").glob("*.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            for value in filter(None, row.values()):
                if value.lstrip().startswith(("=", "+", "-", "@")):
                    float(value)
                formulas += value.startswith("'=cmd")
    assert formulas > 10


def test_texts_of_a_sheet_are_told_from_its_numbers() -> None:
    frame = pd.DataFrame({
        "text": ["=1+1", " +1", "-x", "@a", "\t=1", "a=b", "", "'quoted"],
        "mixed": [-1.5, "-1.5", None, 2, "b", 1, 1, 1],
        "number": [-1.0] * 8,
    })  # fmt: skip
    table = type("T", (), {"frame": frame, "csv": [*frame]})
    rows = list(csv.reader(io.StringIO(render.csv(table))))[1:]  # type: ignore[arg-type]
    assert [row[0] for row in rows] == ["'=1+1", "' +1", "'-x", "'@a", "'\t=1", "a=b", "", "'quoted"]
    assert [row[1] for row in rows[:5]] == ["-1.5", "'-1.5", "", "2", "b"]
    assert {row[2] for row in rows} == {"-1.0"}


def test_documents_obey_no_record(report: Path) -> None:
    """Neither a tag, a link or a formula of Markdown, nor a command of LaTeX."""
    for path in report.rglob("*.md"):
        text = path.read_text()
        assert "alert" in text and not OBEYED.search(text)
        plain = re.sub(r"\\[\\`*_{}\[\]()<>#+.!$&|~-]", "", text)  # what is escaped is text
        assert not re.search(r"<[a-zA-Z/!?]|\]\(|\]\[|`|\$", plain), path
    for path in report.rglob("*.tex"):
        text = path.read_text()
        assert "alert" in text and not OBEYED.search(text)
        assert not re.search(r"\\(?:frac|input)\b", text), path
    assert escape_tex("\\input{x} %$&#_^~") == (
        r"\textbackslash{}input\{x\} \%\$\&\#\_\textasciicircum{}\textasciitilde{}"
    )
    assert escape_tex("a\n \n\nb") == "a\nb" and render.escape_markdown("a\n# b") == "a # b"
    assert render.escape_markdown("[a](b) [c][d] e[f=1] &lt;") == r"[a\](b) [c\][d] e[f=1] \&lt;"


def test_a_record_without_harm_stays_as_it_is() -> None:
    for one in map(read, records()):
        assert printable(one) is one


def test_every_text_of_a_record_is_made_visible(found: list[dict[str, Any]]) -> None:
    def texts(value: Any) -> Iterator[str]:
        match value:
            case str():
                yield value
            case dict():
                for key, item in value.items():
                    yield from (str(key), *texts(item))
            case list() | tuple():
                for item in value:
                    yield from texts(item)

    for one in found:
        shown: Record = printable(read(one))
        own = shown.model_dump()
        assert not OBEYED.search(own.pop("reason") or "")  # which may have several lines
        assert not [text for text in texts(own) if OBEYED.search(text) or "\n" in text]
        assert shown.kind == one["config"]["measurement"]["kind"]


def test_one_hostile_text_is_enough(found: list[dict[str, Any]]) -> None:
    """Wherever it stands: in a label, a tag, a reason, the provenance or what was measured."""
    (plain, *_) = records()
    for change in (
        {"reason": TERMINAL},
        {"tags": {**plain["tags"], "needs": TERMINAL}},
        {"provenance": {**plain["provenance"], "host": TERMINAL}},
        {"provenance": {**plain["provenance"], "\x1b[2J": 1}},
        {"measurements": {"points": [{**plain["measurements"]["points"][0], "method": TERMINAL}]}},
        {"measurements": {**plain["measurements"], "weights": [TERMINAL]}},
    ):
        one = read({**plain, **change})
        assert printable(one) is not one
        assert not OBEYED.search(json.dumps(printable(one).model_dump(), ensure_ascii=False, default=str))


def test_streams_are_given_back(gradest: Callable[..., Done], runs: Path) -> None:
    before = sys.stdout, sys.stderr
    gradest("status", str(runs / "A"))
    assert (sys.stdout, sys.stderr) == before
