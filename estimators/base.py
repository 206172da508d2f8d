"""The contract of an estimator, on one page.

Everything here estimates the gradient of E_{z ~ q}[f(z, q)] with respect to the parameters of q (phi) and to whatever
else f depends on (theta). An estimator is a module called as `estimator(q, f, generator=g)`; differentiating the
surrogate it returns gives the estimate:

    q           Normal(loc, scale) [*B, D], Bernoulli(logits=) [*B, D], OneHotCategorical(logits=) [*B, L, C], or of
                another family (`estimators.families`); an Independent says what of it is the event, and
                OneHotCategorical(logits=) [B, C] is B rows of one latent
    f(z, q)     takes z [S, *B, *event] and returns [S, *B]; differentiable in z where z is relaxed, in theta always
    surrogate   [*B], one number a row of q, rows independent of each other

All leading dims `*B` broadcast, so a minibatch, repeated draws and stacked seeds are the same code.

A method implements `estimate(q, f, noise)`, whose noise is the only randomness and carries the context of the call.

f may depend on q's parameters directly only through terms whose direct gradient has zero mean, as log q(z) has: this is
what allows an estimator to pass q with stopped parameters, and every score-function estimator does. A closed-form term,
such as an analytic KL divergence, is not part of f: add it to the surrogate.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from estimators import call, objective
from estimators.distributions import parameters
from estimators.examine import Look
from estimators.families import family_of
from estimators.labels import label_of
from estimators.noise import Noise
from estimators.parts.sizes import Sizes

if TYPE_CHECKING:
    from estimators.entry import Entry


MOST_KNOWN = 1000
"""Objectives that an estimator remembers."""


class Objective(Protocol):
    """A cost f(z, q) to be minimised in expectation over z ~ q."""

    def __call__(self, z: Tensor, q: Distribution, /) -> Tensor:
        """Evaluate f at z [S, *B, *event]; returns [S, *B].

        The rows of q may lack leading dims of z that share it, as repeated draws do, and broadcast to them.
        """
        ...


class Estimate(NamedTuple):
    """What an estimator returns."""

    surrogate: Tensor
    """[*B], its gradient with respect to whatever requires grad is the estimate (phi and theta)."""
    value: Tensor
    """[*B], detached estimate of E_q[f]; for relaxations, of the relaxed objective."""
    auxiliary: Tensor | None = None
    """[*B], loss of the estimator's own parameters; it reaches neither phi nor theta."""

    def loss(self) -> Tensor:
        """A scalar for an ordinary training loop: the mean of the surrogate, plus that of the auxiliary loss."""
        mean = self.surrogate.mean()
        return mean if self.auxiliary is None else mean + self.auxiliary.mean()


class Estimator(nn.Module):
    """Base class: `samples` draws of z a row; subclasses define `estimate`.

    Running state and own parameters are kept in modules or buffers whose shape starts with `stack`, the shape of the
    seeds trained side by side. In `train()` running state is updated after it was used; in `eval()` it is frozen.
    """

    entry: ClassVar["Entry | None"] = None
    """The entry that the class, or the nearest class that it derives from, is registered with."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            type.__setattr__(cls, "__init__", _remembering(vars(cls)["__init__"]))

    def __init__(self, samples: int | None = None) -> None:
        super().__init__()
        if samples is None:
            samples = 1 if self.entry is None else self.entry.samples.default
        elif self.entry is not None:
            self.entry.check_samples(samples)
        self.samples = samples

    def bind(
        self,
        *,
        stack: Sequence[int] = (),
        context_size: int = 0,
        event: Sequence[int] = (),
        generator: Generator | None = None,
    ) -> Self:
        """Size running state and own parameters for the model at hand, and initialise them; a no-op without any.

        An estimator that was never bound works too, for one seed and without a context: what depends on the event is
        then sized by the first call. Either way own parameters and buffers stay the objects that they were when the
        estimator was made, since an optimiser made in the meantime holds those.

        Args:
            stack: leading dims of seeds trained side by side; rows of q are then [..., *stack, B].
            context_size: size X of the context [*B, X] given to `forward`, 0 for none.
            event: shape of an event of q, [D] or [L, C].
            generator: source of the initial values.
        """
        self.set_sizes(Sizes(tuple(stack), context_size, tuple(event), generator))
        return self

    def set_sizes(self, sizes: Sizes) -> None:
        """Size running state and own parameters, and initialise them, for `bind`, which says what the sizes are."""

    @property
    def label(self) -> str:
        """What messages call the estimator."""
        return type(self).__name__ if self.entry is None else self.entry.name

    def __repr__(self) -> str:
        """As a person types it: `name[key=value,...,samples=2]`."""
        return label_of(self.label, {**options_of(self), "samples": self.samples})

    def __call__(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | Noise | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """Check the call, and estimate the gradient of E_q[f].

        The first call of an estimator with an f, the second, the fourth, ... also look at what f is, for which f is
        evaluated once more, at four draws; see `estimators.trusted`.

        Args:
            q: the distribution of the latents, in any of the forms that docs/calls.md lists.
            f: the objective.
            generator: the only source of randomness, on q's device; None for torch's global one. Who integrates over
                the noise hands in a `Noise` of its own, which then carries the context.
            context: what q was computed from, [*B, X], or without those leading dims of q that share it, as repeated
                draws do; input-dependent baselines read it.

        Raises:
            TypeError: q is of no known family.
            BadInput: q is not of the estimator's families; f returns another shape, is not differentiable where that is
                needed, or depends on q by a term that would be lost; the context has other rows than q.
        """
        # Autograd, which many methods use inside, does not work in inference mode; a compiler cannot ask for the mode.
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            with torch.inference_mode(False), torch.no_grad():
                own = None if context is None else context.clone()
                return self(call.copied(q), f, generator=generator, context=own)
        checked = objective.checked(f, q, self)
        given = checked.given.q
        if self.entry is not None and not self.entry.takes(family_of(given)):
            call.refuse_family(self.label, self.entry.families, q)
        if context is not None:
            call.check_context(self.label, context, given)
        p = parameters(given)[0]
        if p.numel() == 0:  # a batch without rows has no gradient, and must change no running state
            nothing = p.flatten(-checked.dims).sum(-1)
            return Estimate(nothing, nothing.detach())
        if (key := objective.to_look_at(f, given)) is not None and self._looks(key):
            checked.look = Look(self.label)
        estimate: Estimate
        if isinstance(generator, Noise):
            estimate = self.estimate(given, checked, generator)
        else:
            estimate = super().__call__(given, checked, generator=generator, context=context)
        if checked.look is not None:
            checked.conclude()
        return estimate

    def _looks(self, key: int) -> bool:
        """Whether to look at an f in this call: the first with it, the second, the fourth, ...

        What f holds may grow with training, as the weight of a divergence does.
        """
        calls: dict[int, int] = self.__dict__.setdefault("_calls", {})
        if len(calls) > MOST_KNOWN:
            calls.clear()
        calls[key] = count = calls.get(key, 0) + 1
        return count & (count - 1) == 0

    def __getstate__(self) -> dict[str, Any]:
        """The state that a copy gets: not the counts of calls, whose keys are addresses in this process's memory."""
        return {name: value for name, value in self.__dict__.items() if name != "_calls"}

    def forward(
        self,
        q: Distribution,
        f: Objective,
        *,
        generator: Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """Called with a q and an f that are checked: `estimate`, with noise from the generator.

        A third party's estimator may override this in the place of `estimate`; the arguments are those of a call.
        """
        return self.estimate(q, f, Noise(generator, context))

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        """Estimate the gradient of E_q[f], for q in one of the three forms above and an f that is checked.

        Args:
            q: the distribution of the latents, event dims last.
            f: the objective.
            noise: the only source of randomness, with the context for input-dependent baselines.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither estimate nor forward")


def options_of(estimator: Estimator) -> dict[str, Any]:
    """The options that an estimator was made with and that are not their defaults, without `samples`."""
    args, kwargs = vars(estimator).get("_given", ((), {}))
    signature = inspect.signature(type(estimator))
    given = signature.bind_partial(*args, **kwargs).arguments
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= given.pop(name, {})
        elif isinstance(value := given.get(name), bool | int | float | str | None) and value == parameter.default:
            given.pop(name, None)
    given.pop("samples", None)
    return given


def _remembering(init: Callable[..., None]) -> Callable[..., None]:
    """An `__init__` that notes what the class was called with, which is what `repr` shows."""

    @functools.wraps(init)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        vars(self).setdefault("_given", (args, kwargs))  # of the class itself, before those that it derives from
        init(self, *args, **kwargs)

    return remember


def mean_to(x: Tensor, shape: torch.Size) -> Tensor:
    """Mean of x over the dims in which `shape` has size 1 or none, aligned from the right."""
    return x.sum_to_size(shape) * (shape.numel() / x.numel())
