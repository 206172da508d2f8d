"""A training step as one program: batch, noise, forward, every derivative, optimiser, running state.

The step that is traced is the eager one, `Trainer.losses` on `Batches.gather`, with all that it reads and changes given
as arguments: weights, buffers, the optimiser's state, the rows. These are the trainer's own tensors, changed in place,
so that eager steps and those of the program may follow one another, and whoever reads the state reads the truth.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from bench.training.attributes import (
    all_known,
    changed,
    classes_left_alone,
    generators_of,
    plain_attributes,
    settings,
)
from bench.training.batches import Batches
from bench.training.compiling import copy_of
from bench.training.noise import Noted, Untraceable, aligned
from bench.training.program import Program, draws_of, same
from bench.training.trainer import Trainer
from bench.training.updates import UPDATES

Place = tuple[dict[str, Any], str]
"""Where a tensor is kept: the dict of its owner, and its name in it."""
OTHERWISE = ("maximize", "amsgrad", "nesterov", "dampening")
"""Settings of torch's optimisers by which they are others than the updates here."""
OF_TRAINER = ("step_on_device", "diverged_at")
OF_BATCHES = ("train", "order", "columns", "position")


class Learned(NamedTuple):
    """A parameter that the optimiser changes."""

    parameter: Tensor
    group: int
    """Its place among the groups of all optimisers."""
    optimiser: torch.optim.Optimizer
    state: list[Tensor]
    """The optimiser's own of it."""


def look_at(trainer: Trainer, batches: Batches) -> Noted:
    """Take two steps with a copy and watch them; trainer, batches and generators are left as they are.

    Raises:
        Untraceable: what is seen cannot be a program.
    """
    _check_plain(trainer)
    generators = [*trainer.generators, *batches.noise, *generators_of(_modules(trainer))]
    twin, rows = _copies(trainer, batches)

    def step() -> None:
        rows.position.zero_()
        loss = twin.backward(rows.gather())
        for optimiser in twin.optimisers:
            # What is read back by an optimiser that a program has an update for is not read by that.
            with nullcontext() if UPDATES[type(optimiser)].watched else _disable_current_modes():
                optimiser.step()
        twin.count(loss)

    own, others = _places(trainer, batches), _places(twin, rows)
    own = [place for place in own if place[1] != "train"]  # the rows are large, and no step changes them
    kept = [owner[name].detach().clone() for owner, name in own]
    before, places = plain_attributes(_modules(twin)), [(owner[name], owner[name].data_ptr()) for owner, name in others]
    with classes_left_alone(_modules(twin)):
        try:
            draws_of(step, generators)
            first, added = plain_attributes(_modules(twin)), _added(others, _places(twin, rows))
            noted = draws_of(step, generators)
            then = plain_attributes(_modules(twin))
        except Untraceable:
            raise
        except Exception as error:  # of a third party's code, which the eager step will run
            raise Untraceable(f"a copy of it fails: {type(error).__name__}: {error}") from error
        finally:
            touched = _undo(own, kept)
    if touched:  # by a function that was made for the trainer's own module, and that a copy has too
        raise Untraceable(f"a copy of the model or the estimator changes {touched[0]} of the original")
    if added:
        raise Untraceable(f"{added} is registered by the first step: register it before, with its shape")
    if name := changed(first, then):
        raise Untraceable(f"{name} changes from step to step and is no buffer: see register_buffer")
    if name := changed(before, first):
        raise Untraceable(f"{name} is set by the first step, and is no buffer: see register_buffer")
    for (owner, name), (tensor, pointer) in zip(others, places, strict=True):
        now = owner[name]
        if now is tensor and now.data_ptr() != pointer:
            raise Untraceable(f"{name}.data is assigned in a step")
        if (now.shape, now.dtype) != (tensor.shape, tensor.dtype):
            raise Untraceable(f"{name} changes its shape or precision in a step")
    if not all_known([draw.generator for draw in noted.draws if draw.generator is not None], generators):
        raise Untraceable("it draws from a generator of its own that is not found")
    return noted


def _copies(trainer: Trainer, batches: Batches, *, but_for_constants: bool = False) -> tuple[Trainer, Batches]:
    """Copies that may be tried and traced; the rows and all generators are those of the originals.

    Args:
        trainer: to copy.
        batches: to copy.
        but_for_constants: whether tensors that are neither parameters nor buffers stay the originals too.

    Raises:
        Untraceable: something has no copy.
    """
    shared = [*trainer.generators, *batches.noise, *batches.orders, *generators_of(_modules(trainer)), batches.train]
    if but_for_constants:
        parts = [part for module in _modules(trainer) for part in module.modules()]
        shared += [value for part in parts for value in vars(part).values() if isinstance(value, Tensor)]
    memo = {id(each): each for each in shared}
    return copy_of((trainer, batches), "the model or the estimator", memo)


def _added(before: Sequence[Place], after: Sequence[Place]) -> str | None:
    """The name of a tensor that was not there before."""
    there = {(id(owner), name) for owner, name in before}
    return next((name for owner, name in after if (id(owner), name) not in there), None)


def _check_plain(trainer: Trainer) -> None:
    """Refuse what a step does beside what is traced of it, which is `Trainer.losses` and an optimiser's plain update.

    Raises:
        Untraceable: the trainer, a parameter or the optimiser does more, or the optimiser is of another sort.
    """
    if type(trainer) is not Trainer or vars(trainer).keys() & vars(Trainer).keys():
        raise Untraceable("the trainer takes steps of its own, which a program does not know")
    for optimiser in trainer.optimisers:
        _check_plain_optimiser(optimiser)
    for p in trainer.parameters:
        if p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None):
            raise Untraceable("a parameter has hooks, which a program would not call")
    held = {id(p) for optimiser in trainer.optimisers for group in optimiser.param_groups for p in group["params"]}
    if any(id(p) not in held for part in trainer.learned for p in part):
        raise Untraceable("a parameter that is trained is in no group of the optimiser")


def _check_plain_optimiser(optimiser: Any) -> None:
    """Refuse an optimiser that does more than a plain update.

    Raises:
        Untraceable: it does, or is of another sort.
    """
    if type(optimiser) not in UPDATES:
        raise Untraceable(f"{type(optimiser).__name__} has an update that a program does not know")
    if "step" in vars(optimiser) and not hasattr(optimiser.step, "_wrapped_by_lr_sched"):
        raise Untraceable("the optimiser's step is not its own, and a program would not call it")
    for group in optimiser.param_groups:
        if name := next((name for name in OTHERWISE if group.get(name)), None):
            raise Untraceable(f"the optimiser has {name} = {group[name]}, which a program does not know")
    if optimiser._optimizer_step_pre_hooks or optimiser._optimizer_step_post_hooks:
        raise Untraceable("the optimiser has hooks, which a program would not call")


def _undo(places: Sequence[Place], kept: Sequence[Tensor]) -> list[str]:
    """Give tensors the values that were kept of them; returns the names of those that had others."""
    touched = []
    for (owner, name), value in zip(places, kept, strict=True):
        if not same(owner[name], value):
            owner[name].detach().copy_(value)
            touched.append(name)
    return touched


class StepProgram:
    """The steps of a trainer on its batches, compiled.

    Args:
        trainer: takes the steps.
        batches: on the trainer's device.
        look: what `look_at` noted of its step.
        ahead: steps whose noise is drawn at once.

    Raises:
        Untraceable: the step cannot be traced, or not compiled here.
    """

    def __init__(self, trainer: Trainer, batches: Batches, look: Noted, ahead: int = 1) -> None:
        self.trainer, self.batches = trainer, batches
        optimisers = [each for each in trainer.optimisers for _ in each.param_groups]
        self.updates = [UPDATES[type(each)] for each in optimisers]
        """Of each group."""
        of_group = {id(p): index for index, group in enumerate(self.trainer.groups) for p in group["params"]}
        self.learned = [
            Learned(p, at, optimisers[at], self.updates[at].state(optimisers[at], p, self.trainer.groups[at]))
            for p, at in ((p, of_group[id(p)]) for part in trainer.learned for p in part)
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
        # The code is tried at the whole rates: a step that begins a warm-up may be none, or too short to show anything.
        tried = self._factors_of_groups(trainer.steps + 1, trainer.rates(None))
        self._counts = [len(factors) for factors in tried]
        self._factors = aligned(ahead, (sum(self._counts),), torch.float64, trainer.device)
        # Adam divides gradients by their size, also those that are rounding: its means are compared, not its weights.
        not_held = {at for at, each in zip(self._of_learned, self.learned, strict=True) if each.state}
        rest = [index for index in range(len(kept)) if index not in not_held]
        held_to = [*rest, *range(len(kept), len(self.state))]
        self._factors[0] = torch.tensor([*chain(*tried)], dtype=torch.float64)
        # What is traced, and tried, is a copy: what a step does in Python is done to it alone.
        twin, rows = _copies(trainer, batches, but_for_constants=True)
        copies = _places(twin, rows)
        step = self._traced(twin, rows, copies)
        registered = [*self.state, *(owner[name] for owner, name in copies)]
        held = {tensor.data_ptr() for tensor in registered if tensor.numel()}
        position = batches.position.clone()
        batches.position.zero_()  # the code is tried on a batch, and a pass may be at its end
        try:
            with classes_left_alone(_modules(twin)):
                before = plain_attributes(_modules(twin))
                each = [self._factors]
                self.program = Program(step, self.state, look.draws, each=each, ahead=ahead, held_to=held_to)
                name = changed(before, plain_attributes(_modules(twin)))
        finally:
            batches.position.copy_(position)
        if name:
            raise Untraceable(f"{name} changes from step to step and is no buffer: see register_buffer")
        if any(tensor.data_ptr() in held for tensor in self.program.constants if tensor.numel()):
            raise Untraceable("it uses a parameter or buffer by another way than the module that it is registered with")
        taken = [each.optimiser.state[each.parameter].get("step", trainer.steps) for each in self._with_gradient]
        if any(int(step) != trainer.steps for step in taken):  # which are counted by the trainer's
            raise Untraceable("a parameter has taken fewer steps than the trainer, or more")
        self.run = self.program.run
        self._made_of = self._print()

    @property
    def current(self) -> bool:
        """Whether what it was compiled for is still there: the same tensors, modes, generators and settings."""
        return self._made_of == self._print()

    def _print(self) -> list[Any]:
        optimisers, places = self.trainer.optimisers, _places(self.trainer, self.batches)
        return [
            *((id(owner[name]), owner[name].data_ptr(), owner[name].requires_grad) for owner, name in places),
            *(len(p._backward_hooks or ()) for p in self.trainer.parameters),
            *settings(_modules(self.trainer)),
            *map(id, (*optimisers, *self.trainer.groups, *self.trainer.generators, *self.batches.noise)),
            (self.batches.dynamic, torch.get_default_dtype()),
            *(id(value) for each in optimisers for state in each.state.values() for value in state.values()),
            *({key: group[key] for key in group if key not in ("params", "lr")} for group in self.trainer.groups),
        ]

    def _traced(self, trainer: Trainer, batches: Batches, places: Sequence[Place]) -> Callable[..., None]:
        """The step as a function of all that it reads and changes.

        Args:
            trainer: whose losses are traced.
            batches: that it takes rows from.
            places: of theirs.
        """

        def step(*tensors: Tensor) -> None:
            kept, (*rest, factors) = tensors[: self._kept], tensors[self._kept :]
            leaves = {index: kept[index].detach().requires_grad_() for index in self._of_learned}
            given = [leaves.get(index, tensor) for index, tensor in enumerate(kept)]
            with _replaced(places, [given[index] for index in self._of_place]):
                with torch.enable_grad():
                    loss, totals = trainer.losses(batches.gather())
                    gradients = _gradients(totals, [len(part) for part in trainer.learned], list(leaves.values()))
                trainer.count(loss)
                # Buffers that were replaced, not changed in place; by copies, since one may have become another.
                replaced = [
                    (index, owner[name].detach().clone())
                    for (owner, name), index in zip(places, self._of_place, strict=True)
                    if owner[name] is not given[index]
                ]
                for index, value in replaced:
                    kept[index].copy_(value)
            each_group = factors.split(self._counts)
            self._with_gradient = [each for each, g in zip(self.learned, gradients, strict=True) if g is not None]
            with torch.no_grad():
                for each, index, g in zip(self.learned, leaves, gradients, strict=True):
                    state, rest = rest[: len(each.state)], rest[len(each.state) :]
                    if g is not None:
                        update, group = self.updates[each.group], self.trainer.groups[each.group]
                        update.apply(group, kept[index], g, state, each_group[each.group])

        return step

    def prepare(self, steps: int) -> None:
        """Draw the noise of the next steps, and note the optimiser's factors."""
        self.program.draw(steps)
        self._note_factors(steps)

    def _factors_of_groups(self, step: int, rates: Sequence[float]) -> list[list[float]]:
        groups = zip(self.updates, self.trainer.groups, rates, strict=True)
        return [update.factors(group | {"lr": rate}, step) for update, group, rate in groups]

    def _note_factors(self, steps: int) -> None:
        taken = range(self.trainer.steps + 1, self.trainer.steps + steps + 1)
        factors = [[*chain(*self._factors_of_groups(step, self.trainer.rates(step)))] for step in taken]
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
