"""A step with Pyro 1.9: the pathwise gradient of Trace_ELBO, with SVI or with a torch optimiser, traced or compiled.

Pyro has neither the leave-one-out baseline nor the Concrete relaxation of a discrete q (its relaxed distributions are
another model, with a density of their own), so that the pathwise step alone is compared. Importing it patches a few
functions of torch.distributions, none of which ours calls in a step.
"""

from collections.abc import Callable
from itertools import count

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, JitTrace_ELBO, Trace_ELBO
from torch import Tensor

from bench.studies.peers.cases import LEARNING_RATE, Usage
from bench.studies.peers.networks import Network, PeerStep

_numbers = count()


class PyroStep(PeerStep):
    """What the steps share: a model p(z) p(x|z) with the decoder, a guide q(z|x) with the encoder, and rows x.

    Args:
        network: encoder and decoder.
        x: rows [B, X].
        registered: whether Pyro is to find the parameters in its own store.
    """

    def __init__(self, network: Network, x: Tensor, registered: bool = True) -> None:
        super().__init__(network, x)
        pyro.enable_validation(False)  # as its documentation says to, once a model works
        # The store is global, and gives a second module of the same name the parameters of the first.
        self.number = next(_numbers) if registered else None
        self.model, self.guide = self._model, self._guide  # kept: what is compiled is found again by their ids

    def _register(self, name: str) -> None:
        if self.number is not None:
            pyro.module(f"{name}-{self.number}", self.network.get_submodule(name))

    def _model(self, x: Tensor) -> None:
        """p(z) p(x|z)."""
        self._register("decoder")
        rows, latents = len(x), self.network.latents
        with pyro.plate("data", rows):
            loc, scale = x.new_zeros((rows, latents)), x.new_ones((rows, latents))
            z = pyro.sample("latent", dist.Normal(loc, scale).to_event(1))
            # From logits: its example goes through probabilities, at the cost of clamping them.
            pyro.sample("obs", dist.Bernoulli(logits=self.network.decoder(z)).to_event(1), obs=x)

    def _guide(self, x: Tensor) -> None:
        """q(z|x)."""
        self._register("encoder")
        with pyro.plate("data", len(x)):
            loc, log_variance = self.network.encoder(x).chunk(2, -1)
            pyro.sample("latent", dist.Normal(loc, (0.5 * log_variance).exp()).to_event(1))

    def mean_backward(self, summed: Callable[..., float]) -> Tensor:
        """The mean loss over the rows, its gradients in the network, from a function that does so for the sum."""
        self.network.zero_grad()
        loss = summed(self.model, self.guide, self.x)
        for parameter in self.network.parameters():
            assert parameter.grad is not None
            parameter.grad /= len(self.x)
        return torch.tensor(loss / len(self.x))


class SVIStep(PyroStep):
    """A step as in Pyro's example of a VAE, `svi.step(x)`, with the sizes of ours; its loss is the sum over rows."""

    def __init__(self, network: Network, x: Tensor) -> None:
        super().__init__(network, x)
        # No fused=True: with an optimiser a parameter it gains a little at the MNIST shapes and loses more on digits.
        self.svi = SVI(self.model, self.guide, pyro.optim.Adam({"lr": LEARNING_RATE}), loss=Trace_ELBO())

    def backward(self) -> Tensor:
        """See `PeerStep.backward`."""
        return self.mean_backward(self.svi.loss_and_grads)

    def step(self) -> None:
        """See `PeerStep.step`."""
        self.svi.step(self.x)


class ModuleStep(PyroStep):
    """A step with the ELBO as a torch module and one fused optimiser, which spares SVI's bookkeeping."""

    def __init__(self, network: Network, x: Tensor) -> None:
        super().__init__(network, x, registered=False)
        self.loss = Trace_ELBO()(self.model, self.guide)

    def backward(self) -> Tensor:
        """See `PeerStep.backward`."""
        self.optimiser.zero_grad()
        loss: Tensor = self.loss(self.x) / len(self.x)
        torch.autograd.backward(loss)
        return loss.detach()


class CompiledStep(PyroStep):
    """A step with the ELBO compiled in the first call, and one fused optimiser; its loss is the sum over rows.

    JitTrace_ELBO as a torch module would give each gradient twice, once through the loss that it adds without
    detaching it; `loss_and_grads`, which SVI calls, is right. What is compiled finds its parameters in Pyro's store.
    """

    def __init__(self, network: Network, x: Tensor) -> None:
        super().__init__(network, x)
        self.elbo = JitTrace_ELBO(ignore_jit_warnings=True)

    def backward(self) -> Tensor:
        """See `PeerStep.backward`."""
        return self.mean_backward(self.elbo.loss_and_grads)

    def step(self) -> None:
        """See `PeerStep.step`."""
        self.optimiser.zero_grad()
        self.elbo.loss_and_grads(self.model, self.guide, self.x)
        self.optimiser.step()


STEPS: dict[Usage, type[SVIStep | ModuleStep | CompiledStep]] = {
    "svi": SVIStep, "elbo-module": ModuleStep, "jit": CompiledStep,
}  # fmt: skip
