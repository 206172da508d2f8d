"""The floor of a training step: an estimator's passes over f, in kind, with all that it draws and learns given.

What a method truly needs of f is how many rows it evaluates and how it differentiates them: in theta, along the path to
q's parameters, in z alone, or twice. The floor makes these passes, and those over the estimator's own networks, at
constant inputs. What a step costs above it is drawing, weighing, and whatever else the implementation does.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from bench.problems.per_layer import PerLayer
from bench.problems.vae import VAE
from estimators.base import Estimate, Estimator, Objective
from estimators.call import trusted
from estimators.distributions import event_dims, parameters, sample, stopped


class Pass(NamedTuple):
    """One call of f, or of a network: how many rows it evaluates, and how they are differentiated."""

    rows: int
    """Draws a row of q."""
    weights: bool = True
    """Whether the last backward pass reaches the call, and so the weights behind it."""
    along: bool = False
    """Whether that pass goes on into z."""
    inner: int = 0
    """Derivatives in z taken before that pass; those after the first are of second order."""
    graph: bool = False
    """Whether the first of them is itself differentiated."""


class _Seen:
    """A pass while it is watched: hooks on its input and output count."""

    def __init__(self, watch: "Watch", rows: int) -> None:
        self.watch, self.rows = watch, rows
        self.weights, self.along, self.inner, self.graph = False, False, 0, False

    def input(self, z: Tensor) -> None:
        if z.requires_grad:
            z.register_hook(self._differentiated)

    def output(self, value: Tensor) -> None:
        if value.requires_grad:
            value.register_hook(self._reached)

    def _differentiated(self, gradient: Tensor) -> None:
        if self.watch.last:
            self.along = True
        else:
            self.inner += 1
            self.graph |= gradient.requires_grad

    def _reached(self, gradient: Tensor) -> None:
        self.weights |= self.watch.last

    def result(self) -> Pass:
        return Pass(self.rows, self.weights, self.along, self.inner, self.graph)


class _Call(NamedTuple):
    """A call of one of the estimator's own networks."""

    name: str
    seen: _Seen
    shape: torch.Size
    rest: tuple[Any, ...]
    more: dict[str, Any]


class Watch:
    """f, and the own networks of an estimator, recording each call."""

    def __init__(self, f: Objective, estimator: Estimator) -> None:
        self.f, self.last = f, False
        self.passes: list[_Seen] = []
        self.calls: list[_Call] = []
        self._waiting: list[_Seen] = []
        self.names = {module: name for name, module in estimator.named_modules()}
        for module in self.names:
            if not isinstance(module, Estimator) and any(True for _ in module.parameters(recurse=False)):
                module.register_forward_pre_hook(self._before)
                module.register_forward_hook(self._after, with_kwargs=True)

    def __call__(self, z: Tensor, q: Distribution, /, *more: Any) -> Tensor:
        """Evaluate f."""
        seen = _Seen(self, len(z))
        seen.input(z)
        value = self.f(z, q, *more)
        seen.output(value)
        self.passes.append(seen)
        return value

    def _before(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen = _Seen(self, 1)
        if inputs and isinstance(inputs[0], Tensor):
            seen.input(inputs[0])
        self._waiting.append(seen)

    def _after(self, module: nn.Module, inputs: tuple[Any, ...], more: dict[str, Any], output: object) -> None:
        seen = self._waiting.pop()
        # A network makes a tensor of a tensor; what else a third party's module may do belongs to its step alone.
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            seen.output(output)
            self.calls.append(_Call(self.names[module], seen, inputs[0].shape, inputs[1:], more))


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


class Given(Estimator):
    """The floor: z, the learning signal and inputs of networks are constants, drawn once.

    Args:
        samples: evaluations of f a row.
        passes: how they are made; all in one pass that is differentiated in theta where none are said.
        calls: the passes over own networks.
    """

    def __init__(
        self,
        samples: int,
        passes: Sequence[Pass] = (),
        calls: Sequence["NetworkPass"] = (),
    ) -> None:
        super().__init__(samples)
        self.passes, self.calls = tuple(passes) or (Pass(samples),), tuple(calls)
        self.networks = nn.ModuleList(call.network for call in calls)
        # What the path through a network's input leads to, such as a temperature.
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
        given = parameters(q)
        if not self.draws:
            moved = sum(p.detach() for p in given)
            drawn = [(made, sample(q, made.rows, generator)) for made in self.passes]
            # What moves along with the parameters starts at a draw.
            self.draws = [z - moved if made.along else z for made, z in drawn]
            self.draws += [torch.full(tuple(shape), 0.5, device=given[0].device) for _, shape, *_ in self.calls]
        fixed = stopped(q)
        parts, value = [], torch.zeros(())
        for made, z in zip(self.passes, self.draws, strict=False):
            point = sum(given, start=z) if made.along else z
            cost, extra = _pass(lambda z: f(z, fixed), point, made)
            mean = cost.mean(0)
            value = mean.detach()
            if made.weights:
                parts += [mean, *extra]
        if not any(made.along and made.weights for made in self.passes):
            parts.append(sum(given[1:], start=given[0]).sum(event_dims(q)))
        auxiliary = None
        for call, x in zip(self.calls, self.draws[len(self.passes) :], strict=True):
            point = x if not call.made.along or self.behind is None else x + self.behind
            output, extra = _pass(call.at, point, call.made)
            part = sum(extra, start=output.mean())
            auxiliary = part if auxiliary is None else auxiliary + part
        if auxiliary is not None:
            auxiliary = auxiliary.expand(value.shape)
        return Estimate(sum(parts[1:], start=parts[0]), value, auxiliary)


def _pass(call: Any, z: Tensor, made: Pass) -> tuple[Tensor, list[Tensor]]:
    """The value at z, and where there is one a scalar whose gradient is of second order."""
    if not made.inner:
        return call(z), []
    point = z if z.requires_grad else z.detach().requires_grad_()
    value = call(point)
    graph = made.graph or made.inner > 1
    (slope,) = torch.autograd.grad(value.sum(), point, create_graph=graph, retain_graph=made.weights or graph)
    for _ in range(made.inner - 1):
        torch.autograd.grad(slope.sum(), point, retain_graph=True)
    return value, [slope.mean()] if made.graph and made.weights and slope.requires_grad else []


def plain(estimator: Estimator) -> Estimator:
    """The floor of one evaluation of f, a yardstick that the estimators of a problem share."""
    return PerLayer(Given(1), Given(1)) if isinstance(estimator, PerLayer) else Given(1)


def floor_of(estimator: Estimator, vae: VAE, x: Tensor, samples: int) -> Estimator:
    """The floor of an estimator at a model; it is bound, and left as it was.

    Args:
        estimator: bound to the model.
        vae: E stacked models.
        x: rows [E, B, X].
        samples: evaluations of f a row.

    Returns:
        The floor. With two layers each has one of its own, the upper one's without derivatives in z.
    """
    if isinstance(estimator, PerLayer):
        return PerLayer(Given(samples), Given(estimator.upper.samples))
    subject = copy.deepcopy(estimator).train()
    q = vae.encode(x)
    watch = Watch(vae.objective(x), subject)
    generator = torch.Generator(x.device).manual_seed(0)
    with trusted():
        estimate = subject(q, watch, generator=generator, context=x)
    total = estimate.surrogate.mean(-1).sum()
    if estimate.auxiliary is not None:
        total = total + estimate.auxiliary.mean(-1).sum()
    watch.last = True
    weights = [p for module in (vae, subject) for p in module.parameters() if p.requires_grad]
    torch.autograd.grad(total, weights, allow_unused=True)
    copies = {call.name: copy.deepcopy(estimator.get_submodule(call.name)) for call in watch.calls}
    calls = [NetworkPass(copies[c.name], c.shape, c.rest, c.more, c.seen.result()) for c in watch.calls]
    return Given(samples, [seen.result() for seen in watch.passes], calls)
