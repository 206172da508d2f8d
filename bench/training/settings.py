"""The [training] table of a suite, and the optimiser that it makes."""

from typing import Any, Literal

import torch
from pydantic import StrictBool, TypeAdapter, ValidationError, model_validator

from bench.bounds import BelowOne, Betas, Decay, Epsilon, FurtherDraws, Rate, RowCount, Steps, WarmUpSteps
from bench.config import Config, added_later
from bench.training.schedules import SCHEDULES
from estimators.errors import BadInput

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
    own_rate_ratio: Rate | None = added_later(None)
    """Where given, `own_learning_rate` is so many times `learning_rate`, at each rate of a sweep as well."""
    decoder_samples: FurtherDraws = added_later(0)
    """Further draws of z a row, independent of the estimator's, from which alone decoder and learned prior take their
    gradient: that of the mean of f over them, or of the K-sample bound over K times as many. The estimate is then the
    encoder's, and a suite's `f_evals` are its evaluations of f, without these. With 0 the decoder and the prior take
    theirs from the estimator's own draws."""
    compile: Literal["auto"] | StrictBool = added_later("auto")
    """Whether steps are compiled: where it pays, always, or never."""
    betas: Betas = added_later(BETAS)
    """Decays of Adam's running means: of the gradient, and of its square."""
    epsilon: Epsilon = added_later(EPSILON)
    """Added to the root of Adam's second mean, by which it divides."""
    own_betas: Betas = added_later(BETAS)
    """Those for the estimator's own parameters."""
    weight_decay: Decay = added_later(0.0)
    """So many times a weight are added to its gradient; with "adamw", the rate times as much is taken off the weight
    apart from it."""
    momentum: BelowOne = added_later(0.0)
    """Of SGD: what its running sum of gradients keeps from step to step."""
    prior_optimiser: Literal["sgd"] | None = added_later(None)
    """Of a learned prior: plain SGD, without momentum or decay; None for that of the other weights."""
    prior_learning_rate: Rate | None = added_later(None)
    """Rate of a learned prior; None for that of the other weights."""
    schedule: Literal["constant", "cosine", "quarter-cosine", "iwae"] = added_later("constant")
    """What every rate is multiplied by from step to step (`bench.training.schedules`), after the warm-up."""
    warm_up: WarmUpSteps = added_later(0)
    """Steps in which every rate rises, by as much in each, from `warm_up_from` of it to all of it."""
    warm_up_from: BelowOne = added_later(0.0)
    """What part of it the first step has."""
    rate_every: Steps = added_later(1)
    """Steps between two changes of the rates, such as those of a pass over the data."""

    @model_validator(mode="after")
    def _settings_of_the_optimiser(self) -> "Optimisation":
        for name, takers in TAKEN_BY.items():
            if name in self.model_fields_set and self.optimiser not in takers:
                words = " | ".join(f'"{taker}"' for taker in takers)
                raise ValueError(
                    f'{name} is a setting of optimiser = {words}, and "{self.optimiser}" has none: leave {name} out'
                )
        if self.optimiser == "adamw" and not self.weight_decay:
            raise ValueError(
                'optimiser = "adamw" is "adam" but for its weight_decay, and that is 0: give one (0.01 is what torch '
                'takes where none is given), or take "adam"'
            )
        if self.prior_optimiser and self.prior_learning_rate is None:
            raise ValueError(
                f'prior_optimiser = "{self.prior_optimiser}" has a rate of its own: give prior_learning_rate'
            )
        return self

    @model_validator(mode="after")
    def _one_own_rate(self) -> "Optimisation":
        if self.own_rate_ratio is not None:
            rate = self._own_rate(self.learning_rate)
            if "own_learning_rate" in self.model_fields_set and self.own_learning_rate != rate:
                raise ValueError(
                    f"own_rate_ratio = {self.own_rate_ratio:g} makes own_learning_rate {rate:g}, and it is "
                    f"{self.own_learning_rate:g}: give one of the two"
                )
            object.__setattr__(self, "own_learning_rate", rate)
        return self

    @model_validator(mode="after")
    def _rates_that_change(self) -> "Optimisation":
        if self.warm_up >= self.steps and self.scheduled:
            raise ValueError(f"warm_up = {self.warm_up} takes all of the {self.steps} steps: give fewer, or more steps")
        if self.warm_up_from and not self.warm_up:
            raise ValueError(f"warm_up_from = {self.warm_up_from:g} is where a warm-up begins: give warm_up, its steps")
        if self.rate_every > 1 and not self.scheduled:
            raise ValueError(
                f"rate_every = {self.rate_every} is how seldom rates change, and none does: give a schedule or warm_up"
            )
        if self.rate_every >= self.steps > 1 and self.scheduled:
            raise ValueError(f"rate_every = {self.rate_every} leaves the rates as they are in all {self.steps} steps")
        return self

    def _own_rate(self, learning_rate: float) -> float:
        """The rate of an estimator's own parameters that `own_rate_ratio` makes of another.

        Raises:
            BadInput: it is none that could be given.
        """
        assert self.own_rate_ratio is not None
        rate = self.own_rate_ratio * learning_rate
        try:
            return TypeAdapter(Rate).validate_python(rate)
        except ValidationError as error:
            raise BadInput(
                f"own_rate_ratio = {self.own_rate_ratio:g} makes own_learning_rate {rate:g} of {learning_rate:g}: "
                f"{error.errors()[0]['msg'].removeprefix('Value error, ')}"
            ) from error

    def at_rate(self, learning_rate: float) -> "Optimisation":
        """The same with another learning rate, and what is a multiple of it."""
        changed = {"learning_rate": learning_rate}
        if self.own_rate_ratio is not None:
            changed["own_learning_rate"] = self._own_rate(learning_rate)
        return self.model_copy(update=changed)

    @property
    def scheduled(self) -> bool:
        """Whether rates depend on the step."""
        return self.schedule != "constant" or self.warm_up > 0

    def part(self, step: int) -> float:
        """What every rate is multiplied by in a step, of which the first is 1; after the last, what that had."""
        taken = min(step, self.steps) - 1
        taken -= taken % self.rate_every
        if taken < self.warm_up:
            return self.warm_up_from + (1 - self.warm_up_from) * taken / self.warm_up
        return SCHEDULES[self.schedule](taken - self.warm_up, self.steps - self.warm_up)

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
