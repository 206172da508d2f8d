"""The suites that are run: cells of a few milliseconds, trainings with checkpoints, and estimators that misbehave."""

from pathlib import Path

SMALL = """
name = "small"
seeds = 2
samples = 2
problems = [
    {kind = "vae", dataset = "digits", family = "bernoulli", latents = 3, architecture = [8]},
    {kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0, 1, 3]},
]
estimators = ["rloo", "reinforce[baseline=moving-average]"]

[training]
steps = 40
batch = 10

[elbo]
evaluations = 3

[moments]
draws = 40
checkpoints = [0, 20]
trajectories = 2
"""
"""Six cells of toys, two of moments along a trajectory whose weights they share, two trainings."""

COMPILED = """
name = "compiled"
seeds = 2
samples = 2
problems = [{kind = "vae", dataset = "digits", family = "bernoulli", latents = 3, architecture = [8]}]
estimators = ["reinforce[baseline=moving-average]"]

[training]
steps = 6000
batch = 10
compile = true

[elbo]
evaluations = 3
"""
"""A training whose steps are one compiled program, with running state; it takes seconds."""

MISBEHAVING = """
name = "misbehaving"
samples = 2
problems = [{{kind = "toy", objective = "cubic", family = "bernoulli", latents = 2, logits = [0, 1, 3]}}]
estimators = ["rloo", "misbehaving:{name}", "reinforce"]

[moments]
draws = 40
"""

ESTIMATORS = '''
"""Estimators that do to their process what a person's own may do."""

import os
import signal
from pathlib import Path

import torch

from estimators.base import Estimate, Estimator
from estimators.distributions import log_prob, sample, stopped
from estimators.registry import register

HERE = Path(__file__).parent


class Score(Estimator):
    def misbehave(self):
        pass

    def estimate(self, q, f, noise):
        z = sample(q, self.samples, noise)
        if (HERE / "armed").exists() and z[0].numel() > 12:  # not where a run tries it once on two rows
            self.misbehave()
        cost = f(z, stopped(q))
        surrogate = cost.detach() * log_prob(q, z)
        return Estimate((surrogate + cost - cost.detach()).mean(0), cost.mean(0).detach())


@register("kills-itself", families=("bernoulli",), unbiased=True)
class KillsItself(Score):
    def misbehave(self):
        os.kill(os.getpid(), signal.SIGKILL)


@register("kills-itself-once", families=("bernoulli",), unbiased=True)
class KillsItselfOnce(Score):
    def misbehave(self):
        (HERE / "armed").unlink()
        os.kill(os.getpid(), signal.SIGKILL)


@register("runs-out-of-memory", families=("bernoulli",), unbiased=True)
class RunsOutOfMemory(Score):
    def misbehave(self):
        torch.ones(2**44)


@register("raises", families=("bernoulli",), unbiased=True)
class Raises(Score):
    def misbehave(self):
        raise RuntimeError("an estimator of a person's own raises")


@register("exits", families=("bernoulli",), unbiased=True)
class Exits(Score):
    def misbehave(self):
        os._exit(7)


@register("interrupts", families=("bernoulli",), unbiased=True)
class Interrupts(Score):
    def misbehave(self):
        raise SystemExit("an estimator of a person's own ends the program")
'''


def write(folder: Path, name: str = "small") -> Path:
    """Write a suite and what it needs into a folder; returns its file.

    Args:
        folder: where the run is started.
        name: small, compiled, or the class of an estimator that misbehaves, where there is a file `armed`.
    """
    if (text := {"small": SMALL, "compiled": COMPILED}.get(name)) is None:
        (folder / "misbehaving.py").write_text(ESTIMATORS)
        name, text = "misbehaving", MISBEHAVING.format(name=name)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path
