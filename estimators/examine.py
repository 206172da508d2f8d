"""What an objective is, told while it is evaluated: differentiable in z or not, with terms of q's own or not.

A method that differentiates f in z takes the gradient of a table that is looked up for 0. A method that takes q as a
constant inside f loses what f holds of q but for multiples of log q(z), whose gradient has mean 0. Both show in the
evaluations that a call makes anyway, at the price of some backward passes; only where its draws decide nothing, f is
evaluated once more.

That f depends on q by a term with a gradient of its own, such as an entropy bonus or a KL divergence inside f, is told
from the gradient itself and not from its mean: what f holds of log q(z) has the gradient a s(z), with the score s and a
factor a for each latent, and what else it holds of q is the same at every z. A test of the mean would accuse log q of
classes that were never drawn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Normal, OneHotCategorical

from estimators import noise
from estimators.distributions import (
    CERTAIN,
    again,
    log_prob,
    one_hot_argmax,
    parameters,
    scores,
    stopped,
)
from estimators.errors import BadInput

POINTS = 4
"""Draws of one evaluation that are looked at."""
CLOSE = 1e-3
"""Differences, relative to the largest gradient of a latent, that are rounding in single precision."""

VARIED = 1e-2
"""Sum of squares of a latent's scores about their mean, relative to the largest square, that tells them apart."""

Evaluate = Callable[..., Tensor]
"""f of z [S, *B, *event] and q, to [S, *B]."""


class Look:
    """What the evaluations of f in one call show.

    Args:
        label: the estimator's name, for messages.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.factor: float | None = None
        """Where f was to be differentiated in z, and all its gradient is that of so many times log q(z), such as 0."""
        self.keeps_q = False
        """Whether f was evaluated with a graph through q, so that nothing of it is lost."""
        self.draws: list[Tensor] = []
        """[*B, *event] each, and what f's gradient in each of q's parameters is there."""
        self.direct: list[tuple[Tensor, ...]] = []

    def evaluate(self, f: Evaluate, z: Tensor, q: Distribution, *more: Any) -> Tensor:
        """Evaluate f as it was asked for, and look."""
        wanted = torch.is_grad_enabled()
        if wanted and any(p.requires_grad for p in parameters(q)):
            self.keeps_q = True
            value = f(z, q, *more)
        else:
            leaves = tuple(p.detach().clone().requires_grad_() for p in parameters(q))
            fresh = again(q, *leaves)
            with torch.enable_grad():
                value = f(z if wanted else z.detach(), fresh, *more)
                if len(self.draws) < POINTS and _drawn(q, z):
                    self._note(value, leaves, z.detach(), fresh)
        if wanted and z.requires_grad:
            slope = None
            if value.requires_grad:
                (slope,) = torch.autograd.grad(value.sum(), z, retain_graph=True, allow_unused=True)
            found = _of_log_q(q, z, slope)
            self.factor = self.factor if found is None else found
        return value if wanted else value.detach()

    def _note(self, value: Tensor, leaves: Sequence[Tensor], z: Tensor, q: Distribution) -> None:
        """Keep the gradient of f in q's parameters at some of the draws."""
        for one, where in list(zip(value, z, strict=True))[:POINTS]:
            found: tuple[Tensor | None, ...] = (None,) * len(leaves)
            if one.requires_grad:
                found = torch.autograd.grad(one.sum(), leaves, retain_graph=True, allow_unused=True)
            if all(g is None for g in found):
                return
            self.draws.append(where)
            direct = (torch.zeros_like(p) if g is None else g for g, p in zip(found, leaves, strict=True))
            if isinstance(q, OneHotCategorical):  # from log probabilities to the logits that they are made of
                direct = (g - q.logits.detach().exp() * g.sum(-1, keepdim=True) for g in direct)
            self.direct.append(tuple(direct))

    def conclude(self, f: Evaluate, q: Distribution) -> None:
        """Refuse an f whose gradient this estimator cannot estimate.

        Args:
            f: evaluated once more where the draws of the call decide nothing.
            q: of rows *B.

        Raises:
            BadInput: one line that names the estimator and what it needs of f.
        """
        lost = bool(self.draws) and not self.keeps_q
        flat = self.factor is not None
        if not (flat or lost):
            return
        verdict = _of_q(q, self.draws, self.direct) if lost else "log q"
        if flat or verdict is None:
            more, device = Look(self.label), parameters(q)[0].device
            with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
                z = points(q).requires_grad_()
                value = more.evaluate(f, z, stopped(q)).detach()
            if flat and more.factor is not None:
                rest = value - more.factor * log_prob(stopped(q), z.detach())
                if bool((rest - rest[0]).abs().amax() > 1e-4 * value.abs().amax()):
                    self._refuse_flat()
            if verdict is None:
                verdict = _of_q(q, more.draws, more.direct)
        if verdict == "own":
            raise BadInput(
                f"{self.label} takes q as a constant inside f, and f holds a term with a gradient of its own in q's "
                "parameters, such as an entropy or a KL divergence, which would be lost; take it out of f and add it "
                "to the surrogate"
            )
        if verdict == "other":
            raise BadInput(
                f"{self.label} takes q as a constant inside f, and f depends on q's parameters by more than a multiple "
                "of log q(z), which would be lost; let f hold log q(z) as a plain term and add the rest to the "
                "surrogate (if the rest has a gradient of mean zero, make the call inside estimators.trusted())"
            )

    def _refuse_flat(self) -> None:
        raise BadInput(
            f"{self.label} needs the gradient of f in z, and f has none, or that of log q(z) alone (a table looked up, "
            "a rounding, a detached z); make f differentiable in z, or take an estimator that needs f's values alone"
        )


def _of_log_q(q: Distribution, z: Tensor, slope: Tensor | None) -> float | None:
    """How many times the gradient of log q(z) in z this one is, [S, *B, *event] both: 0 for none; None if it is not."""
    if slope is None or not bool((slope != 0).any()):
        return 0.0
    point = z.detach().requires_grad_()
    with torch.enable_grad():
        (own,) = torch.autograd.grad(log_prob(stopped(q), point).sum(), point)
    factor = float((slope * own).sum() / own.square().sum().clamp_min(torch.finfo(own.dtype).tiny))
    return factor if bool((slope - factor * own).norm() <= 1e-4 * slope.norm()) else None


def _drawn(q: Distribution, z: Tensor) -> bool:
    """Whether z holds draws of q, and no points between them, where log q may be extended in one way or another."""
    return isinstance(q, Normal) or bool(((z == 0) | (z == 1)).all())


def points(q: Distribution) -> Tensor:
    """Draws [POINTS, *B, *event] for a look, the first two of which differ in every latent that is not certain."""
    p = parameters(q)[0].detach()
    generator = Generator(p.device).manual_seed(0)
    if isinstance(q, Normal):
        return p + q.scale.detach() * noise.normal(POINTS, p, generator)
    u = noise.uniform(POINTS, p, generator)
    if isinstance(q, OneHotCategorical):
        possible = p > -CERTAIN / 2
        best, worst = u.masked_fill(~possible, -1), (-u).masked_fill(~possible, -2)
        return torch.cat((one_hot_argmax(best[:1]), one_hot_argmax(worst[:1]), one_hot_argmax(best[2:]))).to(p)
    b = (u < 0.5).to(p)
    b[1] = 1 - b[0]
    return torch.where(p.abs() > CERTAIN / 2, (p > 0).to(p), b)


def _of_q(q: Distribution, draws: Sequence[Tensor], direct: Sequence[tuple[Tensor, ...]]) -> str | None:
    """What f holds of q: log q alone, a term of its own beside it, or another one; None where the draws do not tell."""
    if not draws:
        return "log q"  # nothing at all
    inner = (-1,) if isinstance(q, OneHotCategorical) else ()  # the score of a categorical latent has C numbers
    told = whole = 0.0
    own = False
    for g, s in zip(map(torch.stack, zip(*direct, strict=True)), scores(q, torch.stack(list(draws))), strict=True):
        centred_g, centred_s = g - g.mean(0), s - s.mean(0)
        products, squares = (centred_g * centred_s).sum(0), centred_s.square().sum(0)
        size = g.abs().amax(0)
        if inner:
            products, squares, size = (
                products.sum(inner, keepdim=True),
                squares.sum(inner, keepdim=True),
                size.amax(inner, keepdim=True),
            )
        largest = s.square().amax(0)
        known = (squares > VARIED * (largest.amax(inner, keepdim=True) if inner else largest)).expand_as(g[0])
        told, whole = told + float((known * g.abs().amax(0)).sum()), whole + float(g.abs().amax(0).sum())
        left = g - products / squares.clamp_min(torch.finfo(g.dtype).tiny) * s  # of log q nothing is left
        if bool((known & ((left - left.mean(0)).abs().amax(0) > CLOSE * size)).any()):
            return "other"
        own |= bool((known & (left.mean(0).abs() > CLOSE * size)).any())
    return "own" if own else None if told < 0.99 * whole else "log q"
