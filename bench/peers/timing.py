"""The measurement: every step of a comparison takes its turn in one process, so that ratios survive a noisy machine."""

import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.measure.clock import interleaved
from bench.peers import ours, pyro_steps, storchastic_steps
from bench.peers.cases import BATCH, THREADS, Comparison, Peer
from bench.peers.networks import Network, PeerStep
from bench.run.provenance import machine
from bench.statistics import quartiles

PACKAGES = ("storchastic", "pyro-ppl", "entmax")
WARM_UP = 10

Row = dict[str, Any]


def peer_step(comparison: Comparison, peer: Peer, network: Network, x: Tensor) -> PeerStep:
    """A peer's step on the rows x [B, X], with a network of its own."""
    if peer.library == "pyro":
        return pyro_steps.make(comparison, peer.usage, network, x)
    kind = storchastic_steps.TunedStep if peer.usage == "tuned" else storchastic_steps.ExampleStep
    return kind(comparison, network, x)


def measure(comparison: Comparison, threads: int, rounds: int, warm_up: int = WARM_UP) -> Iterator[Row]:
    """A row for each peer: medians and quartiles of its step, ours, the floor's, and of the ratios round by round."""
    torch.set_num_threads(threads)
    x = ours.rows(comparison)
    stacked = ours.stacked(comparison, x)
    subject, floor = ours.subject(comparison), ours.floor(comparison)
    # All start from the weights of our first seed.
    steps = [peer_step(comparison, peer, Network(comparison, subject.vae), x) for peer in comparison.peers]
    *peers, mine, least = interleaved(
        [*(step.step for step in steps), lambda: subject.step(stacked), lambda: floor.step(stacked)],
        rounds=rounds,
        warm_up=warm_up,
    )
    sizes = comparison.shape.pixels, *comparison.config().hidden, comparison.config().latents
    head = {
        "shape": comparison.shape.name,
        "model": "-".join(map(str, (*sizes, *sizes[-2::-1]))),
        "method": comparison.method,
        "estimator": comparison.estimator,
        "entropy": comparison.entropy,
        "samples": comparison.samples,
        "stacked": comparison.stacked,
        "threads": threads,
        "judged": threads == comparison.shape.threads,
        "load": list(os.getloadavg()),
        "ours": quartiles(mine),
        "floor": quartiles(least),
    }
    for peer, seconds in zip(comparison.peers, peers, strict=True):
        yield head | {
            "peer": peer.label,
            "target": comparison.target if peer.documented else None,
            "step": quartiles(seconds),
            "ratio": _ratio(seconds, mine, comparison.stacked),
            "floor_ratio": _ratio(seconds, least, comparison.stacked),
        }


def _ratio(peer: Sequence[float], own: Sequence[float], seeds: int) -> dict[str, float]:
    """Quartiles of how many times the seeds a second of ours are the peer's, round by round."""
    return quartiles((seeds * np.divide(peer, own)).tolist())


def measure_all(comparisons: Sequence[Comparison], rounds: int) -> dict[str, Any]:
    """Everything that the table and the figure are made from."""
    before = torch.get_num_threads()
    provenance = machine("cpu")
    try:
        rows = [row for each in comparisons for threads in THREADS for row in measure(each, threads, rounds)]
    finally:
        torch.set_num_threads(before)
    return {
        "schema": 1,
        "batch": BATCH,
        "rounds": rounds,
        "warm_up": WARM_UP,
        "peers": {name: importlib.metadata.version(name) for name in PACKAGES},
        "provenance": provenance,
        "rows": rows,
    }
