"""REINFORCE with the leave-one-out baseline: 1/(S-1) sum_i (f_i - mean f) grad log q(z_i).

W. Kool, H. van Hoof, M. Welling, Buy 4 REINFORCE samples, get a baseline for free, 2019; the same baseline in Mnih and
Rezende 2016, arXiv:1602.06725.
"""

from estimators.entry import one_a_sample
from estimators.registry import register
from estimators.reinforce import Reinforce


@register(
    "rloo",
    capability="score",
    method="score function",
    unbiased=True,
    samples=(2, 2),
    f_evals=one_a_sample,
    needs="neither",
    summary="score function with the leave-one-out baseline",
    paper="Kool, van Hoof and Welling 2019; Mnih and Rezende 2016, arXiv:1602.06725",
)
class RLOO(Reinforce):
    """The named shorthand of `reinforce[baseline=leave-one-out]`."""

    def __init__(self, samples: int = 2) -> None:
        super().__init__(samples, baseline="leave-one-out")
