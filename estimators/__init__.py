"""Gradient estimators for E_{z ~ q}[f(z, q)], one method a file, all in one registry."""

from estimators import (
    disarm,
    exact,
    gumbel_sigmoid,
    gumbel_softmax,
    iwae,
    reinforce,
    reparameterization,
    rloo,
    score_no_entropy,
    sticking_the_landing,
    straight_through,
    vimco,
)
from estimators.base import Estimate, Estimator, Objective
from estimators.registry import BadInput, Entry, available, get, register

__all__ = [
    "BadInput",
    "Entry",
    "Estimate",
    "Estimator",
    "Objective",
    "available",
    "get",
    "register",
]
