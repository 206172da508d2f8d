"""The peers' half of the model: encoder and decoder of nn.Linear, with the weights of ours."""

from collections import OrderedDict
from itertools import pairwise
from typing import Protocol

from torch import Tensor, nn

from bench.peers.cases import Comparison
from bench.problems.vae import NEGATIVE_SLOPE, VAE


class PeerStep(Protocol):
    """A peer's training step on rows that it was made with."""

    network: "Network"

    def backward(self) -> Tensor:
        """Gradients of the mean loss over the rows into the network; returns that loss."""
        ...

    def step(self) -> None:
        """One step of the optimiser, as the peer's users write it."""
        ...


class Network(nn.Module):
    """What the shared VAE computes for one seed, as torch users write it."""

    def __init__(self, comparison: Comparison, vae: VAE) -> None:
        super().__init__()
        shape, config = comparison.shape, comparison.config()
        outputs = 2 * config.latents if config.family == "gaussian" else config.latents
        self.latents = config.latents
        self.encoder = _layers((shape.pixels, *config.hidden, outputs))
        self.decoder = _layers((config.latents, *config.hidden[::-1], shape.pixels))
        self.load_state_dict(weights_of(vae))


def _layers(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(NEGATIVE_SLOPE)]
    return nn.Sequential(*layers[:-1])


def weights_of(vae: VAE) -> "OrderedDict[str, Tensor]":
    """Weights of a VAE's first seed, as nn.Linear has them: [out, in] and [out]."""
    return _first_seed({name: p.detach() for name, p in vae.named_parameters()})


def gradients_of(vae: VAE) -> "OrderedDict[str, Tensor]":
    """Gradients of a VAE's first seed, in the same form."""
    return _first_seed({name: p.grad for name, p in vae.named_parameters() if p.grad is not None})


def _first_seed(tensors: dict[str, Tensor]) -> "OrderedDict[str, Tensor]":
    return OrderedDict(
        (name, value[0].squeeze(0) if name.endswith("bias") else value[0].T)
        for name, value in tensors.items()
        if name.startswith(("encoder", "decoder"))
    )
