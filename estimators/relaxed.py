"""Relaxed discrete draws, and the same drawn anew given the hard draw: what REBAR, RELAX and Gumbel-Rao share.

The relaxed scores z = logits + noise decide the hard draw: b = H(z), the sign of a logistic score or the argmax of
Gumbel scores. Given b the scores have a law of their own, from which they are drawn again as a differentiable function
of the logits: from noise of its own, or from what b leaves undecided of the first noise, which gives the same scores
again. G. Tucker et al., REBAR, 2017, arXiv:1703.07370; W. Grathwohl et al., RELAX, 2017, arXiv:1711.00123, appendices
on the conditional marginalization and on common random numbers. Everything is a sum of softplus and logarithms, so that
the conditional scores decide for b at any logits; clipping the noise instead breaks that above |logit| 13.8.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from estimators.distributions import above, log_softmax, one_hot_argmax
from estimators.noise import exponential_of, gumbel_of


def logistic_scores(logits: Tensor, odds: Tensor) -> Tensor:
    """Scores [S, *B, D] of Bernoulli draws: logits plus logistic noise, the logarithm of uniform noise's odds."""
    return logits + odds.log()


def conditional_logistic_scores(logits: Tensor, b: Tensor, odds: Tensor) -> Tensor:
    """Scores [S, *B, D] given that their signs are b, made of the odds of uniform noise."""
    away, near = odds.log1p(), exponential_of(odds)  # minus the logarithms of 1 - v and of v, the uniform number
    positive = F.softplus(logits - away) + near
    negative = -near - F.softplus(-logits - away)
    return torch.where(b > 0.5, positive, negative)


def coupled_logistic_scores(logits: Tensor, scores: Tensor) -> Tensor:
    """The same scores [S, *B, D] again, as the function of the logits that they are given their signs.

    Given the sign of z, the v that leads to z in `conditional_logistic_scores` is uniform, and so may be taken for v.
    At that v the derivative is sigmoid(logit) (1 - exp(-z)) where z > 0, and the mirror image where z < 0.
    """
    fixed = scores.detach()
    chance = torch.where(fixed > 0, logits, -logits).detach().sigmoid()
    return fixed - torch.expm1(-fixed.abs()) * chance * (logits - logits.detach())


def gumbel_scores(logits: Tensor, odds: Tensor) -> Tensor:
    """Scores [S, *B, L, C] of one-hot draws: log probabilities plus Gumbel noise made of uniform noise's odds."""
    return log_softmax(logits) + gumbel_of(odds)


def conditional_gumbel_scores(logits: Tensor, b: Tensor, odds: Tensor) -> Tensor:
    """Scores [S, *B, L, C] given that their argmax is the one-hot b, made of the odds of uniform noise.

    The largest score is a standard Gumbel number, whichever class has it; the others are Gumbel numbers cut off there.
    """
    log_probs = log_softmax(logits)
    exponential = exponential_of(odds)
    chosen = (exponential * b).sum(-1, keepdim=True).log()  # minus the largest score
    others = -torch.logaddexp(exponential.log() - log_probs, chosen)
    return torch.where(b > 0.5, -chosen, others)


def coupled_gumbel_scores(logits: Tensor, scores: Tensor) -> Tensor:
    """The same scores [S, *B, L, C] again, as the function of the logits that they are given their argmax.

    As `coupled_logistic_scores`: with v what leads to z, a log probability moves its score by 1 - exp(z - max z).
    """
    fixed, log_probs = scores.detach(), log_softmax(logits)
    return fixed - torch.expm1(fixed - fixed.amax(-1, keepdim=True)) * (log_probs - log_probs.detach())


def hard(scores: Tensor, *, categorical: bool) -> Tensor:
    """The draw that the scores decide for, outside any graph: their signs as bits, or the one-hot of their argmax."""
    scores = scores.detach()
    return one_hot_argmax(scores) if categorical else above(scores, scores.new_zeros(()))
