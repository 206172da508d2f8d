"""What the studies share: rows of measured quantities, kept as JSON and published as tables; and that nothing else
depends on the studies, which no wheel holds."""

import csv
import io
import json
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench.studies import results
from bench.studies.overhead import __main__ as overhead
from bench.studies.peers import table
from bench.studies.results import Results, Row, Run
from bench.studies.scaling import page
from bench.studies.scaling.fit import fitted
from bench.studies.timing import targets

ROOT = Path(__file__).parents[2]


def test_repeated_measurements_have_their_median_quartiles_and_number() -> None:
    row = Row.repeated("time", [3.0, 1.0, 2.0, 5.0, 4.0], unit="s", case={"size": 7})
    assert (row.value, row.low, row.high, row.n, row.values) == (3, 2, 4, 5, (3, 1, 2, 5, 4))
    assert Row.repeated("time", [1.0, 2.0], keep=False).values == ()
    assert {"size": 7, "median": 3, "q25": 2, "q75": 4}.items() <= row.columns().items()


@pytest.mark.parametrize(
    ("at_least", "value", "bound", "met"),
    [
        (False, 2.0, "at most 2", "yes"),
        (False, 2.1, "at most 2", "no"),
        (True, 2.0, "at least 2", "yes"),
        (True, 1.9, "at least 2", "no"),
    ],
)
def test_a_row_meets_its_target_or_not(at_least: bool, value: float, bound: str, met: str) -> None:
    row = Row(quantity="ratio", value=value, target=2.0, at_least=at_least)
    assert (row.bound, row.met) == (bound, met)
    assert (Row(quantity="ratio", value=value).bound, Row(quantity="ratio", value=value).met) == ("", "")


def test_results_are_a_row_a_line_and_are_read_as_written(tmp_path: Path) -> None:
    rows = tuple(Row.repeated('"quantity":', [1.0, 2.0], case={"size": size}) for size in (1, 2))
    first, second = (Run(name=name, provenance={"cpu": "here"}, rows=rows) for name in "ab")
    written = Results().replaced(first).replaced(second)
    results.write(tmp_path / "all.json", written)
    assert results.read(tmp_path / "all.json") == written
    assert len((tmp_path / "all.json").read_text().splitlines()) == 1 + 4
    (tmp_path / "all.json").write_text('{"schema_version": 2, "runs": []}')
    with pytest.raises(ValidationError, match="schema_version"):
        results.read(tmp_path / "all.json")


def test_rows_of_a_case_are_found_together_in_order() -> None:
    rows = [Row(quantity=name, case={"size": size, "of": of}) for of in "xy" for size in (1, 2) for name in "st"]
    assert [(case, len(found)) for case, found in results.grouped(rows, "size")] == [({"of": "x"}, 4), ({"of": "y"}, 4)]


def test_a_csv_has_the_columns_asked_for_and_gaps() -> None:
    rows = [Row(quantity="verdict", case={"words": 'a, "b"'}), Row(quantity="bias", value=0.1, low=0.0, high=1.0 / 3)]
    text = results.csv([row.columns() for row in rows], ("quantity", "words", "value", "high"))
    read = list(csv.DictReader(io.StringIO(text)))
    assert list(read[0].values()) == ["verdict", 'a, "b"', "", ""]
    assert list(read[1].values()) == ["bias", "", "0.1", repr(1 / 3)]


def test_published_pages_are_made_of_the_published_measurements() -> None:
    """Texts, not figures, whose bytes depend on the fonts at hand."""
    (of_overhead,) = results.read(ROOT / "results/overhead/overhead.json").runs
    (of_peers,) = results.read(ROOT / "results/peers/peers.json").runs
    series = fitted(results.read(ROOT / "results/scaling/scaling.json"))
    timed = targets.rows(json.loads((ROOT / "results/timing-cpu/timing.json").read_text())["benchmarks"])
    made = {
        "overhead/overhead.md": overhead.markdown(of_overhead),
        "peers/peers.md": table.markdown(of_peers),
        "peers/peers.csv": results.csv(table.wide(of_peers)),
        "scaling/scaling.md": page.markdown(series),
        "timing-cpu/targets.md": targets.markdown(timed),
        "timing-cpu/targets.csv": targets.csv(timed),
    }
    for name, text in made.items():
        assert (ROOT / "results" / name).read_text() == text, name


def test_nothing_imports_the_studies_and_no_wheel_holds_them() -> None:
    others = [path for path in (ROOT / "bench").rglob("*.py") if "studies" not in path.relative_to(ROOT).parts]
    assert not [path for path in others if "bench.studies" in path.read_text()]
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["exclude"] == ["bench/studies"]
