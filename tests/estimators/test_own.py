"""Own parameters and running state: the same objects from construction on, whatever sizes them, saved and restored.

An optimiser holds the objects that it was made with. What is trained here is what those objects are after some steps.
"""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import Cauchy, Distribution, Normal
from torch.nn.parameter import is_lazy

import estimators
from bench.config import EstimatorConfig
from estimators import BadInput, Entry, Estimator, register
from estimators.distributions import event_shape, log_prob
from estimators.labels import label_of
from estimators.parts.network import Network
from tests.estimators.cases import build, families_of
from tests.estimators.outside import CORRECT

CONTEXT, ROWS, STEPS = 4, 6, 8
EVENTS = {"gaussian": (3,), "bernoulli": (3,), "categorical": (2, 3)}


def _cases(entries: list[Entry]) -> list[Any]:
    """Every entry with its options, its variants, and its families."""
    chosen = [(e, o, f) for e in entries for o in ({}, *e.variants) for f in families_of(e)]
    return [pytest.param(*case, id=f"{label_of(case[0].name, case[1])}-{case[2]}") for case in chosen]


LEARNERS = _cases([entry for entry in estimators.available() if entry.own_parameters])
STATEFUL = _cases([entry for entry in estimators.available() if entry.create().state_dict() or entry.own_parameters])


def _q(family: str, lead: tuple[int, ...] = (), event: tuple[int, ...] | None = None) -> Distribution:
    shape = (*lead, ROWS, *(EVENTS[family] if event is None else event))
    first = torch.linspace(-1.5, 1.0, torch.Size(shape).numel(), dtype=torch.float64).reshape(shape).requires_grad_()
    return build(family, [first, torch.full(shape, 0.7).double()] if family == "gaussian" else [first])


def _f(z: Tensor, q: Distribution, /) -> Tensor:
    flat = z.flatten(-len(event_shape(q)))
    return (flat - 0.45).square().sum(-1) + 0.5 * flat[..., 0] * flat[..., 1] + 0.1 * log_prob(q, z)


def _context(lead: tuple[int, ...] = ()) -> Tensor:
    return torch.linspace(-1, 1, ROWS * CONTEXT).reshape(ROWS, CONTEXT).expand(*lead, ROWS, CONTEXT)


def _call(estimator: Estimator, family: str, context: Tensor | None, seed: int = 0, lead: tuple[int, ...] = ()) -> Any:
    return estimator(_q(family, lead), _f, generator=Generator().manual_seed(seed), context=context)


def _gradient(estimator: Estimator, family: str, context: Tensor | None, lead: tuple[int, ...] = ()) -> Tensor:
    q = _q(family, lead)
    leaf = q.loc if isinstance(q, Normal) else q.logits
    estimate = estimator(q, _f, generator=Generator().manual_seed(11), context=context)
    return torch.autograd.grad(estimate.surrogate.sum(), leaf)[0]


def _train(
    estimator: Estimator,
    optimiser: torch.optim.Optimizer | None,
    family: str,
    context: Tensor | None,
    lead: tuple[int, ...] = (),
) -> None:
    estimator.train()
    for seed in range(STEPS):
        loss = _call(estimator, family, context, seed, lead).auxiliary
        if optimiser is not None and loss is not None:
            optimiser.zero_grad()
            loss.sum().backward()
            optimiser.step()


def _adam(estimator: Estimator) -> tuple[torch.optim.Optimizer, nn.Parameter]:
    """The ordinary optimiser: the model's weights and the estimator's own in one."""
    weight = nn.Parameter(torch.zeros(2))
    return torch.optim.Adam([weight, *estimator.parameters()], lr=0.05), weight


ORDERS = {
    "optimiser, call": ("optimiser", "call"),
    "call, optimiser": ("call", "optimiser"),
    "bind, optimiser": ("bind", "optimiser"),
    "optimiser, bind": ("optimiser", "bind"),
    "call, optimiser, bind": ("call", "optimiser", "bind"),
    "bind, optimiser, bind": ("bind", "optimiser", "bind"),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("entry", "options", "family"), LEARNERS)
def test_the_optimiser_trains_what_the_estimator_uses_in_any_order(
    entry: Entry, options: dict[str, Any], family: str, order: str
) -> None:
    estimator = entry.create(**options).double()
    optimiser, context = None, None
    for what in ORDERS[order]:
        if what == "optimiser":
            optimiser, _ = _adam(estimator)
        elif what == "bind":
            context = _context()
            estimator.bind(context_size=CONTEXT, event=EVENTS[family], generator=Generator().manual_seed(1))
        else:
            _call(estimator.train(), family, context)
    _call(estimator.train(), family, context)  # what is sized late is there now
    used = {name: p for name, p in estimator.named_parameters() if p.requires_grad and p.numel()}
    start = {name: p.detach().clone() for name, p in used.items()}
    assert optimiser is not None
    _train(estimator, optimiser, family, context)
    held = {id(p) for group in optimiser.param_groups for p in group["params"]}
    after = dict(estimator.named_parameters())
    for name, p in used.items():
        assert after[name] is p, f"{name} was replaced in training"
        assert id(p) in held, f"the optimiser does not hold {name}"
        assert not torch.equal(p, start[name]), f"{name} did not move"


@pytest.mark.parametrize("create", ["relax", "relax-rebar", "lax"])
def test_a_network_made_before_the_first_call_trains_as_one_made_for_q(create: str) -> None:
    """The fault that was: the optimiser made first saw no network, and RELAX had 300 times the variance."""
    entry = estimators.get(create)
    family = entry.families[0]
    losses = []
    for like in (None, _q(family)):
        estimator = entry.create(like=like).double() if like is not None else entry.create().double()
        _train(estimator, _adam(estimator)[0], family, None)
        losses.append(_call(estimator, family, None, 99).auxiliary.detach())
    assert torch.equal(*losses)


OPTIMISERS = [
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.RMSprop,
    torch.optim.Adadelta,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.ASGD,
    torch.optim.Rprop,
    torch.optim.Adagrad,
]


@pytest.mark.parametrize("kind", OPTIMISERS, ids=[kind.__name__ for kind in OPTIMISERS])
def test_every_optimiser_trains_an_unsized_network_or_refuses_it_in_one_line(kind: Any) -> None:
    estimator = estimators.get("relax").create().double()
    if kind is torch.optim.Adagrad:  # its state is made with it
        with pytest.raises(ValueError, match=r"has no size yet, .*like=q") as caught:
            kind(estimator.parameters(), lr=0.05)
        assert "\n" not in str(caught.value)
        estimator = estimators.get("relax").create(like=_q("bernoulli")).double()
    optimiser = kind(estimator.parameters(), lr=0.05)
    _call(estimator.train(), "bernoulli", None)
    start = estimator.surrogate.first.detach().clone()
    _train(estimator, optimiser, "bernoulli", None)
    assert not torch.equal(estimator.surrogate.first, start)


def test_an_optimiser_that_has_stepped_refuses_other_sizes_instead_of_stepping_wrongly() -> None:
    for before, after in (((), (3,)), ((3,), ()), ((3,), (2,))):
        estimator = estimators.get("rebar").create().bind(stack=before).double()
        optimiser, _ = _adam(estimator)
        _train(estimator, optimiser, "bernoulli", None, before)
        estimator.bind(stack=after)
        with pytest.raises(RuntimeError, match=r"size|shape"):
            _train(estimator, optimiser, "bernoulli", None, after)


@pytest.mark.parametrize(("entry", "options", "family"), STATEFUL)
def test_bind_keeps_objects_precision_and_what_is_frozen(entry: Entry, options: dict[str, Any], family: str) -> None:
    estimator = entry.create(**options).double().requires_grad_(False)
    made = {name: id(t) for name, t in (*estimator.named_parameters(), *estimator.named_buffers())}
    for stack in ((), (2,), (3, 2), ()):
        generator = Generator().manual_seed(1)
        estimator.bind(stack=stack, context_size=CONTEXT, event=EVENTS[family], generator=generator)
        found = dict((*estimator.named_parameters(), *estimator.named_buffers()))
        assert {name: id(t) for name, t in found.items()} == made
        assert all(t.dtype == torch.float64 and not t.requires_grad for t in found.values())
        assert all(t.shape[: len(stack)] == stack for name, t in found.items() if t.dim())
        _call(estimator, family, _context(stack), lead=stack)


def _filled(entry: Entry, options: dict[str, Any], family: str, stack: tuple[int, ...], bound: bool) -> Estimator:
    """An estimator that was trained for some steps."""
    estimator = entry.create(**options)
    if bound:
        generator = Generator().manual_seed(1)
        estimator.bind(stack=stack, context_size=CONTEXT, event=EVENTS[family], generator=generator)
    optimiser = _adam(estimator.double())[0]
    _train(estimator, optimiser, family, _context(stack) if bound else None, stack)
    return estimator.eval()


@pytest.mark.parametrize("stack", [(), (2,), None], ids=["bound", "stacked", "unbound"])
@pytest.mark.parametrize(("entry", "options", "family"), STATEFUL)
def test_a_saved_state_loads_where_nothing_is_sized_or_the_same_is(
    entry: Entry, options: dict[str, Any], family: str, stack: tuple[int, ...] | None
) -> None:
    lead, bound = stack or (), stack is not None
    trained = _filled(entry, options, family, lead, bound)
    context = _context(lead) if bound else None
    expected = _gradient(trained, family, context, lead)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = [entry.create(**options).double()]
    if bound:
        generator = Generator().manual_seed(2)
        same = entry.create(**options).double()
        fresh += [same.bind(stack=lead, context_size=CONTEXT, event=EVENTS[family], generator=generator)]
    for estimator in fresh:
        optimiser, _ = _adam(estimator)  # made before, it trains what is restored
        estimator.load_state_dict(saved, strict=True)
        assert torch.equal(_gradient(estimator.eval(), family, context, lead), expected)
        held = {id(p) for group in optimiser.param_groups for p in group["params"]}
        assert all(id(p) in held for p in estimator.parameters())
        for key, value in estimator.state_dict().items():
            assert value.data_ptr() != saved[key].data_ptr() or not value.numel()


@pytest.mark.parametrize(("entry", "options", "family"), STATEFUL)
def test_a_saved_state_of_other_sizes_is_refused_with_both_shapes(
    entry: Entry, options: dict[str, Any], family: str
) -> None:
    saved = _filled(entry, options, family, (2,), True).state_dict()
    if not any(value.dim() for value in saved.values()):
        return  # nothing of it has a size
    other = entry.create(**options).bind(stack=(3,), context_size=CONTEXT, event=EVENTS[family])
    with pytest.raises(RuntimeError, match=r"shape torch.Size\(\[2, .*current model is torch.Size\(\[3, "):
        other.load_state_dict(saved)


@pytest.mark.parametrize(("entry", "options", "family"), STATEFUL)
def test_an_unsized_estimator_is_copied_pickled_saved_moved_and_counted(
    entry: Entry, options: dict[str, Any], family: str
) -> None:
    estimator = entry.create(**options).double().eval()
    expected = _gradient(copy.deepcopy(estimator), family, None)
    again = pickle.loads(pickle.dumps(estimator))
    assert torch.equal(_gradient(again, family, None), expected)
    file = io.BytesIO()
    torch.save(estimator.state_dict(), file)
    file.seek(0)
    restored = entry.create(**options).double().eval()
    restored.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(_gradient(restored, family, None), expected)
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        moved = copy.deepcopy(estimator).to(dtype).to("cpu").requires_grad_(False).requires_grad_(True)
        assert all(p.dtype == dtype and p.requires_grad for p in moved.parameters())
    repr(estimator)
    if any(is_lazy(p) for p in estimator.parameters()):
        with pytest.raises(ValueError, match=r"has no size yet, which numel needs: .*like=q"):
            sum(p.numel() for p in estimator.parameters())
    assert torch.equal(_gradient(estimator, family, None), expected)


@pytest.mark.parametrize(("entry", "options", "family"), LEARNERS)
def test_initial_values_repeat(entry: Entry, options: dict[str, Any], family: str) -> None:
    def values(how: str) -> list[Tensor]:
        estimator = entry.create(**options)
        if how == "called":
            _call(estimator.eval(), family, None)
        elif how == "waiting":  # what bind said without an event holds at the first call
            estimator.bind(stack=(2,), generator=Generator().manual_seed(3))
            _call(estimator.eval(), family, None, lead=(2,))
        else:
            seed = int(how)
            estimator.bind(event=EVENTS[family], context_size=4, generator=Generator().manual_seed(seed))
        return [p.detach().clone() for p in estimator.parameters()]

    for how in ("called", "waiting", "1", "2"):
        assert all(torch.equal(a, b) for a, b in zip(values(how), values(how), strict=True))
    assert all(p.shape[0] == 2 for p in values("waiting"))


def test_networks_start_from_the_same_values_as_ever() -> None:
    relax = estimators.get("relax").create(hidden=2).bind(event=(3,), generator=Generator().manual_seed(0))
    start = torch.rand(3, 2, generator=Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(relax.surrogate.first, start / 3**0.5)
    unbound = estimators.get("relax").create(hidden=2)
    _call(unbound, "bernoulli", None)
    assert torch.equal(unbound.surrogate.first, relax.surrogate.first)


def test_a_network_without_sizes_says_so() -> None:
    with pytest.raises(ValueError, match="has no size yet"):
        Network(5)(torch.zeros(2, 4, 3))


@pytest.mark.parametrize("late", [False, True])
def test_a_sized_network_is_traced_whole(late: bool) -> None:
    """Asking whether it has its weights must not be what breaks the graph."""
    network = Network(5, inputs=0 if late else 3)
    network.make(3)
    x = torch.linspace(-1, 1, 12).reshape(4, 3)
    traced = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.equal(traced(x), network(x))


def test_a_waiting_network_takes_a_saved_size_beside_what_is_bound() -> None:
    """Bound to a stack alone: the temperature has its size, and the network none yet."""
    q = _q("bernoulli", (2,))
    trained = estimators.get("relax").create(like=q, stack=(2,)).double().eval()
    waiting = estimators.get("relax").create().bind(stack=(2,), generator=Generator().manual_seed(4)).double().eval()
    waiting.load_state_dict(trained.state_dict())
    assert torch.equal(*(_gradient(estimator, "bernoulli", None, (2,)) for estimator in (trained, waiting)))
    outside = {entry.name: entry for entry in CORRECT}["LinearInLogits"]
    used, fresh = (outside.cls(samples=1).bind(stack=(2,)).double().eval() for _ in range(2))
    used.resize(used.weight, torch.ones(2, 1, 3))
    fresh.load_state_dict(used.state_dict())
    assert torch.equal(fresh.weight, used.weight)


def test_a_state_that_lacks_a_part_is_refused_whether_sized_or_not() -> None:
    saved = estimators.get("relax").create(like=_q("bernoulli")).state_dict()
    del saved["surrogate.first_bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*surrogate.first_bias"):
        estimators.get("relax").create().load_state_dict(saved)
    unsized = estimators.get("relax").create().state_dict()
    assert list(unsized) == ["log_temperature"]
    with pytest.raises(RuntimeError, match=r"Missing key.*surrogate.first"):
        estimators.get("relax").create(like=_q("bernoulli")).load_state_dict(unsized)


# Sizes at construction


@pytest.mark.parametrize(("entry", "options", "family"), _cases(estimators.available()))
def test_created_for_q_it_is_bound_to_it(entry: Entry, options: dict[str, Any], family: str) -> None:
    for stack in ((), (2,)):
        q = _q(family, stack)
        made = entry.create(like=q, context_size=CONTEXT, stack=stack, **options)
        bound = entry.create(**options).bind(stack=stack, context_size=CONTEXT, event=EVENTS[family])
        assert made.state_dict().keys() == bound.state_dict().keys()
        for a, b in zip(made.state_dict().values(), bound.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        parameters = list(made.parameters())
        if bound.state_dict() and not entry.enumerates:
            _call(made.double(), family, _context(stack), lead=stack)
        assert all(a is b for a, b in zip(parameters, made.parameters(), strict=True))


@pytest.mark.parametrize(("entry", "options", "family"), STATEFUL)
def test_created_for_q_it_is_on_the_device_of_q(entry: Entry, options: dict[str, Any], family: str) -> None:
    q = build(family, [torch.zeros(ROWS, *EVENTS[family], device="meta")] * (2 if family == "gaussian" else 1))
    estimator = entry.create(like=q, **options)
    assert {t.device.type for t in (*estimator.parameters(), *estimator.buffers())} <= {"meta"}


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("lax", {"like": _q("bernoulli")}, "'lax' is for gaussian latents, not bernoulli"),
        ("rebar", {"like": _q("gaussian")}, "'rebar' is for bernoulli and categorical latents, not gaussian"),
        ("rloo", {"like": Cauchy(torch.ones(2), torch.ones(2))}, "like"),
        ("rloo", {"like": 3}, "like must be a distribution q, got 3"),
        ("rloo", {"like": torch.zeros(3)}, "like must be a distribution q, got a Tensor"),
        ("lax", {"context_size": 4}, "'lax' is sized by the event too: give like=q"),
        ("relax", {"stack": (2,)}, "'relax' is sized by the event too: give like=q"),
        (
            "relax-rebar",
            {"like": _q("bernoulli"), "context_size": -1},
            "context_size must be a whole number >= 0, got -1",
        ),
        ("reinforce", {"context_size": 2.0}, "context_size must be a whole number >= 0, got 2.0"),
        ("reinforce", {"context_size": True}, "context_size must be a whole number >= 0, got True"),
        ("rloo", {"stack": (2, -1)}, "stack must be whole numbers >= 1, got (2, -1)"),
        ("rloo", {"stack": (0,)}, "stack must be whole numbers >= 1, got (0,)"),
        ("rloo", {"stack": 3}, "stack must be whole numbers >= 1, got 3"),
        ("rloo", {"stack": "ab"}, "stack must be whole numbers >= 1, got 'ab'"),
        ("rebar", {"like": _q("bernoulli", (3,)), "stack": (2,)}, "rows [3, 6], expected [..., 2, B] for stack=(2,)"),
        (
            "rebar",
            {"like": build("bernoulli", [torch.zeros(4)]), "stack": (2,)},
            "rows [], expected [..., 2, B]",
        ),
    ],
)
def test_bad_sizes_are_one_line(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        estimators.get(name).create(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unsized_estimator_may_be_stacked_where_it_needs_no_event() -> None:
    assert estimators.get("rebar").create(stack=(2,)).log_temperature.shape == (2, 1)
    baseline = estimators.get("reinforce").create(baseline="input-dependent", context_size=5, stack=(2,)).baseline
    assert baseline.network.first.shape == (2, 5, 100)


def test_a_suite_leaves_sizes_to_the_run() -> None:
    with pytest.raises(ValueError, match="context_size is no option of estimator 'reinforce'"):
        EstimatorConfig(name="reinforce", options={"context_size": 4})


def test_a_name_that_create_takes_for_itself_is_no_option() -> None:
    class Clashing(Estimator):
        def __init__(self, samples: int = 1, like: str = "") -> None:
            super().__init__(samples)

    with pytest.raises(BadInput, match="'clashing': option like is a name that create\\(\\) takes for itself"):
        register("clashing", families=("bernoulli",), unbiased=True)(Clashing)
