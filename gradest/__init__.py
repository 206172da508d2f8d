"""gradest: which gradient estimator for E_{z ~ q}[f(z, q)]? What a person calls, in one place.

    import gradest

    estimator = gradest.create("rloo[samples=4]")
    loss = estimator(q, f).loss()                      # in a training loop of one's own
    print(gradest.examine(q, f))                       # what f is, and who takes it
    comparison = gradest.compare((q, f), f_evals=4)    # variance, bias, MSE, SNR, cosine and time, with intervals
    print(comparison.best())

The registry and the methods are in `estimators`, the harness in `bench`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "bench.library.compare": {"compare": "compare"},
    "bench.library.comparison": {"Best": "Best", "Comparison": "Comparison"},
    "bench.library.examine": {"Examination": "Examination", "examine": "examine"},
    "bench.library.point": {"Point": "Point"},
    "bench.measure.exact": {name: name for name in ("ExactMoments", "NotExact", "exact_moments")},
    "bench.measure.moments": {name: name for name in ("GradientMoments", "gradient_moments")},
    "estimators": {
        name: name
        for name in (
            "BadInput",
            "Entry",
            "Estimate",
            "Estimator",
            "Noise",
            "Objective",
            "available",
            "create",
            "get",
            "register",
            "trusted",
        )
    },
    "estimators.checks": {"Certificate": "Certificate", "check": "certify"},
}
"""Where a name is defined, by module, and what it is called there; imported when it is first used."""


def __dir__() -> list[str]:
    """What completion offers."""
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # to a type checker a module with this function has every attribute

    def __getattr__(name: str) -> Any:
        """A public name, from the module that it is defined in."""
        for home, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(home), names[name])
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
