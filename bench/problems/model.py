"""What a trained problem's model gives: training and measurements know it by these methods alone.

E models, one a seed, are trained side by side as one module. Their parameters start with the dim E and are shared by
none of them; rows x are [E, B, X].
"""

from collections.abc import Sequence

from torch import Generator, Tensor, nn
from torch.distributions import Distribution

from estimators.base import Objective
from estimators.distributions import sample


class Model(nn.Module):
    """E models side by side."""

    stack: int
    """E."""
    event: tuple[int, ...]
    """Shape of an event of q, [D] or [L, C]."""
    context_size: int
    """Length of the context of a row; 0 where there is none."""

    def at_step(self, step: Tensor) -> None:
        """Told before each training step, and where gradients are measured along a training.

        A model whose loss changes along a training copies the number into a buffer of its own; its `objective` and
        `closed_form` are then those of that step, and its `bounds` never depend on it.

        Args:
            step: how many training steps were taken, a whole number without dims.
        """

    def encode(self, x: Tensor) -> Distribution:
        """q for the rows x [E, B, X]: of rows [E, B], or of [E, 1] where the rows share their latents."""
        raise NotImplementedError

    def objective(self, x: Tensor) -> Objective:
        """f for the rows x: z [S, *rows, *event] and q to [S, *rows]; minus the integrand of the ELBO."""
        raise NotImplementedError

    def context(self, x: Tensor) -> Tensor | None:
        """What input-dependent baselines see: x itself, or None."""
        return x

    def closed_form(self, q: Distribution) -> Tensor | None:
        """What the loss holds besides E_q[f], [E, B], such as an analytic KL divergence; None for nothing."""
        return None

    def expectation(self, x: Tensor, q: Distribution) -> Tensor:
        """E_q[f] for the rows x, of the shape of q's rows: exact, and differentiable in q's parameters.

        Asked of models whose problem has an `exact_method` that is no enumeration.
        """
        raise NotImplementedError

    def bounds(self, x: Tensor, samples: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """For evaluation: the ELBO of each row, [E, B], estimated from K draws, and their log weights [K, E, B].

        A model with a closed form has its own, since -f is then no log weight.
        """
        log_weights = -self.costs(x, self.encode(x), samples, generator)
        return log_weights.mean(0), log_weights

    def costs(self, x: Tensor, q: Distribution, samples: int, generator: Generator) -> Tensor:
        """f at draws of z ~ q, [S, E, B]: the draws carry no gradient, the weights in f do.

        A model whose f holds a further layer of latents draws that too, once at each z.
        """
        return self.objective(x)(sample(q, samples, generator), q)

    def prior_weights(self) -> Sequence[nn.Parameter]:
        """The parameters of a prior, for which a suite may give an optimiser and a rate of their own."""
        return ()

    def generative_weights(self) -> Sequence[nn.Parameter]:
        """The parameters behind the latents, of decoder and prior, on which q does not depend.

        A suite's `decoder_samples` are the draws that these are trained by; all others learn from the estimate.
        """
        return (*(p for network in self.networks_of_f() for p in network.parameters()), *self.prior_weights())

    def encoder_network(self) -> nn.Module | None:
        """The network that makes q of x, where the gradient of its weights is to be measured too.

        All its parameters are those of `StackedLinear` maps, which see one row each.
        """
        return None

    def networks_of_f(self) -> Sequence[nn.Module]:
        """Networks that f alone uses: measured gradients need no graph through them."""
        return ()
