"""One quantity a file: gradient moments, ELBO along training, wall clock."""

from bench.measure.moments import GradientMoments, gradient_moments

__all__ = ["GradientMoments", "gradient_moments"]
