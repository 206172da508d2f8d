"""A training step as one program: batch, noise, forward, every derivative, optimiser, running state.

The step that is traced is the eager one, `Trainer.losses` on `Batches.gather`, with all that it reads and changes given
as arguments: weights, buffers, the optimiser's state, the rows. These are the trainer's own tensors, changed in place,
so that eager steps and those of the program may follow one another, and whoever reads the state reads the truth.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.training.batches import Batches
from bench.training.noise import Draw, Untraceable, aligned
from bench.training.program import Program, draws_of
from bench.training.trainer import Trainer
from bench.training.updates import UPDATES

Place = tuple[dict[str, Any], str]
"""Where a tensor is kept: the dict of its owner, and its name in it."""
OF_TRAINER = ("step_on_device", "diverged_at")
OF_BATCHES = ("train", "order", "columns", "position")


class Learned(NamedTuple):
    """A parameter that the optimiser changes."""

    parameter: Tensor
    group: int
    """Its place among the optimiser's groups."""
    state: list[Tensor]
    """The optimiser's own of it."""


def look_at(trainer: Trainer, batches: Batches) -> "Look":
    """Take two steps with a copy and watch the second; trainer, batches and generators are left as they are.

    Raises:
        Untraceable: what is seen cannot be a program.
    """
    generators = [*trainer.generators, *batches.noise]
    try:
        twin = copy.deepcopy(trainer, {id(generator): generator for generator in generators})
    except (RuntimeError, TypeError) as error:
        raise Untraceable(f"the model or the estimator cannot be copied: {error}") from error
    rows = copy.copy(batches)
    rows.position = torch.zeros_like(batches.position)

    def step() -> None:
        rows.position.zero_()
        twin.device_step(rows.gather())

    draws_of(step, generators)  # what is made at the first step only is there at the second
    before = _plain_attributes(twin)
    noted = draws_of(step, generators)
    for name, (_, seen) in _plain_attributes(twin).items():
        if name not in before or before[name][1] != seen:
            raise Untraceable(f"{name} changes from step to step and is no buffer: see register_buffer")
    return Look(twin, rows, tuple(noted.draws), noted.calls, noted.largest)


class Look(NamedTuple):
    """What was seen of a step."""

    twin: Trainer
    """A copy that has taken two steps."""
    rows: Batches
    draws: tuple[Draw, ...]
    calls: int
    """Operations of an eager step that make something."""
    largest: int
    """Numbers in the largest tensor that one of them makes."""


class StepProgram:
    """The steps of a trainer on its batches, compiled.

    Args:
        trainer: takes the steps.
        batches: on the trainer's device.
        look: at its step.
        ahead: steps whose noise is drawn at once.

    Raises:
        Untraceable: the step cannot be traced, or not compiled here.
    """

    def __init__(self, trainer: Trainer, batches: Batches, look: Look, ahead: int = 1) -> None:
        self.trainer = trainer
        self.groups = trainer.optimiser.param_groups
        self.update = UPDATES[type(trainer.optimiser)]
        self.learned = [
            Learned(p, index, self.update.state(trainer.optimiser, p))
            for index, group in enumerate(self.groups)
            for p in group["params"]
        ]
        places = _places(trainer, batches)
        kept = list({id(owner[name]): owner[name] for owner, name in places}.values())
        of_kept = {id(tensor): index for index, tensor in enumerate(kept)}
        self._of_place = [of_kept[id(owner[name])] for owner, name in places]
        self._of_learned = [of_kept[id(each.parameter)] for each in self.learned]
        states = [tensor for each in self.learned for tensor in each.state]
        self.state = [tensor.detach() for tensor in kept] + states
        """All that a step reads and changes."""
        self._kept = len(kept)
        self._counts = [len(self.update.factors(group, 1)) for group in self.groups]
        self._factors = aligned(ahead, (sum(self._counts),), torch.float64, trainer.device)
        self.program = Program(self._traced(look), self.state, look.draws, each=[self._factors], ahead=ahead)
        self.run = self.program.run

    def _traced(self, look: Look) -> Callable[..., None]:
        twin, rows = look.twin, look.rows
        places = _places(twin, rows)

        def step(*tensors: Tensor) -> None:
            kept, (*rest, factors) = tensors[: self._kept], tensors[self._kept :]
            leaves = {index: kept[index].detach().requires_grad_() for index in self._of_learned}
            given = [leaves.get(index, tensor) for index, tensor in enumerate(kept)]
            with _replaced(places, [given[index] for index in self._of_place]):
                with torch.enable_grad():
                    loss, totals = twin.losses(rows.gather())
                    gradients = _gradients(totals, [len(part) for part in twin.learned], list(leaves.values()))
                twin.count(loss)
                for (owner, name), index in zip(places, self._of_place, strict=True):
                    if owner[name] is not given[index]:  # a buffer that was replaced, not changed in place
                        kept[index].copy_(owner[name])
            each_group = factors.split(self._counts)
            with torch.no_grad():
                for each, index, g in zip(self.learned, leaves, gradients, strict=True):
                    state, rest = rest[: len(each.state)], rest[len(each.state) :]
                    if g is not None:
                        self.update.apply(self.groups[each.group], kept[index], g, state, each_group[each.group])

        return step

    def prepare(self, steps: int) -> None:
        """Draw the noise of the next steps, and note the optimiser's factors."""
        self.program.draw(steps)
        taken = range(self.trainer.steps + 1, self.trainer.steps + steps + 1)
        factors = [[f for group in self.groups for f in self.update.factors(group, step)] for step in taken]
        self._factors[:steps] = torch.tensor(factors, dtype=torch.float64)


def _places(trainer: Trainer, batches: Batches) -> list[Place]:
    """Where all that a step reads or changes is kept, but for the optimiser's state."""
    modules = [part for module in _modules(trainer) for part in module.modules()]
    owners = [owner for module in modules for owner in (module._parameters, module._buffers)]
    own = [(owner, name) for owner in owners for name, tensor in owner.items() if tensor is not None]
    of_trainer: list[Place] = [(vars(trainer), name) for name in OF_TRAINER]
    return own + of_trainer + [(vars(batches), name) for name in OF_BATCHES]


def _modules(trainer: Trainer) -> list[nn.Module]:
    return [module for module in (trainer.model, trainer.estimator, trainer.passenger) if module is not None]


def _gradients(totals: Sequence[Tensor], counts: Sequence[int], leaves: Sequence[Tensor]) -> list[Tensor | None]:
    """Of each total with respect to its own share of the leaves; None where there is none."""
    found: list[Tensor | None] = []
    for index, count in enumerate(counts):
        share = leaves[len(found) : len(found) + count]
        none = [None] * count
        found += torch.autograd.grad(totals[index], share, allow_unused=True) if index < len(totals) else none
    return found


@contextmanager
def _replaced(places: Sequence[Place], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Run with these tensors in these places."""
    kept = [owner[name] for owner, name in places]
    try:
        for (owner, name), tensor in zip(places, tensors, strict=True):
            owner[name] = tensor
        yield
    finally:
        for (owner, name), tensor in zip(places, kept, strict=True):
            owner[name] = tensor


def _plain_attributes(trainer: Trainer) -> dict[str, tuple[Any, Any]]:
    """Attributes of the modules that are no parameter, buffer or module: each with what shows that it changed."""
    found = {}
    for module in _modules(trainer):
        for path, part in module.named_modules():
            for name, value in vars(part).items():
                if name not in ("_parameters", "_buffers", "_modules"):
                    words = ".".join(filter(None, (type(module).__name__, path, name)))
                    found[words] = value, _print(value)
    return found


def _print(value: Any) -> Any:
    """Equal for the same value that was not changed in between."""
    if isinstance(value, Tensor):
        return id(value), value._version
    if isinstance(value, bool | int | float | complex | str | bytes | None):
        return value
    if isinstance(value, list | tuple | set):
        return [_print(part) for part in value]
    if isinstance(value, dict):
        return {key: _print(part) for key, part in value.items()}
    return id(value)
