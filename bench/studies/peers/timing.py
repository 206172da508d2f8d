"""The measurement: every step of a comparison takes its turn in one process, so that ratios survive a noisy machine."""

import importlib.metadata
import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.measure.clock import interleaved
from bench.problems.vae_model import VAE
from bench.run.provenance import machine
from bench.studies.peers import ours, pyro_steps, storchastic_steps
from bench.studies.peers.cases import BATCH, THREADS, Comparison, Peer
from bench.studies.peers.networks import Network, PeerStep
from bench.studies.results import Row, Run

PACKAGES = ("storchastic", "pyro-ppl", "entmax")
WARM_UP = 10


def peer_step(comparison: Comparison, peer: Peer, network: Network, x: Tensor) -> PeerStep:
    """A peer's step on the rows x [B, X], with a network of its own."""
    if peer.library == "pyro":
        return pyro_steps.STEPS[peer.usage](network, x)
    kind = storchastic_steps.TunedStep if peer.usage == "tuned" else storchastic_steps.ExampleStep
    return kind(comparison, network, x)


def measure(comparison: Comparison, threads: int, rounds: int, warm_up: int = WARM_UP) -> Iterator[Row]:
    """Rows for each peer: seconds of its step, ours and the floor's, and their ratios round by round."""
    torch.set_num_threads(threads)
    x = ours.rows(comparison)
    stacked = ours.stacked(comparison, x)
    subject, floor = ours.subject(comparison), ours.floor(comparison)
    # All start from the weights of our first seed.
    assert isinstance(subject.model, VAE)
    steps = [peer_step(comparison, peer, Network(comparison, subject.model), x) for peer in comparison.peers]
    *peers, mine, least = interleaved(
        [*(step.step for step in steps), lambda: subject.step(stacked), lambda: floor.step(stacked)],
        rounds=rounds,
        warm_up=warm_up,
    )
    case = {**comparison.case(), "threads": threads, "judged": threads == comparison.shape.threads}
    case["load"] = list(os.getloadavg())
    for peer, seconds in zip(comparison.peers, peers, strict=True):
        of_peer = {**case, "peer": peer.label}
        for name, taken in (("ours_seconds", mine), ("peer_seconds", seconds), ("floor_seconds", least)):
            yield Row.repeated(name, taken, keep=False, unit="s", case=of_peer)
        # How many times the seeds a second of ours, and of the floor, are the peer's.
        ratio, to_floor = (comparison.stacked * np.divide(seconds, own) for own in (mine, least))
        target = comparison.target if peer.documented else None
        yield Row.repeated("ratio", ratio, keep=False, case=of_peer, target=target, at_least=True)
        yield Row.repeated("peer_over_floor", to_floor, keep=False, case=of_peer)


def measure_all(comparisons: Sequence[Comparison], rounds: int) -> Run:
    """Everything that the table and the figure are made from."""
    before = torch.get_num_threads()
    provenance = machine("cpu")
    try:
        rows = tuple(row for each in comparisons for threads in THREADS for row in measure(each, threads, rounds))
    finally:
        torch.set_num_threads(before)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    about = {"batch": BATCH, "rounds": rounds, "warm_up": WARM_UP, "peers": versions}
    return Run(name="peers", provenance=provenance, about=about, rows=rows)
