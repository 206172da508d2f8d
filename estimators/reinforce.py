"""Score function, or REINFORCE, or likelihood ratio: E_q[f] = E_q[(f(z) - b) grad log q(z)] for any b free of z.

R. J. Williams, Simple statistical gradient-following algorithms for connectionist reinforcement learning, 1992. The
baselines b and their sources are in `estimators.parts.baselines`. One piece of code for all families.
"""

import inspect
from typing import Any

from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Estimator, Objective
from estimators.distributions import sample, scored, stopped
from estimators.entry import one_a_sample
from estimators.errors import BadInput, unknown
from estimators.noise import Noise
from estimators.parts.baselines import BASELINES
from estimators.parts.sizes import Sizes
from estimators.registry import register


@register(
    "reinforce",
    capability="score",
    method="score function",
    unbiased=True,
    own_parameters=True,
    biased_options={"variance_normalisation": "divides the gradient by a running standard deviation"},
    f_evals=one_a_sample,
    needs="neither",
    variants=(
        {"baseline": "moving-average"},
        {"baseline": "input-dependent"},
        {"baseline": "input-dependent", "variance_normalisation": True},
        {"baseline": "leave-one-out", "samples": 2},
    ),
    summary="score function; baseline = none | moving-average | input-dependent (NVIL) | leave-one-out",
    paper="Williams 1992; Mnih and Gregor 2014, arXiv:1402.0030",
)
class Reinforce(Estimator):
    """The score-function estimator with a baseline.

    Options of a baseline: moving-average takes decay; input-dependent takes decay, hidden and variance_normalisation.
    """

    def __init__(
        self,
        samples: int = 1,
        baseline: str = "none",
        decay: float | None = None,
        hidden: int | None = None,
        variance_normalisation: bool | None = None,
    ) -> None:
        super().__init__(samples)
        if baseline not in BASELINES:
            raise BadInput(unknown("baseline", baseline, list(BASELINES)))
        kind = BASELINES[baseline]
        given = {"decay": decay, "hidden": hidden, "variance_normalisation": variance_normalisation}
        options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        accepted = list(inspect.signature(kind).parameters)
        for name in options:
            if name not in accepted:
                raise BadInput(unknown(f"option of baseline {baseline!r}:", name, accepted))
        if samples < kind.minimum_samples:
            raise BadInput(
                f"baseline {baseline!r} needs samples >= {kind.minimum_samples}, got samples={samples}; "
                f"add samples={kind.minimum_samples}"
            )
        self.baseline = kind(**options)

    def set_sizes(self, sizes: Sizes) -> None:
        self.baseline.set_sizes(sizes)

    def signal(self, cost: Tensor, q: Distribution, z: Tensor) -> Tensor:
        """What multiplies the score, before a baseline, at draws of a q without a graph: the cost, [S, *B]."""
        return cost

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        z = sample(q, self.samples, noise)
        fixed = stopped(q)
        cost = f(z, fixed)  # S x *B
        advantage, loss = self.baseline(self.signal(cost.detach(), fixed, z), noise.context)
        surrogate = scored(q, z, advantage / self.samples) + cost.mean(0)  # the cost carries theta's gradient
        return Estimate(surrogate, cost.detach().mean(0), loss)
