"""Models of given sizes with random rows, for time and memory, which do not depend on the data."""

from typing import NamedTuple

import torch

from bench.problems.vae import VAEConfig
from bench.problems.vae_model import VAE
from bench.seeds import stream
from estimators import Estimator, registry


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
