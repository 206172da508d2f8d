"""The measurement: everything compared takes its turn, a number of steps, so that ratios survive a noisy machine.

All run on the same cores, as many as there are threads, and while one runs the others are idle: before a turn beside
JAX there is a pause, in which the threads of torch's OpenMP, that wait for work in a loop for about 10 ms, and those of
XLA, that do so for less than 1, go to sleep.
"""

import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.problems.vae_model import VAE
from bench.run.provenance import machine
from bench.studies.peers import ours, pyro_steps, storchastic_steps
from bench.studies.peers.cases import BATCH, LEARNING_RATE, Comparison, Peer
from bench.studies.peers.jax_process import JaxProcess, Job
from bench.studies.peers.networks import Network, PeerStep
from bench.studies.results import Row, Run
from bench.training.trainer import Trainer

PACKAGES = ("storchastic", "pyro-ppl", "entmax", "jax", "optax")
WARM_UP = 2
"""Turns of each that do not count."""
PAUSE = 0.03
"""Seconds before a turn beside JAX."""
CALM = 1.2
"""Times the floor's shortest turn that it may take in a round that counts."""
MOST = 4
"""Rounds that are taken, at most, for each that counts."""


class Subject(NamedTuple):
    """What is timed."""

    turn: Callable[[], float]
    """Takes a turn's steps and gives its seconds."""
    first: float
    """Seconds of the first turn, with all that is made and compiled for it; NaN where compiling is known by itself."""
    compiling: float = np.nan
    """Seconds of compiling."""

    def compile_seconds(self, turns: Sequence[float]) -> float:
        """Those known, or how much longer the first turn took than the later ones did."""
        return self.first - float(np.median(turns)) if np.isnan(self.compiling) else self.compiling


def peer_step(comparison: Comparison, peer: Peer, network: Network, x: Tensor) -> PeerStep:
    """The step of a peer of torch on the rows x [B, X], with a network of its own."""
    if peer.library == "pyro":
        return pyro_steps.STEPS[peer.usage](network, x)
    kind = storchastic_steps.TunedStep if peer.usage == "tuned" else storchastic_steps.ExampleStep
    return kind(comparison, network, x)


def job(comparison: Comparison, threads: int) -> Job:
    """The same training for JAX."""
    config, shape = comparison.config(), comparison.shape
    return Job(
        estimator=comparison.estimator,
        sizes=(shape.pixels, *config.hidden, config.latents),
        stacked=comparison.stacked,
        batch=BATCH,
        steps=shape.steps,
        learning_rate=LEARNING_RATE,
        rows=shape.rows,
        pixel_mean=ours.PIXEL_MEAN,
        binarised=comparison.binarised,
        threads=threads,
    )


@contextmanager
def on_cores(threads: int) -> Iterator[None]:
    """Run on so many threads and cores, the first of those allowed; threads made meanwhile inherit the cores."""
    before, allowed = torch.get_num_threads(), os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        os.sched_setaffinity(0, allowed)


def in_turns(subjects: Sequence[Subject], rounds: int, warm_up: int, pause: float) -> tuple[list[list[float]], int]:
    """Seconds of each subject's turns, and how many rounds were void; see `bench.measure.clock` for who goes first.

    A machine that others use has spells in which some code takes twice its time and other code as long as ever. They
    show in the last subject, which is compared with none of the others: a round in which it took more than `CALM` times
    its least is void, and another is taken for it; where too many are, those count in which it took least.

    Args:
        subjects: what is timed.
        rounds: that count.
        warm_up: rounds before them.
        pause: seconds before each turn.
    """
    taken: list[list[float]] = []
    while True:
        index, seconds = len(taken), [0.0] * len(subjects)
        for place in range(len(subjects)):
            which = (index + place) % len(subjects)
            time.sleep(pause)
            seconds[which] = subjects[which].turn()
        taken.append(seconds)
        counted = sorted(taken[warm_up:], key=lambda seconds: seconds[-1])
        least = min(seconds[-1] for seconds in taken)
        calm = sum(seconds[-1] <= CALM * least for seconds in counted)
        if calm == rounds or len(counted) == MOST * rounds:
            return [list(turns) for turns in zip(*counted[:rounds], strict=True)], len(counted) - rounds


def _here(turn: Callable[[], object], began: float) -> Subject:
    """A subject of this process, the making of which began at that time."""

    def timed() -> float:
        start = time.perf_counter()
        turn()
        return time.perf_counter() - start

    turn()
    return Subject(timed, first=time.perf_counter() - began)


def _own(comparison: Comparison, trainer: Trainer, compile: bool) -> Subject:
    began = time.perf_counter()
    steps = ours.steps(comparison, trainer, compile)
    return _here(lambda: steps.run(comparison.shape.steps), began)


def _peer(comparison: Comparison, peer: Peer, network: Network, threads: int, stack: ExitStack) -> Subject:
    if peer.library == "ours":
        return _own(comparison, ours.subject(comparison), compile=False)
    if peer.library == "jax":
        process = stack.enter_context(JaxProcess(job(comparison, threads)))
        if process.started["threads"] != threads:
            raise RuntimeError(f"{threads} threads were asked for, and JAX found {process.started['threads']} cores")
        return Subject(process.seconds, first=np.nan, compiling=process.started["compile_seconds"])
    began = time.perf_counter()
    step = peer_step(comparison, peer, network, ours.rows(comparison))

    def turn() -> None:
        for _ in range(comparison.shape.steps):
            step.step()

    return _here(turn, began)


def measure(comparison: Comparison, threads: int, rounds: int, warm_up: int = WARM_UP) -> Iterator[Row]:
    """Rows for each peer: seconds of its step, ours and the floor's, of compiling, and their ratios round by round."""
    case = {**comparison.case(), "threads": threads, "judged": threads == comparison.shape.threads}
    case["load"] = list(os.getloadavg())
    with on_cores(threads), ExitStack() as stack:
        trainer = ours.subject(comparison)
        # All peers of torch start from the weights of our first seed.
        assert isinstance(trainer.model, VAE)
        networks = [Network(comparison, trainer.model) for _ in comparison.peers]
        subjects = [
            *(_peer(comparison, *each, threads, stack) for each in zip(comparison.peers, networks, strict=True)),
            _own(comparison, trainer, compile=True),
            _own(comparison, ours.floor(comparison), compile=True),
        ]
        pause = PAUSE if comparison.beside_jax else 0.0
        turns, case["void"] = in_turns(subjects, rounds, warm_up, pause)
    *peers, mine, least = np.asarray(turns) / comparison.shape.steps
    compiling = [subject.compile_seconds(taken) for subject, taken in zip(subjects, turns, strict=True)]
    for index, (peer, seconds) in enumerate(zip(comparison.peers, peers, strict=True)):
        of_peer = {**case, "peer": peer.label}
        for name, taken in (("ours_seconds", mine), ("peer_seconds", seconds), ("floor_seconds", least)):
            yield Row.repeated(name, taken, keep=False, unit="s", case=of_peer)
        # How many times the seeds a second of ours, and of the floor, are the peer's.
        more = comparison.stacked / comparison.stacked_of(peer)
        target = comparison.target(peer)
        ratio, to_floor = (more * np.divide(seconds, own) for own in (mine, least))
        yield Row.repeated("ratio", ratio, keep=False, case=of_peer, target=target, at_least=True)
        yield Row.repeated("peer_over_floor", to_floor, keep=False, case=of_peer)
        yield Row(quantity="ours_compile_seconds", value=compiling[-2], unit="s", case=of_peer)
        if peer.compiles:
            yield Row(quantity="peer_compile_seconds", value=compiling[index], unit="s", case=of_peer)


def measure_all(comparisons: Sequence[Comparison], rounds: int) -> Run:
    """Everything that the tables and the figures are made from."""
    provenance = machine("cpu")
    cases = [(each, threads) for each in comparisons for threads in each.thread_counts]
    with TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # what an earlier run compiled is compiled again
        rows = tuple(row for each, threads in cases for row in measure(each, threads, rounds))
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    about = {"batch": BATCH, "rounds": rounds, "warm_up": WARM_UP, "calm": CALM, "peers": versions}
    return Run(name="peers", provenance=provenance, about=about, rows=rows)
