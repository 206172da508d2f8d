"""Seconds of a call and its backward pass at a person's own point, beside the plain step."""

import copy
import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.library.point import Point
from bench.machine_load import here
from bench.measure.clock import interleaved
from bench.measure.draws import probe
from bench.measure.floor import plain
from bench.measure.wallclock import ratio_of
from bench.records.results import Quartiles, Time
from bench.seeds import stream
from bench.statistics import quartiles
from estimators.base import Estimator
from estimators.call import trusted
from estimators.distributions import parameters, sample

SECONDS = 0.2
"""What the rounds of one estimator may take, as far as their least number allows."""
FEWEST, MOST = 10, 50
WARM_UP = 3


def leaves_of(tensor: Tensor) -> list[Tensor]:
    """The leaves of a tensor's graph that take a gradient, such as the weights of a decoder."""
    found: dict[int, Tensor] = {}
    seen, todo = set[object](), [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if (variable := getattr(node, "variable", None)) is not None:
            found[id(variable)] = variable
        todo += [parent for parent, _ in node.next_functions]
    return list(found.values())


def step_of(estimator: Estimator, point: Point) -> Callable[[], object]:
    """A call of a copy of the estimator and the backward pass of its loss: to q's parameters and to what f holds."""
    subject = copy.deepcopy(estimator).train()
    leaves = [p.detach().clone().requires_grad_() for p in parameters(point.at)]
    q, generator = point.family.build(*leaves), stream("time", device=leaves[0].device)
    known = {id(p) for p in (*leaves, *parameters(point.at))}
    held = [p for p in leaves_of(point.objective(sample(q, 1, generator), q)) if id(p) not in known]
    wanted: Sequence[Tensor] = [*leaves, *held, *(p for p in subject.parameters() if p.requires_grad)]

    def step() -> None:
        fresh = point.family.build(*leaves)
        with trusted():
            loss = subject(fresh, point.objective, generator=generator, context=point.context).loss()
        if (closed := point.closed(fresh)) is not None:
            loss = loss + closed.mean()
        torch.autograd.grad(loss, wanted, allow_unused=True, retain_graph=True)  # what f holds of a graph stays

    return step


def time_step(estimator: Estimator, point: Point) -> Time:
    """Median and quartiles of a step, of the plain step, and of their ratio round by round."""
    device, before = parameters(point.at)[0].device, here()
    subjects = [step_of(estimator, point), step_of(plain(estimator), point)]
    once = interleaved(subjects, rounds=1, warm_up=WARM_UP, device=device)
    rounds = int(min(max(SECONDS / sum(seconds[0] for seconds in once), FEWEST), MOST))
    taken, plainly = interleaved(subjects, rounds=rounds, warm_up=0, device=device)
    return Time(
        step=Quartiles(**quartiles(taken)),
        plain=Quartiles(**quartiles(plainly)),
        plain_ratio=ratio_of(taken, plainly),
        rows=probe(estimator, point.at, point.objective, point.context).evaluations,
        load_before=before,
        load=os.getloadavg(),
    )
