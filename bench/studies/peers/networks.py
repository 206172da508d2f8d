"""The peers' half: encoder and decoder of nn.Linear with the weights of ours, and what their steps share."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from bench.problems.networks import NEGATIVE_SLOPE
from bench.problems.vae_model import VAE
from bench.studies.peers.cases import LEARNING_RATE, Comparison


class Network(nn.Module):
    """What the shared VAE computes for one seed, as torch users write it."""

    def __init__(self, comparison: Comparison, vae: VAE) -> None:
        super().__init__()
        pixels, config = comparison.shape.pixels, comparison.config()
        self.latents = config.latents
        self.encoder = _layers(pixels, *config.hidden, len(config.kind_of_latents.parameter_names) * self.latents)
        self.decoder = _layers(self.latents, *config.hidden[::-1], pixels)
        self.load_state_dict(_first_seed({name: p.detach() for name, p in vae.named_parameters()}))


class PeerStep:
    """A peer's training step on rows x [B, X], with one fused optimiser for all weights."""

    def __init__(self, network: Network, x: Tensor) -> None:
        self.network, self.x = network, x
        self.optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True)

    def backward(self) -> Tensor:
        """Gradients of the mean loss over the rows into the network; returns that loss."""
        raise NotImplementedError

    def step(self) -> None:
        """One step of the optimiser, as the peer's users write it."""
        self.backward()
        self.optimiser.step()


def _layers(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(NEGATIVE_SLOPE)]
    return nn.Sequential(*layers[:-1])


def gradients_of(vae: VAE) -> dict[str, Tensor]:
    """Gradients of a VAE's first seed, as nn.Linear has them: [out, in] and [out]."""
    return _first_seed({name: p.grad for name, p in vae.named_parameters() if p.grad is not None})


def _first_seed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value[0].squeeze(0) if name.endswith("bias") else value[0].T
        for name, value in tensors.items()
        if name.startswith(("encoder", "decoder"))
    }
