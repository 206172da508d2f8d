"""The gradient that estimators are held against at a person's own point: exact where it can be had, else a long run."""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.library.point import Point
from bench.measure.draws import gradients, look_at
from bench.measure.points import Reference, exact_reference, long_run_reference
from estimators import registry
from estimators.base import Estimator, options_of
from estimators.distributions import parameters
from estimators.errors import BadInput
from estimators.exact import expectation_parts
from estimators.families import Enumerated, Family, Reparameterized
from estimators.families.quadrature import MAX_STATES

FEW_STATES = 4096
"""Joint states, or points of a quadrature, that are always summed over; more where a long run would take more."""
AT_ONCE = 2**14
"""Rows of joint states at which f is evaluated at once."""
RULES = (12, 16, 160, 200, 320)
"""Nodes a latent; of two rules that differ it is seen whether they have converged. Some families take 128 at least."""


def reference_at(point: Point, wanted: str, *, draws: int, seed: int) -> Reference:
    """The gradient of the whole loss at a point, row by row.

    Args:
        point: where.
        wanted: "auto" for the exact one where it takes no more evaluations of f than a long run, else a long run of
            reparameterization, or of rloo where f cannot be differentiated; "exact"; or the label of an unbiased
            estimator, for a long run of that.
        draws: of a long run.
        seed: of its noise.

    Raises:
        BadInput: there is no exact gradient, or the estimator is biased or none for this point.
    """
    if wanted in ("auto", "exact"):
        found = _exact(point, MAX_STATES if wanted == "exact" else max(FEW_STATES, draws))
        if isinstance(found, Reference):
            return found
        if wanted == "exact":
            raise BadInput(f"reference = 'exact': {found}; take reference = 'auto', or the label of an estimator")
    estimator = _preferred(point) if wanted == "auto" else _given(point, wanted)

    def draw(draws: int, seed: int) -> Iterator[Tensor]:
        q, f, context, closed = point.at, point.objective, point.context, point.closed
        return gradients(estimator, q, f, draws=draws, seed=seed, context=context, closed_form=closed)

    return long_run_reference(draw, draws=draws, seed=seed, label=repr(estimator))


def _exact(point: Point, most: int) -> Reference | str:
    """The exact gradient; or why there is none of at most so many points, in half a sentence."""
    family, q = point.family, point.at
    at_once = max(1, AT_ONCE // point.rows.numel())

    def whole(parts: Iterator[Tensor], q: Distribution) -> Iterator[Tensor]:
        closed = point.closed(q)
        return chain(parts, [] if closed is None else [closed])

    def known(q: Distribution) -> Iterator[Tensor]:
        value = point.exact(q)
        assert value is not None
        return whole(iter([value]), q)

    if point.expectation is not None:
        return exact_reference(known, q, "given")
    if isinstance(family, Enumerated):
        states = family.joint_states(point.event)
        if states is None or states > most:
            return f"q has {states:.3g} joint states, more than {most}"
        return exact_reference(lambda q: whole(expectation_parts(q, point.objective, at_once), q), q, "enumeration")
    rules = _points(family, q, point.event, most)
    if isinstance(rules, str):
        return rules

    def by_quadrature(nodes: int) -> Reference:
        def parts(q: Distribution) -> Iterator[Tensor]:
            z, weights = family.quadrature(q, nodes)
            for some, share in zip(z.split(at_once), weights.split(at_once), strict=True):
                yield (share * point.objective(some, q)).sum(0)

        return exact_reference(lambda q: whole(parts(q), q), q, "quadrature")

    first, *second = map(by_quadrature, rules)
    for other in second:
        gap = float((first.gradient - other.gradient).norm())
        if not gap <= torch.finfo(parameters(q)[0].dtype).eps ** 0.5 * float(first.gradient.norm()):
            return "a quadrature does not converge, since f has kinks or jumps or changes too fast"
    return first


def _points(family: Family, q: Distribution, event: tuple[int, ...], most: int) -> list[int] | str:
    """Numbers of nodes of two rules that differ, or of one that sums up all counts; or why there are none."""
    known: dict[int, int] = {}
    for nodes in RULES:
        with suppress(ValueError):
            if family.integrable(event, nodes):
                known.setdefault(len(family.quadrature(q, nodes)[0]), nodes)
    if not known:
        return f"no quadrature is known for {family.name} latents {list(event)}"
    fewest = min(known)
    if fewest > most:
        return f"a quadrature takes {fewest} points, more than {most}"
    if len(known) > 1:
        return [known[count] for count in sorted(known)[:2]]
    if not family.discrete:
        return "there is no second rule that would tell whether a quadrature is exact"
    return [*known.values()]


def _preferred(point: Point) -> Estimator:
    """Reparameterization where f can be differentiated, else rloo."""
    if isinstance(point.family, Reparameterized):
        pathwise = registry.create("reparameterization")
        with warnings.catch_warnings(action="error"), suppress(Exception):  # f has no gradient in z, or has jumps
            look_at(pathwise, point.objective, point.context)
            return pathwise
    return registry.create("rloo")


def _given(point: Point, label: str) -> Estimator:
    """An estimator that a person names as the reference.

    Raises:
        BadInput: it is biased, or none for this point.
    """
    estimator = registry.create(label)
    entry = estimator.entry
    assert entry is not None
    if not entry.claims_unbiased(options_of(estimator)):
        raise BadInput(f"reference = {label!r} is declared biased; take an unbiased estimator, 'exact' or 'auto'")
    states = point.family.joint_states(point.event)
    if reason := entry.reason_against(family=point.family.name, states=states):
        raise BadInput(f"reference = {label!r} {reason}")
    return estimator
