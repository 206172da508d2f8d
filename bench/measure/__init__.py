"""One quantity a file: gradient moments, sampled and exact, ELBO along training, wall clock."""

from bench.measure.exact import ExactMoments, NotExact, exact_moments
from bench.measure.moments import GradientMoments, gradient_moments

__all__ = ["ExactMoments", "GradientMoments", "NotExact", "exact_moments", "gradient_moments"]
