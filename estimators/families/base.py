"""What a family of distributions q must say of itself, once and in one file.

A family is found from the type of q, so that no estimator, certificate or problem asks which one it has. `Family` is
what every family gives; the classes after it are capabilities that some have and that an estimator may ask for:

    score         draws, log q and its gradient: every family has them
    rsample       draws that are differentiable functions of q's parameters and of noise: `Reparameterized`
    enumeration   finitely many values of each latent: `Enumerated`
    relaxation    draws that are decided by continuous scores: `Relaxed`
    projection    the law of a linear combination of latents is known: `Projected`
    counts        whole numbers without an end, whose law moves by jumps of one latent: `Counted`

Shapes: q has rows *B and an event [D], or [L, C] where the value of one latent is a vector of C numbers; draws are
[S, *B, *event]. Values of a family's parameters come and go as one tensor for each, [*B, *event] but where the family
says another shape in `parameter_shapes`; the first always has that one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor
from torch.distributions import Distribution

from estimators.families.quadrature import MAX_STATES
from estimators.noise import Noise


class Family(ABC):
    """A family of distributions, whose latents are independent unless it says that they are `joint`."""

    name: ClassVar[str]
    distribution: ClassVar[type[Distribution]]
    """torch's class, by which the family of a q is recognised."""
    mistaken: ClassVar[Mapping[type[Distribution], str]] = {}
    """Classes of torch that are taken for this family's by mistake, and what to write instead."""
    parameter_names: ClassVar[tuple[str, ...]]
    latent_dims: ClassVar[int] = 0
    """Dims of one latent's value: 0 for a number, 1 for a one-hot vector, whose length the problem says."""
    joint: ClassVar[bool] = False
    """Whether latents depend on each other, so that torch's own event is all of them."""
    discrete: ClassVar[bool] = False
    """Whether draws lie at isolated points, so that f may be undefined between them."""
    sharpness: ClassVar[str]
    """What a certificate's level of sharpness is for this family, in words."""
    sweep: ClassVar[str]
    """What a toy of this family is swept over: logits or scales."""
    certified_events: ClassVar[tuple[tuple[int, ...], ...]] = ((1,), (2,), (3,), (6,))
    """Two to four events at which certificates are made, the smallest first, the second with several latents."""

    small_event: ClassVar[tuple[int, ...]] = (3,)
    """The event at which a certificate checks all but the mean."""
    kl_of_any_two: ClassVar[bool] = True
    """Whether `kl` has a closed form for every two members, so that a problem can count on it."""

    # q and its parameters

    @abstractmethod
    def parameters(self, q: Distribution) -> tuple[Tensor, ...]:
        """q's parameters, each [*B, *shape] of `parameter_shapes`, which is [*B, *event] but for joint latents."""

    @abstractmethod
    def build(self, *values: Tensor) -> Distribution:
        """The distribution with these parameters, without validation."""

    def again(self, *values: Tensor) -> Distribution:
        """The distribution with values that came from `parameters`, which need no normalisation."""
        return self.build(*values)

    @abstractmethod
    def from_raw(self, *raw: Tensor) -> Distribution:
        """The distribution with unconstrained numbers for parameters, such as a network gives; zeros are the prior."""

    def finite(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Parameters with large finite numbers for those that may be infinite; the same objects where none is."""
        return values

    def normalised(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Parameters made valid again after they were rounded."""
        return values

    def event(self, latents: int, categories: int | None = None) -> tuple[int, ...]:
        """Shape of an event of so many latents; `categories` is the length of a latent's value where it is a vector."""
        return (latents,) if categories is None or not self.latent_dims else (latents, categories)

    def parameter_shapes(self, event: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """What each parameter has in the place of an event of this shape."""
        return (tuple(event),) * len(self.parameter_names)

    def joint_states(self, event: tuple[int, ...]) -> int | None:
        """Number of values that an event can have, None for infinitely many."""
        return None

    # draws and their density

    @abstractmethod
    def sample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """Draws [S, *B, *event], outside any graph."""

    def inside(self, z: Tensor) -> Tensor:
        """z, with what was rounded to the edge of the open support moved back inside; f need not be defined there."""
        return z

    @abstractmethod
    def log_prob(self, q: Distribution, z: Tensor) -> Tensor:
        """log q(z), summed over the event: [S, *B]; differentiable in z, also between the values of a discrete z."""

    @abstractmethod
    def scores(self, q: Distribution, z: Tensor) -> tuple[Tensor, ...]:
        """Gradients of log q(z) in each of q's parameters, [S, *B, *shape] of `parameter_shapes`, outside any graph."""

    @abstractmethod
    def kl(self, q: Distribution, p: Distribution) -> Tensor:
        """KL(q || p) in nats, [*B], of two members of the family; the rows of p broadcast to those of q."""

    def quadrature(self, q: Distribution, nodes: int) -> tuple[Tensor, Tensor]:
        """Points and weights by which E_q[f] is sum_n weight_n f(z_n), differentiable in a continuous q's parameters.

        Args:
            q: of rows *B.
            nodes: points a latent.

        Returns:
            Points [N, *B, *event] and weights that broadcast to [N, *B].

        Raises:
            ValueError: too many points, or no rule is known for the family.
        """
        raise ValueError(f"no quadrature is known for {self.name} latents")

    def integrable(self, event: tuple[int, ...], nodes: int) -> bool:
        """Whether `quadrature` reaches events of this shape with so many points a latent."""
        return bool(type(self).quadrature is not Family.quadrature and nodes ** event[0] <= MAX_STATES)

    # what f is looked at with

    @abstractmethod
    def moderate(self, q: Distribution, noise: Noise) -> tuple[Tensor, ...]:
        """Parameters near q's, of a sharpness at which no term of f hides; what cannot come still cannot."""

    def spread_out(self, q: Distribution, count: int, noise: Noise) -> Tensor:
        """Points [count, *B, *event] that draws may have, the first two of which differ in every uncertain latent."""
        return self.sample(q, count, noise)

    def off_support(self, z: Tensor) -> bool:
        """Whether z holds points that draws of a discrete q cannot be, at which f may be undefined."""
        return False

    # problems that certificates and toys are made of

    @abstractmethod
    def sharpened(self, level: Tensor, turn: Tensor, event: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Parameters, [B, *shape] of `parameter_shapes`, of a certificate's rows, at a level of sharpness each.

        Args:
            level: [B], 0 for a q as at the start of training, 6 for a converged one, 15 for an extreme one.
            turn: whole numbers [B, D], by which the side or class that a latent favours varies over rows and latents.
            event: [D] or [L, C].
        """

    @abstractmethod
    def toy(self, sharpness: float, event: tuple[int, ...]) -> Distribution:
        """q of one row in double precision, for a toy at this value of what it is swept over."""

    def level_words(self, level: float) -> str:
        """A level of sharpness in words."""
        return f"{self.sharpness} {level:g}"

    def extremes(self, *values: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """Parameters at which gradients must still be finite, by what they are; made of those at level 50."""
        return {self.level_words(50): values}

    def noise_shift(self, *values: Tensor) -> Tensor:
        """Logits [B, D] or [B, L] by which a latent's noise is shifted to make rare outcomes common; 0 for none."""
        return values[0].new_zeros(values[0].shape[:2])


class Reparameterized(Family):
    """A family with differentiable draws."""

    @abstractmethod
    def rsample(self, q: Distribution, samples: int, noise: Noise) -> Tensor:
        """Draws [S, *B, *event] as functions of q's parameters."""


class Enumerated(Family):
    """A family whose latents have finitely many values; its one parameter is logits."""

    discrete = True
    parameter_names = ("logits",)

    @abstractmethod
    def values_of_a_latent(self, like: Tensor, event: tuple[int, ...]) -> Tensor:
        """Every value of one latent, [V] or [V, C], on the device and in the dtype of `like`."""

    def off_support(self, z: Tensor) -> bool:
        """Whether any number in z lies between 0 and 1."""
        return not bool(((z == 0) | (z == 1)).all())

    @abstractmethod
    def chances(self, q: Distribution) -> Tensor:
        """Probability of a latent's value, or of each of its classes, [*B, *event]."""

    @abstractmethod
    def is_rare(self, logits: Tensor, z: Tensor) -> Tensor:
        """Whether each latent of z has another value than its likeliest: z [..., B, *event] to [..., B, D or L]."""

    @abstractmethod
    def rarity(self, logits: Tensor) -> Tensor:
        """Chance that each latent has another value than its likeliest, [B, D or L], with all digits."""

    def is_outcome(self, logits: Tensor, z: Tensor) -> Tensor:
        """Which outcomes the latents of z [..., B, *event] have, [..., B, M]; of two values the rare one is enough."""
        return self.is_rare(logits, z)

    def outcome_chances(self, logits: Tensor) -> Tensor:
        """Chances of the outcomes that `is_outcome` tells apart, [B, M], with all digits."""
        return self.rarity(logits)

    @abstractmethod
    def neighbours(self, z: Tensor) -> Tensor:
        """Every point that differs from z [S, *B, *event] in one latent: [N, S, *B, *event]."""

    @abstractmethod
    def local_gradient(self, q: Distribution, z: Tensor, points: Tensor, change: Tensor) -> Tensor:
        """Gradient [S, *B, *event] of the logits with each latent integrated out by itself, the others as in z.

        Args:
            q: of rows *B.
            z: draws [S, *B, *event].
            points: the `neighbours` of z, [N, S, *B, *event].
            change: what f changes by from z to each of them, [N, S, *B].
        """


class Relaxed(Enumerated):
    """An enumerated family whose draws are decided by continuous scores: logits plus noise.

    Scores have the shape of z and say which value z has: `hard(scores)`. Given z they have a law of their own, from
    which they are drawn again as a differentiable function of the logits: from noise of its own, or from what z leaves
    undecided of the first noise, which gives the same scores again. G. Tucker et al., REBAR, 2017, arXiv:1703.07370; W.
    Grathwohl et al., RELAX, 2017, arXiv:1711.00123, appendices on the conditional marginalization and on common random
    numbers. Everything is a sum of softplus and logarithms, so that conditional scores decide for z at any logits;
    clipping the noise instead breaks that above |logit| 13.8.
    """

    @abstractmethod
    def mean_of(self, logits: Tensor) -> Tensor:
        """Mean of the distribution with these logits, differentiable in them: what relaxes a hard draw."""

    @abstractmethod
    def score_noise(self, odds: Tensor) -> Tensor:
        """What is added to logits to make scores, from the odds [S, *B, *event] of uniform noise."""

    def scores_from(self, logits: Tensor, odds: Tensor) -> Tensor:
        """Scores of logits that need not be normalised, made of the odds [S, *B, *event] of uniform noise."""
        return self.normalised(logits)[0] + self.score_noise(odds)

    @abstractmethod
    def scores_given(self, logits: Tensor, z: Tensor, odds: Tensor) -> Tensor:
        """Scores that decide for the hard draws z, made of the odds of uniform noise of their own."""

    @abstractmethod
    def scores_again(self, logits: Tensor, scores: Tensor) -> Tensor:
        """The same scores, as the function of the logits that they are given the draw that they decide for."""

    @abstractmethod
    def hard(self, scores: Tensor) -> Tensor:
        """The draw that the scores decide for, outside any graph."""

    @abstractmethod
    def log_prob_of_latents(self, logits: Tensor, z: Tensor) -> Tensor:
        """log q of each latent of z, in a shape that broadcasts to the event."""

    @abstractmethod
    def mean_change(self, logits: Tensor, change: Tensor, towards: Tensor | None = None) -> Tensor:
        """Jacobian of the mean times a change of the logits, where the mean is as it is or half-way to a draw.

        Args:
            logits: [*B, *event].
            change: of the logits, [*B, *event].
            towards: hard draws [S, *B, *event]; the Jacobian is then taken where the mean lies midway to them.
        """


class Counted(Family):
    """A family of counts 0, 1, 2, ... without an end, so that nothing can be enumerated, and only cut off."""

    discrete = True

    def off_support(self, z: Tensor) -> bool:
        """Whether z holds a number that is not whole, or is negative."""
        return not bool(((z >= 0) & (z == z.round())).all())

    @abstractmethod
    def jumps(self, q: Distribution, samples: int, noise: Noise) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Jumps of a latent by which the mean of any f changes with q's parameters.

        With the other latents and z itself drawn from q, independently of the jump x of latent i, the derivative in a
        parameter of that latent is the mean of its weight times f(z, z_i + x in the place of z_i) - f(z).

        Args:
            q: of rows *B.
            samples: S.
            noise: of the jumps, where they have any.

        Returns:
            Jumps [S, *B, D] and for each parameter weights that broadcast to them, outside any graph.
        """


class Projected(Family):
    """A continuous family of which the law of w . z is known, so that ridge functions have exact means."""

    @abstractmethod
    def projected(self, q: Distribution, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Points [B, H, T] of the projections of z on weights [H, D], and their chances [T]."""

    @abstractmethod
    def along(self, q: Distribution, direction: Tensor, step: float) -> tuple[Tensor, Tensor, Tensor]:
        """Points [B, T] of z's projection on a direction [D], log q there [B, T], and their chances [T].

        Args:
            q: of rows B.
            direction: what f is a function of, beside log q.
            step: between points of the noise along it.
        """

    @abstractmethod
    def entropy(self, q: Distribution) -> Tensor:
        """Entropy in nats, [*B]."""


CAPABILITIES: dict[str, type[Family]] = {
    "score": Family,
    "rsample": Reparameterized,
    "enumeration": Enumerated,
    "relaxation": Relaxed,
    "projection": Projected,
    "counts": Counted,
}
"""What an estimator may ask of a family, by name."""
