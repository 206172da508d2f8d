"""The floor of a training step: the evaluations of f that an estimator cannot do without, everything else given.

What a method truly needs of f is how many rows it evaluates and how it differentiates them: with respect to theta,
along the path to q's parameters, with respect to z alone, or twice. One step of the estimator is watched to see which.
The floor then evaluates and differentiates f, and the networks of the estimator's own, in the same ways at constant
inputs. What a step costs above it is drawing samples, weighting them, and whatever else the implementation does.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from bench.problems.model import Model
from bench.problems.per_layer import PerLayer
from estimators.base import Estimate, Estimator, Objective
from estimators.call import trusted
from estimators.distributions import event_dims, event_shape, parameter_shapes, parameters, sample, stopped


@dataclass
class Pass:
    """One call of f, or of a network: how many rows it evaluates, and how they are differentiated."""

    rows: int
    """Draws a row of q."""
    weights: bool = True
    """Whether the last backward pass reaches the call, and so the weights behind it."""
    along: bool = False
    """Whether that pass goes on into z."""
    inner: int = 0
    """Derivatives with respect to z taken before that pass; those after the first are of second order."""
    graph: bool = False
    """Whether the first of them is itself differentiated."""


class NetworkPass(NamedTuple):
    """One call of a network of the estimator's own."""

    network: nn.Module
    shape: torch.Size
    """Of its first argument."""
    rest: tuple[Any, ...]
    more: dict[str, Any]
    """What else it takes, by place and by name."""
    made: Pass

    def at(self, x: Tensor) -> Tensor:
        """Call it there."""
        output: Tensor = self.network(x, *self.rest, **self.more)
        return output


class Watch:
    """f, and the own networks of an estimator, recording each call and how it is differentiated."""

    def __init__(self, f: Objective, estimator: Estimator) -> None:
        self.f, self.last = f, False
        """Whether the last backward pass has begun: all derivatives before it are inner ones."""
        self.passes: list[Pass] = []
        self.calls: list[NetworkPass] = []
        self.hooks = [
            module.register_forward_hook(self._network, with_kwargs=True)
            for module in estimator.modules()
            if not isinstance(module, Estimator) and any(True for _ in module.parameters(recurse=False))
        ]

    def __call__(self, z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
        """Evaluate f."""
        value = self.f(z, q, *more)
        self.passes.append(self._watched(len(z), z, value))
        return value

    def _network(self, module: nn.Module, inputs: tuple[Any, ...], more: dict[str, Any], output: object) -> None:
        # A network makes a tensor of a tensor; what else a third party's module may do belongs to its step alone.
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            made = self._watched(1, inputs[0], output)
            self.calls.append(NetworkPass(module, inputs[0].shape, inputs[1:], more, made))

    def _watched(self, rows: int, z: Tensor, value: Tensor) -> Pass:
        """A pass whose fields the gradients at its input and its output fill in when they arrive."""
        made = Pass(rows, weights=False)

        def at_input(gradient: Tensor) -> None:
            if self.last:
                made.along = True
            else:
                made.inner += 1
                made.graph |= gradient.requires_grad

        def at_output(gradient: Tensor) -> None:
            made.weights |= self.last

        if z.requires_grad:
            z.register_hook(at_input)
        if value.requires_grad:
            value.register_hook(at_output)
        return made


class Given(Estimator):
    """The floor: z, the learning signal and inputs of networks are constants, drawn once.

    Args:
        samples: evaluations of f a row.
        passes: how they are made; where none are given, in one pass that is differentiated with respect to theta.
        calls: the passes over own networks.
    """

    def __init__(self, samples: int, passes: Sequence[Pass] = (), calls: Sequence[NetworkPass] = ()) -> None:
        super().__init__(samples)
        self.passes, self.calls = tuple(passes) or (Pass(samples),), tuple(calls)
        self.networks = nn.ModuleList(call.network for call in calls)
        # A parameter that is added to a network's input where the path through it leads on, such as to a temperature.
        self.behind = nn.Parameter(torch.zeros(())) if any(call.made.along for call in calls) else None
        self.draws: list[Tensor] = []

    def bind(
        self,
        *,
        stack: Sequence[int] = (),
        context_size: int = 0,
        event: Sequence[int] = (),
        generator: Generator | None = None,
    ) -> Self:
        """Forget the constants, whose shape may have changed."""
        self.draws = []
        return self

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """Surrogate with f's own gradient, and one for q's parameters: along the path to them, or else a constant."""
        shape = event_shape(q)
        # As one number each: a triangle of joint latents by its columns' sums.
        given = [p if s == shape else p.sum(-1) for p, s in zip(parameters(q), parameter_shapes(q), strict=True)]
        if not self.draws:
            moved = sum(p.detach() for p in given)
            drawn = [(made, sample(q, made.rows, generator)) for made in self.passes]
            # A point on a path is the sum of q's parameters and a constant; with this one it starts at a draw.
            self.draws = [z - moved if made.along else z for made, z in drawn]
            self.draws += [torch.full(tuple(call.shape), 0.5, device=given[0].device) for call in self.calls]
        fixed = stopped(q)
        parts, own, value = list[Tensor](), list[Tensor](), torch.zeros(())
        for made, z in zip(self.passes, self.draws, strict=False):
            point = sum(given, start=z) if made.along else z
            cost, extra = _pass(lambda z: f(z, fixed), point, made)
            mean = cost.mean(0)
            value = mean.detach()
            if made.weights:
                parts += [mean, *extra]
        if not any(made.along and made.weights for made in self.passes):
            parts.append(sum(given[1:], start=given[0]).sum(event_dims(q)))
        for call, x in zip(self.calls, self.draws[len(self.passes) :], strict=True):
            point = x if not call.made.along or self.behind is None else x + self.behind
            output, extra = _pass(call.at, point, call.made)
            own += [output.mean(), *extra]
        auxiliary = sum(own[1:], start=own[0]).expand(value.shape) if own else None
        return Estimate(sum(parts[1:], start=parts[0]), value, auxiliary)


def _pass(call: Callable[[Tensor], Tensor], z: Tensor, made: Pass) -> tuple[Tensor, list[Tensor]]:
    """The value at z, and where the gradient with respect to z is itself differentiated, its mean."""
    if not made.inner:
        return call(z), []
    point = z if z.requires_grad else z.detach().requires_grad_()
    value = call(point)
    graph = made.graph or made.inner > 1
    (gradient,) = torch.autograd.grad(value.sum(), point, create_graph=graph, retain_graph=made.weights or graph)
    for _ in range(made.inner - 1):
        torch.autograd.grad(gradient.sum(), point, retain_graph=True)
    return value, [gradient.mean()] if made.graph and made.weights and gradient.requires_grad else []


def plain(estimator: Estimator) -> Estimator:
    """The floor of one evaluation of f, a yardstick that the estimators of a problem share."""
    return PerLayer(Given(1), Given(1)) if isinstance(estimator, PerLayer) else Given(1)


def floor_of(estimator: Estimator, model: Model, x: Tensor, samples: int) -> Estimator:
    """The floor of an estimator at a model; it is bound, and left as it was.

    Args:
        estimator: bound to the model.
        model: E stacked models.
        x: rows [E, B, X].
        samples: evaluations of f a row.

    Returns:
        The floor. With two layers each has one of its own, the upper one's without derivatives with respect to z.
    """
    if isinstance(estimator, PerLayer):
        return PerLayer(Given(samples), Given(estimator.upper.samples))
    subject = copy.deepcopy(estimator).train()
    q = model.encode(x)
    watch = Watch(model.objective(x), subject)
    generator = torch.Generator(x.device).manual_seed(0)
    with trusted():
        estimate = subject(q, watch, generator=generator, context=model.context(x))
    total = estimate.surrogate.mean(-1).sum()
    if estimate.auxiliary is not None:
        total = total + estimate.auxiliary.mean(-1).sum()
    watch.last = True
    weights = [p for module in (model, subject) for p in module.parameters() if p.requires_grad]
    torch.autograd.grad(total, weights, allow_unused=True)
    for hook in watch.hooks:
        hook.remove()
    return Given(samples, watch.passes, watch.calls)
