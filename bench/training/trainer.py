"""Training of E stacked seeds, one optimiser step at a time."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from bench.problems.model import Model
from bench.seeds import stream
from bench.training.checkpoint import State, module_state, restore_module, restore_optimiser
from bench.training.memory import keep_freed_memory
from bench.training.settings import Optimisation, make_optimiser
from estimators.base import Estimator
from estimators.bounds import log_mean_exp
from estimators.call import trusted
from estimators.distributions import stopped


class Trainer:
    """A model, its estimator and an optimiser, one step at a time.

    Args:
        model: E stacked models.
        estimator: bound to the same stack.
        optimisation: the optimiser's settings.
        noise_seed: of the estimator's noise, shared by the stack.
        passenger: another estimator, bound to the same stack, that is called on the same rows before the step: its
            running state settles and its own parameters learn, and it has no part in the model's training.
        importance_samples: K of the bound that is trained, None for the ELBO; the estimator knows its own, and the
            further draws that a decoder is trained by do not.

    Raises:
        ValueError: a decoder is to be trained by draws of its own, and the model has no `generative_weights`.
    """

    def __init__(
        self,
        model: Model,
        estimator: Estimator,
        optimisation: Optimisation,
        noise_seed: int,
        passenger: Estimator | None = None,
        importance_samples: int | None = None,
    ) -> None:
        keep_freed_memory()
        self.model, self.estimator, self.optimisation = model.train(), estimator.train(), optimisation
        self.importance_samples = importance_samples
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
        carried: list[Tensor] = [p for p in passenger.parameters() if p.requires_grad] if passenger else []
        if carried:
            groups.append({"params": carried, **optimisation.of_own()})
        self.passenger_learns = bool(carried)
        self.parameters: list[Tensor] = [*weights, *own]
        self.learned = self._shares() + [carried] * self.passenger_learns
        """What each of the losses is differentiated with respect to: each parameter by one of them."""
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
        if optimisation.decoder_samples:
            self.generators.append(stream("decoder", noise_seed, device=self.device))
        self.steps = 0
        self.step_on_device = torch.zeros((), dtype=torch.long, device=self.device)
        self.diverged_at = torch.full((model.stack,), -1, device=self.device)

    def _shares(self) -> list[list[Tensor]]:
        """The parameters that the estimate trains, and those that draws of their own train, where there are such."""
        if not self.optimisation.decoder_samples:
            return [self.parameters]
        behind = {id(p) for p in self.model.generative_weights()}
        apart = [p for p in self.parameters if id(p) in behind]
        if not apart:
            raise ValueError(
                f"decoder_samples = {self.optimisation.decoder_samples} trains a decoder by draws of its own, and a "
                f"{type(self.model).__name__} does not say which of its weights are one's (generative_weights)"
            )
        return [[p for p in self.parameters if id(p) not in behind], apart]

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

        Each is differentiated with respect to its part of `learned`: the estimator's surrogate; the loss at further
        draws, where decoder and prior are trained by those; that of the passenger's own parameters, where it has some.
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
        return loss.mean(-1), [total, *self._further(x, q), *carried]

    def _further(self, x: Tensor, q: Distribution) -> list[Tensor]:
        """The loss at further draws of z ~ q, whose gradient is that of decoder and prior, where it is asked for.

        No path leads from it into q, so that the first loss and this one share no graph.
        """
        if not (draws := self.optimisation.decoder_samples):
            return []
        held, count = stopped(q), self.importance_samples
        loss = self.model.costs(x, held, draws * (count or 1), self.generators[-1])
        if count is not None:
            loss = -log_mean_exp(-loss.unflatten(0, (draws, count)), 1)
        loss = loss.mean(0)
        if (closed := self.model.closed_form(held)) is not None:
            loss = loss + closed  # what a prior has of it; the encoder has its own from the estimate
        return [loss.mean(-1).sum()]

    def _carried(self, x: Tensor) -> list[Tensor]:
        """Call the passenger; the loss of its own parameters, if it has some."""
        if self.passenger is None:
            return []
        with torch.no_grad():
            q = self.model.encode(x)
        with trusted(), torch.set_grad_enabled(self.passenger_learns):
            f, context = self.model.objective(x), self.model.context(x)
            auxiliary = self.passenger(q, f, generator=self.generators[1], context=context).auxiliary
        return [] if auxiliary is None or not self.passenger_learns else [auxiliary.mean(-1).sum()]

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
