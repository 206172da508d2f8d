"""Steps through torch.compile(fullgraph=True): every estimator, the numbers of the plain call, without a warning.

The backend eager runs what was captured of a call as it is: that all of it is captured, and is the call, is held here
alone. The backend aot_eager also traces the backward pass, and plans what that keeps and what it computes again, as the
default backend does, which then writes C++ or Triton. That can go wrong where a step changes what an estimator keeps,
so estimators that keep something are run by it; of all of them forward and backward traced as one are held against the
eager step in tests/bench/test_step_program.py. Both draw from the same generator: their numbers are the plain ones.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import Tensor
from torch.distributions import Distribution

import estimators
from estimators import call
from estimators.distributions import from_parameters
from estimators.entry import Entry
from tests.estimators.cases import FAMILIES, build, flat, leaves

DOUBLE = torch.float64
ONE_EACH = [
    (entry, next(family for family in reversed(entry.families) if family in FAMILIES))
    for entry in estimators.available()
    if {*entry.families} & {*FAMILIES}
]
STATES: list[tuple[str, str, dict[str, Any]]] = [
    ("gumbel-sigmoid", "bernoulli", {"final_temperature": 0.1, "anneal_steps": 10}),
    ("reinforce", "gaussian", {"baseline": "moving-average"}),
    ("reinforce", "bernoulli", {"baseline": "input-dependent", "variance_normalisation": True}),
    ("rebar", "bernoulli", {"coupled": False}),
    ("rebar", "bernoulli", {"learn": False}),
]


@pytest.fixture(autouse=True)
def _fresh_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is compiled is counted by the code of a function, which tests share; its log would be kept by pytest."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def numbers(
    step: Callable[[], Tensor], estimator: estimators.Estimator, wanted: list[Tensor], steps: int = 2
) -> list[Tensor]:
    """Loss, gradients and state after each step, from the same noise and the same state."""
    start = {key: value.clone() for key, value in estimator.state_dict().items()}
    torch.manual_seed(5)
    found: list[Tensor] = []
    for _ in range(steps):
        loss = step()
        gradients = torch.autograd.grad(loss, wanted, materialize_grads=True)
        found += [loss.detach(), *gradients, *(value.clone() for value in estimator.state_dict().values())]
    estimator.load_state_dict(start)
    return found


def compare(entry: Entry, family: str, options: dict[str, Any]) -> None:
    values, theta = leaves(family, 1.0), torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    q = build(family, values)

    def f(z: Tensor, q: Distribution, /) -> Tensor:
        y = flat(family, z)
        return theta * (y @ torch.linspace(1.0, 2.0, y.shape[-1], dtype=DOUBLE)).square()

    context = torch.linspace(-1, 1, 4, dtype=DOUBLE).reshape(2, 2) if "input-dependent" in options.values() else None
    estimator = entry.create(like=q, context_size=0 if context is None else 2, **options).double()

    def step() -> Tensor:
        return estimator(build(family, values), f, context=context).loss()

    step()
    own = [p for p in estimator.parameters() if p.requires_grad]
    plain = numbers(step, estimator, [*values, theta, *own])
    backend = "aot_eager" if estimator.state_dict() else "eager"
    compiled = numbers(torch.compile(step, fullgraph=True, backend=backend), estimator, [*values, theta, *own])
    torch.testing.assert_close(compiled, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("entry", "family"), ONE_EACH, ids=[entry.name for entry, _ in ONE_EACH])
def test_a_compiled_step_gives_the_numbers_of_the_plain_one(entry: Entry, family: str) -> None:
    compare(entry, family, {})


@pytest.mark.parametrize(("name", "family", "options"), STATES, ids=[f"{n}-{next(iter(o))}" for n, _, o in STATES])
def test_state_that_a_step_changes_is_read_before_by_its_backward_pass_too(
    name: str, family: str, options: dict[str, Any]
) -> None:
    """torch computes again what a backward pass needs: of an annealed temperature, that was the next step's."""
    compare(estimators.get(name), family, options)


@pytest.mark.parametrize("name", ["rloo", "quasi-monte-carlo"])
def test_batches_of_any_size_share_their_traces(name: str) -> None:
    gaussian = "gaussian" in estimators.get(name).families and name != "rloo"

    def q_of(raw: Tensor) -> Distribution:
        return from_parameters("gaussian", raw, raw.exp()) if gaussian else from_parameters("bernoulli", raw)

    estimator = estimators.get(name).create(like=q_of(torch.zeros(4, 3)))

    def step(raw: Tensor) -> Tensor:
        return estimator(q_of(raw), lambda z, q: z.sum(-1).square()).loss()

    traces: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        traces.append(len(inputs))
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)  # type: ignore[no-any-return]

    compiled = torch.compile(step, fullgraph=True, backend=backend, dynamic=True)
    for rows in (4, 7, 9, 11):
        raw = torch.linspace(-1, 1, 3 * rows).reshape(rows, 3).requires_grad_()
        found = []
        for one in (step, compiled):
            torch.manual_seed(0)
            found.append(torch.autograd.grad(one(raw), raw)[0])
        torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)
    assert len(traces) <= 2


def test_trusted_inside_a_compiled_step_is_taken() -> None:
    estimator, logits = estimators.get("rloo").create(), torch.zeros(4, 3, requires_grad=True)

    def step() -> Tensor:
        with estimators.trusted():
            return estimator(from_parameters("bernoulli", logits), lambda z, q: z.sum(-1)).loss()

    assert torch.compile(step, fullgraph=True, backend="aot_eager")().isfinite()
    assert not call.looks_are_left_out()


def test_infinite_logits_are_bounded_in_a_compiled_step_too() -> None:
    estimator = estimators.get("exact").create()
    logits = torch.tensor([[0.3, torch.inf, -torch.inf]], requires_grad=True)

    def step() -> Tensor:
        return estimator(
            from_parameters("bernoulli", logits), lambda z, q: (z @ torch.tensor([1.0, 2.0, 4.0])).square()
        ).loss()

    found = [torch.autograd.grad(one(), logits)[0] for one in (step, torch.compile(step, backend="aot_eager"))]
    assert found[0].isfinite().all() and torch.allclose(found[0], found[1])


def test_an_estimator_without_sizes_says_what_to_do() -> None:
    estimator, logits = estimators.get("relax").create(), torch.zeros(4, 3, requires_grad=True)

    def step() -> Tensor:
        return estimator(from_parameters("bernoulli", logits), lambda z, q: z.sum(-1)).loss()

    with pytest.raises(Exception, match=r"make the estimator with create\(like=q\)"):
        torch.compile(step, fullgraph=True, backend="aot_eager")()
