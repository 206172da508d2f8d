"""The looks of a sequential test: every grid of a subject sampled until its rows are decided."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import NamedTuple

from torch import Generator

from estimators.checks.proof import decided
from estimators.checks.sampling import AT_ONCE, LOOKS, PRIMES, TARGETS, Prepared, deviations, noise_of
from estimators.checks.subject import Subject
from estimators.checks.tally import CERTAIN, Tally
from estimators.contract import Broken

PRECISE = 0.005
"""Standard error of a relative bias at which the measurement of a declared bias stops early."""
ENOUGH = 2**16
"""Most draws to measure a declared bias; after as many, a problem that is far from its target is given up."""
HOPELESS = 2.0
"""How many times its target a detectable bias may be to be worth four times the draws."""
MUCH_NOISE = 12
"""Numbers of noise that take as long as one latent of an evaluation of f."""


class Sampled(NamedTuple):
    """What was found by sampling a subject."""

    tallies: tuple[Tally, ...]
    log_alpha: float
    """Level at which each mean is tested at each look."""
    looks: int
    """Looks taken."""


class _Work:
    """One grid's estimator, noise and sums."""

    def __init__(self, subject: Subject, index: int, tally: Tally, log_alpha: float) -> None:
        self.subject, self.tally, self.grid, self.log_alpha = subject, tally, tally.grid, log_alpha
        self.prepared: Prepared = subject.prepared(self.grid)
        tally.moved = self.prepared.moved
        self.generator: Generator = subject.generator(10 + 2 * index)
        self.choices: Generator = subject.generator(11 + 2 * index)
        self.active = list(range(len(self.grid.rows)))

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Numbers of noise that a row takes, and latents in flight; found where a row has to be sampled at all."""
        noise, evaluations = noise_of(self.prepared, self.grid, self.subject.generator(9))
        return noise, max(evaluations, self.grid.samples) * math.prod(self.grid.event)

    def decide(self) -> None:
        """Prove what can be proved, bound what cannot, and leave the rest to be sampled."""
        self.tally.proved, self.tally.bounded = decided(
            self.prepared,
            self.grid,
            self.log_alpha,
            self.subject.seed,
            self.subject.draws,
            confirm=self.subject.unbiased,
        )
        self.active = (~self.tally.unsampled).nonzero()[:, 0].tolist()

    def confirm(self) -> None:
        """Draw rows that weighted sampling refutes anew, four times as often: their first draws do not count any more.

        Rare outcomes that a few heavy weights stand for can look like a bias until more of them have come.
        """
        weighted = (self.grid.shift > 0).any(1) & ~self.tally.unsampled & ~self.tally.rare
        refuted = (self.tally.log_p() < self.log_alpha).any(1) & weighted
        self.active = refuted.nonzero()[:, 0].tolist()
        if self.active:
            look = 4 * int(self.tally.count[self.active].max())
            self.tally.forget(self.active)
            self.advance(look, 0.0)

    def advance(self, look: int, target: float) -> None:
        """Draw until every active row has `look` draws; those that could show a bias of `target` are done."""
        while self.active and self.tally.count[self.active[0]] < look:
            noise, latents = self.sizes
            fits = AT_ONCE // (len(self.active) * max(latents, noise // MUCH_NOISE))
            # Of fewer draws than any look takes no more are made than were asked for.
            enough = next(prime for prime in reversed(PRIMES) if prime >= look) if look < LOOKS[0] else PRIMES[0]
            count = next((prime for prime in PRIMES if prime <= min(fits, enough)), PRIMES[-1])
            found = deviations(self.prepared, self.grid, self.active, count, self.generator, self.choices, noise)
            self.tally.add(self.active, found)
            if not self.tally.count.gt(count).any() and bool(
                (found.error.abs() <= self.tally.rounding[self.active]).all()
            ):
                self.active = []  # no noise at all
        if self.active:
            width = self.tally.width
            # More draws may reach a rare outcome, unless its noise cannot be forced.
            rare = self.tally.rare & (not self.tally.plain)
            if self.subject.unbiased:
                seen = self.tally.detectable(self.log_alpha)[:, :width].amax(1) / self.tally.norm
                # Where more draws would not reach the target they are saved; the certificate says what was reached.
                hopeless = HOPELESS * target if look >= ENOUGH else math.inf
                self.active = [row for row in self.active if target < seen[row] <= hopeless or rare[row]]
            else:
                error = self.tally.error[:, :width].norm(dim=1) / self.tally.norm
                self.active = [row for row in self.active if error[row] > PRECISE or rare[row]]


@cache
def sampled(subject: Subject) -> Sampled:
    """Draw on every grid of the subject until every problem is decided; cached for each subject.

    Raises:
        Broken: the estimator cannot be called.
    """
    tallies = tuple(Tally(grid) for grid in subject.grids)
    if not tallies:
        raise Broken("there is no problem on which it is legal and whose exact gradient is known")
    most = subject.draws if subject.unbiased else min(subject.draws, ENOUGH)
    looks = [look for look in LOOKS if look <= most] or [most]
    columns = sum(tally.total.numel() for tally in tallies) + len(tallies[0].grid.levels)
    log_alpha = math.log(subject.alpha / (columns * len(looks)))
    works = [_Work(subject, index, tally, log_alpha) for index, tally in enumerate(tallies)]
    taken = 0
    with ThreadPoolExecutor(subject.workers) as pool:
        list(pool.map(_Work.decide, works))
        refuted = subject.unbiased and any(bool((tally.log_p() <= CERTAIN).any()) for tally in tallies)
        for look, target in zip(looks, TARGETS, strict=False):
            list(pool.map(lambda work, look=look, target=target: work.advance(look, target), works))
            taken += 1
            if refuted:  # draw once more after a refutation, to see which problems are affected
                break
            refuted = subject.unbiased and any(
                bool((tally.log_p()[~tally.rare] < log_alpha).any()) for tally in tallies
            )
        if subject.unbiased:
            list(pool.map(_Work.confirm, works))
    return Sampled(tallies, log_alpha, taken)
