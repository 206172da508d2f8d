"""Running state: used before it is updated, frozen in eval(), one a stacked seed, saved and restored."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

import estimators
from estimators import BadInput, Estimator


def _q(*rows: int) -> Distribution:
    return Bernoulli(logits=torch.zeros(*rows, 3, dtype=torch.float64, requires_grad=True))


def _constant(value: float):
    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return torch.full(z.shape[:-1], value, dtype=z.dtype) + 0 * z.sum(-1)

    return f


def _surrogate_gradient(estimator: Estimator, value: float, context: Tensor | None = None) -> Tensor:
    q = _q(4)
    estimate = estimator(q, _constant(value), generator=torch.Generator().manual_seed(0), context=context)
    return torch.autograd.grad(estimate.surrogate.sum(), q.logits)[0]


def test_a_moving_average_does_not_see_its_own_cost() -> None:
    estimator = estimators.get("reinforce").create(baseline="moving-average", decay=0.5)
    plain = estimators.get("reinforce").create()
    estimator.train()
    assert torch.equal(_surrogate_gradient(estimator, 3.0), _surrogate_gradient(plain, 3.0))
    # Now the mean is 3, and the next cost of 5 leaves 2; only then does it become 4.3.
    torch.testing.assert_close(_surrogate_gradient(estimator, 5.0), _surrogate_gradient(plain, 2.0))
    expected = (0.25 * 3 + 0.5 * 5) / 0.75
    torch.testing.assert_close(_surrogate_gradient(estimator, expected), torch.zeros(4, 3).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("baseline", ["moving-average", "input-dependent"])
def test_state_is_frozen_in_eval_and_restored_by_state_dict(baseline: str) -> None:
    estimator = estimators.get("reinforce").create(baseline=baseline).train()
    _surrogate_gradient(estimator, 3.0)
    saved = {key: value.clone() for key, value in estimator.state_dict().items()}
    assert saved
    estimator.eval()
    before = _surrogate_gradient(estimator, 7.0)
    assert all(torch.equal(value, saved[key]) for key, value in estimator.state_dict().items())
    fresh = estimators.get("reinforce").create(baseline=baseline).eval()
    assert not torch.equal(_surrogate_gradient(fresh, 7.0), before)
    fresh.load_state_dict(saved)
    assert torch.equal(_surrogate_gradient(fresh, 7.0), before)


def test_stacked_seeds_keep_their_own_mean() -> None:
    estimator = estimators.get("reinforce").create(baseline="moving-average").bind(stack=(2,)).train()

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return torch.tensor([[1.0], [9.0]], dtype=z.dtype).expand(z.shape[:-1]) + 0 * z.sum(-1)

    estimator(_q(2, 4), f, generator=torch.Generator().manual_seed(0))
    assert estimator.baseline.mean.value().flatten().tolist() == pytest.approx([1.0, 9.0])
    q = _q(5, 2, 4)  # five draws of two seeds: the same state serves
    estimate = estimator.eval()(q, f, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(estimate.surrogate.sum(), q.logits)
    assert gradient.abs().max() < 1e-6


@pytest.mark.parametrize(("spread", "divisor"), [(10.0, 10.0), (1.25, 1.25), (0.75, 1.0), (0.0, 1.0)])
def test_variance_normalisation_divides_by_the_running_spread_once_it_exceeds_one(
    spread: float, divisor: float
) -> None:
    options = {"baseline": "input-dependent", "decay": 0.0}
    plain = estimators.get("reinforce").create(**options).train()
    scaled = estimators.get("reinforce").create(**options, variance_normalisation=True).train()

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return torch.tensor([0.0, 0.0, 2 * spread, 2 * spread], dtype=z.dtype).expand(z.shape[:-1]) + 0 * z.sum(-1)

    for estimator in (plain, scaled):
        estimator(_q(4), f, generator=torch.Generator().manual_seed(0))
    ratio = _surrogate_gradient(plain.eval(), 4.0) / _surrogate_gradient(scaled.eval(), 4.0)
    torch.testing.assert_close(ratio, torch.full_like(ratio, divisor))


def test_the_network_learns_and_its_loss_reaches_nothing_else() -> None:
    estimator = estimators.get("reinforce").create(baseline="input-dependent")
    estimator.bind(stack=(2,), context_size=3, generator=torch.Generator().manual_seed(0)).train()
    theta = torch.ones((), dtype=torch.float64, requires_grad=True)
    context = torch.eye(4, 3).expand(2, 4, 3)
    levels = torch.tensor([[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, -4.0]], dtype=torch.float64)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return theta * levels.expand(z.shape[:-1]) + 0 * z.sum(-1)

    optimiser = torch.optim.Adam(estimator.parameters(), 0.05)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        q = _q(2, 4)
        auxiliary = estimator(q, f, generator=generator, context=context).auxiliary
        assert auxiliary is not None
        assert auxiliary.shape == (2, 4)
        reached = torch.autograd.grad(
            auxiliary.sum(), [q.logits, theta, *estimator.parameters()], allow_unused=True, retain_graph=True
        )
        assert reached[0] is None
        assert reached[1] is None
        assert all(g is not None for g in reached[2:])
        optimiser.zero_grad()
        auxiliary.mean().backward()
        optimiser.step()
        losses.append(auxiliary.mean().item())
    assert losses[-1] < 0.05 * losses[0]


def test_a_bound_network_without_its_context_is_an_error() -> None:
    estimator = estimators.get("reinforce").create(baseline="input-dependent").bind(context_size=3)
    with pytest.raises(ValueError, match="bound to a context"):
        _surrogate_gradient(estimator, 1.0)


def test_temperature_anneals_in_training_and_stands_still_in_eval() -> None:
    options = {"temperature": 1.0, "final_temperature": 0.25, "anneal_steps": 2}
    for name in ("gumbel-sigmoid", "gumbel-softmax", "straight-through-gumbel-softmax"):
        temperature = estimators.get(name).create(**options).temperature
        assert [float(temperature.eval()()) for _ in range(2)] == [1.0, 1.0]
        temperature.train()
        assert [float(temperature()) for _ in range(4)] == [1.0, 0.5, 0.25, 0.25]


def test_a_temperature_is_annealed_by_passes_of_several_steps() -> None:
    """Each has that of its first step, and the last of those that annealing takes its end."""
    options = {"temperature": 1.0, "final_temperature": 0.25, "anneal_steps": 6, "anneal_every": 3}
    temperature = estimators.get("mve").create(**options).temperature.train()
    assert [float(temperature()) for _ in range(8)] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gumbel-sigmoid", {"final_temperature": 0.1}, "annealing takes both"),
        ("mve", {"anneal_every": 0}, "anneal_every, the steps of one temperature, must be at least 1, got 0"),
        ("mve", {"anneal_every": 2}, "anneal_every=2 would leave the temperature as it is: give final_temperature and"),
        (
            "gumbel-rao",
            {"final_temperature": 0.1, "anneal_steps": 9, "anneal_every": 10},
            "at least as many, got anneal_steps=9",
        ),
        ("gumbel-softmax", {"temperature": -1.0}, "temperatures must be positive"),
        ("gumbel-softmax", {"temprature": 1.0}, "did you mean 'temperature'"),
        ("reinforce", {"baseline": "movin-average"}, "did you mean 'moving-average'"),
        ("reinforce", {"baseline": "leave-one-out"}, "needs samples >= 2, got samples=1"),
        (
            "reinforce",
            {"baseline": "moving-average", "hidden": 3},
            "unknown option of baseline 'moving-average'",
        ),
        ("reinforce", {"baseline": "moving-average", "decay": 2.0}, "decay must lie in"),
        ("rloo", {"samples": 1}, "takes samples >= 2, got samples=1"),
        ("reinforce", {"variance_normalisation": "no"}, "takes true or false, got 'no'"),
        ("reinforce", {"baseline": "input-dependent", "hidden": -3}, "hidden must be at least 1, got -3"),
        ("reinforce", {"decay": 0.5}, "unknown option of baseline 'none': 'decay'. Known: none"),
        ("gumbel-softmax", {"temperature": "abc"}, "option temperature takes a number, got 'abc'"),
        ("disarm", {"samples": 3}, "even number of samples, got samples=3; try 4"),
        ("rloo", {"samples": 2.5}, "option samples takes a whole number, got 2.5"),
        ("delta-method", {"order": 3}, "order must be 1 or 2, got 3"),
        ("vimco", {"mean": "harmonic"}, "unknown mean"),
        ("ovis", {"gamma": 1.5}, "[0, 1]"),
        ("disarm-stick-breaking", {"order": "abs"}, "unknown order"),
        ("reinmax", {"temperature": 0.5}, "at least 1"),
        ("gumbel-rao", {"inner": 0}, "at least 1"),
        ("gapped-straight-through", {"gap": -1.0}, "at least 0"),
        ("rao-blackwell-top-k", {"baseline": "mean"}, "none, top"),
        ("unordered-set", {"samples": 40}, "between 2 and 10"),
        ("arms", {"copula": "gausian"}, "unknown copula"),
        ("carms", {"copula": ""}, "unknown copula"),
        ("bitflip", {"proposal": "even"}, "unknown proposal"),
    ],
)
def test_bad_options_are_one_line_that_says_what_to_do(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        estimators.get(name).create(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
