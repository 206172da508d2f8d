"""Published numbers beside ours: what is exact is measured here again, and the page says what came of it."""

import csv
import json
import math
import random
from collections.abc import Iterator
from copy import copy
from pathlib import Path

import pytest
import torch
import typer

from bench.measure.exact import NotExact
from bench.published import AGREES, CANNOT_TELL, DIFFERS, Number, Table, tables
from bench.run.provenance import machine
from bench.studies.published import polynomials, quadratics
from bench.studies.published.__main__ import main
from bench.studies.published.judged import judged, row
from bench.studies.published.measure import measure, sampled_variance, scatter
from bench.studies.published.page import markdown
from bench.studies.results import Run, read, write

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


def no_draws(*_: object) -> None:
    """In the place of a pool of draws, where an integral is asked for and is not to be had at this budget."""
    raise NotExact("no draws")


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
    write(tmp_path / "published.json", read(RESULTS / "published.json"))
    main(tmp_path, redraw=True)
    for name in ("README.md", "published.csv", "published.json"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (RESULTS / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize(
    ("name", "least"),
    [("arms-one-bit", 4), ("hooper-quadratics", 20), ("mohamed-gaussians", 8), ("relax-one-bit", 2)],
)
def test_exact_cells_are_as_they_were_published_here(monkeypatch: pytest.MonkeyPatch, name: str, least: int) -> None:
    monkeypatch.setattr(quadratics, "BUDGET", BUDGET)
    monkeypatch.setattr(quadratics, "pool", no_draws)
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
    biases = [
        found for found in ROWS if found["table"] == "hooper-quadratics" and found["published_as"].startswith("STGS")
    ]
    biases = [found for found in biases if found["quantity"] == "squared bias"]
    below = [float(found["difference"]) / float(found["value"]) for found in biases]
    assert len(below) == 6
    assert all(0 < share < 0.08 for share in below)
    assert all(float(found["difference"]) < 1.5 * float(found["published_standard_error"]) for found in biases)


def test_a_sampled_variance_has_its_standard_error() -> None:
    """Of normal draws it is sqrt(2 / n) times the variance."""
    drawn = 3 * torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = sampled_variance(drawn)
    assert found.value == pytest.approx(9, rel=0.03)
    assert found.standard_error == pytest.approx(9 * math.sqrt(2 / 20_000), rel=0.1)


GUMBEL = "straight-through-gumbel-softmax[temperature=2.0]"
THREE = KNOWN["hooper-gumbel"].protocol_of(0).model_copy(update={"classes": 3})
"""No published setting: with three classes the integral takes a second."""


def test_draws_of_a_quadratic_are_those_that_are_integrated() -> None:
    """Squared bias and variance of draws beside the exact ones, and the source's, of equally many draws a class."""
    exact, drawn = quadratics.exact(THREE, GUMBEL), quadratics.pool(THREE, GUMBEL)
    for (name, found), many in zip(drawn.numbers(THREE).items(), drawn.simulated(1000), strict=True):
        assert abs(found.value - exact[name].value) < 4 * found.standard_error < 0.04 * found.value
        assert float(many.mean()) == pytest.approx(found.value, rel=0.02)


def test_the_jackknife_of_a_quadratic_is_the_spread_of_other_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quadratics, "DRAWS", 4000)
    whole, found = quadratics.Pool(THREE, GUMBEL), []
    for seed in range(60):
        generator, again = torch.Generator().manual_seed(seed), copy(whole)
        again.of_class = [part[torch.randint(len(part), (len(part),), generator=generator)] for part in whole.of_class]
        found.append([number.value for number in again.numbers(THREE).values()])
    spread = torch.tensor(found, dtype=torch.float64).std(0).tolist()
    told = [number.standard_error for number in whole.numbers(THREE).values()]
    assert told == pytest.approx(spread, rel=0.35)


def test_the_simulated_spread_of_a_published_number_shrinks_with_its_draws() -> None:
    few, many = (quadratics.pool(THREE, GUMBEL).simulated(draws) for draws in (1000, 9000))
    for one, other in zip(few, many, strict=True):
        assert float(one.std() / other.std()) == pytest.approx(3, rel=0.3)
    around = float((few[1] - quadratics.exact(THREE, GUMBEL)["variance"].value).square().mean().sqrt())
    assert scatter(THREE, GUMBEL, 1000)["variance"] == pytest.approx(around)


@pytest.mark.parametrize(
    ("cell", "inner", "temperature", "times", "seldom"),
    [(29, 1, 0.10023075482838653, 1000, (0.002, 0.03)), (32, 10, 1.0, 300, (0.0, 0.02))],
)
def test_the_formula_of_the_source_has_our_numbers_where_they_differ(
    cell: int, inner: int, temperature: float, times: int, seldom: tuple[float, float]
) -> None:
    """Drawn anew, in single precision as there, with a thousand conditional draws of each class, many times over: in
    the mean it has our squared bias and variance, and seldom one as large as was published.

    Given the class that was drawn, its score is that of an exponential number, and every other class came later.
    """
    table = KNOWN["hooper-gumbel"]
    protocol, published = table.protocol_of(cell - 1), table.cells[cell - 1]
    classes, draws = protocol.classes, 1000
    generator = torch.Generator().manual_seed(protocol.seed)
    root, b, eta = (torch.randn(*size, generator=generator) for size in ((classes, classes), (classes,), (classes,)))
    p, means, spreads = eta.softmax(0), [], []
    for one in range(classes):
        came = torch.empty(times, draws, inner, classes).exponential_(generator=generator)
        first = came[..., one, None] / eta.exp().sum()
        scores = -(came / eta.exp() + first).log()
        scores[..., one] = -first.squeeze(-1).log()
        soft, slope = (scores / temperature).softmax(-1), 2 * (root.T @ root)[one] + b
        drawn = (soft * (slope - (soft @ slope)[..., None]) / temperature).mean(-2).double()  # R x M x d
        means.append(drawn.mean(1))
        spreads.append(drawn.var(1))
    mean, variance = torch.stack(means, 1), torch.stack(spreads, 1)  # R x C x d
    sums = quadratics.Sums(torch.full((1,), draws), draws * mean, (draws - 1) * variance + draws * mean.square())
    true = quadratics.problem(classes, protocol.seed)[2]
    theirs = quadratics.rescaled(*sums.moments(p.double()[:, None]), true)
    pool = quadratics.pool(protocol, table.estimators[published.estimator])
    for name, found, ours in zip(protocol.quantities, theirs, pool.simulated(draws), strict=True):
        known = pool.numbers(protocol)[name].standard_error
        error = math.hypot(float(found.std()) / math.sqrt(times), float(ours.std()) / math.sqrt(len(ours)), known)
        assert abs(float(found.mean() - ours.mean())) < 4 * error, name
        if name == published.quantity:
            assert seldom[0] <= float((found >= published.value).double().mean()) <= seldom[1]


def test_what_differs_of_the_authors_draws_is_what_chance_makes_differ() -> None:
    said = {int(row["cell"]): row["verdict"] for row in ROWS if row["table"] == "hooper-gumbel"}
    assert [cell for cell, verdict in said.items() if verdict == DIFFERS] == [29, 32]
    assert len(said) == 150
    assert list(said.values()).count(AGREES) >= 75


def test_where_a_class_leaves_nothing_to_chance_its_draws_are_exact() -> None:
    """Straight-through: its variance is that between classes alone, whatever the draws of each."""
    exact, drawn = quadratics.exact(THREE, "straight-through"), quadratics.pool(THREE, "straight-through")
    for name, found in drawn.numbers(THREE).items():
        assert found.value == pytest.approx(exact[name].value, rel=1e-9)
        assert found.standard_error == pytest.approx(0, abs=1e-6)


def test_what_the_polynomials_are_of_is_what_their_file_says() -> None:
    """Values of the classes by the authors' formula; the first epoch's loss near that of uniform classes, by hand."""
    protocol = KNOWN["hooper-polynomials"].protocol_of(0)
    integers = protocol.model_copy(update={"embedding": "integers"})
    assert polynomials.values(integers).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert polynomials.values(protocol).tolist() == pytest.approx([1, 0.506847, 0, 0.738543], abs=1e-6)
    short = integers.model_copy(update={"steps": 2, "latents": 4000})
    uniform = sum(abs(i / 3 - 0.45) ** 1.5 for i in range(4)) / 4
    found = measure(short, "rloo")["loss"]
    assert abs(found.value - uniform) < 4 * found.standard_error < 0.02 * uniform
    assert scatter(short, "rloo", 4000)["loss"] == pytest.approx(found.standard_error)


def test_trainings_go_where_the_cost_is_least() -> None:
    """By an unbiased estimator, each power to its class: |1/3 - .45| is less than |2/3 - .45|."""
    protocol = KNOWN["hooper-polynomials"].protocol_of(0)
    fast = protocol.model_copy(
        update={"embedding": "integers", "learning_rate": 0.3, "steps": 60, "latents": 32, "epoch": 2}
    )
    for power in polynomials.POWERS:
        one = fast.model_copy(update={"power": power})
        least = (0.45 - 1 / 3) ** power
        assert measure(one, "local-expectation")["loss"].value == pytest.approx(least, rel=0.05)
    with pytest.raises(ValueError, match=r"power must be one of \(1.5, 2.0, 3.0\), got 4"):
        measure(fast.model_copy(update={"power": 4.0}), "rloo")


def test_the_first_epoch_of_a_published_training_is_made_here() -> None:
    """Those of one estimator, of both embeddings and all powers; what chance leaves open is less than a percent."""
    table, done = KNOWN["hooper-polynomials"], 0
    for found in ROWS:
        at = json.loads(found["at"])
        if (found["table"], found["estimator"], at.get("epoch")) != ("hooper-polynomials", "straight-through", 1):
            continue
        protocol = table.protocol_of(int(found["cell"]) - 1)
        assert measure(protocol, "straight-through")["loss"].value == pytest.approx(float(found["value"]), rel=1e-6)
        done += 1
    assert done == 2 * len(polynomials.POWERS)


def test_one_table_can_be_measured_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write(tmp_path / "published.json", read(RESULTS / "published.json"))
    monkeypatch.setattr("bench.studies.published.__main__.judged", lambda name, table: iter(()))
    main(tmp_path, only=["relax-one-bit"])
    runs = {run.name: run for run in read(tmp_path / "published.json").runs}
    assert [*runs] == [*KNOWN]
    assert [name for name, run in runs.items() if not run.rows] == ["relax-one-bit"]
    with pytest.raises(typer.BadParameter, match="unknown table 'relax'; did you mean 'relax-one-bit'"):
        main(tmp_path, only=["relax"])


def test_remarks_on_what_was_changed_are_right() -> None:
    """How many ARMS cells would agree were 5 % what matters; and that no verdict of Double CV's rests on our draws."""
    of = {name: [row for row in ROWS if row["table"] == name] for name in ("arms-one-bit", "double-cv-many-bits")}
    shares = [float(row["reach"]) / float(row["published"]) for row in of["arms-one-bit"]]
    apart = [abs(float(row["difference"])) > float(row["reach"]) for row in of["arms-one-bit"]]
    assert (len(shares), sum(apart)) == (92, 0)
    assert (sum(share <= 0.05 for share in shares), sum(share <= 0.1 for share in shares)) == (55, 71)
    fewer = []
    for found in of["double-cv-many-bits"]:
        half = (float(found["high"]) - float(found["low"])) / 2 / 1.96 * math.sqrt(20)
        spread = math.hypot(half, float(found["published_standard_error"]))
        fewer.append((float(found["published_error"]) + 2.5758 * spread) / float(found["published"]))
    assert int(of["double-cv-many-bits"][0]["n"]) == 400_000
    assert [round(100 * share, 1) for share in fewer[:2]] == [5.2, 5.2]
    assert fewer[2] > 0.1


def test_the_page_states_each_verdict(tmp_path: Path) -> None:
    """One cell of a table, off by a half; then sampled, and too coarse."""
    whole = KNOWN["mohamed-gaussians"]
    cell = whole.cells[0].model_copy(update={"value": whole.cells[0].value / 2})
    table = Table.model_validate(
        whole.model_dump() | {"cells": [cell.model_dump()], "estimators": {"score function": "reinforce"}}
    )
    rows = [*judged("made-up", table), row("made-up", table, 0, Number(500.0, 1.0), Number(490.0, 0.0, 100.0, 40), 1.0)]
    text = markdown({"made-up": table}, [Run(name="made-up", provenance=machine("cpu"), rows=tuple(rows))])
    assert "2 cells were measured, 1 of them exactly: 0 agree, 1 differ, and of 1 nobody can tell" in text
    assert "1 of 2 cells (numbers 1)" in text
    assert "| 228 ± 5.7 | 459.284 | +1e+02 % | 2.5 % | differs |" in text
    assert "| 500 ± 1 | 490 [294, 686], n = 40 | -2 % | 54 % | cannot tell at this budget |" in text
