"""How many draws an estimator takes is checked however it is made: by its entry, or by its class."""

import pytest
import torch
from torch.distributions import Bernoulli

import estimators
from estimators import Entry, Estimate, Estimator, register
from estimators.distributions import sample, stopped

SAMPLES = [0, -1, True, 2.0, "2"]


@pytest.mark.parametrize("entry", estimators.available(), ids=lambda entry: entry.name)
def test_samples_are_checked_however_it_is_made(entry: Entry) -> None:
    least = entry.samples.min
    bad = [*SAMPLES, *range(1, least), *([least + 1] if entry.samples.even else [])]
    for samples in bad:
        for make in (entry.cls, entry.create):
            with pytest.raises(ValueError, match="samples") as caught:
                make(samples=samples)
            assert "\n" not in str(caught.value)
    for make in (entry.cls, entry.create):
        assert make(samples=least).samples == least
        assert make().samples == entry.samples.default


def test_a_class_that_leaves_samples_to_its_base_starts_with_its_default(forget: None) -> None:
    class Late(Estimator):
        """As a third party may write it: samples are set after the base class was made."""

        def __init__(self, samples=2):
            super().__init__()
            self.samples = samples

        def forward(self, q, f, *, generator=None, context=None):
            z = sample(q, self.samples, generator)
            cost = f(z, stopped(q))
            return Estimate(cost.mean(0), cost.detach().mean(0))

    entry_class = register("late", families=("bernoulli",), unbiased=True)(Late)
    assert estimators.get("late").create(samples=4).samples == 4
    assert entry_class().samples == 2
    q = Bernoulli(logits=torch.zeros(5, 3, requires_grad=True))
    assert entry_class()(q, lambda z, q: z.sum(-1)).surrogate.shape == (5,)
