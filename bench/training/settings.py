"""The [training] table of a suite, and the optimiser that it makes."""

from typing import Any, Literal

import torch
from pydantic import StrictBool, model_validator

from bench.bounds import Betas, Decay, Epsilon, Momentum, Rate, RowCount, Steps
from bench.config import Config, added_later

BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Adam's, in its paper and in torch."""
OPTIMISERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
    "sgd": torch.optim.SGD,
}
ADAMS = ("adam", "adamw", "radam")
TAKEN_BY = {"betas": ADAMS, "epsilon": ADAMS, "own_betas": ADAMS, "momentum": ("sgd",)}
"""Settings that not every optimiser has, with those that do."""


class Optimisation(Config):
    """How a model is trained.

    Settings without `own_` and `prior_` are those of the model's weights. An estimator's own parameters take the same
    optimiser at `own_learning_rate`, with `own_betas`, and for the rest as torch has it, without decay or momentum.
    """

    steps: Steps = 1000
    batch: RowCount = 50
    optimiser: Literal["adam", "adamw", "radam", "sgd"] = "adam"
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
    """So many times a weight are added to its gradient; with "adamw", the rate times as much is taken off the weight
    apart from it."""
    momentum: Momentum = added_later(0.0)
    """Of SGD: what its running sum of gradients keeps from step to step."""
    prior_optimiser: Literal["sgd"] | None = added_later(None)
    """Of a learned prior: plain SGD, without momentum or decay; None for that of the other weights."""
    prior_learning_rate: Rate | None = added_later(None)
    """Rate of a learned prior; None for that of the other weights."""

    @model_validator(mode="after")
    def _settings_of_the_optimiser(self) -> "Optimisation":
        for name, takers in TAKEN_BY.items():
            if name in self.model_fields_set and self.optimiser not in takers:
                words = " and ".join(f'"{taker}"' for taker in takers)
                raise ValueError(f'{name} is a setting of {words}, and optimiser = "{self.optimiser}" has none')
        if self.optimiser == "adamw" and not self.weight_decay:
            raise ValueError(
                'optimiser = "adamw" is "adam" but for its weight_decay, and that is 0: give one (0.01 is what torch '
                'takes where none is given), or take "adam"'
            )
        if self.prior_optimiser and self.prior_learning_rate is None:
            raise ValueError(
                f'prior_optimiser = "{self.prior_optimiser}" needs a rate of its own, which is none of the other '
                "weights': give prior_learning_rate"
            )
        return self

    @property
    def kept(self) -> int:
        """Numbers that the optimiser keeps for each weight: Adam's two means, or the sum of momentum."""
        return 2 if self.optimiser in ADAMS else int(self.momentum > 0)

    def of_model(self) -> dict[str, Any]:
        """What torch's optimiser takes for the model's weights."""
        own = {"betas": self.betas, "eps": self.epsilon} if self.optimiser in ADAMS else {"momentum": self.momentum}
        return {"lr": self.learning_rate, "weight_decay": self.weight_decay, **own}

    def of_own(self) -> dict[str, Any]:
        """What it takes for an estimator's own parameters."""
        own = {"betas": self.own_betas, "eps": EPSILON} if self.optimiser in ADAMS else {"momentum": 0.0}
        return {"lr": self.own_learning_rate, "weight_decay": 0.0, **own}

    def of_prior(self) -> dict[str, Any]:
        """What a learned prior has in place of the model's."""
        rate = {} if self.prior_learning_rate is None else {"lr": self.prior_learning_rate}
        return rate if self.prior_optimiser else {**self.of_model(), **rate}


def make_optimiser(name: str, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser of this name over parameter groups that carry their own settings."""
    made: Any = OPTIMISERS[name]
    # One of Adam's kind refuses to take part in a captured step without `capturable`; RAdam has no fused kernel.
    on_gpu = any(p.is_cuda for group in groups for p in group["params"])
    capturable = {"capturable": on_gpu} if name in ADAMS else {}
    fused = {} if name == "radam" else {"fused": True}
    optimiser: torch.optim.Optimizer = made(groups, **capturable, **fused)
    return optimiser
