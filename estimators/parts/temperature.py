"""The temperature of a relaxation, fixed or annealed over training.

Geometric annealing from `temperature` to `final_temperature` over `anneal_steps` steps, then constant; E. Jang, S. Gu,
B. Poole 2016, arXiv:1611.01144, anneal in the same way, and set the temperature anew every `anneal_every` steps.
"""

import torch
from torch import Tensor, nn

from estimators.base import Estimator
from estimators.parts.reading import check_update, reading


class Temperature(nn.Module):
    """A temperature that counts the training steps it has been used for; in `eval()` it stands still."""

    step: Tensor

    def __init__(
        self, temperature: float, final_temperature: float | None, anneal_steps: int | None, anneal_every: int = 1
    ) -> None:
        super().__init__()
        if (final_temperature is None) != (anneal_steps is None):
            raise ValueError("annealing takes both final_temperature and anneal_steps, or neither")
        final = temperature if final_temperature is None else final_temperature
        steps = 1 if anneal_steps is None else anneal_steps
        if not (temperature > 0 and final > 0 and steps >= 1):
            raise ValueError(
                f"temperatures must be positive and anneal_steps at least 1, got temperature={temperature}, "
                f"final_temperature={final_temperature}, anneal_steps={anneal_steps}"
            )
        if anneal_every < 1:
            raise ValueError(f"anneal_every, the steps of one temperature, must be at least 1, got {anneal_every}")
        if anneal_every > 1 and anneal_every > (anneal_steps or 0):
            raise ValueError(
                f"anneal_every={anneal_every} would leave the temperature as it is: give final_temperature and "
                f"anneal_steps of at least as many, got anneal_steps={anneal_steps}"
            )
        self.initial, self.final, self.steps, self.every = temperature, final, steps, anneal_every
        self.register_buffer("step", torch.zeros(()))

    def forward(self) -> Tensor:
        """The temperature to use now, a scalar; in `train()` the next call's is one step further."""
        taken = self.step - self.step % self.every if self.every > 1 else self.step
        progress = (taken / self.steps).clamp_max(1.0)
        value = self.initial * (self.final / self.initial) ** progress
        if self.training:
            value = reading(value)
            check_update()
            self.step.view(1).add_(1)  # as in `RunningMean.update`
        return value


class Relaxation(Estimator):
    """Base of the estimators that relax discrete draws: `samples` draws at a temperature."""

    def __init__(
        self,
        samples: int = 1,
        temperature: float = 0.5,
        final_temperature: float | None = None,
        anneal_steps: int | None = None,
        anneal_every: int = 1,
    ) -> None:
        super().__init__(samples)
        self.temperature = Temperature(temperature, final_temperature, anneal_steps, anneal_every)
