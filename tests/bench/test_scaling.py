"""How cost grows: the fit against known power laws, what is published of made-up costs, and a tiny run; no timing."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest

from bench.measure import warm
from bench.run.provenance import machine
from bench.studies import results
from bench.studies.results import Results, Row, Run
from bench.studies.scaling import measure as measurement
from bench.studies.scaling.__main__ import NAME, publish
from bench.studies.scaling.factors import FACTORS, Factor, Growth, Quantity
from bench.studies.scaling.fit import fit, power_law, series_of
from bench.studies.scaling.measure import PAGE, measure
from estimators import available

SIZES = tuple(2**k for k in range(9))


def made_up(
    costs: list[float], subject: str = "rloo", quantity: Quantity = "seconds", expected: Growth = "linear"
) -> list[Row]:
    """A series of these costs, each measured as often with a little more and a little less."""
    about = {"subject": subject, "setting": "nothing", "expected": expected, "threads": 1}
    return [
        Row.repeated(quantity, [cost * part for part in (0.99, 1, 1.01)], case=about | {"size": size})
        for size, cost in zip(SIZES, costs, strict=True)
    ]


def recorded(name: str, *series: list[Row]) -> Run:
    about = {"unit": name, "method": "made up", "seconds": 1.0}
    return Run(name=name, provenance=machine("cpu"), about=about, rows=tuple(row for rows in series for row in rows))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_a_power_law_is_found_exactly(exponent: float) -> None:
    found, log_factor = power_law(SIZES, [3 * size**exponent for size in SIZES])
    assert found == pytest.approx((exponent, exponent, exponent))
    assert math.exp(log_factor) == pytest.approx(3)


def test_its_interval_covers_as_often_as_it_says() -> None:
    generator = np.random.default_rng(20221022)
    costs = np.array(SIZES) * np.exp(0.1 * generator.standard_normal((2000, len(SIZES))))
    found = [power_law(SIZES, row)[0] for row in costs]
    covered = np.mean([interval.low <= 1 <= interval.high for interval in found])
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / len(found))


def test_a_constant_overhead_is_left_out_of_the_fit() -> None:
    found = fit(made_up([4 + size for size in SIZES]))
    assert found.sizes == (16, 32, 64, 128, 256) and not found.everything
    assert 0.85 < found.exponent.estimate < 1
    assert found.exponent.estimate < found.local.estimate < 1


def test_all_sizes_are_fitted_where_few_lie_above_the_overhead() -> None:
    found = fit(made_up([7.0 for _ in SIZES]))
    assert found.everything and found.sizes == SIZES
    assert found.exponent == pytest.approx((0, 0, 0), abs=1e-12)


def test_growth_beyond_the_limit_is_told_from_linear_and_from_late() -> None:
    assert fit(made_up([float(size) for size in SIZES])).kept == "yes"
    assert fit(made_up([size**1.3 for size in SIZES])).kept == "no"
    assert fit(made_up([float(max(100, 2 * size, size**2 / 32)) for size in SIZES])).kept == "late"
    assert fit(made_up([size * (2.0 if size in (4, 32) else 1.0) for size in SIZES])).kept == "open"
    assert fit(made_up([5.0 for _ in SIZES], expected="constant")).kept == "yes"
    assert fit(made_up([size**0.5 for size in SIZES], expected="constant")).kept == "no"


def test_two_sizes_have_no_interval() -> None:
    two = made_up([1.0 for _ in SIZES])
    with pytest.raises(ValueError, match="at least 3 sizes, got 2"):
        fit(two[:2])


def test_measurements_are_read_as_they_were_written(tmp_path: Path) -> None:
    first, other = recorded("draws", made_up([1.0 for _ in SIZES])), recorded("batch", made_up([2.0 for _ in SIZES]))
    scaling = Results().replaced(first).replaced(other)
    results.write(tmp_path / NAME, scaling)
    assert results.read(tmp_path / NAME) == scaling
    again = recorded("draws", made_up([3.0 for _ in SIZES]))
    assert scaling.replaced(again).runs == (again, other)
    assert results.read(tmp_path / "nowhere" / NAME) == Results()


def test_tables_and_figures_are_made_of_the_measurements_alone(tmp_path: Path) -> None:
    linear = made_up([1e-3 * (4 + size) for size in SIZES])
    square = made_up([1e-3 * size**2 for size in SIZES], "vimco")
    memory = made_up([1e7 for _ in SIZES], "rloo", "bytes", "constant")
    runs = (recorded("draws", linear, memory), recorded("samples", linear, square))
    results.write(tmp_path / NAME, Results(runs=runs))
    publish(tmp_path)
    for name in ("draws", "draws-memory", "samples"):
        assert (tmp_path / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (tmp_path / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    table = list(csv.DictReader(io.StringIO((tmp_path / "scaling.csv").read_text())))
    assert [row["subject"] for row in table] == ["rloo", "rloo", "rloo", "vimco"]
    assert [row["kept"] for row in table] == ["yes", "yes", "yes", "no"]
    assert float(table[3]["exponent"]) == pytest.approx(2)
    assert table[0]["sizes"] == " ".join(map(str, SIZES)) and table[0]["n"] == "5"
    text = (tmp_path / "scaling.md").read_text()
    assert "- samples, vimco, time: exponent 2.0" in text
    captions = (tmp_path / "figures" / "captions.md").read_text()
    assert captions.count("Student's 95 % interval") >= 3 and "n = 5 sizes" in captions


def thin(factor: Factor) -> Factor:
    """The smallest sizes alone, once each; one of what needs fresh processes, and of an estimator that first learns."""
    learn = {entry.name for entry in available() if entry.own_parameters}
    timed = [
        case._replace(sizes=case.sizes[: 1 if case.subject in learn else 3])
        for case in factor.cases
        if case.quantity == "seconds"
    ]
    sized = [case._replace(sizes=case.sizes[:1]) for case in factor.cases if case.quantity == "bytes"]
    return factor._replace(cases=(*timed, *sized[:1]), rounds=1, repeats=1)


@pytest.mark.parametrize("name", FACTORS)
def test_each_factor_can_be_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "WARM_UP", 0)
    monkeypatch.setattr(warm, "LEARNING", 20)
    factor = thin(FACTORS[name])
    run = measure(factor)
    assert run.name == name and run.provenance["threads"] == 1
    found = list(series_of(run))
    assert [about["subject"] for about, _ in found] == [case.subject for case in factor.cases]
    for case, (_, points) in zip(factor.cases, found, strict=True):
        assert [point.case["size"] for point in points] == list(case.sizes)
        assert all(point.n == 1 and point.low <= point.value <= point.high for point in points)
        assert all(value > 0 for point in points for value in point.values)
        if case.quantity == "bytes":
            assert points[0].value > PAGE  # else the process that was called used no more than the other
    assert Run.model_validate_json(run.model_dump_json(exclude_unset=True)) == run


def test_sizes_span_two_decades_or_what_memory_allows() -> None:
    for factor in FACTORS.values():
        assert all(len(case.sizes) >= 5 and case.sizes[-1] >= 64 * case.sizes[0] for case in factor.cases)
