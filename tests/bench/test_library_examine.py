"""`gradest.examine`: what it says of f, by name, and which estimators it leaves."""

import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical, kl_divergence

import gradest

WEIGHTS = torch.linspace(-1, 2, 5)
DATA = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
BITS = Bernoulli(logits=torch.randn(7, 5, generator=torch.Generator().manual_seed(1)))
NORMAL = Normal(torch.randn(7, 5, generator=torch.Generator().manual_seed(2)), torch.linspace(0.5, 1.5, 5).expand(7, 5))
CLASSES = OneHotCategorical(logits=torch.randn(7, 3, 4, generator=torch.Generator().manual_seed(3)))
ITERATOR: Iterator[int] = count()

torch.manual_seed(0)
DROPOUT = nn.Sequential(nn.Linear(5, 8), nn.Dropout(), nn.Linear(8, 1))
NORMALISED = nn.BatchNorm1d(5)


def smooth(z: Tensor, q: Distribution) -> Tensor:
    return (z.flatten(2) @ WEIGHTS.repeat(3)[: z[0, 0].numel()] - 0.3) ** 2


@pytest.mark.parametrize(
    ("q", "f", "message"),
    [
        (BITS, lambda z, q: smooth(z, q) - 0.5 * q.entropy().sum(-1), "f holds an entropy of q, or"),
        (CLASSES, lambda z, q: smooth(z, q) - q.entropy().sum(-1), "f holds an entropy of q"),
        (
            NORMAL,
            lambda z, q: smooth(z, q) + q.log_prob(z).sum(-1) - q.entropy().sum(-1),
            "f holds an entropy of q, or a KL divergence",
        ),
        (
            BITS,
            lambda z, q: smooth(z, q) + 3 * kl_divergence(q, Bernoulli(logits=torch.zeros(7, 5))).sum(-1),
            "f holds an entropy of q, or a KL divergence from a uniform prior, whose",
        ),
        (
            NORMAL,
            lambda z, q: smooth(z, q) + 0.1 * kl_divergence(q, Normal(torch.zeros(5), 1.0)).sum(-1),
            "f holds a KL divergence from the prior of q's family",
        ),
        (
            NORMAL,
            lambda z, q: smooth(z, q) + kl_divergence(q, Normal(torch.ones(5), 2.0)).sum(-1),
            "f holds a term of q alone, such as a KL divergence",
        ),
        (NORMAL, lambda z, q: smooth(z, q) * q.scale.sum(-1), "f depends on q's parameters by more than a multiple"),
        (BITS, lambda z, q: DROPOUT(z).squeeze(-1), r"f has noise of its own \(dropout\)"),
        (
            BITS,
            lambda z, q: (z @ DATA[torch.randint(100, (10,))].T).sum(-1),
            r"f has noise of its own \(a minibatch that it draws\)",
        ),
        (
            BITS,
            lambda z, q: (z @ DATA[np.random.choice(100, 10)].T).sum(-1),
            r"\(random numbers of numpy or Python, such as choose a minibatch\)",
        ),
        (
            BITS,
            lambda z, q: z @ DATA[next(ITERATOR) % 100],
            r"\(a state that moves on, such as a minibatch from an iter",
        ),
        (BITS, lambda z, q: smooth(z, q) + torch.randn(()), r"\(random numbers of torch\)"),
        (BITS, lambda z, q: 2 * z, r"f returned \[3, 7, 5\] .*: sum over the event, \.sum\(-1\)"),
        (CLASSES, lambda z, q: z.sum(-1), r"f returned \[3, 7, 3\]"),
        (BITS, lambda z, q: smooth(z, q).mean(-1), r"f returned \[3\] .* do not reduce over draws or rows"),
        (
            BITS,
            lambda z, q: smooth(z, q).mean(-1, keepdim=True).expand(z.shape[:-1]),
            r"f mixes its rows: .*no mean over the batch",
        ),
        (BITS, lambda z, q: NORMALISED(z.flatten(0, -2)).reshape(z.shape) @ WEIGHTS, "f mixes its draws"),
        (BITS, lambda z, q: z @ torch.ones(3), r"f raises RuntimeError: size mismatch"),
        (NORMAL, lambda z, q: z.sum(-1).log(), r"f is not finite at \d+ of 21 draws"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(q: Any, f: Callable[..., Any], message: str) -> None:
    found = gradest.examine(q, f)
    assert not found.ok and not found.estimators
    (line,) = found.refused
    assert re.search(message, line), line
    assert "\n" not in line and f"refused: {line}" in str(found)


@pytest.mark.parametrize("q", [BITS, NORMAL, CLASSES, Independent(BITS, 1), Independent(CLASSES, 1)])
@pytest.mark.parametrize("weight", [0.0, 1.0, -0.5])
def test_log_q_is_accepted_with_any_weight(q: Distribution, weight: float) -> None:
    def f(z: Tensor, q: Distribution) -> Tensor:
        return smooth(z, q) + weight * q.log_prob(z).reshape(*z.shape[:2], -1).sum(-1)

    found = gradest.examine(q, f)
    assert found.ok and found.differentiable and found.of_q == "log q"
    assert {"rloo", "reinforce"} <= set(found.estimators)
    assert len(found.estimators) + len(found.skipped) == len(gradest.available())
    assert ("rebar" in found.estimators) == (found.relaxable is True) == (not isinstance(q, Normal))


@pytest.mark.parametrize(
    ("q", "f", "differentiable", "relaxable"),
    [
        (BITS, smooth, True, True),
        (BITS, lambda z, q: smooth(z.round(), q), False, False),
        (BITS, lambda z, q: torch.arange(6.0)[z.sum(-1).long()], False, False),
        (BITS, lambda z, q: torch.as_tensor(z.detach().numpy().sum(-1)), False, False),
        (NORMAL, smooth, True, None),
        (NORMAL, lambda z, q: (z > 0).float().sum(-1) + z.sum(-1), False, None),
    ],
    ids=["smooth", "rounded", "table", "numpy", "normal", "jumps"],
)
def test_it_tells_whether_f_has_a_gradient_and_can_be_relaxed(
    q: Distribution, f: Any, differentiable: bool, relaxable: bool | None
) -> None:
    found = gradest.examine(q, f)
    assert (found.differentiable, found.relaxable) == (differentiable, relaxable)
    assert "rloo" in found.estimators
    needy = {"reparameterization"} if isinstance(q, Normal) else {"straight-through", "rebar", "muprop"}
    assert (needy <= set(found.estimators)) == differentiable
    assert needy.isdisjoint(found.estimators) != differentiable


def test_who_knows_better_is_not_asked_about_q() -> None:
    def f(z: Tensor, q: Distribution) -> Tensor:
        return smooth(z, q) - q.entropy().sum(-1)

    with gradest.trusted():
        found = gradest.examine(BITS, f)
    assert found.ok and found.of_q == "entropy"


def test_it_takes_a_point_and_a_pair_and_leaves_torchs_generator() -> None:
    before = torch.random.get_rng_state()
    said = str(gradest.examine(BITS, smooth))
    assert str(gradest.examine((BITS, smooth))) == str(gradest.examine(gradest.Point(BITS, smooth))) == said
    assert torch.equal(torch.random.get_rng_state(), before)
    assert said.startswith("q: Bernoulli of rows [7] and events [5]\nf: differentiable in z, defined and smooth")
    with pytest.raises(gradest.BadInput, match="of type Bernoulli"):
        gradest.examine(BITS)
