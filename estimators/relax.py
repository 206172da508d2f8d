"""RELAX: REBAR's control variate with a learned network of the relaxed draw, alone or added to f there.

W. Grathwohl, D. Choi, Y. Wu, G. Roeder, D. Duvenaud, Backpropagation through the void, 2017, arXiv:1711.00123. The
estimate is (f(b) - c(z~)) grad log q(b) + grad c(z) - grad c(z~), as REBAR's, with c(z) = r(relax(z / temperature)), or
eta f(relax(z / temperature)) + r(relax(z / temperature)). Network, temperature and eta learn by its square. The network
also reads the context, what q was computed from, if it is bound to one: f differs from row to row.
"""

from torch import Tensor
from torch.distributions import Distribution

from estimators.base import Estimate, Objective
from estimators.distributions import event_shape, row_shape
from estimators.entry import one_a_sample
from estimators.noise import Noise
from estimators.parts.controls import rows_of
from estimators.parts.network import Network
from estimators.parts.sizes import Sizes
from estimators.rebar import REBAR, RelaxedDraws, Relaxing
from estimators.registry import register

PAPER = "Grathwohl et al. 2017, arXiv:1711.00123"


class Surrogate(Network):
    """The learned control variate r of relaxed draws and the context."""

    def of(self, draws: RelaxedDraws, log_temperature: Tensor, context: Tensor | None, create_graph: bool) -> Tensor:
        """What it adds to the estimate, [S, *B, *event], in the graph of own parameters."""
        event = event_shape(draws.q)

        def r(z: Tensor, q: Distribution, /) -> Tensor:
            value: Tensor = self(z.flatten(-len(event)), context=context)
            return value

        own = rows_of(log_temperature, row_shape(draws.q)).to(draws.b)
        return draws.control(r, own, create_graph=create_graph)


@register(
    "relax",
    capability="relaxation",
    method="control variate",
    unbiased=True,
    own_parameters=True,
    f_evals=one_a_sample,
    needs="neither",
    summary="score function with a learned network of the relaxed draw as control",
    paper=PAPER,
)
class RELAX(Relaxing):
    """RELAX with a network alone, which needs nothing of f but its values."""

    def __init__(self, samples: int = 1, temperature: float = 0.5, hidden: int = 100) -> None:
        super().__init__(samples, temperature, learn=True, coupled=True)
        self.surrogate = Surrogate(hidden)

    def set_sizes(self, sizes: Sizes) -> None:
        self.surrogate.set_sizes(sizes)
        super().set_sizes(sizes)

    def control(self, draws: RelaxedDraws, of_f: Tensor, context: Tensor | None, create_graph: bool) -> Tensor:
        return self.surrogate.of(draws, self.log_temperature, context, create_graph)

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        self.surrogate.ready(q)
        return super().estimate(q, f, noise)


@register(
    "relax-rebar",
    capability="relaxation",
    method="control variate",
    unbiased=True,
    own_parameters=True,
    f_evals=lambda samples: 2 * samples,
    needs="relaxed f",
    summary="REBAR with a learned network added to its control",
    paper=PAPER,
)
class RELAXRebar(REBAR):
    """RELAX in the form of REBAR plus a network."""

    def __init__(self, samples: int = 1, temperature: float = 0.5, scale: float = 1.0, hidden: int = 100) -> None:
        super().__init__(samples, temperature, scale)
        self.surrogate = Surrogate(hidden)

    def set_sizes(self, sizes: Sizes) -> None:
        self.surrogate.set_sizes(sizes)
        super().set_sizes(sizes)

    def control(self, draws: RelaxedDraws, of_f: Tensor, context: Tensor | None, create_graph: bool) -> Tensor:
        network = self.surrogate.of(draws, self.log_temperature, context, create_graph)
        return super().control(draws, of_f, context, create_graph) + network

    def estimate(self, q: Distribution, f: Objective, noise: Noise) -> Estimate:
        self.surrogate.ready(q)
        return super().estimate(q, f, noise)
