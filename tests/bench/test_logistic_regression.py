"""Bayesian logistic regression: its data, what it integrates exactly, what it is measured against, what it refuses."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

import bench.datasets
from bench.config import EstimatorConfig
from bench.datasets import DataError, Dataset, DatasetInfo, assemble
from bench.measure.basket import BasketConfig
from bench.measure.elbo import TrainConfig
from bench.problems import logistic_regression
from bench.problems.logistic_regression import LogisticRegression, Posterior
from bench.problems.vae import VAEConfig
from bench.report.summary import summarise
from bench.report.tables import elbo
from bench.run.cell import run_cell
from bench.seeds import stream
from bench.suite.load import parse_suite
from bench.suite.plan import plan
from bench.training.evaluation import evaluate
from bench.training.noise import Noted
from bench.training.settings import Optimisation
from estimators import BadInput, create
from estimators.exact import expectation
from tests.bench.plain import measure_basket, measure_training
from tests.bench.records import quick

CPU = torch.device("cpu")
PROBLEM = LogisticRegression.model_validate({"kind": "logistic-regression", "dataset": "breast-cancer"})


def test_the_data_are_those_of_scikit_learn_standardised() -> None:
    sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="compares with scikit-learn's own copy")
    theirs = sklearn_datasets.load_breast_cancer()
    features = (theirs.data - theirs.data.mean(0)) / theirs.data.std(0)
    rows, remainder = np.column_stack([features, theirs.target]), np.arange(569) % 7
    split, whole = bench.datasets.load("breast-cancer"), bench.datasets.load("breast-cancer-whole")
    for part, expected in (
        (split.train, rows[remainder < 5]),
        (split.valid, rows[remainder == 5]),
        (split.test, rows[remainder == 6]),
        (whole.train, rows),
        (whole.valid, rows[:0]),
        (whole.test, rows),
    ):
        assert np.allclose(part.numpy(), expected, rtol=1e-6, atol=1e-6)
        assert not len(part) or set(part[:, -1].tolist()) == {0.0, 1.0}


def small(rows: Tensor, entropy: str = "analytic", stack: int = 1) -> Posterior:
    """A model of rows [N, D] of D - 1 features and the class."""
    problem = PROBLEM.model_copy(update={"latents": rows.shape[-1], "entropy": entropy})
    return Posterior(problem, len(rows), stack).double()


ROWS = torch.tensor([[0.4, 1.0], [-2.3, 0.0], [1.1, 0.0], [3.0, 1.0], [-0.2, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("entropy", ["analytic", "sampled"])
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (0.3, 0.1), (-2.0, 3.0), (6.0, 0.01), (1.0, 20.0)])
def test_the_expectation_and_its_gradient_are_exact(entropy: str, loc: float, scale: float) -> None:
    """Against a product rule over both weights, which at a scale of 20 has kinks of log sigmoid between its nodes."""
    model = small(ROWS, entropy)
    with torch.no_grad():
        model.loc += torch.tensor([loc, -0.5 * loc])
        model.log_scale += torch.tensor([math.log(scale), math.log(scale) - 0.3])
    q, x = model.encode(ROWS[None]), ROWS[None]
    found, expected = model.expectation(x, q), expectation(q, model.objective(x), nodes=200)
    assert found.shape == expected.shape == (1, 1)
    tolerance = 1e-9 if scale < 2 else 2e-3
    assert found.item() == pytest.approx(expected.item(), rel=tolerance)
    ours, theirs = (
        torch.autograd.grad(value.sum(), [model.loc, model.log_scale], retain_graph=True) for value in (found, expected)
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, rtol=tolerance, atol=tolerance * float(other.abs().max()))


@pytest.mark.parametrize(
    ("loc", "scale"), [(0.3, 1e-5), (-2.0, 4.9), (-2.0, 5.1), (0.5, 50.0), (40.0, 30.0), (3.0, 300.0), (-700.0, 900.0)]
)
def test_a_logit_is_integrated_however_wide_it_is(loc: float, scale: float) -> None:
    """Also where log sigmoid is all but the lesser of 0 and its argument, between whose points a rule would step."""
    step = min(0.01, scale / 20)
    u = np.arange(loc - 12 * scale, loc + 12 * scale, step)
    density = np.exp(-(((u - loc) / scale) ** 2) / 2) * step / (scale * math.sqrt(2 * math.pi))
    upper = 1 / (1 + np.exp(np.clip(u, -700, 700)))  # the derivative of log sigmoid
    expected = (-np.logaddexp(0, -u) * density).sum(), (upper * density).sum(), (upper * (u - loc) * density).sum()

    model = small(torch.tensor([[0.0, 1.0]], dtype=torch.float64))
    with torch.no_grad():
        model.loc[..., 1], model.log_scale[..., 1] = loc, math.log(scale)
    found = -model.expectation(torch.tensor([[[0.0, 1.0]]], dtype=torch.float64), model.encode(ROWS[None])).sum()
    of_loc, of_log_scale = (g[0, 0, 1] for g in torch.autograd.grad(found, [model.loc, model.log_scale]))
    assert (found.item(), of_loc.item(), of_log_scale.item()) == pytest.approx(expected, rel=1e-9)


def test_no_more_is_held_for_many_rows_than_the_points_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan says a few numbers a row; the points of one row's logit are hundreds."""
    rows = torch.randn(500, 2, generator=stream("rows"), dtype=torch.float64)
    rows[:, 1] = (rows[:, 1] > 0).double()
    model, saved = small(rows), list[int]()
    whole = model.expectation(rows[None], model.encode(rows[None]))
    (expected,) = torch.autograd.grad(whole.sum(), model.loc)

    def packed(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    monkeypatch.setattr(logistic_regression, "ROWS_AT_ONCE", 50)
    with Noted() as noted, torch.autograd.graph.saved_tensors_hooks(packed, lambda tensor: tensor):
        found = model.expectation(rows[None], model.encode(rows[None]))
    assert noted.largest <= 50 * 500 and sum(saved) < 40 * len(rows)
    assert torch.allclose(found, whole) and torch.allclose(torch.autograd.grad(found.sum(), model.loc)[0], expected)
    with torch.no_grad(), Noted() as noted:
        evaluate(model, rows, samples=1, seed=0)
    assert noted.largest <= 50 * 500


def test_the_rows_of_a_batch_stand_for_all() -> None:
    """The mean of the loss over all batches of two of the five rows is the loss of the five, whatever z is."""
    model, z = small(ROWS, "sampled", stack=2), torch.randn(3, 2, 1, 2, generator=stream("z"), dtype=torch.float64)
    q = model.encode(ROWS[None])

    def loss(rows: Tensor) -> Tensor:
        return model.objective(rows.expand(2, *rows.shape))(z, q)

    pairs = torch.combinations(torch.arange(5), 2)
    assert torch.allclose(torch.stack([loss(ROWS[pair]) for pair in pairs]).mean(0), loss(ROWS))
    by_hand = torch.zeros(3, 2, 1, dtype=torch.float64)
    for feature, kind in ROWS:
        logit = z[..., 0] * feature + z[..., 1]
        by_hand -= (torch.sigmoid(logit) if kind else 1 - torch.sigmoid(logit)).log()
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert torch.allclose(loss(ROWS), by_hand + q.log_prob(z).sum(-1) - prior)


def test_what_is_evaluated_is_the_elbo_over_the_number_of_rows_and_no_bound_of_many_samples() -> None:
    """Both entropies have one ELBO; no draw is in it."""
    values = []
    for entropy in ("analytic", "sampled"):
        model = small(ROWS, entropy, stack=2)
        with torch.no_grad():
            model.loc[1] += 0.7
        x = ROWS.expand(2, 5, 2)
        q = model.encode(x)
        closed = model.closed_form(q)
        whole = model.expectation(x, q) + (0 if closed is None else closed)
        for seed in (0, 1):
            found, iwae = evaluate(model, ROWS, samples=3, seed=seed)
            assert torch.allclose(found, -whole[:, 0] / 5)
            assert iwae.isnan().all()
        values.append(found)
    assert torch.equal(*values)


@pytest.mark.parametrize("label", ["reparameterization", "rloo", "measure-valued", "delta-method"])
def test_gradients_are_held_against_the_exact_one(label: str) -> None:
    """At the start, along a training, and with all estimators proved unbiased there."""
    config = BasketConfig(
        draws=2000,
        rows=30,
        checkpoints=(0, 60),
        reference=EstimatorConfig(name="reparameterization", samples=50, label="reparameterization"),
        reference_draws=1000,
        trajectory_seed=0,
        optimisation=Optimisation(batch=32, optimiser="sgd", learning_rate=1e-3, steps=60, compile=False),
    )
    points = measure_basket(PROBLEM, create(label, samples=16), config, seed=3, device=CPU)["points"]
    assert [point["bias"]["reference"] for point in points] == ["quadrature"] * 2
    for point in points:
        assert point["bias"]["p_value"] > 1e-4
        assert point["bias"]["squared"]["low"] <= point["bias"]["squared"]["estimate"]
    assert points[1]["elbo"] > points[0]["elbo"] + 1


def test_training_reaches_the_best_mean_field_normal() -> None:
    """Held against a descent along the exact gradient of the ELBO of all rows."""
    data = PROBLEM.data()
    model = PROBLEM.model(data, [0]).double()
    x = data.train[None].double()
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        q = model.encode(x)
        closed = model.closed_form(q)
        assert closed is not None
        total = (model.expectation(x, q) + closed).sum() / len(data.train)
        total.backward()
        return total

    optimiser.step(loss)
    best = -float(loss().detach())
    config = TrainConfig(
        evaluations=1, seeds=2,
        optimisation=Optimisation(steps=1500, batch=32, learning_rate=0.02, schedule="quarter-cosine", compile=False),
    )  # fmt: skip
    found = measure_training(PROBLEM, create("reparameterization", samples=4), config, seed=0, device=CPU)
    for value in found["final"]["train_elbo"]:
        assert best - 3e-3 < value < best
    assert found["final"]["test_iwae"] == [None, None] and found["diverged"] == [None, None]


SUITE = """
name = "mine"
problems = [{problem}]
estimators = ["rloo"]
[elbo]
"""


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ('{kind = "logistic-regression", dataset = "digits"}',
         "data set 'digits' holds images, and a logistic regression takes features and a class, such as breast-cancer: "
         "name another data set, or say images=False in the description of your own"),
        ('{kind = "logistic-regression", dataset = "breast-cancr"}', "did you mean 'breast-cancer'"),
        ('{kind = "logistic-regression", dataset = 3}',
         "mine.toml: problems.0.dataset: Input should be a valid string, got 3"),
        ('{kind = "logistic-regression"}', "mine.toml: problems.0.dataset is missing"),
        ('{kind = "logistic-regression", dataset = "breast-cancer", latents = 30}',
         "latents are the weights of the 30 features of breast-cancer and a bias, 31, not 30: leave them out"),
        ('{kind = "logistic-regression", dataset = "breast-cancer", bound = "iwae", importance_samples = 5}',
         'bound = "iwae" is of latents that a row has of its own; these are shared'),
        ('{kind = "logistic-regression", dataset = "breast-cancer", family = "bernoulli"}', "'gaussian'"),
        ('{kind = "vae", dataset = "breast-cancer", family = "gaussian", latents = 2}',
         "data set 'breast-cancer' holds no images, and the VAE's likelihood is of their bits"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(problem: str, said: str) -> None:
    with pytest.raises(BadInput) as fault:
        parse_suite(SUITE.format(problem=problem).encode(), "mine.toml")
    assert said in str(fault.value) and "\n" not in str(fault.value) and "more)" not in str(fault.value)


def test_the_number_of_latents_may_be_given() -> None:
    given = LogisticRegression(kind="logistic-regression", dataset="breast-cancer", latents=31)
    assert given == PROBLEM and given.label == "breast-cancer/logistic-regression/gaussian-31"


INFO = DatasetInfo(
    name="mine", summary="made here", shape=(1, 2), rows=(2, 0, 1), dynamic=False, licence="none", citation="none",
    files=(),
)  # fmt: skip


def test_a_class_is_0_or_1() -> None:
    data = Dataset("mine", torch.ones(2, 2), torch.ones(0, 2), torch.tensor([[1.0, -1.0]]), False, INFO)
    with pytest.raises(ValueError, match="the last number of a row of mine is its class, 0 or 1, and one is -1"):
        PROBLEM.model(data, [0])


def test_what_is_no_image_says_so() -> None:
    """Neither a VAE on values outside of [0, 1], nor anything on numbers that are none, trains in silence."""
    rows: Any = [torch.tensor([[0.0, 1.0], [0.5, 1.2]]), torch.ones(0, 2), torch.ones(1, 2)]
    with pytest.raises(DataError, match=r"train rows hold values outside of \[0, 1\].*images=False"):
        assemble(INFO, *rows)
    free = DatasetInfo(**{**INFO.__dict__, "images": False})
    assert assemble(free, *rows).train[1, 1] == pytest.approx(1.2)
    rows[2][0, 0] = math.nan
    with pytest.raises(DataError, match="test rows hold numbers that are not finite"):
        assemble(free, *rows)
    assert VAEConfig(kind="vae", dataset="digits", family="gaussian", latents=2).dataset == "digits"


def test_a_table_names_no_bound_that_no_training_has() -> None:
    suite = SUITE.format(problem='{kind = "logistic-regression", dataset = "breast-cancer"}')
    suite += "evaluations = 1\n[training]\nsteps = 2\n"
    (cell,) = plan(parse_suite(suite.encode(), "mine.toml")).cells
    record = run_cell(cell)
    assert record.status == "ok"
    printed = elbo.make(summarise([record]).elbo, "rloo")
    assert "IWAE" not in printed.caption
    assert not any("IWAE" in column.title for column in printed.columns)
    usual = elbo.make(summarise(quick()).elbo, "rloo")
    assert "The IWAE bound is of the whole test set" in usual.caption
    assert any("IWAE" in column.title for column in usual.columns)
