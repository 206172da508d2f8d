"""Draws of a gradient over the estimator's noise alone: parameters, rows and running state are held fixed."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode

from bench.measure.chunks import Chunk, ClosedForm
from bench.measure.determined import check_determined, holds, own_tensors
from bench.seeds import stream
from bench.training.memory import keep_freed_memory
from bench.training.worth import Wish
from estimators.base import Estimator, Objective
from estimators.call import trusted
from estimators.contract import checked
from estimators.distributions import parameters, row_shape
from estimators.errors import BadInput
from estimators.examine import Look, jumps
from estimators.families import family_of
from estimators.objective import CheckedObjective, CountedObjective

CHUNK_NUMBERS = {"cpu": 2**21, "cuda": 2**25}
"""Size of the largest tensor of a call of the estimator, which decides how many draws it makes: on the CPU so that what
follows finds it in the cache, on a GPU so that its cores have work."""
BLOCK_NUMBERS = {"cpu": 2**21, "cuda": 2**25}
"""Coordinates of gradients that are held at once."""
SHORTEST_BLOCK = 256
"""Least number of draws in a block, however much memory they take: intervals are computed within blocks."""


def refuse_inference_mode(caller: str) -> None:
    """Raise where nothing can be differentiated.

    Raises:
        BadInput: this is inside torch.inference_mode().
    """
    if torch.is_inference_mode_enabled():
        raise BadInput(f"{caller} differentiates, which torch.inference_mode() does not allow: call it outside")


def check_measurable(caller: str, estimator: object) -> None:
    """Refuse what is no estimator, and to measure where nothing can be differentiated.

    Raises:
        BadInput: see above.
    """
    if not isinstance(estimator, Estimator):
        raise BadInput(f"{estimator!r} is no estimator; make one, such as estimators.create('rloo')")
    refuse_inference_mode(caller)


class Probe(NamedTuple):
    """What one call of an estimator shows."""

    evaluations: int
    """Evaluations of f a row."""
    rounding: float
    """Size of a gradient coordinate's rounding error: that of the costs it is made of, which may cancel in it."""
    largest: int
    """Numbers in the largest tensor that the call makes."""
    plain: bool
    """Whether f was given z and q alone, and no estimate of a part of it, which has noise of its own and may."""


@torch.no_grad()
def probe(estimator: Estimator, q: Distribution, f: Objective, context: Tensor | None = None) -> Probe:
    """Call the estimator once and count; its running state is left as it was.

    Raises:
        BadInput: the context has other rows than q.
        Broken: what the estimator returns breaks the contract.
    """
    plain = True

    def objective(z: Tensor, given: Distribution, /, *more: Any) -> Tensor:
        nonlocal plain
        plain = plain and not more
        return f(z, given, *more)

    counted = CountedObjective(objective)
    with frozen(estimator), trusted(), Largest() as largest:
        generator = stream("probe", device=parameters(q)[0].device)
        value = checked(estimator(q, counted, generator=generator, context=context), q).value
    rounding = 16 * torch.finfo(value.dtype).eps * float(value.abs().max())
    return Probe(counted.evaluations, rounding, largest.numbers, plain)


def look_at(estimator: Estimator, f: CheckedObjective, context: Tensor | None = None) -> None:
    """Refuse an f whose gradient the estimator cannot estimate, as its first call would, or that is not f of q.

    Raises:
        BadInput: see `Estimator.__call__`; or f holds the parameters of a q that it was not given.
    """
    q = f.given.q
    leaves = [p.detach().clone().requires_grad_() for p in parameters(q)]
    at = family_of(q).build(*leaves)
    look, generator = Look(estimator.label), stream("probe", device=leaves[0].device)
    watched = replace(f, look=look, given=f.given._replace(q=at))
    with frozen(estimator), torch.enable_grad():
        estimator(at, watched, generator=generator, context=context)
        watched.conclude()
    if holds(f, own_tensors(f.as_given)):
        raise BadInput(
            f"{estimator.label}: f uses q by a name of its own, whose gradient is not measured; let it use its second "
            "argument instead"
        )
    if look.through_z and look.between and jumps(at, f):
        warnings.warn(
            f"{estimator.label} differentiates f in z, and f changes by more than its gradient says: it has jumps or "
            "very steep steps, of which the gradient that is measured knows nothing",
            stacklevel=3,
        )


class Largest(TorchFunctionMode):
    """Notes the size of the largest tensor that is made, views apart."""

    numbers = 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call, and look at what comes out."""
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor) and not part._is_view():
                self.numbers = max(self.numbers, part.numel())
        return result


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Run with the modules' parameters out of every graph and their running state still."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    modes = [(module, module.training) for module in modules]
    for p in parameters:
        p.requires_grad_(False)
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)
        for module, training in modes:
            module.train(training)


def gradients(
    estimator: Estimator,
    q: Distribution,
    f: Objective,
    *,
    draws: int,
    seed: int,
    context: Tensor | None = None,
    closed_form: ClosedForm | None = None,
    compile: Wish = False,
) -> Iterator[Tensor]:
    """Blocks of draws of every row's gradient; see `Gradients`."""
    made = Gradients(estimator, q, f, draws=draws, context=context, closed_form=closed_form, compile=compile)
    return made.blocks(seed)


class Gradients:
    """Independent draws of every row's gradient, block by block, so that memory does not grow with their number.

    f's own parameters stay out of the graph: where f is not differentiated in z either, it is evaluated without one.

    Args:
        estimator: put into `eval()` for the while.
        q: the distribution; its parameters are leaves here, whatever graph they hang in.
        f: the objective.
        draws: number n of draws.
        context: [*B, X] for input-dependent baselines.
        closed_form: what the loss holds besides E_q[f], such as an analytic KL divergence; it carries no noise.
        compile: whether the calls that make many draws are compiled; with "auto", where so many draws pay for it. What
            cannot be compiled is called as it is.

    Raises:
        BadInput: f has noise of its own or mixes its draws, or the context has other rows than q.
        Broken: what the estimator returns breaks the contract.
    """

    def __init__(
        self,
        estimator: Estimator,
        q: Distribution,
        f: Objective,
        *,
        draws: int,
        context: Tensor | None = None,
        closed_form: ClosedForm | None = None,
        compile: Wish = False,
    ) -> None:
        values = [p.detach() for p in parameters(q)]
        rows, size, device = row_shape(q), sum(p.numel() for p in values), values[0].device
        keep_freed_memory()
        self.estimator, self.draws, self.generator = estimator, draws, torch.Generator(device)
        with frozen(estimator):
            seen = probe(estimator, q, f, context)
            if seen.plain:
                check_determined(f, q)
            self.room = values[0].new_empty(0, *rows, size // rows.numel())
            self.length = max(1, CHUNK_NUMBERS[device.type] // seen.largest)
            self.blocks_in_all = math.ceil(draws * size / BLOCK_NUMBERS[device.type])
            self.chunk = Chunk(estimator, q, f, self.generator, context, closed_form)
            self.chunk.compile(self._empty(min(self.length, draws)), draws, compile)

    def _empty(self, draws: int) -> Tensor:
        return self.room.new_empty(draws, *self.room.shape[1:])

    def blocks(self, seed: int) -> Iterator[Tensor]:
        """The draws.

        Args:
            seed: of the one generator that all noise comes from.

        Yields:
            [n / blocks, *B, P] in q's dtype, on its device, the last dim being q's parameters: logits, or loc and scale
            side by side; categorical logits are flattened, P = L C. Blocks differ in length by one at most.

        Raises:
            FloatingPointError: a gradient is not finite.
        """
        self.generator.set_state(stream("gradients", seed, device=self.generator.device).get_state())
        blocks = max(1, min(self.blocks_in_all, self.draws // SHORTEST_BLOCK))
        with frozen(self.estimator):
            for block in torch.arange(self.draws).tensor_split(blocks):
                g = self._empty(len(block))
                for part in g.split(self.length):
                    self.chunk.fill(part)
                if not g.sum().isfinite() and not (finite := g.flatten(1).isfinite().all(1)).all():
                    raise FloatingPointError(
                        f"the gradient is not finite in {int((~finite).sum())} of {len(block)} draws"
                        + (f" of a block, of {self.draws} in all" if blocks > 1 else "")
                    )
                yield g
                del g
