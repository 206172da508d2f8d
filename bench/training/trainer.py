"""Training of E stacked seeds, one optimiser step at a time."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from bench.problems.model import Model
from bench.seeds import stream
from bench.training.checkpoint import State, module_state, restore_module, restore_optimiser
from bench.training.memory import keep_freed_memory
from bench.training.settings import Optimisation, make_optimiser
from estimators.base import Estimator
from estimators.call import trusted


class Trainer:
    """A model, its estimator and an optimiser, one step at a time.

    Args:
        model: E stacked models.
        estimator: bound to the same stack.
        optimisation: the optimiser's settings.
        noise_seed: of the estimator's noise, shared by the stack.
        passenger: another estimator, bound to the same stack, that is called on the same rows before the step: its
            running state settles and its own parameters learn, and it has no part in the model's training.
    """

    def __init__(
        self,
        model: Model,
        estimator: Estimator,
        optimisation: Optimisation,
        noise_seed: int,
        passenger: Estimator | None = None,
    ) -> None:
        keep_freed_memory()
        self.model, self.estimator, self.optimisation = model.train(), estimator.train(), optimisation
        weights = [p for p in model.parameters() if p.requires_grad]
        asked = optimisation.prior_learning_rate is not None
        prior = [p for p in model.prior_weights() if p.requires_grad] if asked else []
        rest = [p for p in weights if all(p is not other for other in prior)]
        groups = [{"params": rest, **optimisation.of_model()}]
        of_prior = {"params": prior, **optimisation.of_prior()}
        apart = optimisation.prior_optimiser if prior else None
        if prior and not apart:
            groups.append(of_prior)
        if own := [p for p in estimator.parameters() if p.requires_grad]:
            groups.append({"params": own, **optimisation.of_own()})
        self.passenger = passenger.train() if passenger else None
        if carried := [p for p in passenger.parameters() if p.requires_grad] if passenger else []:
            groups.append({"params": carried, **optimisation.of_own()})
        self.parameters = weights + own
        self.learned = [self.parameters] + [carried] * bool(carried)
        """What each of the losses is differentiated with respect to."""
        self.optimiser = make_optimiser(optimisation.optimiser, groups)
        self.prior_optimiser = make_optimiser(apart, [of_prior]) if apart else None
        """Of a learned prior, where that has one of its own."""
        self.device = weights[0].device
        if optimisation.scheduled:
            for group in self.groups:
                group["initial_lr"] = group["lr"]  # as torch's own schedulers call it
                if self.device.type == "cuda":  # a captured step reads it from where it is
                    group["lr"] = torch.tensor(group["lr"], device=self.device)
        self.generators = [stream("noise", noise_seed, device=self.device)]
        """All that a step draws from, but for its batch."""
        if passenger is not None:
            self.generators.append(stream("passenger", noise_seed, device=self.device))
        self.steps = 0
        self.step_on_device = torch.zeros((), dtype=torch.long, device=self.device)
        self.diverged_at = torch.full((model.stack,), -1, device=self.device)

    @property
    def optimisers(self) -> list[torch.optim.Optimizer]:
        """All that take part in a step."""
        return [each for each in (self.optimiser, self.prior_optimiser) if each is not None]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Of parameters, with their settings, of all optimisers in order."""
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]

    def rates(self, step: int | None) -> list[float]:
        """Of each group at a step, of which the first is 1: by the schedule, or what the groups hold without one.

        Of no step they are those that a schedule takes parts of.
        """
        if not self.optimisation.scheduled:
            return [group["lr"] for group in self.groups]
        part = 1.0 if step is None else self.optimisation.part(step)
        return [part * group["initial_lr"] for group in self.groups]

    def set_rates(self) -> None:
        """Give the groups the rates of the next step, where there is a schedule."""
        if self.optimisation.scheduled:
            for group, rate in zip(self.groups, self.rates(self.steps + 1), strict=True):
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    @property
    def generator(self) -> Generator:
        """Of the estimator's noise."""
        return self.generators[0]

    def losses(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """For the rows x [E, B, X], each seed's loss [E], and the scalars whose gradients are those of a step.

        The first is differentiated with respect to `parameters`, the second, where there is one, with respect to the
        passenger's own.
        """
        self.model.at_step(self.step_on_device)
        carried = self._carried(x)
        q = self.model.encode(x)
        with trusted():  # f is the model's own, and needs no look in every step
            f, context = self.model.objective(x), self.model.context(x)
            estimate = self.estimator(q, f, generator=self.generator, context=context)
        loss: Tensor = estimate.value
        surrogate: Tensor = estimate.surrogate
        if (closed := self.model.closed_form(q)) is not None:
            loss, surrogate = loss + closed.detach(), surrogate + closed
        # Mean over rows, sum over seeds: the seeds share no parameter, and so train as if alone.
        total = surrogate.mean(-1).sum()
        if estimate.auxiliary is not None:
            total = total + estimate.auxiliary.mean(-1).sum()
        return loss.mean(-1), [total, *carried]

    def _carried(self, x: Tensor) -> list[Tensor]:
        """Call the passenger; the loss of its own parameters, if it has some."""
        if self.passenger is None:
            return []
        learns = len(self.learned) > 1
        with torch.no_grad():
            q = self.model.encode(x)
        with trusted(), torch.set_grad_enabled(learns):
            f, context = self.model.objective(x), self.model.context(x)
            auxiliary = self.passenger(q, f, generator=self.generators[1], context=context).auxiliary
        return [] if auxiliary is None or not learns else [auxiliary.mean(-1).sum()]

    def backward(self, x: Tensor) -> Tensor:
        """Gradients of every parameter for the rows x [E, B, X]; returns each seed's loss [E]."""
        loss, totals = self.losses(x)
        self.zero_grad()
        # For the optimised parameters only: draws at which f was differentiated are leaves of the graph too.
        for total, learned in zip(totals, self.learned, strict=False):
            total.backward(inputs=learned)
        return loss

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimiser in self.optimisers:
            optimiser.zero_grad()

    def step(self, x: Tensor) -> None:
        """One optimiser step on the rows x [E, B, X]."""
        self.set_rates()
        self.device_step(x)
        self.steps += 1

    def device_step(self, x: Tensor) -> None:
        """What of a step takes place on the device; nothing of it waits for a value."""
        loss = self.backward(x)
        for optimiser in self.optimisers:
            optimiser.step()
        self.count(loss)

    def count(self, loss: Tensor) -> None:
        """Count a step on the device, and the seeds that diverged in it, by their loss [E]."""
        self.step_on_device += 1
        self.mark_diverged(loss)

    def mark_diverged(self, values: Tensor) -> None:
        """Note the present step for the seeds whose value [E] is not finite, unless they had diverged before."""
        fresh = (values - values != 0) & (self.diverged_at < 0)  # infinity and NaN minus themselves are NaN
        self.diverged_at.copy_(torch.where(fresh, self.step_on_device, self.diverged_at))

    def state(self) -> State:
        """All that later steps depend on: the very tensors that they write to, to be stored or copied before them."""
        return {
            "model": module_state(self.model),
            "estimator": module_state(self.estimator),
            "optimiser": self.optimiser.state_dict()["state"],
            "prior_optimiser": self.prior_optimiser.state_dict()["state"] if self.prior_optimiser else {},
            "generators": [generator.get_state() for generator in self.generators],
            "steps": self.steps,
            "step_on_device": self.step_on_device,
            "diverged_at": self.diverged_at,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of a trainer of the same settings, written into the tensors that are there."""
        restore_module(self.model, state["model"])
        restore_module(self.estimator, state["estimator"])
        restore_optimiser(self.optimiser, state["optimiser"])
        if self.prior_optimiser is not None:
            restore_optimiser(self.prior_optimiser, state["prior_optimiser"])
        for generator, kept in zip(self.generators, state["generators"], strict=True):
            generator.set_state(kept)
        self.steps = state["steps"]
        self.step_on_device.copy_(state["step_on_device"])
        self.diverged_at.copy_(state["diverged_at"])
