"""An estimator at a model with random weights and rows: moments of its gradient, and as many bare evaluations of f."""

from collections.abc import Callable

import torch
from torch.distributions import Distribution

from bench.measure import gradient_moments
from bench.measure.draws import CHUNK_NUMBERS, Gradients, probe
from bench.measure.moments import Moments
from bench.seeds import stream
from bench.studies.models import Setting, build
from estimators import Objective
from estimators.distributions import sample


class MomentsCase:
    """Both sides of the comparison; times do not depend on the weights and rows.

    Args:
        name: of the estimator.
        setting: sizes of the model.
        draws: of the gradient.
        device: where.
    """

    def __init__(self, name: str, setting: Setting, draws: int, device: str = "cpu") -> None:
        vae, estimator, x = build(name, setting)
        vae, self.estimator, self.x, self.draws = vae.to(device), estimator.to(device), x.to(device), draws
        with torch.no_grad():
            self.q: Distribution = vae.encode(self.x)
        self.f: Objective = vae.objective(self.x)
        self.evaluations = probe(self.estimator, self.q, self.f, self.x).evaluations
        numbers = CHUNK_NUMBERS[torch.device(device).type]  # draws at once that suit the cache
        self.rows = max(1, numbers // (setting.pixels * setting.batch))
        self.z = sample(self.q, self.rows, stream("timing", device=device))

    def moments(self) -> None:
        """All draws, the fast way."""
        gradient_moments(self.estimator, self.q, self.f, draws=self.draws, context=self.x, warm_up=0)

    def compiled(self) -> Callable[[], None]:
        """The same, compiled beforehand.

        Raises:
            RuntimeError: it cannot be.
        """
        made = Gradients(self.estimator, self.q, self.f, draws=self.draws, context=self.x, compile=True)
        if made.chunk.program is None:
            raise RuntimeError("the draws are not compiled")

        def moments() -> None:
            found = Moments(self.draws)
            for block in made.blocks(0):
                found.add(block)

        return moments

    @torch.no_grad()
    def forward(self) -> None:
        """As many evaluations of f, and nothing else."""
        for start in range(0, self.draws * self.evaluations, self.rows):
            self.f(self.z[: self.draws * self.evaluations - start], self.q)
