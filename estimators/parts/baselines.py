"""Baselines: what the score-function estimator subtracts from its cost.

Each turns the costs of S draws into advantages and may learn from them, always AFTER they were used: a baseline that
has seen its own cost is correlated with the score, and the estimate biased.

Sources: Williams 1992 (constant baselines); Mnih and Gregor 2014, arXiv:1402.0030 (input-dependent baseline, centring
and variance normalisation); Mnih and Rezende 2016, arXiv:1602.06725 and Kool et al. 2019 (leave-one-out).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from estimators.base import mean_to
from estimators.parts.network import Network
from estimators.parts.reading import check_update, reading
from estimators.parts.sizes import Resizable, Sizes, is_unsized


class Baseline(nn.Module):
    """No baseline; the base class of the others."""

    minimum_samples = 1

    def __init__(self) -> None:  # its signature lists the options, of which there are none
        super().__init__()

    def set_sizes(self, sizes: Sizes) -> None:
        """Size state and parameters; see `Estimator.bind`."""

    def forward(self, cost: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Advantages and the baseline's own loss.

        Args:
            cost: [S, *B], detached.
            context: [*B, X] or None.

        Returns:
            Detached advantages [S, *B], and [*B] or None.
        """
        return cost, None


class LeaveOneOut(Baseline):
    """Subtract from each cost the mean of the other draws of its row."""

    minimum_samples = 2

    def forward(self, cost: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        samples = len(cost)
        return (cost - cost.mean(0)) * (samples / (samples - 1)), None


class RunningMean(Resizable):
    """Exponential moving average [*stack, 1, *event] over rows and draws, corrected for its start at nothing."""

    total: Tensor
    weight: Tensor

    def __init__(self, decay: float) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.register_buffer("total", torch.zeros(1))
        self.register_buffer("weight", torch.zeros(()))

    def start(self, stack: Sequence[int], event: Sequence[int] = ()) -> None:
        """Start anew for this stack of seeds, with a mean for each part of the event."""
        self.resize(self.total, torch.zeros(*stack, 1, *event))
        self.resize(self.weight, torch.zeros(()))

    def value(self) -> Tensor:
        """The mean so far, 0 before the first update."""
        mean = self.total / self.weight.clamp_min(torch.finfo(self.weight.dtype).tiny)
        return reading(mean) if self.training else mean

    @torch.no_grad()
    def update(self, values: Tensor) -> None:
        """Take in values [S, *B, *event], each stacked seed its own."""
        check_update()
        self.total.lerp_(mean_to(values, self.total.shape).to(self.total), 1 - self.decay)
        # As one number in a row: of a double without dims torch.compile 2.13 forgets the update.
        self.weight.view(1).lerp_(torch.ones_like(self.weight), 1 - self.decay)


class MovingAverage(Baseline):
    """Subtract a moving average of the costs of earlier steps."""

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        self.mean = RunningMean(decay)

    def set_sizes(self, sizes: Sizes) -> None:
        self.mean.start(sizes.stack)

    def forward(self, cost: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        advantage = cost - self.mean.value().to(cost)
        if self.training:
            self.mean.update(cost)
        return advantage, None


class InputDependent(Baseline):
    """NVIL: subtract a network of the input and a moving average of what it leaves; optionally divide by its spread.

    The network has one tanh layer and is trained by the squared advantage. Without a context only the moving average
    remains. The division by max(1, running standard deviation) rescales the gradient, so that with it the estimate is
    unbiased only up to a positive factor.
    """

    def __init__(self, decay: float = 0.8, hidden: int = 100, variance_normalisation: bool = False) -> None:
        super().__init__()
        self.mean, self.variance = RunningMean(decay), RunningMean(decay)
        self.network, self.variance_normalisation = Network(hidden), variance_normalisation

    def set_sizes(self, sizes: Sizes) -> None:
        for running in (self.mean, self.variance):
            running.start(sizes.stack)
        self.network.make(sizes.context_size, sizes.stack, sizes.generator)

    def _predict(self, context: Tensor | None, like: Tensor) -> Tensor:
        """The network's baseline [*B], or 0 without a network."""
        if is_unsized(self.network.first):  # never bound to a context, so that there is nothing to read
            self.network.make(0)
        if not self.network.inputs:
            return like.new_zeros(())
        if context is None:
            raise ValueError("the input-dependent baseline was bound to a context, and got none")
        predicted: Tensor = self.network(context)
        return predicted.to(like)

    def forward(self, cost: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        predicted = self._predict(context, cost)
        signal = cost - predicted.detach()
        advantage = signal - self.mean.value().to(cost)
        loss = (advantage + predicted.detach() - predicted).square().mean(0) if self.network.inputs else None
        if self.variance_normalisation:
            advantage = advantage / self.variance.value().to(cost).sqrt().clamp_min(1.0)
        if self.training:
            centred = signal - mean_to(signal, self.mean.total.shape)
            self.mean.update(signal)
            self.variance.update(centred.square())
        return advantage, loss


BASELINES: dict[str, type[Baseline]] = {
    "none": Baseline,
    "moving-average": MovingAverage,
    "input-dependent": InputDependent,
    "leave-one-out": LeaveOneOut,
}
