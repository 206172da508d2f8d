"""Running state and own parameters: the checks state and auxiliary."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from estimators.base import Estimator
from estimators.checks.compare import CLOSE, apart, percent
from estimators.checks.grid import DOUBLE, Grid
from estimators.checks.result import Result, failed
from estimators.checks.sampling import call, gradients
from estimators.checks.subject import Subject, copied, own_parameters, run
from estimators.contract import Broken

STEPS = 3
"""Training steps that fill the state."""
RATE = 0.1
"""Step size of own parameters: large, so that a few steps show in the gradients."""


def state(subject: Subject) -> Result:
    """Running state is frozen in eval(), updated after use in train(), and all of it is in state_dict().

    Own parameters are the same objects from construction on.
    """
    late = _made_by_bind(subject)
    warnings = (f"bind() {late}",) if late else ()
    if problem := _other_objects(subject) or _problem(subject) or _used_unbound(subject):
        return failed("state", subject.family, problem, warnings=warnings)
    has = bool(subject.create(subject.small()).state_dict())
    message = "frozen in eval(), updated after use in train(), restored by state_dict()" if has else "there is none"
    return Result("state", subject.family, "passed", message, warnings=warnings)


def _others(before: Mapping[str, Tensor], estimator: Estimator, *, empty: bool = True) -> str | None:
    """Own parameters that are other objects than before, in a sentence's second half.

    Args:
        before: those that an optimiser made before would hold.
        estimator: with those that it uses now.
        empty: whether to name those, too, of which there was nothing before, or a placeholder of no elements.
    """
    held = {id(p) for p in before.values()}
    names = [
        name
        for name, p in estimator.named_parameters()
        if id(p) not in held and (empty or (name in before and not is_lazy(before[name]) and before[name].numel()))
    ]
    if not names:
        return None
    return (
        f"makes new parameters {', '.join(map(repr, names))}: an optimiser made before holds others, or none, so that "
        "they never learn; make them in __init__, as torch.nn.UninitializedParameter if their size is not known, and "
        "resize them in place: p.materialize(shape), p.data = values"
    )


def _made_by_bind(subject: Subject, *, empty: bool = True) -> str | None:
    """Own parameters that `bind` replaces, in words as `_others` has them."""
    grid = subject.small(subject.sample_counts[0])
    estimator = subject.unbound(grid)
    before = dict(estimator.named_parameters())
    subject.bind(estimator, grid)
    return _others(before, estimator, empty=empty)


def _other_objects(subject: Subject) -> str | None:
    """Whether an optimiser made at any time holds what the estimator uses.

    Where there was nothing before `bind`, or a placeholder without elements, whoever forgets it cannot train either
    way: that is no failure.
    """
    if replaced := _made_by_bind(subject, empty=False):
        return f"bind() {replaced}"
    grid = subject.small(subject.sample_counts[0])
    for bound in (True, False):
        estimator = subject.unbound(grid)
        if bound:
            subject.bind(estimator, grid)
        estimator.to(DOUBLE).train()
        before = dict(estimator.named_parameters())
        try:
            run(estimator, grid, 11, context=subject.context(len(grid.rows)) if bound else None)
        except Broken:
            if bound:
                raise
            return None  # it needs its context
        if made := _others(before, estimator):
            return f"the first call {made}"
    return None


def _used_unbound(subject: Subject) -> str | None:
    """Whether what the first call sized is restored where nothing was called yet."""
    grid = subject.small(subject.sample_counts[0])
    try:
        used = _trained(subject, grid, None, subject.unbound(grid).to(DOUBLE)).eval()
    except Broken:
        return None  # it needs its context
    before = run(used, grid, 11)
    fresh = subject.unbound(grid).to(DOUBLE).eval()
    try:
        fresh.load_state_dict(used.state_dict())
    except RuntimeError as error:
        return (
            "state_dict() of an estimator that was used without bind() does not load into a fresh one, whose sizes "
            f"it must take: {' '.join(str(error).split())[:200]}"
        )
    if (moves := apart(run(fresh, grid, 11), before)) > CLOSE:
        return (
            f"used without bind() and restored from state_dict(), the gradient is {percent(moves)} apart: some state "
            "is not saved"
        )
    return None


def _trained(subject: Subject, grid: Grid, context: Tensor | None, estimator: Estimator | None = None) -> Estimator:
    """An estimator after a few training steps, each with a backward pass and a step of own parameters."""
    estimator = (estimator or subject.create(grid)).train()
    for seed in range(STEPS):
        try:
            run(estimator, grid, seed, context=context, scale=2.0 + seed, rate=RATE)
        except Broken as error:
            if "second time" in str(error) or "freed" in str(error):
                raise Broken("running state keeps the graph of an earlier step: store it detached") from error
            raise
    return estimator


def _problem(subject: Subject) -> str | None:
    grid = subject.small(subject.sample_counts[0])
    context = subject.context(len(grid.rows))
    trained = _trained(subject, grid, context)
    saved = {key: value.clone() for key, value in trained.state_dict().items()}
    if any(value.requires_grad for _, value in trained.named_buffers()):
        return "a buffer carries a graph: running state must be stored detached"

    still = copied(trained).eval()
    before = run(still, grid, 11, context=context)
    run(still, grid, 12, context=context, scale=100.0)
    after = run(still, grid, 11, context=context)
    moved = [key for key, value in still.state_dict().items() if not torch.equal(value, saved[key])]
    if moved:
        return f"in eval() the running state {', '.join(map(repr, moved))} changes: update it only if self.training"
    if (moves := apart(before, after)) > 0:
        return (
            f"in eval() the gradient moves by {percent(moves)} after a call with other costs, though no buffer "
            "changes: state is kept in a plain attribute, and updated in eval()"
        )

    for start, words in ((subject.create(grid), "fresh"), (trained, "trained")):
        used = run(copied(start).train(), grid, 11, context=context)
        frozen = run(copied(start).eval(), grid, 11, context=context)
        if (moves := apart(used, frozen)) > CLOSE:
            return (
                f"a {words} estimator gives a gradient in train() that is {percent(moves)} apart from that in "
                "eval(), with the same noise and state: the state is updated before it is used, so a draw's own cost "
                "is in its baseline"
            )

    fresh, unused = subject.create(grid), subject.create(grid)
    try:
        fresh.load_state_dict(saved)
        unused.load_state_dict(saved)
    except RuntimeError as error:
        return (
            f"state_dict() of a trained estimator does not load into a fresh one: {' '.join(str(error).split())[:200]}"
        )
    if (moves := apart(run(fresh.eval(), grid, 11, context=context), before)) > CLOSE:
        return (
            f"restored from state_dict(), the gradient is {percent(moves)} apart: some state is not saved; keep it in "
            "buffers (register_buffer), not in plain attributes"
        )
    other = [0.7 * v for v in grid.values]
    called, never = (run(copied(e), grid, 13, context=context, values=other) for e in (still, unused))
    if (moves := apart(called, never)) > CLOSE:
        return (
            f"in eval() the gradient at other parameters is {percent(moves)} apart after calls at the first: something "
            "of an earlier call is kept and used again"
        )
    on = [run(_trained(subject, grid, context, e).eval(), grid, 11, context=context) for e in (copied(trained), fresh)]
    if (moves := apart(*on)) > CLOSE:
        return f"trained on from state_dict(), the gradient is {percent(moves)} apart: some state is not saved"
    return None


def auxiliary(subject: Subject) -> Result:
    """The auxiliary loss reaches the estimator's own parameters and nothing else; the surrogate does not reach them."""
    grid = subject.small()
    context = subject.context(len(grid.rows))
    estimator = subject.create(grid).train()
    values = [v.clone().requires_grad_() for v in grid.values]
    theta = grid.theta.clone().requires_grad_()
    estimate = call(estimator, grid.family, values, grid.f(theta), torch.Generator().manual_seed(11), context)
    own = own_parameters(estimator)

    def wrong(message: str) -> Result:
        return failed("auxiliary", subject.family, message)

    if estimate.auxiliary is None:
        if own:
            return wrong(f"it has parameters of its own ({', '.join(own)}) and no auxiliary loss: they never learn")
        return Result("auxiliary", subject.family, "not applicable", "it has no parameters of its own")
    if not own:
        return wrong("it returns an auxiliary loss and has no parameters of its own: return None")
    if not estimate.auxiliary.requires_grad:
        return wrong("the auxiliary loss is detached: it reaches no parameter")
    targets = [*values, theta, *own.values()]
    reached = torch.autograd.grad(estimate.auxiliary.sum(), targets, allow_unused=True, retain_graph=True)
    for name, g in zip([*("q's parameters" for _ in values), "theta"], reached, strict=False):
        if g is not None and bool(g.abs().max() > 0):
            return wrong(
                f"the auxiliary loss has a gradient in {name}: it must reach the estimator's own parameters alone; "
                "detach costs and logits in it"
            )
    if any(g is not None and not bool(g.isfinite().all()) for g in reached):
        return wrong("the auxiliary loss has a gradient that is not finite")
    missed = [name for name, g in zip(own, reached[len(values) + 1 :], strict=True) if g is None]
    if missed:
        return wrong(f"the auxiliary loss does not reach {', '.join(missed)}: they never learn")
    leaked = gradients(estimate.surrogate, list(own.values()))
    names = [name for name, g in zip(own, leaked, strict=True) if g is not None and bool(g.abs().max() > 0)]
    if names:
        return wrong(
            f"the surrogate has a gradient in the estimator's own {', '.join(names)}: they would learn from the "
            "model's loss; detach them in the surrogate"
        )
    message = f"the auxiliary loss reaches {len(own)} own parameters and nothing else"
    return Result("auxiliary", subject.family, "passed", message)
