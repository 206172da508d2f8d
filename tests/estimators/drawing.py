"""Draws as a test writes them: for a q and from a generator, or for a family by its name."""

from torch import Generator, Tensor
from torch.distributions import Distribution

from estimators.distributions import parameters
from estimators.families import Relaxed, family_named
from estimators.noise import Noise
from estimators.parts import pairs as antithetic

BITS, CLASSES = (family for family in map(family_named, ("bernoulli", "categorical")) if isinstance(family, Relaxed))

logistic_scores, conditional_logistic_scores = BITS.scores_from, BITS.scores_given
coupled_logistic_scores = BITS.scores_again
gumbel_scores, conditional_gumbel_scores = CLASSES.scores_from, CLASSES.scores_given
coupled_gumbel_scores = CLASSES.scores_again


def hard(scores: Tensor, *, categorical: bool) -> Tensor:
    """The draw that scores decide for."""
    return (CLASSES if categorical else BITS).hard(scores)


def odds(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Odds of uniform noise [S, *B, *event]."""
    return Noise(generator).odds(samples, parameters(q)[0])


def uniform(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Uniform noise [S, *B, *event]."""
    return Noise(generator).uniform(samples, parameters(q)[0])


def normal(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Standard normal noise [S, *B, *event]."""
    return Noise(generator).normal(samples, parameters(q)[0])


def gumbel(q: Distribution, samples: int, generator: Generator | None) -> Tensor:
    """Standard Gumbel noise [S, *B, *event]."""
    return Noise(generator).gumbel(samples, parameters(q)[0])


def pairs(logits: Tensor, samples: int, generator: Generator | None) -> antithetic.Pairs:
    """Antithetic pairs of bits."""
    return antithetic.pairs(logits, samples, Noise(generator))
