"""The [training] table of a suite, and the optimiser that it makes."""

from typing import Any, Literal

import torch
from pydantic import StrictBool

from bench.bounds import Rate, RowCount, Steps
from bench.config import Config, added_later


class Optimisation(Config):
    """How a model is trained."""

    steps: Steps = 1000
    batch: RowCount = 50
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: Rate = 1e-3
    own_learning_rate: Rate = 1e-3
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
