"""A call as a person writes it: the right number, or one line."""

import copy
import functools
import itertools
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Binomial,
    Categorical,
    Cauchy,
    Distribution,
    Geometric,
    Independent,
    Normal,
    OneHotCategorical,
    kl_divergence,
)
from torch.utils.checkpoint import checkpoint

import estimators
from estimators.distributions import from_parameters, kl, log_prob
from estimators.entry import Entry
from estimators.exact import expectation
from estimators.examine import known_by

DOUBLE = torch.float64
PAIRS = [
    (family, entry) for family in ("gaussian", "bernoulli", "categorical") for entry in estimators.available(family)
]
IDS = [f"{entry.name}-{family}" for family, entry in PAIRS]
EVENT = {"gaussian": (2,), "bernoulli": (2,), "categorical": (2, 3)}
each_pair = pytest.mark.parametrize(("family", "entry"), PAIRS, ids=IDS)


def leaves(family: str, rows: tuple[int, ...] = (4,), dtype: torch.dtype = DOUBLE) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    values = [torch.randn(*rows, *EVENT[family], generator=generator, dtype=DOUBLE).to(dtype).requires_grad_()]
    if family == "gaussian":
        scale = 0.5 + torch.rand(*rows, *EVENT[family], generator=generator, dtype=DOUBLE)
        values.append(scale.to(dtype).requires_grad_())
    return values


def as_written(family: str, values: list[Tensor]) -> Distribution:
    """As torch users write it, with validation."""
    kind: Callable[..., Distribution] = {"gaussian": Normal, "bernoulli": Bernoulli, "categorical": OneHotCategorical}[
        family
    ]
    more = {} if values[0].dtype in (torch.float32, DOUBLE) else {"validate_args": False}  # which torch's would refuse
    return kind(*values, **more) if family == "gaussian" else kind(logits=values[0], **more)


def create(entry: Entry, family: str) -> estimators.Estimator:
    return entry.create().bind(event=EVENT[family]).double()


def over(family: str, x: Tensor) -> Tensor:
    return x.sum((-2, -1)) if family == "categorical" else x.sum(-1)


def weights(family: str, z: Tensor) -> Tensor:
    return torch.linspace(1.0, 2.0, math.prod(EVENT[family]), dtype=z.dtype).reshape(EVENT[family])


def smooth(family: str) -> Callable[[Tensor, Distribution], Tensor]:
    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return over(family, weights(family, z) * (z - 0.45).square())

    return f


# What f returns.

SHAPES: dict[str, tuple[Callable[[str, Tensor], object], str]] = {
    "a last dim of one": (lambda family, z: over(family, z).unsqueeze(-1), "squeeze(-1)"),
    "not summed over the event": (lambda family, z: z * 1.0, "sum over the event"),
    "a scalar": (lambda family, z: z.mean(), "do not reduce"),
    "reduced over the batch": (lambda family, z: over(family, z).mean(-1), "do not reduce"),
    "reduced over draws": (lambda family, z: over(family, z).mean(0), "do not reduce"),
    "a number": (lambda family, z: 3.0, "returned a float"),
    "nothing": (lambda family, z: None, "returned a NoneType"),
    "whole numbers": (lambda family, z: over(family, z).long(), "int64"),
    "comparisons": (lambda family, z: over(family, z) > 1, "bool"),
}


@each_pair
def test_f_of_another_shape_is_refused_with_one_line(family: str, entry: Entry) -> None:
    estimator, q = create(entry, family), as_written(family, leaves(family))
    for case, (f, hint) in SHAPES.items():
        with pytest.raises(estimators.BadInput) as caught:
            estimator(q, lambda z, q, f=f: f(family, z))
        message = str(caught.value)
        assert "\n" not in message and entry.name in message and "rows [4]" in message and hint in message, case


def test_the_sum_over_latents_is_named_where_it_is_missing() -> None:
    q = OneHotCategorical(logits=torch.zeros(4, 2, 3))
    with pytest.raises(estimators.BadInput, match=r"sum over the latents, or say by Independent\(q, 0\)"):
        estimators.get("rloo").create()(q, lambda z, q: z[..., 0])


def test_leave_one_out_of_a_kept_dim_was_off_by_all_of_it() -> None:
    """The case as it was met: a decoder that ends in a layer of one unit."""
    logits = torch.tensor([[-2.0, 0], [1, 1], [0, 3], [3, -3]], requires_grad=True)
    with pytest.raises(estimators.BadInput, match=r"\[2, 4, 1\].*expected \[2, 4\].*squeeze"):
        estimators.get("rloo").create()(
            Bernoulli(logits=logits), lambda z, q: (z - 0.45).square().sum(-1, keepdim=True)
        )


# How q is written.


def mean_gradient(name: str, q: Distribution, leaf: Tensor, f: object, draws: int = 1, **options: object) -> Tensor:
    estimator = estimators.get(name).create(**options).double()
    estimate = estimator(q, f, generator=torch.Generator().manual_seed(5))
    return torch.autograd.grad(estimate.surrogate.sum(), leaf)[0] / draws


@pytest.mark.parametrize("name", [entry.name for entry in estimators.available("categorical", "elbo")])
def test_one_hot_rows_as_torch_users_write_them_are_rows_of_one_latent(name: str) -> None:
    """[B, C] gives what [B, 1, C] gives, draw by draw; f sees z [S, B, C], as torch has it."""
    leaf = torch.randn(5, 3, generator=torch.Generator().manual_seed(2), dtype=DOUBLE).requires_grad_()
    w = torch.tensor([1.0, -2.0, 3.0], dtype=DOUBLE)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        assert z.shape[1:] == (5, 3) and q.batch_shape[-1:] == (5,) and q.event_shape == (3,)
        return (z @ w - 0.3).square() + q.log_prob(z.detach())

    def spelt(z: Tensor, q: Distribution, /) -> Tensor:
        return (z[..., 0, :] @ w - 0.3).square() + q.log_prob(z.detach())[..., 0]

    found = mean_gradient(name, OneHotCategorical(logits=leaf), leaf, f)
    expected = mean_gradient(name, OneHotCategorical(logits=leaf.unsqueeze(-2)), leaf, spelt)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wrapped = Independent(OneHotCategorical(logits=leaf), 0)
    torch.testing.assert_close(mean_gradient(name, wrapped, leaf, f), expected, rtol=1e-12, atol=1e-12)


@each_pair
def test_independent_of_a_family_is_that_family(family: str, entry: Entry) -> None:
    """f sees Independent, whose log_prob is one number a draw and row."""
    found = []
    for wrapped in (False, True):
        values = leaves(family)
        q = as_written(family, values)

        def f(z: Tensor, q: Distribution, /, wrapped: bool = wrapped) -> Tensor:
            assert isinstance(q, Independent) == wrapped
            log_q = q.log_prob(z.detach().round() if family != "gaussian" else z)
            return smooth(family)(z, q) + (log_q if wrapped else log_q.sum(-1))

        q = Independent(q, 1) if wrapped else q
        estimate = create(entry, family)(q, f, generator=torch.Generator().manual_seed(3))
        assert estimate.surrogate.shape == (4,)
        found.append(torch.autograd.grad(estimate.surrogate.sum(), values))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dims", "rows"), [(0, (2, 3)), (1, (2,)), (2, ())])
def test_independent_takes_any_number_of_dims(dims: int, rows: tuple[int, ...]) -> None:
    leaf = torch.tensor([[0.3, -1.0, 2.0], [0.1, 0.5, -0.4]], dtype=DOUBLE, requires_grad=True)
    w = torch.tensor([[1.0, 2.0, -1.0], [0.5, 0.25, 3.0]], dtype=DOUBLE)
    inner = tuple(range(-dims, 0))

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        assert z.shape[1:] == (2, 3)
        cost = (w * z).sum(inner) if dims else w * z
        return cost.square() + q.log_prob(z)

    q = Independent(Bernoulli(logits=leaf), dims)
    estimate = estimators.get("exact").create()(q, f)
    assert estimate.value.shape == rows
    (found,) = torch.autograd.grad(estimate.surrogate.sum(), leaf)
    again = torch.tensor(leaf.tolist(), dtype=DOUBLE, requires_grad=True)
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=DOUBLE).reshape(-1, 2, 3)
    chances = torch.where(states > 0, again.sigmoid(), 1 - again.sigmoid())
    cost = (w * states).sum(inner).square() if dims else (w * states).square()
    own = chances.log().sum(inner) if dims else chances.log()
    total = (chances.prod(-1).prod(-1) * (cost + own).reshape(64, -1).sum(-1)).sum()
    torch.testing.assert_close(found, torch.autograd.grad(total, again)[0], rtol=1e-10, atol=1e-12)


def test_a_single_number_is_a_row_of_one_latent() -> None:
    leaf = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    estimate = estimators.get("exact").create()(Bernoulli(logits=leaf), lambda z, q: 3 * z)
    theta = leaf.detach().sigmoid()
    assert float(estimate.value) == pytest.approx(3 * float(theta))
    (found,) = torch.autograd.grad(estimate.surrogate, leaf)
    assert float(found) == pytest.approx(3 * float(theta * (1 - theta)))


@pytest.mark.parametrize(
    ("q", "says"),
    [
        (Cauchy(torch.ones(2, 2), torch.ones(2, 2)), "q is a Cauchy; expected Normal, Bernoulli, OneHotCategorical, "),
        (Categorical(logits=torch.zeros(2, 2)), "write OneHotCategorical"),
        (Geometric(logits=torch.zeros(2, 2)), "write NegativeBinomial"),
        (Binomial(3, logits=torch.zeros(2, 2)), "counts up to n are no family"),
        (Independent(Cauchy(torch.ones(2, 2), torch.ones(2, 2)), 1), "q is a Cauchy"),
    ],
)
def test_other_distributions_are_refused(q: Distribution, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        estimators.get("rloo").create()(q, lambda z, q: z.sum(-1))


def test_an_event_without_a_number_is_refused() -> None:
    for q in (Bernoulli(logits=torch.zeros(3, 0)), from_parameters("categorical", torch.zeros(2, 0, 3))):
        with pytest.raises(estimators.BadInput, match="without a number"):
            estimators.get("rloo").create()(q, lambda z, q: z.sum(-1))


@pytest.mark.parametrize("entry", estimators.available(), ids=lambda entry: entry.name)
def test_a_family_that_is_not_its_own_is_refused(entry: Entry) -> None:
    for family in set(EVENT) - set(entry.families):
        with pytest.raises(estimators.BadInput) as caught:
            entry.create()(as_written(family, leaves(family)), smooth(family))
        message = str(caught.value)
        assert message.startswith(f"{entry.name} is for {entry.families[0]}") and "rows [4]" in message


def test_a_context_of_other_rows_is_refused() -> None:
    estimator = estimators.get("reinforce").create(baseline="input-dependent").bind(context_size=5)
    q = Bernoulli(logits=torch.zeros(4, 2))
    for shape in ((3, 5), (2, 5), (4, 4, 5)):
        with pytest.raises(estimators.BadInput, match=r"context is .* for rows \[4\] of q"):
            estimator(q, lambda z, q: z.sum(-1), context=torch.zeros(shape))
    assert estimator(q, lambda z, q: z.sum(-1), context=torch.zeros(4, 5)).value.shape == (4,)
    with pytest.raises(ValueError, match="one of another size: its network takes 5 numbers, not 6"):
        estimator(q, lambda z, q: z.sum(-1), context=torch.zeros(4, 6))


# What f is.


def uses_slopes(entry: Entry) -> bool:
    return entry.needs != "neither"


@each_pair
def test_a_table_looked_up_is_refused_by_those_that_differentiate_it(family: str, entry: Entry) -> None:
    """Theirs was a gradient of exactly 0, or torch's words for it; others take it, with theta's gradient in it."""
    theta = torch.linspace(-1.0, 2.0, 8, dtype=DOUBLE).square().requires_grad_()

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        code = torch.arange(1, 1 + math.prod(EVENT[family])).reshape(EVENT[family])
        return theta[over(family, code * (z.detach() > 0.5)).long() % 8]

    def rounded(z: Tensor, q: Distribution, /) -> Tensor:
        return over(family, weights(family, z) * z.round()).square()

    def beside_log_q(factor: float) -> Callable[[Tensor, Distribution], Tensor]:
        """Log q has a gradient in z; what else f holds has none."""
        return lambda z, q: f(z, q) + factor * log_prob(q, z)

    for objective in (f, rounded, beside_log_q(1.0), beside_log_q(0.3)):
        estimator = create(entry, family)
        values = leaves(family)
        if uses_slopes(entry):
            with pytest.raises(estimators.BadInput) as caught:
                estimator(as_written(family, values), objective, generator=torch.Generator().manual_seed(0))
            message = str(caught.value)
            assert message.startswith(f"{entry.name} needs the gradient of f in z") and "\n" not in message
        else:
            estimate = estimator(as_written(family, values), objective, generator=torch.Generator().manual_seed(0))
            assert torch.autograd.grad(estimate.surrogate.sum(), values[0])[0].isfinite().all()


@each_pair
def test_an_f_that_does_not_depend_on_z_is_taken_with_a_graph_and_without(family: str, entry: Entry) -> None:
    values, estimator = leaves(family), create(entry, family).train()
    q = as_written(family, values)
    with torch.no_grad():
        assert estimator(q, lambda z, q: z.new_full(z.shape[:2], 2.0)).value.tolist() == pytest.approx([2.0] * 4)
    estimate = estimator(q, lambda z, q: z.new_full(z.shape[:2], 2.0))
    assert all(bool(g.isfinite().all()) for g in torch.autograd.grad(estimate.surrogate.sum(), values))
    assert estimate.value.tolist() == pytest.approx([2.0] * 4)


OWN_TERMS: dict[str, Callable[[Distribution], Tensor]] = {
    "entropy": lambda q: 0.3 * q.entropy().sum(-1),
    "divergence": lambda q: kl_divergence(q, from_flat(q)).sum(-1),
}


def from_flat(q: Distribution) -> Distribution:
    if isinstance(q, Normal):
        return Normal(torch.zeros_like(q.loc), torch.ones_like(q.scale))
    return type(q)(logits=torch.zeros_like(q.logits))


def keeps_q(entry: Entry) -> bool:
    """Whether a method evaluates f with a graph through q, and so loses nothing that f holds of it."""
    live = {"antithetic-reparameterization", "iwae-reparameterization", "quasi-monte-carlo", "reparameterization"}
    live |= {"gumbel-sigmoid", "gumbel-softmax", "iwae-score", "ovis", "vimco", "disarm-iwae", "arms-iwae"}
    return entry.name in live


@each_pair
def test_a_term_of_q_s_own_is_found(family: str, entry: Entry) -> None:
    """It was dropped: leave-one-out was off by 99 % for an entropy bonus, and so was the exact sum."""
    q, generator = as_written(family, leaves(family)), torch.Generator().manual_seed(0)
    for term, with_log_q in itertools.product(OWN_TERMS.values(), (False, True)):

        def f(z: Tensor, q: Distribution, /, term: Any = term, with_log_q: bool = with_log_q) -> Tensor:
            log_q = log_prob(q, z) if with_log_q else 0.0
            return smooth(family)(z, q) + term(q) + log_q

        estimator = create(entry, family)
        if keeps_q(entry):
            estimator(q, f, generator=generator)
            continue
        with pytest.raises(estimators.BadInput) as caught:
            estimator(q, f, generator=generator)
        message = str(caught.value)
        assert message.startswith(f"{entry.name} takes q as a constant inside f")
        assert "add it to the surrogate" in message


@each_pair
def test_log_q_is_no_term_of_its_own(family: str, entry: Entry) -> None:
    """Neither ours nor torch's, whatever its factor, with classes and values that are never drawn; nor in bfloat16."""

    def of_torch(q: Distribution, z: Tensor) -> Tensor:
        return q.log_prob(z.round() if family != "gaussian" else z).sum(-1)

    for sharpness, factor, log_q in itertools.product((0.0, 1.0, 6.0, 15.0), (1.0, -2.0), (log_prob, of_torch)):
        values = [(sharpness * v if i == 0 else v).detach().requires_grad_() for i, v in enumerate(leaves(family))]

        def f(z: Tensor, q: Distribution, /, factor: float = factor, log_q: Any = log_q) -> Tensor:
            return smooth(family)(z, q) + factor * log_q(q, z)

        create(entry, family)(as_written(family, values), f, generator=torch.Generator().manual_seed(0))

    # Log q alone has a gradient in z, and nothing beside it that lacks one.
    create(entry, family)(as_written(family, leaves(family)), lambda z, q: 2.0 * log_prob(q, z))

    def of_half(z: Tensor, q: Distribution, /) -> Tensor:
        return smooth(family)(z, q) + q.log_prob(z).sum(-1)

    for half in (torch.bfloat16, torch.float16):
        values = leaves(family, rows=(8,), dtype=half)
        entry.create().bind(event=EVENT[family])(as_written(family, values), of_half)


def test_a_product_with_log_q_is_told_from_it() -> None:
    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return z.sum(-1) * q.log_prob(z).sum(-1)

    q = Bernoulli(logits=leaves("bernoulli")[0])
    for name in ("rloo", "reinforce"):  # with two draws it could be a term of its own; with one, f is evaluated at more
        with pytest.raises(estimators.BadInput, match="takes q as a constant inside f"):
            estimators.get(name).create()(q, f)
    with estimators.trusted():
        estimators.get("rloo").create()(q, f)


@pytest.mark.parametrize("term", OWN_TERMS)
def test_beside_the_surrogate_a_term_of_q_s_own_is_right(term: str) -> None:
    (leaf,) = leaves("bernoulli")
    q = Bernoulli(logits=leaf)
    estimate = estimators.get("exact").create()(q, smooth("bernoulli"))
    (found,) = torch.autograd.grad((estimate.surrogate + OWN_TERMS[term](q)).sum(), leaf)
    whole = expectation(q, lambda z, q: smooth("bernoulli")(z, q) + OWN_TERMS[term](q))
    torch.testing.assert_close(found, torch.autograd.grad(whole.sum(), leaf)[0], rtol=1e-12, atol=1e-12)


def test_f_is_looked_at_in_the_first_call_the_second_and_the_fourth() -> None:
    estimator = estimators.get("rebar").create()
    q = Bernoulli(logits=torch.zeros(4, 2, requires_grad=True))
    calls: list[int] = []

    def good(z: Tensor, q: Distribution, /) -> Tensor:
        calls.append(len(z))
        return z.square().sum(-1)

    evaluated = []
    for _ in range(9):
        estimator(q, good)
        evaluated.append(sum(calls))
        calls.clear()
    assert [count - 2 for count in evaluated] == [4, 4, 0, 4, 0, 0, 0, 4, 0]
    with torch.no_grad():
        estimator(q, good)
    assert sum(calls) == 2  # nothing is to be differentiated
    calls.clear()
    estimators.get("rloo").create()(q, good)
    assert sum(calls) == 2  # f reads nothing of q, nor is it differentiated
    estimators.get("rloo").create()(q, lambda z, q: good(z, q) + q.log_prob(z).sum(-1))
    assert sum(calls) == 2 + 2 + 4


def flat_cost(z: Tensor, q: Distribution, /) -> Tensor:
    return z.detach().square().sum(-1) * torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=DOUBLE)


def slope_cost(z: Tensor, q: Distribution, /) -> Tensor:
    return z.square().sum(-1)


class Cost(torch.nn.Module):
    def __init__(self, cost: Callable[[Tensor, Distribution], Tensor]) -> None:
        super().__init__()
        self.cost = cost

    def forward(self, z: Tensor, q: Distribution) -> Tensor:
        return self.cost(z, q)


def decorated(cost: Callable[[Tensor, Distribution], Tensor]) -> Callable[[Tensor, Distribution], Tensor]:
    @functools.wraps(cost)
    def wrapper(z: Tensor, q: Distribution) -> Tensor:
        return cost(z, q)

    return wrapper


@pytest.mark.parametrize("made", [lambda f: f, functools.partial, decorated, Cost, lambda f: Cost(f).forward])
def test_another_f_is_looked_at_however_it_is_made(made: Callable[..., Any]) -> None:
    estimator = estimators.get("rebar").create().double()
    q = Bernoulli(logits=leaves("bernoulli")[0])
    for _ in range(4):
        estimator(q, made(slope_cost))
    with pytest.raises(estimators.BadInput, match="needs the gradient of f"):
        estimator(q, made(flat_cost))


def test_a_module_at_the_address_of_another_is_told_from_it() -> None:
    """A module that is made anew in every step is often given the address of the one before."""
    cost = Cost(slope_cost)
    before = known_by(cost), known_by(cost.forward)
    cost.cost = flat_cost
    assert known_by(cost) != before[0]
    assert known_by(cost.forward) != before[1]


@pytest.mark.parametrize("name", ["exact", "rloo", "reinforce", "disarm"])
def test_a_divergence_is_found_where_it_has_no_gradient_and_where_it_grows(name: str) -> None:
    """At the start of training q is often the prior, and the weight of a divergence 0."""

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return z.sum(-1).square() + kl_divergence(q, from_flat(q)).sum(-1)

    with pytest.raises(estimators.BadInput, match="add it to the surrogate"):
        estimators.get(name).create()(Bernoulli(logits=torch.zeros(4, 3, requires_grad=True)), f)
    estimator, q, weights = estimators.get(name).create(), Bernoulli(logits=leaves("bernoulli")[0]), iter([0, 0, 1, 1])

    def step() -> None:
        weight = next(weights)
        estimator(q, lambda z, q: z.sum(-1).square() + weight * kl_divergence(q, from_flat(q)).sum(-1))

    for _ in range(3):
        step()
    with pytest.raises(estimators.BadInput, match="add it to the surrogate"):
        step()


def test_an_elbo_under_autocast_is_taken() -> None:
    torch.manual_seed(0)
    encoder, decoder, x = torch.nn.Linear(6, 3), torch.nn.Linear(3, 6), torch.rand(8, 6)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        pixels = decoder(z)
        cost = torch.nn.functional.binary_cross_entropy_with_logits(pixels, x.expand_as(pixels), reduction="none")
        return cost.sum(-1) + q.log_prob(z).sum(-1)

    for entry in estimators.available("bernoulli", "elbo"):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            q = Bernoulli(logits=encoder(x), validate_args=False)
            estimate = entry.create().bind(event=(3,))(q, f)
        assert q.logits.dtype == torch.bfloat16 and estimate.value.dtype == torch.float32
        estimate.surrogate.mean().backward()


def test_leave_one_out_is_not_rounded_as_an_f_of_half_precision_is() -> None:
    leaf = torch.tensor([[0.2, -0.4, 0.9]]).requires_grad_()
    w, draws = torch.tensor([0.3, -0.7, 1.1]), 20_000

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return (500 + 3 * (z @ w)).bfloat16()

    rows = leaf.expand(draws, 3)
    estimate = estimators.get("rloo").create()(Bernoulli(logits=rows), f, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(estimate.surrogate.sum() / draws, leaf)
    exact = leaf.detach().double().requires_grad_()
    value = expectation(Bernoulli(logits=exact), lambda z, q: f(z.float(), q).double())
    torch.testing.assert_close(found.double(), torch.autograd.grad(value.sum(), exact)[0], rtol=0, atol=0.1)
    assert estimate.value.dtype == torch.float32


def test_an_estimator_may_call_another_one() -> None:
    class Wrapped(estimators.Estimator):
        def __init__(self) -> None:
            super().__init__(1)
            self.inner = estimators.get("reinforce").create()

        def forward(self, q, f, *, generator=None, context=None):
            return self.inner(q, f, generator=generator)

    (leaf,) = leaves("bernoulli")
    f = lambda z, q: z.sum(-1).square() + q.log_prob(z).sum(-1)  # noqa: E731
    found = [
        torch.autograd.grad(
            make()(Bernoulli(logits=leaf), f, generator=torch.Generator().manual_seed(0)).surrogate.sum(), leaf
        )[0]
        for make in (Wrapped, estimators.get("reinforce").create)
    ]
    assert torch.equal(*found)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_checkpoints_and_numpy_inside_f_are_taken() -> None:
    net = torch.nn.Linear(2, 1).double()
    (leaf,) = leaves("bernoulli")

    def checkpointed(z: Tensor, q: Distribution, /) -> Tensor:
        return checkpoint(net, z, use_reentrant=True).squeeze(-1) + q.log_prob(z).sum(-1)

    def in_numpy(z: Tensor, q: Distribution, /) -> Tensor:
        return torch.as_tensor(((z.numpy() - q.probs.numpy()) ** 2).sum(-1))

    for name, f in (("rloo", checkpointed), ("gumbel-sigmoid", checkpointed), ("rloo", in_numpy)):
        estimators.get(name).create()(Bernoulli(logits=leaf), f).surrogate.sum().backward()


def test_a_parameter_of_q_that_is_fixed_loses_nothing() -> None:
    loc, scale = torch.zeros(4, 2, dtype=DOUBLE, requires_grad=True), torch.full((4, 2), 0.7, dtype=DOUBLE)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return z.square().sum(-1) - q.entropy().sum(-1)

    estimators.get("rloo").create()(Normal(loc, scale), f)
    with pytest.raises(estimators.BadInput, match="add it to the surrogate"):
        estimators.get("rloo").create()(Normal(loc, scale.requires_grad_()), f)


@pytest.mark.parametrize("sharpness", [1.0, 3.0, 6.0, 15.0])
def test_a_logarithm_kept_from_zero_is_log_q(sharpness: float) -> None:
    logits = sharpness * torch.randn(32, 2, 8, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return (z * (q.probs + 1e-8).log()).sum((-1, -2)) + z[..., 0].sum(-1)

    for name in ("rloo", "reinforce", "exact"):
        estimators.get(name).create()(OneHotCategorical(logits=logits.requires_grad_()), f)


def test_whole_numbers_are_no_parameters() -> None:
    with pytest.raises(estimators.BadInput, match="parameters of type int64; expected floating-point"):
        estimators.get("reparameterization").create()(
            Normal(torch.zeros(4, 1).long(), torch.ones(4, 1).long()), lambda z, q: z.sum(-1)
        )


def test_copies_and_pickles_know_no_objectives() -> None:
    estimator = estimators.get("rloo").create()
    estimator(Bernoulli(logits=torch.zeros(4, 2, requires_grad=True)), lambda z, q: z.sum(-1))
    for other in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        assert "_calls" not in other.__dict__ and "_calls" in estimator.__dict__
        other(Bernoulli(logits=torch.zeros(4, 2, requires_grad=True)), lambda z, q: z.sum(-1))


def test_a_look_leaves_the_global_generator_alone() -> None:
    dropout = torch.nn.Dropout(0.5)
    q = Bernoulli(logits=torch.zeros(4, 2, requires_grad=True))

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        return dropout(z).sum(-1) + q.log_prob(z).sum(-1)

    states = []
    for trust in (False, True):
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        if trust:
            with estimators.trusted():
                estimators.get("reinforce").create()(q, f, generator=generator)
        else:
            estimators.get("reinforce").create()(q, f, generator=generator)
        states.append((torch.get_rng_state(), generator.get_state()))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("entry", estimators.available("categorical"), ids=lambda entry: entry.name)
def test_torch_s_log_prob_inside_f_is_ours(entry: Entry) -> None:
    """torch's takes the largest entry of a relaxed z, a step, of which relaxations would have lost the gradient."""
    found = []
    for log_q in (log_prob, lambda q, z: q.log_prob(z).sum(-1)):
        (leaf,) = leaves("categorical")

        def f(z: Tensor, q: Distribution, /, log_q: object = log_q) -> Tensor:
            return smooth("categorical")(z, q) + log_q(q, z)

        q = OneHotCategorical(logits=leaf)
        estimate = create(entry, "categorical")(q, f, generator=torch.Generator().manual_seed(0))
        found.append(torch.autograd.grad(estimate.surrogate.sum(), leaf)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)


# Certain outcomes.

MASKED = torch.tensor([[[0.3, -math.inf, 0.5]]], dtype=DOUBLE)
CERTAIN_BITS = torch.tensor([[0.3, -math.inf, 0.5, math.inf]], dtype=DOUBLE)


def of_masked(z: Tensor, q: Distribution, /) -> Tensor:
    return (z * torch.tensor([1.0, -2.0, 3.0], dtype=z.dtype)).sum((-2, -1)).square()


def of_bits(z: Tensor, q: Distribution, /) -> Tensor:
    return (z * torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=z.dtype)).sum(-1).square()


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_masked_class_has_the_value_the_gradient_and_the_divergence_of_two_classes(dtype: torch.dtype) -> None:
    leaf = MASKED.to(dtype).requires_grad_()
    q = OneHotCategorical(logits=leaf)
    for value in (expectation(q, of_masked), estimators.get("exact").create()(q, of_masked).surrogate):
        assert float(value.detach()) == pytest.approx(5.3987, abs=1e-4)
        (found,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True)
        assert found.flatten().tolist() == pytest.approx([-1.9801, 0.0, 1.9801], abs=1e-4)
    flat = OneHotCategorical(logits=torch.zeros_like(leaf))
    assert float(kl(q, flat).detach()) == pytest.approx(0.4104, abs=1e-4)
    assert float(kl(q, q).detach()) == 0
    assert float(kl(flat, q).detach()) == math.inf
    assert bool(torch.autograd.grad(kl(q, flat).sum(), leaf)[0].isfinite().all())


def test_divergences_of_certain_bits() -> None:
    q, flat = Bernoulli(logits=CERTAIN_BITS), Bernoulli(logits=torch.zeros(1, 4, dtype=DOUBLE))
    expected = sum(
        p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)) for p in torch.tensor([0.3, 0.5]).sigmoid().tolist()
    ) + 2 * math.log(2)
    assert float(kl(q, flat)) == pytest.approx(expected, rel=1e-6)
    assert float(kl(q, q)) == 0
    assert float(kl(flat, q)) == math.inf
    turned = Bernoulli(logits=torch.tensor([[0.3, math.inf, 0.5, math.inf]], dtype=DOUBLE))
    assert float(kl(q, turned)) == math.inf


@pytest.mark.parametrize("entry", estimators.available("categorical"), ids=lambda entry: entry.name)
def test_masked_classes_leave_every_estimator_what_it_is_without_them(entry: Entry) -> None:
    """Finite, 0 where masked, and in mean the gradient of the classes that are left, within five standard errors."""
    _certain(entry, MASKED, of_masked, OneHotCategorical, MASKED[..., [0, 2]], [0, 2])


@pytest.mark.parametrize("entry", estimators.available("bernoulli"), ids=lambda entry: entry.name)
def test_certain_bits_leave_every_estimator_what_it_is_without_them(entry: Entry) -> None:
    _certain(entry, CERTAIN_BITS, of_bits, Bernoulli, None, [0, 2])


def _certain(
    entry: Entry,
    logits: Tensor,
    f: Callable[[Tensor, Distribution], Tensor],
    kind: type[Distribution],
    left: Tensor | None,
    free: list[int],
) -> None:
    draws = 20_000
    leaf = logits.expand(draws, *logits.shape).clone().requires_grad_()
    estimator = entry.create().double().eval()
    estimate = estimator(kind(logits=leaf), f, generator=torch.Generator().manual_seed(1))
    (g,) = torch.autograd.grad(estimate.surrogate.sum(), leaf)
    assert bool(estimate.surrogate.isfinite().all()) and bool(g.isfinite().all())
    g = g.flatten(1)
    fixed = [i for i in range(g.shape[1]) if i not in free]
    assert bool((g[:, fixed] == 0).all())
    if not entry.unbiased or entry.bound != "elbo":
        return
    exact = logits.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(expectation(kind(logits=exact), f).sum(), exact)
    error = g.std(0) / math.sqrt(draws)
    difference = (g.mean(0) - wanted.flatten()).abs()
    assert bool((difference <= 5 * error + 1e-9).all()), (g.mean(0), wanted)


# Other modes of torch, and other rows.


@each_pair
def test_without_a_graph_and_in_inference_mode_the_value_is_the_same(family: str, entry: Entry) -> None:
    found = []
    for mode, training in itertools.product((torch.enable_grad, torch.no_grad, torch.inference_mode), (True, False)):
        values = leaves(family)
        estimator = create(entry, family).train(training)
        with mode():
            q = as_written(family, [v + 0.0 for v in values])
            estimate = estimator(q, smooth(family), generator=torch.Generator().manual_seed(0))
        found.append(estimate.value)
    for value in found[1:]:
        torch.testing.assert_close(value, found[0], rtol=0, atol=0)


@each_pair
def test_an_empty_batch_has_no_values_and_changes_no_state(family: str, entry: Entry) -> None:
    estimator = create(entry, family).train()
    before = {key: value.clone() for key, value in estimator.state_dict().items()}
    values = leaves(family, rows=(0,))
    estimate = estimator(from_parameters(family, *values), smooth(family))  # torch makes no one-hot q of no rows
    assert estimate.surrogate.shape == estimate.value.shape == (0,)
    assert torch.autograd.grad(estimate.surrogate.sum(), values[0])[0].shape == values[0].shape
    for key, value in estimator.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("entry", estimators.available("categorical"), ids=lambda entry: entry.name)
def test_one_class_is_certain(entry: Entry) -> None:
    leaf = torch.randn(3, 2, 1, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    estimate = (
        entry.create().bind(event=(2, 1)).double()(OneHotCategorical(logits=leaf), lambda z, q: 3 * z.sum((-2, -1)))
    )
    assert estimate.value.tolist() == pytest.approx([6.0] * 3)
    (found,) = torch.autograd.grad(estimate.surrogate.sum(), leaf)
    assert found.abs().max() == 0


@each_pair
def test_torch_func_grad_is_the_gradient_of_the_surrogate(family: str, entry: Entry) -> None:
    values = leaves(family)
    estimator = create(entry, family).eval()

    def loss(*values: Tensor) -> Tensor:
        q = from_parameters(family, *values)
        return estimator(q, smooth(family), generator=torch.Generator().manual_seed(0)).surrogate.sum()

    found = torch.func.grad(loss, tuple(range(len(values))))(*[v.detach() for v in values])
    expected = torch.autograd.grad(loss(*values), values)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@each_pair
def test_torch_func_grad_of_what_f_holds_and_of_own_parameters_is_autograd_s(family: str, entry: Entry) -> None:
    """By functional_call, from the whole loss; running state, which cannot be updated there, is refused in one line."""
    values = [v.detach() for v in leaves(family)]
    theta = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    estimator = create(entry, family).train()
    own = dict(estimator.named_parameters())

    def loss(theta: Tensor, own: dict[str, Tensor]) -> Tensor:
        call = (from_parameters(family, *values), lambda z, q: theta * smooth(family)(z, q) + log_prob(q, z))
        generator = {"generator": torch.Generator().manual_seed(0)}
        return torch.func.functional_call(estimator, own, call, generator).loss()

    gradient = torch.func.grad(loss, (0, 1))
    fixed = {name: p.detach() for name, p in own.items()}
    if list(estimator.buffers()):
        with pytest.raises(estimators.BadInput, match=r"running state .* under torch.func.* eval\(\)"):
            gradient(theta.detach(), fixed)
        estimator.eval()
    of_theta, of_own = gradient(theta.detach(), fixed)
    expected = torch.autograd.grad(loss(theta, own), (theta, *own.values()))
    torch.testing.assert_close((of_theta, *of_own.values()), expected, rtol=1e-12, atol=1e-12)


def test_tables_first_made_under_torch_func_serve_later_calls() -> None:
    values = [torch.zeros(1, 11, dtype=DOUBLE), torch.ones(1, 11, dtype=DOUBLE)]  # no other test has 11 latents
    estimator = estimators.get("quasi-monte-carlo").create(samples=4)

    def loss(*values: Tensor) -> Tensor:
        q = from_parameters("gaussian", *values)
        return estimator(q, lambda z, q: z.square().sum(-1), generator=torch.Generator().manual_seed(0)).loss()

    found = torch.func.grad(loss, (0, 1))(*values)
    live = [v.requires_grad_() for v in values]
    torch.testing.assert_close(found, torch.autograd.grad(loss(*live), live), rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@each_pair
def test_under_vmap_each_copy_has_noise_of_its_own_and_the_right_mean(family: str, entry: Entry) -> None:
    """Sampled: of those declared unbiased for E_q[f], the mean gradient of 4000 copies, within five standard errors."""
    copies, values = 4000, [v.detach() for v in leaves(family, rows=(1,))]
    estimator = create(entry, family).eval()
    generator = torch.Generator().manual_seed(0)

    def loss(*values: Tensor) -> Tensor:
        q = from_parameters(family, *values)
        return estimator(q, smooth(family), generator=generator).surrogate.sum()

    one = torch.func.grad(loss, tuple(range(len(values))))
    grads = torch.func.vmap(one, randomness="different")(*[v.expand(copies, *v.shape) for v in values])
    assert all(g.shape == (copies, *v.shape) and bool(g.isfinite().all()) for g, v in zip(grads, values, strict=True))
    if entry.unbiased and entry.bound == "elbo":
        exact = [v.clone().requires_grad_() for v in values]
        value = expectation(from_parameters(family, *exact), smooth(family))
        for g, wanted in zip(grads, torch.autograd.grad(value.sum(), exact), strict=True):
            error = g.std(0) / math.sqrt(copies)
            assert bool(((g.mean(0) - wanted).abs() <= 5 * error + 1e-9).all())


# Noise of half precision.


@each_pair
def test_half_precision_is_single_precision_at_the_same_parameters(family: str, entry: Entry) -> None:
    """The same noise; rounding of q, which moves a few draws, and of f is what is left."""
    for half in (torch.bfloat16, torch.float16):
        _compare_with_single_precision(family, entry, half)


def _compare_with_single_precision(family: str, entry: Entry, half: torch.dtype) -> None:
    found = []
    for dtype in (half, torch.float32):
        values = [v.detach().to(half).to(dtype).requires_grad_() for v in leaves(family, rows=(256,))]
        seen: list[torch.dtype] = []

        def f(z: Tensor, q: Distribution, /, seen: list[torch.dtype] = seen) -> Tensor:
            seen.append(z.dtype)
            return smooth(family)(z, q)

        estimator = entry.create().bind(event=EVENT[family]).eval()
        estimate = estimator(as_written(family, values), f, generator=torch.Generator().manual_seed(3))
        assert set(seen) == {dtype} and estimate.surrogate.dtype == torch.float32
        found.append(torch.autograd.grad(estimate.surrogate.sum(), values[0])[0].flatten().double())
        assert estimate.surrogate.isfinite().all()
    cosine = found[0] @ found[1] / found[0].norm() / found[1].norm()
    assert cosine > 0.95
    assert float(found[0].norm() / found[1].norm()) == pytest.approx(1, abs=0.08)
