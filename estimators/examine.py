"""What an objective is, told by evaluating it: differentiable in z or not, with terms of q's own or not.

A method that differentiates f in z takes the gradient of a table that is looked up for 0. A method that takes q as a
constant inside f loses what f holds of q but for multiples of log q(z), whose gradient has mean 0. The calls of an
estimator are watched for what it asks of f; then f is evaluated at a few draws that differ in every latent, for a q
near the one at hand but of moderate sharpness, where nothing hides: a KL divergence has no gradient where q is the
prior, as it is when training starts, and next to nothing is left of most scores where q is nearly certain.

That f depends on q by a term with a gradient of its own, such as an entropy or a KL divergence inside f, is told from
the gradient itself and not from its mean: what f holds of log q(z) has the gradient a s(z), with the score s and a
factor a for each latent, and what else it holds of q is the same at every z. A test of the mean would accuse log q of
classes that were never drawn.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from estimators.distributions import log_prob, parameters, scores
from estimators.errors import BadInput
from estimators.families import family_of
from estimators.noise import Noise

POINTS = 4
"""Draws at which f is evaluated."""
CLOSE, CLOSE_IN_HALF = 1e-3, 0.1
"""Differences, relative to the largest gradient of a latent, that are rounding in single and in half precision."""
SELDOM_OFF = 0.05
"""Share of ways along which f's gradient may miss f's change, for so few points do, before that is called a jump."""
VARIED = 1e-2
"""Sum of squares of a latent's scores about their mean, relative to the largest square, that tells them apart."""

Evaluate = Callable[..., Tensor]
"""f of z [S, *B, *event] and q, to [S, *B]."""
OfQ = Literal["log q", "own", "other"]
"""How f depends on q directly: by multiples of log q(z) at most, by a term of its own beside it, or in another way."""


def known_by(f: object, depth: int = 3) -> int:
    """A hash of f's code and of the code that it calls: the same for a closure that is made anew in every step."""
    if isinstance(f, functools.partial):
        return hash(("partial", known_by(f.func, depth), *_callables(f.args, depth)))
    if isinstance(f, nn.Module):
        # The address alone would not do: a module made anew in every step often gets the address of the one before.
        return hash((id(f), *_callables(vars(f).values(), depth)))
    code = getattr(f, "__code__", None)
    if code is None:
        return id(type(f))
    return hash((id(code), *_callables([getattr(f, "__self__", None), *_closed_over(f)], depth)))


def _closed_over(f: Any) -> Iterator[object]:
    for cell in getattr(f, "__closure__", None) or ():
        with suppress(ValueError):  # a name that has no value yet
            yield cell.cell_contents


def _callables(values: Iterable[object], depth: int) -> list[int]:
    return [known_by(value, depth - 1) for value in values if depth and callable(value)]


class Facts(NamedTuple):
    """What an objective is."""

    flat: bool
    """Whether it has no gradient in z, or that of log q(z) alone, though what else it holds changes with z."""
    of_q: OfQ


class Look:
    """What an estimator asks of f in one call.

    Args:
        label: the estimator's name, for messages.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.through_z = False
        """Whether f was evaluated with a graph through z."""
        self.between = False
        """Whether that was at points that are no draws of a discrete q, or at a Normal one's."""
        self.keeps_q = False
        """Whether f was evaluated with a graph through q, so that nothing of it is lost."""
        self.read_q = False
        """Whether f read anything of q."""

    def note(self, z: Tensor, q: Distribution) -> None:
        """Record an evaluation of f at z."""
        if not torch.is_grad_enabled():
            return
        self.keeps_q |= any(p.requires_grad for p in parameters(q))
        if z.requires_grad:
            self.through_z = True
            family = family_of(q)
            self.between |= not family.discrete or family.off_support(z)

    def watched(self, q: Distribution) -> Distribution:
        """q, noting whether anything of it is read: an f that never does depends on it through z alone."""
        look = self

        def read(this: Distribution, name: str) -> Any:
            look.read_q = True
            return object.__getattribute__(this, name)

        kind = type(q)
        other: Distribution = object.__new__(type(kind.__name__, (kind,), {"__getattribute__": read}))
        object.__setattr__(other, "__dict__", q.__dict__)
        return other

    def conclude(self, f: Evaluate, q: Distribution, *, half: bool) -> None:
        """Refuse an f whose gradient this estimator cannot estimate.

        Args:
            f: evaluated once more, with torch's global generators left as they were.
            q: of rows *B, whose parameters require grad where their gradient is wanted.
            half: whether f computes in half precision.

        Raises:
            BadInput: one line that names the estimator and what it needs of f.
        """
        if not self.through_z and (self.keeps_q or not self.read_q):
            return
        try:
            facts = examine(q, f, CLOSE_IN_HALF if half else CLOSE)
        except Exception:  # an f that takes other numbers of draws, or no graph: a look breaks no call that worked
            return
        if self.through_z and facts.flat:
            raise BadInput(
                f"{self.label} needs the gradient of f in z, and f has none, or that of log q(z) alone (a table looked "
                "up, a rounding, a detached z); make f differentiable in z, or take an estimator that needs f's values "
                "alone"
            )
        if not self.keeps_q and facts.of_q == "own":
            raise BadInput(
                f"{self.label} takes q as a constant inside f, and f holds a term with a gradient of its own in q's "
                "parameters, such as an entropy or a KL divergence, which would be lost; take it out of f and add it "
                "to the surrogate"
            )
        if not self.keeps_q and facts.of_q == "other":
            raise BadInput(
                f"{self.label} takes q as a constant inside f, and f depends on q's parameters by more than a multiple "
                "of log q(z), which would be lost; let f hold log q(z) as a plain term and add the rest to the "
                "surrogate (if the rest has a gradient of mean zero, make the call inside estimators.trusted())"
            )


def examine(q: Distribution, f: Evaluate, close: float) -> Facts:
    """Evaluate f at a few draws, and find out what it is.

    Args:
        q: of rows *B; only parameters that require grad are asked for.
        f: of z and q.
        close: relative differences that are rounding.
    """
    wanted = [p.requires_grad for p in parameters(q)]
    device = parameters(q)[0].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        family = family_of(q)
        leaves = [p.requires_grad_() for p in moderate(q)]
        fresh = family.build(*leaves)
        z = points(fresh).requires_grad_()
        value = f(z, fresh)
        if not value.requires_grad:
            return Facts(bool(_varies(value)), "log q")
        (gradient,) = torch.autograd.grad(value.sum(), z, retain_graph=True, allow_unused=True)
        direct = _direct(value, leaves)
    value, z, fresh = value.detach(), z.detach(), family.build(*(p.detach() for p in leaves))
    factor = _of_log_q(fresh, z, gradient)
    flat = factor is not None and _varies(value - factor * log_prob(fresh, z), value)
    return Facts(flat, _of_q(compress(_left(fresh, z, direct), wanted), close))


def _direct(value: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of f's values [K, *B] at K draws in each of q's parameters, each [K, *B, *event]."""
    own = [torch.autograd.grad(v.sum(), leaves, retain_graph=True, allow_unused=True) for v in value]
    return [
        torch.stack([torch.zeros_like(p) if one[i] is None else one[i] for one in own]).detach()
        for i, p in enumerate(leaves)
    ]


def moderate(q: Distribution) -> tuple[Tensor, ...]:
    """Parameters near q's; see `Family.moderate`."""
    return family_of(q).moderate(q, Noise(Generator(parameters(q)[0].device).manual_seed(1)))


def points(q: Distribution) -> Tensor:
    """Draws [POINTS, *B, *event]; see `Family.spread_out`."""
    return family_of(q).spread_out(q, POINTS, Noise(Generator(parameters(q)[0].device).manual_seed(0)))


def _varies(rest: Tensor, value: Tensor | None = None) -> bool:
    """Whether a row's numbers [K, *B] differ from draw to draw, by more than rounding of the values they are of."""
    size = (rest if value is None else value).abs().amax()
    return bool((rest - rest[0]).abs().amax() > 1e-4 * size)


def _of_log_q(q: Distribution, z: Tensor, gradient: Tensor | None) -> float | None:
    """How many times the gradient of log q(z) in z this one is, [S, *B, *event] both: 0 for none; None if it is not."""
    if gradient is None or not bool((gradient != 0).any()):
        return 0.0
    point = z.detach().requires_grad_()
    with torch.enable_grad():
        (own,) = torch.autograd.grad(log_prob(q, point).sum(), point)
    factor = float((gradient * own).sum() / own.square().sum().clamp_min(torch.finfo(own.dtype).tiny))
    return factor if bool((gradient - factor * own).norm() <= 1e-4 * gradient.norm()) else None


class _Left(NamedTuple):
    """What is left of the direct gradient in one of q's parameters when multiples of the score are taken off."""

    known: Tensor
    """Whether the draws tell the multiple from the rest, in a shape that broadcasts to the event."""
    left: Tensor
    """[K, *B, *event]."""
    size: Tensor
    """What is rounding beside it: the largest direct gradient of each latent."""


def _left(q: Distribution, z: Tensor, direct: Sequence[Tensor]) -> Iterator[_Left]:
    """For each parameter of q, given the direct gradients [K, *B, *event] at the draws."""
    inner = tuple(range(-family_of(q).latent_dims, 0))  # a latent's value and its score may be vectors
    for g, s in zip(direct, scores(q, z), strict=True):
        centred_g, centred_s = g - g.mean(0), s - s.mean(0)
        products, squares = (centred_g * centred_s).sum(0), centred_s.square().sum(0)
        size, largest = g.abs().amax(0), s.square().amax(0)
        if inner:
            products, squares = products.sum(inner, keepdim=True), squares.sum(inner, keepdim=True)
            size, largest = size.amax(inner, keepdim=True), largest.amax(inner, keepdim=True)
        left = g - products / squares.clamp_min(torch.finfo(g.dtype).tiny) * s  # of log q nothing is left
        yield _Left(squares > VARIED * largest, left, size)


def _of_q(lefts: Iterable[_Left], close: float) -> OfQ:
    """How f depends on q, by what is left of its direct gradients."""
    own = False
    for known, left, size in lefts:
        if bool((known & ((left - left.mean(0)).abs().amax(0) > close * size)).any()):
            return "other"
        own |= bool((known & (left.mean(0).abs() > close * size)).any())
    return "own" if own else "log q"


def own_term(q: Distribution, f: Evaluate, close: float = CLOSE) -> str:
    """What a term of q's own inside f is, told from its gradient: a multiple of the entropy or of a KL divergence.

    Args:
        q: of rows *B; all its parameters are looked at.
        f: depends on q by multiples of log q(z) and by a term of q alone.
        close: relative differences that are rounding.

    Returns:
        "entropy", "KL divergence" (from the family's prior), or "own" for another term.
    """
    device, family = parameters(q)[0].device, family_of(q)
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        leaves = [p.requires_grad_() for p in moderate(q)]
        fresh = family.build(*leaves)
        z = points(fresh)
        lefts = [*_left(fresh, z, _direct(f(z, fresh), leaves))]
        own = torch.cat([one.left.mean(0).where(one.known, 0.0).flatten() for one in lefts])
        terms: dict[str, Callable[[], Tensor]] = {
            "entropy": fresh.entropy,
            "KL divergence": lambda: family.kl(fresh, family.from_raw(*(torch.zeros_like(p) for p in leaves))),
        }
        for name, term in terms.items():
            with suppress(NotImplementedError, ValueError, RuntimeError, TypeError):  # the family has no such term
                gradients = torch.autograd.grad(term().sum(), leaves, materialize_grads=True, allow_unused=True)
                known = [g.where(one.known, 0.0) for g, one in zip(gradients, lefts, strict=True)]
                g = torch.cat([part.flatten() for part in known])
                factor = (own @ g) / g.square().sum()
                if bool((own - factor * g).norm() <= 10 * close * own.norm()):
                    return name
    return "own"


def jumps(q: Distribution, f: Evaluate, nodes: int = 32) -> bool:
    """Whether f has jumps: it changes between draws by more than the integral of its gradient along the way.

    Args:
        q: of rows *B.
        f: evaluated at points between draws, and there.
        nodes: points between two of them.
    """
    device = parameters(q)[0].device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
        fresh = family_of(q).build(*moderate(q))
        stops = points(fresh)
        first, second = stops[:-1], stops[1:]
        way = (torch.arange(nodes, dtype=first.dtype, device=device) + 0.5) / nodes
        steps = way.reshape(-1, *[1] * first.dim())
        z = (first + steps * (second - first)).flatten(0, 1).requires_grad_()  # (nodes x K - 1) x *B x *event
        value = f(z, fresh)
        rise = value.new_zeros(value.shape)
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), z, materialize_grads=True, allow_unused=True)
            rise = (gradient * (second - first).repeat(nodes, *[1] * (first.dim() - 1))).flatten(value.dim()).sum(-1)
        ends = f(stops, fresh).detach()
    rise = rise.unflatten(0, (nodes, len(first)))  # nodes x K - 1 x *B
    change, expected = ends[1:] - ends[:-1], rise.mean(0)
    size = torch.maximum(change.abs(), rise.abs().mean(0))
    unsettled = (rise[::2].mean(0) - rise[1::2].mean(0)).abs()  # error of the integral from so few points
    off = (change - expected).abs() > 0.2 * size + 4 * unsettled
    return bool(off.double().mean() > SELDOM_OFF)
