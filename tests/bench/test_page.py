"""What the page's HTML holds before a browser has seen it."""

import json
import re
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import altair
import pytest

from bench.records.record import Tags
from bench.report import assets
from bench.report.charts import charts, specifications, words
from bench.report.charts.values import rounded
from bench.report.doubts import Doubt, doubts
from bench.report.facts import Fact, choices, facts
from bench.report.figures import plots
from bench.report.findings import Finding
from bench.report.pictures import embedded, outline
from bench.report.summary import summarise
from tests.bench.page_of_stubs import HOSTILE, VARIANCE, page, records

FOLDER = Path(assets.__file__).parent


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(tmp_path_factory.mktemp("page")).read_text()


@pytest.fixture(scope="module")
def data(html: str) -> dict[str, Any]:
    """What the page's scripts read."""
    found = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', html, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def test_the_page_goes_from_what_to_take_to_provenance(html: str) -> None:
    heads = re.findall(r'<h2 id="([^"]+)">', html)
    tables = ["variance", "bias", "elbo", "time"]
    assert heads == ["answer", "doubts", *tables, "figures", "findings", "reading", "provenance"]
    contents = html[html.index('<nav class="contents"') : html.index("</nav>")]
    assert [link for link in re.findall(r'href="#([^"]+)"', contents) if link in heads] == heads


def test_every_heading_has_a_link_to_itself(html: str) -> None:
    ids = re.findall(r'<(?:h[23]|summary) id="([^"]+)"', html)
    assert len(ids) > 15
    assert re.findall(r'class="anchor" href="#([^"]+)"', html) == ids
    assert max(Counter(re.findall(r' id="([^"]+)"', html)).values()) == 1


def test_a_row_holds_its_numbers_in_full_and_whose_it_is(html: str, data: dict[str, Any]) -> None:
    table = html[html.index('id="variance-digits-b"') : html.index("</table>", html.index('id="variance-digits-b"'))]
    assert re.findall(r'<th[^>]*data-type="measured"[^>]*>([^<]*)', table)[:3] == [
        "point",
        "f-evals",
        "variance w.r.t. q",
    ]
    rows = {}
    for place, point, cells in re.findall(r'<tr data-e="(\d+)" data-point="([^"]+)">(.*?)</tr>', table):
        orders = re.findall(r'data-order="([^"]*)"', cells)
        rows[data["facts"][int(place)]["label"].partition(" †")[0], point] = [float(x) if x else None for x in orders]
    for label, own in VARIANCE.items():
        for step, variance in zip((0, 100), own, strict=True):
            assert rows[label, f"step {step}"][:3] == [step, 2, variance]
            assert rows[label, f"step {step}"][3] == pytest.approx(variance / VARIANCE["rloo"][step // 100], rel=1e-12)


def test_what_was_not_measured_or_has_no_bound_sorts_too() -> None:
    from bench.report.page_tables import _order
    from bench.report.tables.view import Column

    column = Column("x", str, order="x")
    found = [_order({"x": x}, column) for x in (None, float("nan"), float("inf"), float("-inf"), 0.1 + 0.2)]
    assert found == ["", "", "1.7976931348623157e+308", "-1.7976931348623157e+308", "0.30000000000000004"]


def test_no_name_ends_a_script_or_becomes_a_tag(html: str, data: dict[str, Any]) -> None:
    assert HOSTILE in [fact["label"] for fact in data["facts"]]
    assert HOSTILE not in html
    assert html.lower().count("</script>") == 4
    assert re.findall(r"<img [^>]*onerror", re.sub(r'"[^"]*"', "", html)) == []


def test_pictures_say_in_words_what_they_show(html: str) -> None:
    said = [unescape(words) for words in re.findall(r'<img [^>]*alt="([^"]*)"', html)]
    assert (
        "Dot plot of gradient variance w.r.t. q on digits/b, 6 estimators: at step 100 lowest disarm 1.10e-4; "
        f"wrong † 5.00; {HOSTILE} 7.00; highest rebar 1200."
    ) in said
    assert (
        "Line plot of ELBO, nats against training step on digits/b, 2 estimators: at the end highest disarm -27.8; "
        "rloo -29.8."
    ) in said
    assert len(said) == len(set(said)) == html.count("<figure")


def test_charts_hold_what_the_records_measured(data: dict[str, Any]) -> None:
    chart = data["charts"]["charts"]["variance-digits-b"]
    names = [data["facts"][e]["label"].partition(" †")[0] for e in chart["e"]]
    found = dict(zip(zip(names, [chart["points"][p] for p in chart["p"]], strict=True), chart["y"], strict=True))
    assert found == {(label, f"step {100 * i}"): v for label, own in VARIANCE.items() for i, v in enumerate(own)}
    assert data["facts"][chart["reference"]]["label"] == "rloo"
    assert [high / y for high, y in zip(chart["high"], chart["y"], strict=True)] == pytest.approx([2.0] * 12)
    assert set(chart["n"]) == {"1000 draws"}
    curve = data["charts"]["charts"]["elbo-steps-digits-b"]
    ends = [y for y, x, part in zip(curve["y"], curve["x"], curve["part"], strict=True) if x and part == "test set"]
    assert sorted(ends) == pytest.approx([-29.8, -27.8])  # means of five seeds that are 0.1 apart
    used = {chart["frame"].partition("-")[0] for chart in data["charts"]["charts"].values()}
    assert used <= set(data["charts"]["frames"])


def test_specifications_are_those_of_vega_lite() -> None:
    frames = specifications()
    assert set(frames) == {"dots", "scatter", "lines"}
    for frame in frames.values():
        altair.LayerChart.from_dict(frame)  # raises where it is not of the schema
        assert '"$value"' in json.dumps(frame)


def test_every_figure_of_a_quantity_has_a_chart_and_its_words() -> None:
    summary = summarise(records())
    known = facts(summary)
    drawn = list(plots(summary))
    found = charts(drawn, summary, known)
    assert sorted(found) == sorted(plot.name for plot in drawn)
    for name, chart in found.items():
        assert words(chart, "a problem", known).startswith(("Dot plot", "Line plot", "Scatter plot")), name


def test_facts_are_tags() -> None:
    known = facts(summarise(records()))
    found = {fact.label: fact for fact in known.known}
    assert [(found[label].needs, found[label].control) for label in ("rebar", "wrong †", HOSTILE)] == [
        ("relaxed f", False), ("values of f only", True), ("not said", False),
    ]  # fmt: skip
    assert [known.known[place].label.partition(" †")[0] for place in known.place.values()] == sorted(VARIANCE)
    assert choices(known) == {
        "needs": ["values of f only", "gradient of f", "relaxed f", "not said"], "declared": ["unbiased", "biased"],
    }  # fmt: skip


def test_a_filter_of_one_choice_is_none() -> None:
    from bench.report.facts import Facts

    assert choices(Facts([Fact("a", "#000000", "o", True, "relaxed f", False)] * 2, {})) == {
        "needs": [],
        "declared": [],
    }


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, False), ({"negative_control": True}, True),
        ({"summary": "negative control: a formula that is wrong"}, True),  # as records of before say it
        ({"summary": "a control variate"}, False),
        ({"summary": "negative control, no longer", "negative_control": False}, False),
    ],
)  # fmt: skip
def test_a_control_says_so_by_a_tag(tags: dict[str, Any], expected: bool) -> None:
    assert Tags.model_validate(tags).is_control is expected


def test_doubts_are_short_lines_with_details_behind_them() -> None:
    line = "Timed while the machine did something else, and so not ranked, whatever it was"
    long = line + ": {} on a problem whose name is long"
    found = doubts([
        Finding("", "Short: it stays."),
        Finding("", long.format("`a`")),
        Finding("", long.format("`b`"), ("at step 0",)),
        Finding("", "`a: b` is a name and no colon, " + "so " * 40 + "goes: on"),
    ])  # fmt: skip
    assert found == [
        Doubt("Short: it stays.", []),
        Doubt(line, ["`a` on a problem whose name is long", "`b` on a problem whose name is long", "at step 0"]),
        Doubt("`a: b` is a name and no colon, " + "so " * 40 + "goes", ["on"]),
    ]


def test_scripts_of_others_are_listed_with_their_licences() -> None:
    listed = dict(re.findall(r"^\| (\S+\.js) \| \S+ \| (\S+) \|", (FOLDER / "README.md").read_text(), re.MULTILINE))
    assert set(listed) == {path.name for path in FOLDER.glob("*.min.js")}
    assert listed["dataTables.min.js"] in (FOLDER / "dataTables.min.js").read_text()[:40]
    licences = (FOLDER / "LICENSES.txt").read_text()
    for package, version in re.findall(r"\| (\S+) \| (\d\S+) \|", (FOLDER / "README.md").read_text()):
        assert f"==== {package}-{version}" in licences
    assert (FOLDER / "dataTables.min.js").stat().st_size < 150_000


def test_a_script_that_would_end_its_element_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("x = 1\n//# sourceMappingURL=a.js.map\n")
    (tmp_path / "b.js").write_text('"</SCRIPT >"')
    monkeypatch.setattr(assets, "files", lambda package: tmp_path)
    assert str(assets.script("a.js", "a.js")).split() == ["x", "=", "1", ";", "x", "=", "1"]
    with pytest.raises(ValueError, match=r"b\.js: a script that holds </script"):
        assets.script("a.js", "b.js")


def test_a_picture_is_smaller_and_a_marker_is_a_path() -> None:
    import base64
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (100, 50), "#0173b2").save(buffer, "png")
    head, _, text = embedded(buffer.getvalue()).partition(",")
    with Image.open(io.BytesIO(base64.b64decode(text))) as small:
        assert (head, small.size) == ("data:image/png;base64", (60, 30))
        assert small.convert("RGB").getpixel((30, 15)) == (0x01, 0x73, 0xB2)
    assert outline("s") == "M-1,1L1,1L1,-1L-1,-1L-1,1Z"


def test_numbers_of_charts_have_five_digits() -> None:
    assert [rounded(x) for x in (None, float("nan"), float("inf"), 0.0, 1.23456789e-7)] == [
        None,
        None,
        None,
        0.0,
        1.2346e-7,
    ]
