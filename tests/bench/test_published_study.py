"""Published numbers beside ours: what is exact is measured here again, and the page says what came of it."""

import csv
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.measure.exact import NotExact
from bench.published import AGREES, CANNOT_TELL, DIFFERS, Number, Table, tables
from bench.run.provenance import machine
from bench.studies.published import quadratics
from bench.studies.published.__main__ import main
from bench.studies.published.judged import judged, row
from bench.studies.published.measure import measure, sampled_variance, scatter
from bench.studies.published.page import markdown
from bench.studies.results import Results, Run, read, write

RESULTS = Path(__file__).parents[2] / "results/published"
KNOWN = tables()
STEP = 100
"""The last step of a descent that is made here."""
BUDGET = 1e5
"""Of an integral, here: the few that take ten seconds are left to the study."""


def published() -> list[dict[str, str]]:
    with (RESULTS / "published.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = published()


def exact_cells(name: str) -> Iterator[dict[str, str]]:
    """Of a table, one cell of each estimator and quantity, drawn among those that are exact."""
    seen = set()
    for found in random.Random(0).sample(ROWS, len(ROWS)):
        at = json.loads(found["at"])
        kind = (found["estimator"], found["quantity"], at.get("lacks_factor"))
        if found["table"] == name and found["method"] == "exact" and at.get("step", 0) <= STEP and kind not in seen:
            seen.add(kind)
            yield found


def test_what_is_published_here_is_of_the_tables_as_they_are() -> None:
    """Where a table changes, `python -m bench.studies.published results/published` makes the results anew."""
    now = [(name, place, table) for name, table in KNOWN.items() for place in range(len(table.cells))]
    assert len(ROWS) == len(now)
    for found, (name, place, table) in zip(ROWS, now, strict=True):
        cell = table.cells[place]
        assert (found["table"], found["quantity"], found["protocol"]) == (name, cell.quantity, table.hash_of(place))
        spread = found["published_standard_error"]
        number = table.number(place, float(spread) if spread else None)
        assert float(found["published"]) == number.value
        assert float(found["published_error"]) == pytest.approx(number.error)
        assert float(found["matters"]) == pytest.approx(table.matters.of(cell.value))


def test_the_page_and_the_csv_file_are_those_of_the_measurements(tmp_path: Path) -> None:
    (run,) = read(RESULTS / "published.json").runs
    write(tmp_path / "published.json", Results().replaced(run))
    main(tmp_path, redraw=True)
    for name in ("README.md", "published.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (RESULTS / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize(
    ("name", "least"),
    [("arms-one-bit", 4), ("hooper-quadratics", 20), ("mohamed-gaussians", 8), ("relax-one-bit", 2)],
)
def test_exact_cells_are_as_they_were_published_here(monkeypatch: pytest.MonkeyPatch, name: str, least: int) -> None:
    monkeypatch.setattr(quadratics, "BUDGET", BUDGET)
    table, done = KNOWN[name], 0
    for found in exact_cells(name):
        place = int(found["cell"]) - 1
        cell = table.cells[place]
        try:
            ours = measure(table.protocol_of(place), table.estimators[cell.estimator])[cell.quantity]
        except NotExact:
            continue
        assert ours.standard_error == 0.0
        assert ours.value == pytest.approx(float(found["value"]), rel=1e-6, abs=1e-12), found
        spread = found["published_standard_error"]
        again = row(name, table, place, table.number(place, float(spread) if spread else None), ours, 0.0)
        assert again.case["verdict"] == found["verdict"]
        done += 1
    assert done >= least


def test_verdicts_of_relax_turn_on_the_factor_that_its_program_lacks() -> None:
    said = {True: set(), False: set()}
    for found in ROWS:
        at = json.loads(found["at"])
        if found["table"] == "relax-one-bit" and 100 <= at["step"] <= 2000:
            said[at["lacks_factor"]].add(found["verdict"])
    assert said == {True: {AGREES}, False: {DIFFERS}}


def test_all_that_the_authors_enumerated_agrees() -> None:
    table = KNOWN["hooper-quadratics"]
    said = [found["verdict"] for found in ROWS if found["table"] == "hooper-quadratics"]
    sampled = [cell.estimator in table.sampled for cell in table.cells]
    assert [verdict for verdict, drawn in zip(said, sampled, strict=True) if not drawn] == [AGREES] * 180
    assert {verdict for verdict, drawn in zip(said, sampled, strict=True) if drawn} == {CANNOT_TELL}


def test_a_sampled_variance_has_its_standard_error() -> None:
    """Of normal draws it is sqrt(2 / n) times the variance."""
    import torch

    drawn = 3 * torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = sampled_variance(drawn)
    assert found.value == pytest.approx(9, rel=0.03)
    assert found.standard_error == pytest.approx(9 * math.sqrt(2 / 20_000), rel=0.1)


def test_the_simulated_spread_of_a_published_number_shrinks_with_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadratics, "REPETITIONS", 100)
    protocol = KNOWN["hooper-quadratics"].protocol_of(2)
    few, many = (scatter(protocol, "straight-through", draws)["squared bias"] for draws in (1000, 9000))
    assert few / many == pytest.approx(3, rel=0.3)


def test_the_page_states_each_verdict(tmp_path: Path) -> None:
    """One cell of a table, off by a half; then sampled, and too coarse."""
    whole = KNOWN["mohamed-gaussians"]
    cell = whole.cells[0].model_copy(update={"value": whole.cells[0].value / 2})
    table = Table.model_validate(
        whole.model_dump() | {"cells": [cell.model_dump()], "estimators": {"score function": "reinforce"}}
    )
    rows = [*judged("made-up", table), row("made-up", table, 0, Number(500.0, 1.0), Number(490.0, 0.0, 100.0, 40), 1.0)]
    text = markdown({"made-up": table}, Run(name="published", provenance=machine("cpu"), rows=tuple(rows)))
    assert "2 cells were measured, 1 of them exactly: 0 agree, 1 differ, and of 1 nobody can tell" in text
    assert "1 of 2 cells (numbers 1)" in text
    assert "| 228 ± 5.7 | 459.284 | +1e+02 % | 2.5 % | differs |" in text
    assert "| 500 ± 1 | 490 [294, 686], n = 40 | -2 % | 54 % | cannot tell at this budget |" in text
