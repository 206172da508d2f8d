"""Estimators as warm as in training: running state settles and own parameters learn, at a q that stands still."""

import copy
import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from bench.measure.draws import probe
from bench.seeds import derive, stream
from bench.training.settings import BETAS
from estimators.base import Estimator, Objective
from estimators.call import trusted
from estimators.distributions import parameters, row_shape
from estimators.errors import BadInput
from estimators.families import family_of

ROWS = 64
"""Rows of a step at least, copies of q's, whose gradients of own parameters are averaged."""
SETTLING = 100
"""Calls in which running state settles: of its start, a running mean with a decay of .9 then keeps less than 1e-4."""
LEARNING = 500
"""Steps in which own parameters learn: as many as the suites give them at a toy, and at their rate."""
LEARNING_RATE = 1e-2


def warmed(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    *,
    seed: int,
    steps: int | None = None,
    learning_rate: float = LEARNING_RATE,
    betas: tuple[float, float] = BETAS,
    context: Tensor | None = None,
) -> Estimator:
    """A copy of the estimator after some training at q, from the state that it has; the given one is left as it was.

    Args:
        estimator: bound or not; its copy is in `train()` for the while.
        q: the distribution, whose parameters stand still.
        f: the objective.
        seed: of all noise of the training.
        steps: of Adam on the auxiliary loss, or calls where there are no own parameters; None for `LEARNING` and
            `SETTLING`, or none where there is no state at all.
        learning_rate: of Adam.
        betas: of Adam.
        context: [*B, X] for input-dependent baselines.

    Raises:
        BadInput: the estimator cannot be copied, or see `probe`.
    """
    try:
        warm = copy.deepcopy(estimator)
    except (RuntimeError, TypeError) as error:  # it holds a tensor in a graph, or a handle
        name = type(estimator).__name__
        raise BadInput(
            f"{name} cannot be copied for its warm-up ({error}): measure it as it is, warm_up = 0"
        ) from error
    values = [p.detach() for p in parameters(q)]
    device = values[0].device
    # An estimator that was never bound is sized by its first call, and may draw its weights from the global generator.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(derive("warm-up", seed))
        probe(warm, q, f, context)
        own = [p for p in warm.parameters() if p.requires_grad]
        if steps is None:
            steps = LEARNING if own else SETTLING if [*warm.buffers(), *warm.parameters()] else 0
        generator = stream("warm-up", seed, device=device)
        optimiser = torch.optim.Adam(own, lr=learning_rate, betas=betas) if own else None
        copies = math.ceil(ROWS / row_shape(q).numel())
        many = family_of(q).build(*(p.expand(copies, *p.shape) for p in values))
        warm.train()
        for _ in range(steps):
            with trusted(), torch.set_grad_enabled(optimiser is not None):
                auxiliary = warm(many, f, generator=generator, context=context).auxiliary
            if optimiser is not None and auxiliary is not None:
                optimiser.zero_grad()
                auxiliary.mean().backward(inputs=own)
                optimiser.step()
    return warm
