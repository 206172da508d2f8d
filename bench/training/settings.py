"""The [training] table of a suite, and the optimiser that it makes."""

from typing import Annotated, Any, Literal

import torch
from pydantic import Field, StrictBool

from bench.config import Config, added_later


class Optimisation(Config):
    """How a model is trained."""

    steps: Annotated[int, Field(ge=1)] = 1000
    batch: Annotated[int, Field(ge=1)] = 50
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    own_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Rate of the estimator's own parameters."""
    compile: Literal["auto"] | StrictBool = added_later("auto")
    """Whether steps are compiled: where it pays, always, or never."""


def make_optimiser(optimisation: Optimisation, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimiser over parameter groups that carry their own rates."""
    if optimisation.optimiser == "sgd":
        return torch.optim.SGD(groups, fused=True)
    # Without `capturable` it refuses to take part in a captured step.
    on_gpu = any(p.is_cuda for group in groups for p in group["params"])
    return torch.optim.Adam(groups, fused=True, capturable=on_gpu)
