"""gradest: which gradient estimator for E_{z ~ q}[f(z, q)]? What a person calls, in one place.

    import gradest

    estimator = gradest.create("rloo[samples=4]")
    loss = estimator(q, f).loss()                      # in a training loop of one's own
    print(gradest.examine(q, f))                       # what f is, and who takes it
    comparison = gradest.compare((q, f), f_evals=4)    # variance, bias, MSE, SNR, cosine and time, with intervals
    print(comparison.best())

The registry and the methods are in `estimators`, the harness in `bench`.
"""

from bench.library.compare import compare
from bench.library.comparison import Best, Comparison
from bench.library.examine import Examination, examine
from bench.library.point import Point
from bench.measure.exact import ExactMoments, NotExact, exact_moments
from bench.measure.moments import GradientMoments, gradient_moments
from estimators.base import Estimate, Estimator, Objective
from estimators.call import trusted
from estimators.checks.certificate import certify as check
from estimators.checks.result import Certificate
from estimators.entry import Entry
from estimators.errors import BadInput
from estimators.noise import Noise
from estimators.registry import available, create, get, register

__all__ = [
    "BadInput",
    "Best",
    "Certificate",
    "Comparison",
    "Entry",
    "Estimate",
    "Estimator",
    "ExactMoments",
    "Examination",
    "GradientMoments",
    "Noise",
    "NotExact",
    "Objective",
    "Point",
    "available",
    "check",
    "compare",
    "create",
    "exact_moments",
    "examine",
    "get",
    "gradient_moments",
    "register",
    "trusted",
]
