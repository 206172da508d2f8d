"""A measurement: how sharp q becomes along training, and what the ELBO makes of it.

It is a measurement as anybody adds one (docs/adding.md): one file, named in the suite as `module:Class`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from bench.measure.base import Common, Measurement, register_measurement
from bench.problems.base import Problem, TrainedProblem
from bench.problems.model import Model
from bench.seeds import stream
from bench.training.batches import Batches
from bench.training.evaluation import evaluate
from bench.training.settings import Optimisation
from bench.training.steps import Steps
from bench.training.trainer import Trainer
from estimators.base import Estimator
from estimators.distributions import parameters

QUANTITIES = {
    "test_elbo": "test ELBO, nats a row",
    "q_entropy": "entropy of q, nats a row",
    "kl": "KL(q || p), nats a row",
    "mean_abs_logit": "mean |logit| of q",
}
"""What is measured of the test rows, for each seed, and its name on an axis."""


@register_measurement("posterior")
class Posterior(Measurement):
    """How sharp q(z|x) of Bernoulli latents becomes along training, on the test rows; 95 % Student-t over seeds."""

    asks = TrainedProblem

    evaluations: Annotated[int, Field(ge=1)] = 20
    """Points of the curve after the first, evenly spaced."""
    samples: Annotated[int, Field(ge=1)] = 10
    """Draws of z a row for the ELBO; all else has a closed form."""
    optimisation: Optimisation = Optimisation()
    seeds: Annotated[int, Field(ge=1)] = 5

    def of(self, problem: Problem, common: Common) -> "Posterior":
        """Trained as the suite says."""
        return self.model_copy(update={"optimisation": common.optimisation, "seeds": common.seeds})

    def run(
        self, problem: TrainedProblem, estimator: Estimator, *, seed: int, device: torch.device
    ) -> Mapping[str, Any]:
        """Train all seeds stacked; each quantity a list over the points of the curve of lists over seeds."""
        data, seeds = problem.data(), list(range(self.seeds))
        model = problem.model(data, seeds).to(device)
        estimator.bind(
            stack=(len(seeds),),
            context_size=model.context_size,
            event=model.event,
            generator=stream("estimator", seed),
        ).to(device)
        trainer = Trainer(model, estimator, self.optimisation, noise_seed=seed)
        steps = Steps(trainer, Batches(data, self.optimisation.batch, seeds, device))
        test, last = data.test.to(device), self.optimisation.steps
        stops = sorted({round(last * i / self.evaluations) for i in range(self.evaluations + 1)})
        curve: dict[str, list[list[float]]] = {name: [] for name in QUANTITIES}
        for stop in stops:
            steps.run(stop - trainer.steps)
            for name, values in self._at(model, test).items():
                curve[name].append(values.tolist())
        return {"step": stops, "rows": len(test), **curve}

    @torch.no_grad()
    def _at(self, model: Model, x: Tensor) -> dict[str, Tensor]:
        """Each quantity, [E], in the mean over rows [N, X]."""
        q = model.encode(x.expand(model.stack, *x.shape))
        (logits,) = parameters(q)  # E x N x D
        entropy, kl = q.entropy().sum(-1), model.kl(q)  # type: ignore[operator]
        elbo = evaluate(model, x, samples=self.samples, seed=0)[0]
        of_rows = {"q_entropy": entropy, "kl": kl, "mean_abs_logit": logits.abs().mean(-1)}
        return {"test_elbo": elbo, **{name: values.mean(-1) for name, values in of_rows.items()}}

    @classmethod
    def table(cls, result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """A row a point of the curve."""
        return list(_rows(result))

    @staticmethod
    def figure(frame: Any, axes: Any) -> None:  # type: ignore[override]  # static, so that it is not bound
        """The entropy along training."""
        draw(frame, axes, "q_entropy")
        axes.legend(frameon=False)


def _rows(result: Mapping[str, Any]) -> Iterator[dict[str, float]]:
    from bench.statistics import mean_interval  # scipy, which a node that only runs may not have

    for i, step in enumerate(result["step"]):
        row: dict[str, float] = {"step": step, "seeds": len(result["q_entropy"][i])}
        for name in QUANTITIES:
            ends = mean_interval(result[name][i])
            row |= {name: ends.estimate, f"{name}_low": ends.low, f"{name}_high": ends.high}
        yield row


def draw(frame: Any, axes: Any, quantity: str) -> None:
    """Lines with bands of the intervals, one an estimator in its look of every figure; dashed where biased."""
    from bench.report.style import Subject, assign

    for label, rows in frame.groupby("estimator", sort=False):
        style = assign({label: Subject(label, bool(rows["unbiased"].iloc[0]))})[label]
        low, high = rows[f"{quantity}_low"], rows[f"{quantity}_high"]
        axes.fill_between(rows["step"], low, high, color=style.colour, alpha=0.2, linewidth=0)
        axes.plot(
            rows["step"],
            rows[quantity],
            color=style.colour,
            linestyle="-" if style.unbiased else "--",
            linewidth=1.2,
            marker=style.marker,
            markersize=3.5,
            markerfacecolor=style.colour if style.unbiased else "white",
            markevery=4,
            label=style.label,
        )
    axes.set(xlabel="training steps", ylabel=QUANTITIES[quantity])
