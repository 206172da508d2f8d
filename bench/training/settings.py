"""The [training] table of a suite, and the optimiser that it makes."""

from typing import Any, Literal

import torch
from pydantic import StrictBool, model_validator

from bench.bounds import Betas, Decay, Epsilon, Rate, RowCount, Steps
from bench.config import Config, added_later

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, in its paper and in torch."""
OF_ADAM = ("betas", "epsilon", "own_betas")


class Optimisation(Config):
    """How a model is trained.

    Settings without `own_` are those of the model's weights. An estimator's own parameters take the same optimiser at
    `own_learning_rate`, with `own_betas`, and for the rest as torch has it, without decay.
    """

    steps: Steps = 1000
    batch: RowCount = 50
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Rate = 1e-3
    own_learning_rate: Rate = 1e-3
    """Rate of the estimator's own parameters."""
    compile: Literal["auto"] | StrictBool = added_later("auto")
    """Whether steps are compiled: where it pays, always, or never."""
    betas: Betas = added_later(BETAS)
    """Decays of Adam's running means: of the gradient, and of its square."""
    epsilon: Epsilon = added_later(EPSILON)
    """Added to the root of Adam's second mean, by which it divides."""
    own_betas: Betas = added_later(BETAS)
    weight_decay: Decay = added_later(0.0)
    """So many times a weight are added to its gradient, as torch.optim has it."""

    @model_validator(mode="after")
    def _settings_of_the_optimiser(self) -> "Optimisation":
        for name in OF_ADAM if self.optimiser == "sgd" else ():
            if name in self.model_fields_set:
                raise ValueError(f'{name} is a setting of Adam, and optimiser = "sgd" has none: leave it out')
        return self

    def of_model(self) -> dict[str, Any]:
        """What torch's optimiser takes for the model's weights."""
        adam = {} if self.optimiser == "sgd" else {"betas": self.betas, "eps": self.epsilon}
        return {"lr": self.learning_rate, "weight_decay": self.weight_decay, **adam}

    def of_own(self) -> dict[str, Any]:
        """What it takes for an estimator's own parameters."""
        adam = {} if self.optimiser == "sgd" else {"betas": self.own_betas, "eps": EPSILON}
        return {"lr": self.own_learning_rate, "weight_decay": 0.0, **adam}


def make_optimiser(optimisation: Optimisation, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser over parameter groups that carry their own settings."""
    if optimisation.optimiser == "sgd":
        return torch.optim.SGD(groups, fused=True)
    # Without `capturable` it refuses to take part in a captured step.
    on_gpu = any(p.is_cuda for group in groups for p in group["params"])
    return torch.optim.Adam(groups, fused=True, capturable=on_gpu)
