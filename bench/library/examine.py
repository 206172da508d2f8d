"""What a person's f is, before anything is measured: its shape, its gradient, its noise, its terms of q's own."""

import html
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.library.point import Point, point_of
from bench.measure.determined import check_determined, holds, mixed_rows, own_tensors
from bench.measure.draws import look_at
from bench.seeds import stream
from estimators import registry
from estimators.base import Estimator, Objective
from estimators.call import described, looks_are_left_out
from estimators.distributions import parameters, sample, stopped
from estimators.errors import BadInput
from estimators.examine import CLOSE, Facts, jumps, own_term, points
from estimators.examine import examine as facts_of

TERMS = {
    "entropy": "an entropy of q",
    "KL divergence": "a KL divergence from the prior of q's family",
    "own": "a term of q alone, such as a KL divergence or an entropy",
}
"""What a term with a gradient of its own in q's parameters is called."""


@dataclass(frozen=True)
class Examination:
    """What f is at a point, and which estimators that leaves."""

    q: str
    """q in a few words."""
    differentiable: bool
    """Whether f has a gradient in z, beside that of log q(z), and no jumps where z is continuous."""
    relaxable: bool | None
    """Whether a discrete q's f is defined and smooth between the values of z; None for a continuous q."""
    of_q: str
    """How f depends on q directly: "log q" (or not at all), "entropy", "KL divergence", "own" or "other"."""
    refused: tuple[str, ...]
    """Why nothing can be measured with this f, a line each; empty where it can."""
    estimators: tuple[str, ...] = ()
    """Names of the registered estimators that take it."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Names of the others, each with the reason."""

    @property
    def ok(self) -> bool:
        """Whether f can be measured."""
        return not self.refused

    def __str__(self) -> str:
        """A few lines."""
        between = {None: "", True: ", defined and smooth between the values of z", False: ", not to be relaxed"}
        gradient = "differentiable in z" if self.differentiable else "not differentiable in z"
        lines = [f"q: {self.q}"]
        if self.ok:
            lines.append(f"f: {gradient}{between[self.relaxable]}; its direct dependence on q: {self.of_q} at most")
            lines.append(f"{len(self.estimators)} estimators take it: {', '.join(self.estimators)}")
        return "\n".join(lines + [f"refused: {reason}" for reason in self.refused])

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"


def examine(q: Distribution | Point | tuple[Distribution, Objective], f: Objective | None = None) -> Examination:
    """Say what f is, and which registered estimators take it, from a few evaluations.

    Args:
        q: the distribution, as an estimator would be called with it; or a `Point`, or a pair of q and f.
        f: the objective, where q is a distribution.

    Raises:
        BadInput: q is no distribution of a known family, or f no function.
    """
    if f is not None:
        return examined(point_of((q, f)))
    return examined(point_of(q))


def examined(point: Point) -> Examination:
    """`examine` of a point."""
    found = looked_at(point)
    if found.refused:
        return found
    reasons = {entry.name: why_not(point, entry.name, found) for entry in registry.available()}
    taken = tuple(name for name, reason in reasons.items() if reason is None)
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    return replace(found, estimators=taken, skipped=skipped)


def looked_at(point: Point) -> Examination:
    """What f is at a point, without asking the estimators."""
    words = described(point.q)
    try:
        _call(point)
    except Exception as error:  # of foreign code, whose reason is what is to be said
        said = str(error).removeprefix(f"{point.name}: ").partition("\n")[0]
        reason = said if isinstance(error, BadInput) else f"f raises {type(error).__name__}: {said}"
        return Examination(words, False, None, "other", (reason,))
    refused, facts = _refusals(point), _facts(point)
    of_q: str = "log q" if facts is None else facts.of_q
    if of_q == "own":
        of_q = own_term(point.at, point.objective)
    if of_q in TERMS and not looks_are_left_out():
        uniform = ", or a KL divergence from a uniform prior" if of_q == "entropy" else ""
        refused.append(
            f"f holds {TERMS[of_q]}{uniform}, whose gradient every estimator that takes q as a constant inside f would "
            "lose: take it out of f and give it as closed_form"
        )
    if of_q == "other" and not looks_are_left_out():
        refused.append(
            "f depends on q's parameters by more than a multiple of log q(z): give that part as closed_form if it is a "
            "function of q alone, or, if its gradient has mean zero, call inside estimators.trusted()"
        )
    relaxable = _relaxable(point) if point.family.discrete else None
    differentiable = facts is not None and not facts.flat and (point.family.discrete or not _jumps(point))
    return Examination(words, differentiable, relaxable, of_q, tuple(refused))


def why_not(point: Point, label: str, found: Examination) -> str | None:
    """Why an estimator cannot be taken at a point, in half a sentence; None where it can.

    Args:
        point: where.
        label: of the estimator.
        found: what f is there.

    Raises:
        BadInput: no such estimator.
    """
    estimator = registry.create(label)
    entry, family = estimator.entry, point.family
    assert entry is not None
    if reason := entry.reason_against(family=family.name, states=family.joint_states(point.event)):
        return reason
    if entry.needs == "relaxed f" and found.relaxable is False:
        return "evaluates f between the values of z, where it is not defined or jumps"
    if entry.needs == "gradient of f" and not found.differentiable:
        return "needs the gradient of f in z, which f has not"
    return _refused_by(estimator, point)


def _refused_by(estimator: Estimator, point: Point) -> str | None:
    """What a first call says against f."""
    try:
        with warnings.catch_warnings(action="error", category=UserWarning):
            look_at(estimator, point.objective, point.context)
    except Exception as error:  # of foreign code, whose reason is what is to be said
        said = str(error).partition("\n")[0].removeprefix(f"{estimator.label}: ").removeprefix(f"{estimator.label} ")
        return said if isinstance(error, BadInput | UserWarning) else f"raises {type(error).__name__} there: {said}"
    return None


@torch.no_grad()
def _call(point: Point) -> None:
    """f once, at three draws.

    Raises:
        BadInput: what it returns is not one number a draw and row, or not finite.
    """
    z = sample(point.at, 3, stream("examine", device=parameters(point.at)[0].device))
    value = point.plain(z, stopped(point.at))
    if not bool(value.isfinite().all()):
        bad = int((~value.isfinite()).sum())
        raise BadInput(f"f is not finite at {bad} of {value.numel()} draws of q and rows")


def _refusals(point: Point) -> list[str]:
    """What of f rules out every measurement, but for its terms of q's own."""
    refused = []
    try:
        check_determined(point.objective, point.at)
    except BadInput as error:
        refused.append(str(error))
    else:
        if holds(point.plain, own_tensors(point.q)):
            refused.append(
                "f uses q by a name of its own, whose gradient would be lost: let it use its second argument"
            )
        if seen := mixed_rows(point.objective, point.at):
            refused.append(
                f"f mixes its rows: a row's cost is {seen[0]:g}, and {seen[1]:g} where other rows have another z; let "
                "f give each row a cost of its own (no mean over the batch; batch normalisation: module.eval())"
            )
    return refused


def _facts(point: Point) -> Facts | None:
    """What f's gradients say; None where it takes no graph, so that it has none."""
    leaves = [p.detach().clone().requires_grad_() for p in parameters(point.at)]
    q = point.family.build(*leaves)
    for f in (point.objective, _at_draws(point)):
        try:
            return facts_of(q, f, CLOSE)
        except Exception:  # it raises where its gradient is asked for
            continue
    return None


def _at_draws(point: Point) -> Any:
    """f without a graph through z, for one that breaks with it: its dependence on q can still be told."""

    def f(z: Tensor, q: Distribution) -> Tensor:
        return point.objective(z.detach(), q)

    return f


def _jumps(point: Point) -> bool:
    return jumps(point.at, point.objective)


def _relaxable(point: Point) -> bool:
    """Whether f is finite and without jumps between the values of a discrete z."""
    try:
        with torch.no_grad():
            z = points(point.at)
            half = point.objective(0.5 * (z[:1] + z[1:2]), stopped(point.at))
        return bool(half.isfinite().all()) and not _jumps(point)
    except Exception:  # f looks up a table, or checks its input
        return False
