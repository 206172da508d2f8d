"""Small faults that sampling would never see are refuted by proof, with the size of their bias to three digits."""

import re
from functools import cache

import pytest
import torch

from estimators.checks import Result, run_check, subjects
from estimators.checks.decisions import decisions
from estimators.checks.sampling import LOOKS
from estimators.checks.sequence import sampled
from estimators.entry import entry_of
from tests.estimators.drawing import uniform
from tests.estimators.faults.base import Score


@cache
def unbiased(cls: type[Score]) -> Result:
    """The check of the mean of a wrong estimator of bits, at few draws; several tests read it."""
    entry = entry_of(cls, cls.__name__, families=("bernoulli",), unbiased=True)
    (subject,) = subjects(entry, draws=LOOKS[1] if cls in LARGER else LOOKS[0])
    return run_check("unbiased", subject)


def percent(message: str) -> float:
    """The size of a bias that is proved."""
    found = re.search(r"off by ([0-9.e+-]+) % of the exact gradient's length \(to .* by integration", message)
    assert found, message
    return float(found[1])


class OffByATenThousandth(Score):
    """A factor of 1.0001."""

    def total(self, advantage, log_q, cost):
        return (1.0001 * advantage * log_q + cost).mean(0)


class OneCoordinateOfSix(Score):
    """The last of six logits gets a hundredth too much."""

    def log_q(self, q, z):
        value = super().log_q(q, z)
        if z.shape[-1] < 6:
            return value
        return value + 0.01 * (z[..., -1] * q.logits[..., -1] - torch.nn.functional.softplus(q.logits[..., -1]))


class FromFourSamplesOn(Score):
    """Divided by one less than the number of samples where there are four or more."""

    def total(self, advantage, log_q, cost):
        count = len(cost)
        divisor = count - 1 if count >= 4 else count
        return (advantage * log_q).sum(0) / divisor + cost.mean(0)


class AtFifteenAlone(Score):
    """Logits are clipped at 14 where the score is made."""

    def log_q(self, q, z):
        logits = q.logits
        clipped = torch.where(logits.abs() > 14, 1.001 * logits, logits)
        return super().log_q(torch.distributions.Bernoulli(logits=clipped, validate_args=False), z)


class WrongThreshold(Score):
    """A bit comes a ten-thousandth too often."""

    def draw(self, q, generator):
        u = uniform(q, self.samples, generator)
        return (u < 1.0001 * q.logits.sigmoid()).to(q.logits.dtype).detach()


class ClippedCosts(Score):
    """Costs are clipped at ten thousand."""

    def advantage(self, cost, q, z):
        return cost.clamp(-1e4, 1e4)


LARGER = {OneCoordinateOfSix, FromFourSamplesOn, ClippedCosts}
"""Wrong at many latents, many samples or large costs, which the problems of the fewest draws do not have."""


@pytest.mark.parametrize(
    "cls",
    [OffByATenThousandth, OneCoordinateOfSix, FromFourSamplesOn, AtFifteenAlone, WrongThreshold, ClippedCosts],
)
def test_a_small_fault_is_refuted_by_proof(cls: type[Score]) -> None:
    result = unbiased(cls)
    assert result.status == "failed", result.message
    assert "proved" in result.message
    assert percent(result.message) > 0


def test_the_size_of_a_bias_is_exact() -> None:
    """A factor of 1.0001 is a bias of a hundredth of a per cent in every problem."""
    assert percent(unbiased(OffByATenThousandth).message) == pytest.approx(0.01, rel=1e-3)


def test_where_a_fault_starts_is_said() -> None:
    assert "samples=8" in unbiased(FromFourSamplesOn).message or "samples=5" in unbiased(FromFourSamplesOn).message
    assert "|logit| 15" in unbiased(AtFifteenAlone).message
    assert "6 latents" in unbiased(OneCoordinateOfSix).message


def test_what_is_right_is_proved_in_every_problem() -> None:
    """Of a correct score function, whose noise is torch's own."""
    (subject,) = subjects(entry_of(Score, "Score", families=("bernoulli",), unbiased=True), draws=LOOKS[0])
    known = decisions(sampled(subject))
    assert list(known) == [0.0, 1.0, 3.0, 6.0, 15.0]
    assert all(d.proved and not d.bounded and not d.sampled for d in known.values())
    assert max(d.exact for d in known.values()) < 1e-8
    assert "there is no bias" in run_check("unbiased", subject).message


class Compared(Score):
    """Right, but with noise that no cell holds: a bit is 1 where a number is below another's place in its law."""

    def draw(self, q, generator):
        first, second = uniform(q, self.samples, generator), uniform(q, self.samples, generator)
        total = first + second  # has the distribution function t^2 / 2 below 1
        place = torch.where(total < 1, total.square() / 2, 1 - (2 - total).square() / 2)
        return (place < q.logits.sigmoid()).to(q.logits.dtype).detach()


def test_what_cannot_be_proved_is_bounded() -> None:
    """And is not called proved."""
    (subject,) = subjects(entry_of(Compared, "Compared", families=("bernoulli",), unbiased=True), draws=LOOKS[0])
    known = decisions(sampled(subject))
    assert not any(d.proved for d in known.values())
    assert sum(d.bounded for d in known.values()) > sum(d.sampled for d in known.values())
    message = run_check("unbiased", subject).message
    assert "no bias was seen" in message
    assert "proved" not in message
    assert "99 % confidence" in message
