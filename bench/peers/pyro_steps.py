"""A step with Pyro 1.9: the pathwise gradient of Trace_ELBO, with SVI or with a torch optimiser, traced or compiled.

Pyro has neither the leave-one-out baseline nor the Concrete relaxation of a discrete q (its relaxed distributions are
another model, with a density of their own), so that the pathwise step alone is compared. Importing it patches a few
functions of torch.distributions, none of which ours calls in a step.
"""

from itertools import count

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, JitTrace_ELBO, Trace_ELBO
from torch import Tensor, nn

from bench.peers.cases import LEARNING_RATE, Comparison, Usage
from bench.peers.networks import Network

_numbers = count()


class _Part(nn.Module):
    """Decoder or encoder, registered with Pyro under a name of its own where its parameters are Pyro's to find."""

    def __init__(self, network: Network, registered: bool) -> None:
        super().__init__()
        self.network = network
        # The parameter store is global, and gives a second module of the same name the parameters of the first.
        self.name = f"{type(self).__name__}-{next(_numbers)}" if registered else ""

    def register(self, module: nn.Module) -> None:
        """Tell Pyro of a module, where it is asked to."""
        if self.name:
            pyro.module(self.name, module)


class _Model(_Part):
    """The decoder and the prior."""

    def forward(self, x: Tensor) -> None:
        """p(z) p(x|z)."""
        self.register(self.network.decoder)
        latents = self.network.latents
        with pyro.plate("data", x.shape[0]):
            loc, scale = x.new_zeros((x.shape[0], latents)), x.new_ones((x.shape[0], latents))
            z = pyro.sample("latent", dist.Normal(loc, scale).to_event(1))
            # From logits: its example goes through probabilities, at the cost of clamping them.
            pyro.sample("obs", dist.Bernoulli(logits=self.network.decoder(z)).to_event(1), obs=x)


class _Guide(_Part):
    """The encoder."""

    def forward(self, x: Tensor) -> None:
        """q(z|x)."""
        self.register(self.network.encoder)
        with pyro.plate("data", x.shape[0]):
            loc, log_variance = self.network.encoder(x).chunk(2, -1)
            pyro.sample("latent", dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1))


class SVIStep:
    """A step as in Pyro's example of a VAE, `svi.step(x)`, with the sizes of ours; its loss is the sum over rows."""

    def __init__(self, network: Network, x: Tensor) -> None:
        pyro.enable_validation(False)  # as its documentation says to, once a model works
        self.network, self.x = network, x
        model, guide = _Model(network, registered=True), _Guide(network, registered=True)
        # No fused=True: with an optimiser a parameter it gains 2 % at the MNIST shapes and loses 8 % on digits.
        self.svi = SVI(model, guide, pyro.optim.Adam({"lr": LEARNING_RATE}), loss=Trace_ELBO())

    def backward(self) -> Tensor:
        """See `PeerStep.backward`."""
        self.network.zero_grad()
        loss = self.svi.loss_and_grads(self.svi.model, self.svi.guide, self.x)
        return _mean(self.network, loss, len(self.x))

    def step(self) -> None:
        """See `PeerStep.step`."""
        self.svi.step(self.x)


class ModuleStep:
    """A step with the ELBO as a torch module and one fused optimiser, which spares SVI's bookkeeping."""

    def __init__(self, network: Network, x: Tensor) -> None:
        pyro.enable_validation(False)
        self.network, self.x = network, x
        self.loss = Trace_ELBO()(_Model(network, registered=False), _Guide(network, registered=False))
        self.optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)

    def backward(self) -> Tensor:
        """See `PeerStep.backward`."""
        self.optimiser.zero_grad()
        loss: Tensor = self.loss(self.x) / len(self.x)
        torch.autograd.backward(loss)
        return loss.detach()

    def step(self) -> None:
        """See `PeerStep.step`."""
        self.backward()
        self.optimiser.step()


class CompiledStep:
    """A step with the ELBO compiled in the first call, and one fused optimiser; its loss is the sum over rows.

    JitTrace_ELBO as a torch module would give each gradient twice, once through the loss that it adds without
    detaching it; `loss_and_grads`, which SVI calls, is right.
    """

    def __init__(self, network: Network, x: Tensor) -> None:
        pyro.enable_validation(False)
        self.network, self.x = network, x
        # The compiled function finds its parameters in Pyro's store.
        self.model, self.guide = _Model(network, registered=True), _Guide(network, registered=True)
        self.elbo = JitTrace_ELBO(ignore_jit_warnings=True)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)

    def _sum(self) -> float:
        """The loss summed over the rows; its gradients go into the network."""
        self.optimiser.zero_grad()
        loss: float = self.elbo.loss_and_grads(self.model, self.guide, self.x)
        return loss

    def backward(self) -> Tensor:
        """See `PeerStep.backward`."""
        return _mean(self.network, self._sum(), len(self.x))

    def step(self) -> None:
        """See `PeerStep.step`."""
        self._sum()
        self.optimiser.step()


def _mean(network: Network, loss: float, rows: int) -> Tensor:
    """The mean loss from the sum over rows, and the gradients in place."""
    for parameter in network.parameters():
        assert parameter.grad is not None
        parameter.grad /= rows
    return torch.tensor(loss / rows)


def make(comparison: Comparison, usage: Usage, network: Network, x: Tensor) -> SVIStep | ModuleStep | CompiledStep:
    """The step of a way to use Pyro."""
    if comparison.method != "Pathwise":
        raise ValueError(f"Pyro has no step for {comparison.method}")
    kind = SVIStep if usage == "svi" else CompiledStep if usage == "jit" else ModuleStep
    return kind(network, x)
