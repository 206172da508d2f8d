"""The models and calls whose cost is measured, each built for one size; data are random bits, which cost the same."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from bench.measure import gradient_moments
from bench.problems.vae import VAE, VAEConfig
from bench.seeds import stream
from bench.training.trainer import Optimisation, Trainer
from estimators import Estimator, registry

Call = Callable[[], object]


class Setting(NamedTuple):
    """The sizes of one training step on Bernoulli latents."""

    shape: str
    pixels: int
    hidden: tuple[int, ...]
    latents: int
    batch: int
    seeds: int = 1
    samples: int | None = None
    """Draws of z a row; None takes the estimator's default."""

    def words(self, varied: str) -> str:
        """All sizes but the varied one: `784-200-784, batch 50, 1 seed`."""
        inner = "D" if varied == "latents" else str(self.latents)
        sizes = (*map(str, (self.pixels, *self.hidden)), inner, *map(str, (*self.hidden[::-1], self.pixels)))
        fixed = {"batch": f"batch {self.batch}", "seeds": f"{self.seeds} seed" + "s" * (self.seeds > 1)}
        fixed["samples"] = f"{self.samples} samples" if self.samples else "default samples"
        return ", ".join(["-".join(sizes), *(words for name, words in fixed.items() if name != varied)])


DIGITS = Setting("digits", pixels=64, hidden=(64,), latents=6, batch=50)
MNIST = Setting("mnist", pixels=784, hidden=(), latents=200, batch=50)


def build(name: str, setting: Setting) -> tuple[VAE, Estimator, torch.Tensor]:
    """A model, an estimator bound to it and rows x [E, B, X]."""
    entry = registry.get(name)
    samples = setting.samples or entry.samples.default
    bound = {"bound": "iwae", "importance_samples": samples} if entry.bound == "iwae" else {}
    config = VAEConfig.model_validate(
        {"kind": "vae", "dataset": setting.shape, "family": "bernoulli", "latents": setting.latents}
        | {"architecture": setting.hidden or "linear"}
        | bound
    )
    vae = VAE(config, torch.full((setting.pixels,), 0.3), range(setting.seeds))
    estimator = entry.create(samples=samples)
    initial = stream("estimator", 0)
    estimator.bind(stack=(setting.seeds,), context_size=setting.pixels, event=vae.event, generator=initial)
    rows = torch.rand(setting.seeds, setting.batch, setting.pixels, generator=stream("scaling"))
    return vae, estimator, (rows < 0.3).float()


def training_step(name: str, setting: Setting, varied: str, size: int) -> Call:
    """One optimiser step of an estimator, with one size of the setting replaced."""
    replaced: dict[str, Any] = {varied: size}
    vae, estimator, x = build(name, setting._replace(**replaced))
    trainer = Trainer(vae, estimator, Optimisation(), noise_seed=0)
    return lambda: trainer.step(x)


def moments(name: str, setting: Setting, draws: int) -> Call:
    """Moments of an estimator's gradient over so many draws."""
    vae, estimator, x = build(name, setting)
    with torch.no_grad():
        q = vae.encode(x)
    return lambda: gradient_moments(estimator, q, vae.objective(x), draws=draws, seed=0, context=x)
