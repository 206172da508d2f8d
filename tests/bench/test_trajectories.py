"""Several trajectories and minibatches: which weights, which rows, whose noise, and what of it a run's folder keeps."""

from pathlib import Path
from typing import Any

import pytest
import torch

import bench.datasets
import estimators
from bench.config import EstimatorConfig
from bench.measure import stops, trajectory
from bench.measure.basket import BasketConfig
from bench.measure.encoder import Encoder, recorded
from bench.problems.vae import VAEConfig
from bench.records.results import Moments
from bench.run.checkpoints import Checkpoints
from bench.run.executors import inline
from bench.run.keeper import CellKeeper
from bench.run.limit import Limit
from bench.run.runner import run_suite
from bench.run.store import Store
from bench.run.weights import Weights
from bench.seeds import derive, stream
from bench.suite.load import override, parse_suite
from bench.suite.plan import plan
from bench.suite.schema import Suite
from bench.training.batches import shared_rows
from bench.training.checkpoint import State
from bench.training.settings import Optimisation
from estimators.errors import BadInput
from tests.bench.plain import measure_basket, measure_point

CPU = torch.device("cpu")
PROBLEM = VAEConfig(kind="vae", dataset="digits", family="bernoulli", latents=2)


def config(**more: Any) -> BasketConfig:
    settings: dict[str, Any] = {
        "draws": 30,
        "rows": 6,
        "checkpoints": (3, 0),
        "reference": EstimatorConfig(name="rloo", samples=2, label="rloo"),
        "reference_draws": 1000,
        "trajectory_seed": 4,
        "trajectories": 2,
        "minibatches": 3,
        "optimisation": Optimisation(learning_rate=0.05, batch=9),
    }
    return BasketConfig(**(settings | more))


@pytest.mark.parametrize("label", ["disarm", "reinforce[baseline=moving-average]"])
def test_each_point_is_of_its_trajectory_and_its_minibatch(label: str) -> None:
    """At the weights in half precision, on rows of its own, with noise of its own, as one trajectory alone would have
    it, an estimator with state as warm as it is there."""
    found = measure_basket(PROBLEM, estimators.create(label), config(), seed=21, device=CPU)
    assert [(p["trajectory"], p["step"], p["minibatch"]) for p in found["points"]] == [
        (t, step, k) for t in range(2) for step in (0, 3) for k in range(3)
    ]
    train, seen = bench.datasets.load("digits").train, []
    for point in found["points"]:
        seed, k = 4 + point["trajectory"], point["minibatch"]
        learner = estimators.create(label)
        learner.bind(stack=(1,), context_size=64, event=(2,), generator=stream("estimator", seed))
        alone = config(trajectory_seed=seed, trajectories=1, minibatches=1)
        model = next(s.model for s in trajectory.travel(PROBLEM, alone, CPU, learner) if s.step == point["step"])
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(p.half())
        x = shared_rows(train, 6, False, seed, k)[None]
        seen.append(x)
        with recorded(model.encoder_network()) as layers:
            q = model.encode(x)
        place = trajectory.Checkpoint(point["step"], PROBLEM, model, x[0], config(), (point["trajectory"], k))
        expected = measure_point(
            learner, q, model.objective(x), place.reference, draws=30, context=x, closed_form=model.closed_form,
            seed=derive("checkpoint", 21, point["step"], point["trajectory"], k), encoder=Encoder(q, layers),
        )  # fmt: skip
        where = {"step": point["step"], "elbo": place.elbo, "trajectory": point["trajectory"], "minibatch": k}
        assert point == expected | where
    assert not any(torch.equal(seen[0], other) for other in (seen[1], seen[2], seen[6]))
    assert torch.equal(seen[0], seen[3])  # the same rows at each step


def test_one_trajectory_with_one_minibatch_stays_what_it_was() -> None:
    """Neither setting is written, so that a cell's id, and all its noise, is that of earlier releases."""
    alone = config(trajectories=1, minibatches=1)
    assert not {"trajectories", "minibatches"} & alone.model_dump().keys()
    found = measure_basket(PROBLEM, estimators.create("disarm"), alone, seed=21, device=CPU)
    assert "weights" not in found and "trajectory" not in found["points"][0]


SUITE = """
name = "small"
problems = [{kind = "vae", dataset = "digits", family = "bernoulli", latents = 2}]
estimators = ["rloo", "reinforce[baseline=moving-average]", "reinforce[baseline=input-dependent]"]
[training]
steps = 3
batch = 9
[moments]
draws = 20
rows = 5
checkpoints = [0, 3]
trajectories = 2
minibatches = 2
references = ["rloo"]
"""


def suite() -> Suite:
    return parse_suite(SUITE.encode(), "small.toml")


def moments(folder: Path) -> dict[str, Moments]:
    return {record.config.estimator.label: record.result(Moments) for record in Store(folder).records()}


def forget() -> None:
    """As in another process."""
    stops._trained.cache_clear()
    stops._along.cache_clear()


def test_weights_are_kept_and_used_by_whoever_has_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another machine trains nothing again but estimators whose state is too large to be kept."""
    forget()
    assert run_suite(suite(), tmp_path, executor=inline).unwell == []
    first, files = moments(tmp_path), sorted((tmp_path / "weights").glob("*.pt"))
    assert len(files) == 2 + 2  # of each trajectory, and of the one estimator whose state is small
    assert len(first["rloo"].weights) == 2
    assert {found.weights for found in first.values()} == {first["rloo"].weights}
    forget()
    trained = []
    real = trajectory.travel

    def noted(*arguments: Any, **more: Any) -> Any:
        trained.append(arguments[3])
        return real(*arguments, **more)

    monkeypatch.setattr(stops, "travel", noted)
    monkeypatch.setattr("bench.run.keeper.machine_name", lambda device: "node7, a CPU")
    assert run_suite(suite(), tmp_path, executor=inline, force=True).unwell == []
    assert [repr(learner) for learner in trained] == 2 * ["reinforce[baseline=input-dependent,samples=1]"]
    assert moments(tmp_path) == first
    assert capsys.readouterr().err.count(f"takes the kept weights {files[0].name}: the machine was another") == 1


def test_damaged_weights_are_named_and_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = override(suite(), estimators=["rloo"])
    forget()
    run_suite(only, tmp_path, executor=inline)
    first, (one, other) = moments(tmp_path), sorted((tmp_path / "weights").glob("*.pt"))
    whole = one.read_bytes()
    for damaged in (whole[:-1], b"PK" + whole, whole.replace(whole[-40:-30], b"0123456789"), b""):
        one.write_bytes(damaged)
        forget()
        assert run_suite(only, tmp_path, executor=inline, force=True).unwell == []
        assert f"{one} " in (said := capsys.readouterr().err) and ", and is made anew" in said
        assert (moments(tmp_path), one.read_bytes()) == (first, whole)
    one.write_bytes(other.read_bytes())
    forget()
    run_suite(only, tmp_path, executor=inline, force=True)
    assert f"is of {other.stem}" in capsys.readouterr().err


def test_a_trajectory_that_diverged_measures_nothing(tmp_path: Path) -> None:
    wild = parse_suite((SUITE.replace("steps = 3", "steps = 3\nlearning_rate = 1e6")).encode(), "small.toml")
    forget()
    (record,) = run_suite(override(wild, estimators=["rloo"]), tmp_path, executor=inline).unwell
    assert "the reference trajectory diverged" in str(record.reason)
    assert not (tmp_path / "weights").exists()


class Mine(VAEConfig):
    """A problem of a person's own."""


Mine.__module__ = "mine"


def test_weights_of_a_persons_own_problem_are_made_anew_when_its_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its numbers may be others then, where a release of ours is held to the old ones by tests."""
    only = override(suite(), estimators=["rloo"])
    (cell,) = plan(only).cells
    kept = CellKeeper(cell, Checkpoints(tmp_path), Limit())
    made: list[int] = []

    def make() -> State:
        made.append(1)
        return {"0": {"w": torch.full((2,), float(len(made)))}}

    for of, source, expected in (([Mine], "a", 1.0), ([Mine], "a", 1.0), ([Mine], "b", 2.0), ([Mine], "b", 2.0)):
        monkeypatch.setattr("bench.run.keeper.source_of", lambda *classes, source=source: source)
        assert kept.shared("0" * 16, make, of=of)["0"]["w"].tolist() == [expected] * 2
    assert capsys.readouterr().err.count("the source of a class of your own changed, and is made anew") == 1
    monkeypatch.setattr("bench.run.keeper.source_of", lambda *classes: "c")
    assert kept.shared("1" * 16, make, of=[VAEConfig])["0"]["w"].tolist() == [3.0] * 2
    monkeypatch.setattr("bench.run.keeper.source_of", lambda *classes: "d")
    assert kept.shared("1" * 16, make, of=[VAEConfig])["0"]["w"].tolist() == [3.0] * 2


def test_of_two_processes_that_train_at_once_the_first_ones_weights_count(tmp_path: Path) -> None:
    (cell,) = plan(override(suite(), estimators=["rloo"])).cells
    kept = CellKeeper(cell, Checkpoints(tmp_path), Limit())

    def slow() -> State:
        CellKeeper(cell, Checkpoints(tmp_path), Limit()).shared("0" * 16, lambda: {"w": torch.ones(1)}, of=[])
        return {"w": torch.zeros(1)}

    assert kept.shared("0" * 16, slow, of=[])["w"].tolist() == [1.0]


def test_other_data_are_another_trajectory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = override(suite(), estimators=["rloo"])
    forget()
    run_suite(only, tmp_path, executor=inline)
    data = bench.datasets.load("digits")
    flipped = data._replace(train=1 - data.train)
    monkeypatch.setattr(VAEConfig, "data", lambda self: flipped)
    forget()
    before = moments(tmp_path)["rloo"].weights
    run_suite(only, tmp_path, executor=inline, force=True)
    assert not set(before) & set(moments(tmp_path)["rloo"].weights)
    assert len(list((tmp_path / "weights").glob("*.pt"))) == 4


def test_weights_that_do_not_fit_are_no_weights(tmp_path: Path) -> None:
    only = override(suite(), estimators=["rloo"])
    forget()
    run_suite(only, tmp_path, executor=inline)
    kept = Weights(tmp_path)
    for path in kept.folder.glob("*.pt"):
        header, state = kept.read(path.stem, {}) or (None, {})
        state["3"] = {name: value[..., :1] for name, value in state["3"].items()}
        kept.write(path.stem, header.made_by if header else {}, state, replace=True)
    forget()
    (record,) = run_suite(only, tmp_path, executor=inline, force=True).unwell
    assert "kept for step 3 are not those of this model" in str(record.reason)


def test_minibatches_that_are_all_rows_are_refused() -> None:
    whole = parse_suite(SUITE.replace("rows = 5", "rows = 1285").encode(), "small.toml")
    with pytest.raises(BadInput, match="1285 is the whole train split of digits"):
        plan(whole)
