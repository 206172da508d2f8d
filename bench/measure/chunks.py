"""One call of an estimator that makes many draws of a gradient: as it is written, or compiled."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from bench.training.compiling import compile_if_worth, copy_of, look_at_call
from bench.training.noise import Noted, Untraceable
from bench.training.program import Program, same
from bench.training.worth import WORTH, Wish
from estimators.base import Estimator, Objective
from estimators.call import trusted
from estimators.distributions import parameters, stopped
from estimators.families import family_of

ClosedForm = Callable[[Distribution], Tensor | None]


class Chunk:
    """Fills tensors [n, *B, P] with draws of the gradient.

    Args:
        estimator: frozen.
        q: the distribution.
        f: the objective.
        generator: of all noise.
        context: [*B, X] for input-dependent baselines.
        closed_form: what the loss holds besides E_q[f].
    """

    def __init__(
        self,
        estimator: Estimator,
        q: Distribution,
        f: Objective,
        generator: Generator,
        context: Tensor | None,
        closed_form: ClosedForm | None,
    ) -> None:
        self.estimator, self.q, self.f, self.context = estimator, q, f, context
        self.generator, self.closed_form = generator, closed_form
        self.program: Program | None = None
        self.twin = estimator
        """What is compiled: a copy."""
        self.place = torch.zeros(0)

    def compile(self, like: Tensor, draws: int, wish: Wish) -> None:
        """Compile for targets of this shape, where it is wished and can be done.

        Args:
            like: such a target.
            draws: that will be made in all.
            wish: "auto" to compile where so many pay for it.
        """
        values = [p.detach() for p in parameters(self.q)]

        def look() -> Noted:
            self.place = torch.empty_like(like)
            self.twin = copy_of(self.estimator, "the estimator")
            noted = look_at_call(lambda: self._fill(self.twin, self.place, values), self.twin, self.generator)
            if not all(map(same, self.twin.buffers(), self.estimator.buffers())):
                raise Untraceable("a buffer changes in eval()")
            return noted

        def build(seen: Noted) -> Program:
            def fill(target: Tensor, *values: Tensor) -> None:
                self._fill(self.twin, target, values)

            return Program(fill, [self.place, *values], seen.draws)

        worth, runs = WORTH[like.device.type], draws // len(like)
        self.program, made = compile_if_worth(wish, worth, runs, look=look, build=build, of="calls")
        if wish is True and not made.compiled:
            warnings.warn(f"{self.estimator.label}: its draws are not compiled: {made.because}", stacklevel=3)

    def fill(self, target: Tensor) -> None:
        """Put draws into the target."""
        if self.program is None or target.shape != self.place.shape:
            self._fill(self.estimator, target, [p.detach() for p in parameters(self.q)])
            return
        self.program.draw()
        with torch.no_grad():
            self.program.run()
        target.copy_(self.place)

    def _fill(self, estimator: Estimator, target: Tensor, values: Sequence[Tensor]) -> None:
        family = family_of(self.q)
        count, fixed = len(target), stopped(family.again(*values))
        leaves = [p.expand(count, *p.shape).clone().requires_grad_() for p in values]
        copies = family.build(*leaves)

        def objective(z: Tensor, given: Distribution, /, *more: Any) -> Tensor:
            own = parameters(given)
            if z.requires_grad or any(p.requires_grad for p in own):
                return self.f(z, given, *more)
            # The copies of q differ in their gradients alone: f takes q itself, and computes what depends on it once.
            same = all(a.is_set_to(b) for a, b in zip(own, leaves, strict=True))
            with torch.no_grad():
                return self.f(z, fixed if same else given, *more)

        with trusted(), torch.enable_grad():
            estimate = estimator(copies, objective, generator=self.generator, context=self.context)
            loss = estimate.surrogate.sum()
            if self.closed_form and (closed := self.closed_form(copies)) is not None:
                loss = loss + closed.sum()
            parts = [g.reshape(*target.shape[:-1], -1) for g in torch.autograd.grad(loss, leaves)]
        with torch.no_grad():
            for place, part in zip(target.split([part.shape[-1] for part in parts], -1), parts, strict=True):
                place.copy_(part)
