"""Estimators are measured warm, and left as they were; an f that is no function of z and q is refused."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import estimators
from bench.measure import gradient_moments
from estimators import BadInput, Estimate, Estimator, Objective
from estimators.distributions import from_parameters, log_prob, parameters, sample
from estimators.exact import states

WEIGHTS = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
LOGITS = torch.tensor([[0.4, -0.8, 1.2], [0.1, 0.9, -1.0]], dtype=torch.float64)


def far(z: Tensor, q: Distribution, /) -> Tensor:
    """Costs of a size that only a baseline takes away."""
    return 300 + (z @ WEIGHTS).square()


def variance_with(baseline: str) -> float:
    """Of the score function at LOGITS, by enumeration: with none, with E f, or with each coordinate's best baseline."""
    q = from_parameters("bernoulli", LOGITS)
    z = states(q).expand(-1, 2, 3)
    probability = log_prob(q, z).exp().unsqueeze(-1)
    cost, score = far(z, q).unsqueeze(-1), z - q.probs

    def mean(x: Tensor) -> Tensor:
        return (probability * x).sum(0)

    best = {
        "none": torch.zeros(()),
        "mean": mean(cost).mean(),  # over rows too: one running mean for all
        "best": mean(cost * score.square()).mean(0) / mean(score.square()).mean(0),
    }[baseline]
    g = (cost - best) * score
    return float((mean(g.square()) - mean(g).square()).sum())


def bernoulli() -> Distribution:
    return from_parameters("bernoulli", LOGITS)


@pytest.mark.parametrize(
    ("name", "options", "baseline"),
    [
        ("reinforce", {}, "none"),
        ("reinforce", {"baseline": "moving-average"}, "mean"),
        ("optimal-baseline", {}, "best"),
    ],
)
def test_running_state_settles_before_it_is_measured(name: str, options: dict, baseline: str) -> None:
    estimator = estimators.get(name).create(**options)
    found = gradient_moments(estimator, bernoulli(), far, draws=20_000).total
    assert found.estimate == pytest.approx(variance_with(baseline), rel=0.06)
    cold = gradient_moments(estimator, bernoulli(), far, draws=20_000, warm_up=0).total
    assert cold.estimate == pytest.approx(variance_with("none"), rel=0.03)


def test_own_parameters_learn_before_they_are_measured() -> None:
    """Pathwise, the gradient of a square in a scale of .1 is calm; the score function's is not, nor LAX's untrained."""
    q = from_parameters("gaussian", LOGITS, torch.full_like(LOGITS, 0.1))

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return 5 + (z - WEIGHTS).square().sum(-1)

    score = gradient_moments(estimators.get("reinforce").create(), q, f).total
    lax = estimators.get("lax").create()
    warm, again, cold = (gradient_moments(lax, q, f, warm_up=steps).total for steps in (None, None, 0))
    assert warm == again, "the given one had learned"
    assert cold.estimate > 0.5 * score.estimate
    assert warm.high < 0.1 * score.low


def trained(name: str, **options: object) -> Estimator:
    estimator = estimators.get(name).create(**options).train()
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        estimator(bernoulli(), far, generator=generator)
    return estimator


@pytest.mark.parametrize("warm_up", [None, 0, 7])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["optimal-baseline", "relax", "gumbel-sigmoid"])
def test_the_given_estimator_is_left_as_it_was(name: str, training: bool, warm_up: int | None) -> None:
    estimator = trained(name).train(training)
    before, noise = copy.deepcopy(estimator.state_dict()), torch.get_rng_state()
    gradient_moments(estimator, bernoulli(), far, draws=10, warm_up=warm_up)
    assert {m.training for m in estimator.modules()} == {training}
    assert torch.equal(torch.get_rng_state(), noise)
    after = estimator.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in after)
    assert all(p.requires_grad and p.grad is None for p in estimator.parameters())


def test_a_trained_estimator_is_measured_as_it_is_or_trained_further() -> None:
    """Three calls in, a mean of decay .99 is where it is; 0 steps leave it there, and others start from there."""
    estimator = trained("reinforce", baseline="moving-average", decay=0.99)
    estimator.baseline.mean.total.fill_(0.03 * 500)  # a mean of about 500
    cost = estimator.baseline.mean.value().item()
    q = bernoulli()
    z = states(q).expand(-1, 2, 3)
    probability, g = log_prob(q, z).exp().unsqueeze(-1), (far(z, q).unsqueeze(-1) - cost) * (z - q.probs)
    exact = float(((probability * g.square()).sum(0) - (probability * g).sum(0).square()).sum())
    assert gradient_moments(estimator, q, far, draws=20_000, warm_up=0).total.estimate == pytest.approx(exact, rel=0.03)
    further = gradient_moments(estimator, q, far, draws=20_000, warm_up=1000).total.estimate
    assert further == pytest.approx(variance_with("mean"), rel=0.06)


class Lazy(Estimator):
    """The score function with a baseline by a module that is made at its first call, from the global generator."""

    def __init__(self, samples: int = 1) -> None:
        super().__init__(samples)
        self.baseline: nn.Linear | None = None

    def forward(self, q, f, *, generator=None, context=None) -> Estimate:
        z, (logits,) = sample(q, 1, generator), parameters(q)
        self.baseline = self.baseline or nn.Linear(logits.shape[-1], 1, dtype=torch.float64)
        predicted = self.baseline(logits.detach()).squeeze(-1)
        cost = f(z, q).detach()
        surrogate = ((cost - predicted.detach()) * log_prob(q, z)).mean(0)
        return Estimate(surrogate, cost.mean(0), (cost - predicted).square().mean(0))


@pytest.mark.parametrize(
    "make",
    [Lazy, estimators.get("relax").create, lambda: estimators.get("reinforce").create(baseline="moving-average")],
)
def test_the_seed_decides_the_numbers(make) -> None:
    found = []
    for seed in (3, 3, 4):
        torch.manual_seed(len(found))
        found.append(gradient_moments(make(), bernoulli(), far, draws=20, seed=seed).total.estimate)
    assert found[0] == found[1] != found[2]


def test_leading_dims_and_a_context_that_lacks_them() -> None:
    """Rows [4, 2], each stack of four with a mean of its own, and a context of the rows alone."""
    q = from_parameters("bernoulli", LOGITS.expand(4, 2, 3))
    estimator = estimators.get("reinforce").create(baseline="input-dependent").double()
    estimator.bind(stack=(4,), context_size=3, generator=torch.Generator().manual_seed(0)).double()

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return far(z, q) * torch.tensor([[1.0], [2.0], [3.0], [4.0]], dtype=torch.float64)

    found = gradient_moments(estimator, q, f, draws=3000, context=LOGITS).variance
    assert found.shape == (4, 2, 3)
    calm = sum(k * k for k in (1, 2, 3, 4)) * variance_with("mean")
    assert float(found.sum()) < 1.2 * calm


# What f may be


class Dropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.2)

    def forward(self, z: Tensor, q: Distribution) -> Tensor:
        return (self.drop(z) @ WEIGHTS).square()


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, dtype=torch.float64)

    def forward(self, z: Tensor, q: Distribution) -> Tensor:
        return (self.norm(z.reshape(-1, 3)).reshape(z.shape) @ WEIGHTS).square()


def minibatch() -> Objective:
    generator = torch.Generator().manual_seed(0)
    data = torch.linspace(-1, 3, 50, dtype=torch.float64)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        batch = data[torch.randint(50, (4,), generator=generator)]
        return ((z @ WEIGHTS).unsqueeze(-1) - batch).square().mean(-1)

    return f


def epochs() -> Objective:
    batches = itertools.cycle([0.0, 1.0])

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return (z @ WEIGHTS - next(batches)).square()

    return f


def by_position(z: Tensor, q: Distribution, /) -> Tensor:
    noise = torch.randn(z.shape[:-1], generator=torch.Generator().manual_seed(0), dtype=z.dtype)
    return (z @ WEIGHTS).square() + noise


def centred(z: Tensor, q: Distribution, /) -> Tensor:
    cost = (z @ WEIGHTS).square()
    return cost - cost.mean(0)


@pytest.mark.parametrize(
    ("f", "source"),
    [
        (Dropout(), "dropout"),
        (minibatch(), "a minibatch that it draws"),
        (epochs(), "a state that moves on, such as a minibatch from an iterator"),
        (lambda z, q: (z @ WEIGHTS) * (1 + 0.01 * torch.rand(())), "random numbers of torch"),
    ],
    ids=["dropout", "minibatch", "batches in turn", "global generator"],
)
@pytest.mark.parametrize("name", ["rloo", "exact"])
def test_noise_of_its_own_is_refused(f: Objective, source: str, name: str) -> None:
    torch.manual_seed(0)
    message = rf"f has noise of its own \({source}\): at one z it is .* Make f deterministic"
    with pytest.raises(BadInput, match=message):
        gradient_moments(estimators.get(name).create(), bernoulli(), f)


@pytest.mark.parametrize("f", [Normalised(), by_position, centred], ids=["batch norm", "position", "centred"])
def test_draws_that_f_mixes_are_refused(f: Objective) -> None:
    with pytest.raises(BadInput, match=r"f mixes its draws: at a z among others"):
        gradient_moments(estimators.get("rloo").create(), bernoulli(), f)


def test_an_f_that_is_a_function_is_taken_whatever_its_size() -> None:
    for f in (Dropout().eval(), Normalised().eval(), lambda z, q: 1e8 + z @ WEIGHTS, lambda z, q: 0 * z.sum(-1)):
        gradient_moments(estimators.get("rloo").create(), bernoulli(), f, draws=10)


def test_a_single_precision_sum_of_many_terms_is_no_noise() -> None:
    weights = torch.randn(200, 784, generator=torch.Generator().manual_seed(0))
    q = from_parameters("bernoulli", torch.zeros(20, 200))
    gradient_moments(
        estimators.get("rloo").create(), q, lambda z, q: nn.functional.softplus(z @ weights).sum(-1) - 5900, draws=10
    )


def test_nan_is_no_noise() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        gradient_moments(estimators.get("rloo").create(), bernoulli(), lambda z, q: z.sum(-1) * float("nan"), draws=10)


def test_f_is_looked_at_once_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    """One draw a call: the draws are 30 calls; one look costs three, another two, that at leading dims four."""
    monkeypatch.setattr("bench.measure.draws.CHUNK_NUMBERS", {"cpu": 1})
    calls = []

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        calls.append(len(z))
        return z @ WEIGHTS

    gradient_moments(estimators.get("rloo").create(), bernoulli(), f, draws=30, warm_up=0)
    assert len(calls) == 30 + 3 + 2 + 4 + 1  # the probe's


@pytest.mark.parametrize("draws", [2, 0, -5, 10.0, "10", None])
def test_draws_that_are_no_number_of_draws_are_told_so_in_a_line(draws: object) -> None:
    with pytest.raises(BadInput, match=r"^draws = .* is no whole number of at least 3$"):
        gradient_moments(estimators.get("rloo").create(), bernoulli(), far, draws=draws)
    with pytest.raises(BadInput, match=r"^warm_up = -1 is no whole number of at least 0$"):
        gradient_moments(estimators.get("rloo").create(), bernoulli(), far, warm_up=-1)


@pytest.mark.parametrize("shape", [(3, 5), (2, 2, 5), (4, 2, 5)])
def test_a_context_of_other_rows_is_told_so_in_a_line(shape: tuple[int, ...]) -> None:
    estimator = estimators.get("reinforce").create(baseline="input-dependent").bind(context_size=5)
    with pytest.raises(BadInput, match=r"context is \[.*\] for rows \[2\] of q; expected \[\*B, X\], what each row"):
        gradient_moments(estimator, bernoulli(), far, context=torch.zeros(shape))


def test_an_estimator_that_cannot_be_copied_is_measured_as_it_is() -> None:
    estimator = estimators.get("rloo").create()
    estimator.handle = torch.ones(3, requires_grad=True) * 2
    with pytest.raises(BadInput, match=r"cannot be copied for its warm-up .*warm_up = 0"):
        gradient_moments(estimator, bernoulli(), far, draws=10)
    gradient_moments(estimator, bernoulli(), far, draws=10, warm_up=0)
