"""Records as types: what null stands for, what earlier releases left out, and what later ones wrote."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.records.record import Newer, Record, read
from bench.records.results import Moments, Time, Training
from bench.records.values import plain
from bench.run import archive
from bench.run.cell import measure
from bench.run.executors import inline
from bench.run.planned import read_plan
from bench.run.runner import run_suite
from bench.run.status import status
from bench.run.store import Store
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from tests.bench.executors import Executing
from tests.bench.records import BERNOULLI, VAE, moments, timing, train
from tests.bench.test_suite import SMALL

RESULTS = Path(__file__).parents[2] / "results"
MODELS = {"moments": Moments, "train": Training, "time": Time}


@pytest.mark.parametrize("run", ["quick", "mnist-linear", "mnist-linear-elbo", "timing-h100"])
def test_what_is_written_is_what_was_read(run: str) -> None:
    """Every key and every number of published records, through the record and through its typed result."""
    for content in archive.unpack(RESULTS / run / "cells.zip").values():
        given = json.loads(content)
        record = read(given)
        assert plain(record) == given
        assert plain(record.result(MODELS[record.kind])) == given["measurements"]


def test_a_training_that_does_not_say_its_rows_may_end_on_others_than_its_curve() -> None:
    """As those of the first release do, whose final test ELBO is of all test rows."""
    found = [json.loads(each) for each in archive.unpack(RESULTS / "disarm-linear-20k" / "cells.zip").values()]
    trainings = [record["measurements"] for record in found if record["config"]["measurement"]["kind"] == "train"]
    assert len(trainings) == 4
    for measured in trainings:
        assert measured["final"]["test_elbo"] != measured["curve"]["test_elbo"][-1]
        assert Training.misfit(measured) == ""
        said = measured | {"evaluated_rows": {"train": 1000, "test": 1000}}
        assert Training.misfit(said) == ".final.test_elbo is not the last of curve.test_elbo"
        other = measured | {"final": measured["final"] | {"train_elbo": measured["final"]["test_elbo"]}}
        assert Training.misfit(other) == ".final.train_elbo is not the last of curve.train_elbo"


def of(measurements: dict[str, Any], kind: str = "moments") -> Record:
    make = {"moments": moments, "train": train, "time": timing}[kind]
    return read(make(np.random.default_rng(0), VAE, BERNOULLI[0]) | {"measurements": measurements})


def test_null_is_the_infinity_or_the_nan_that_it_stood_for() -> None:
    def variance(**ends: Any) -> Any:
        return of({"points": [{"q": {"variance": ends}}]}).result(Moments).points[0].q.variance

    assert variance(estimate=2.0, low=0.0, high=None, log_se=None).high == math.inf
    assert variance(estimate=2.0, low=0.0, high=None, log_se=None).log_se == math.inf
    assert all(map(math.isnan, dict(variance(estimate=None, low=None, high=None, log_se=None)).values()))
    ratios = [
        of({"ratio": ratio}, "time").result(Time).ratio for ratio in ({"log_se": None}, {}, {"log_se": 0.5}, None)
    ]
    assert [ratio and ratio.log_se for ratio in ratios[::2]] == [math.inf, 0.5]
    assert math.isnan(ratios[1].log_se) and ratios[3] is None
    empty = of({}).result(Moments), of({}, "train").result(Training), of({}, "time").result(Time)
    assert (empty[0].points, empty[1].seeds, empty[2].load) == ((), (), ())


def test_a_bias_of_an_earlier_release_gets_what_would_have_shown() -> None:
    """Half of the interval's width, to the root and over the gradient's norm: sqrt(8 / 2) / 4."""
    bias = {"squared": {"estimate": 1.0, "low": -3.0, "high": 5.0}}
    record = of(
        {"points": [{"q": {"gradient_norm": 4.0}, "bias": bias}, {"q": {"gradient_norm": 0.0}, "bias": bias}, {}]}
    )
    first, flat, bare = (point.bias.smallest_visible for point in record.result(Moments).points)
    assert first == 0.5
    assert math.isnan(flat) and math.isnan(bare)
    kept = of({"points": [{"q": {"gradient_norm": 4.0}, "bias": bias | {"smallest_visible": None}}]})
    assert math.isnan(kept.result(Moments).points[0].bias.smallest_visible)


@pytest.mark.parametrize("force", [False, True])
def test_a_record_of_a_later_release_is_never_written_over(tmp_path: Path, force: bool) -> None:
    suite = override(parse_suite(SMALL.encode(), "small.toml"), estimators=["rloo"])
    path = Store(tmp_path).path(plan(suite).cells[0].id)
    path.parent.mkdir()
    record = moments(np.random.default_rng(0), VAE, BERNOULLI[0]) | {"cell": path.stem, "schema": 3}
    path.write_text(json.dumps(record))
    with pytest.raises(Newer):
        run_suite(suite, tmp_path, executor=inline, force=force)
    assert [found.name for found in tmp_path.rglob("*")] == ["cells", path.name]
    assert json.loads(path.read_text()) == record


def test_a_plan_is_of_the_suite_that_lies_beside_it(tmp_path: Path) -> None:
    suite = override(parse_suite(SMALL.encode(), "small.toml"), estimators=["rloo"])
    run_suite(suite, tmp_path, executor=Executing(lambda cells, run: iter(())))
    ids = {cell.id for cell in plan(suite).cells}
    assert read_plan(tmp_path) == ids
    before = status(tmp_path)
    noted = tmp_path / "plan.json"
    whole = noted.read_text()
    for torn in ("", whole[:-3], "[]", "{}"):
        noted.write_text(torn)
        assert read_plan(tmp_path) is None
        assert status(tmp_path) | {"seconds_left": before["seconds_left"]} == before  # what cells cost was noted there
    noted.write_text(whole)
    assert read_plan(tmp_path) == ids
    file = tmp_path / "suite.toml"
    file.write_text(file.read_text() + "# edited\n")
    assert read_plan(tmp_path) is None


def test_numbers_of_numpy_and_torch_are_numbers_and_other_things_are_refused() -> None:
    given = {"a": np.float32(1.5), "b": torch.tensor(2), "c": [np.int64(3), math.inf], "d": None, "e": "word"}
    assert plain(given) == {"a": 1.5, "b": 2, "c": [3, None], "d": None, "e": "word"}
    with pytest.raises(TypeError, match="numbers, words, lists and tables of them, not a Tensor"):
        plain({"t": torch.ones(2)})


@pytest.mark.parametrize(("result", "words"), [(None, "run returned a NoneType"), ({"t": torch.ones(2)}, "a Tensor")])
def test_what_an_own_measurement_returns_is_checked_where_its_cell_can_fail(result: Any, words: str) -> None:
    measurement = SimpleNamespace(asks=object, kind="own", run=lambda *_, **__: result)
    problem = SimpleNamespace(kind="toy", estimator=lambda config: None)
    cell: Any = SimpleNamespace(measurement=measurement, problem=problem, estimator=None, id="0" * 16, device="cpu")
    with pytest.raises(TypeError, match=words):
        measure(cell)
