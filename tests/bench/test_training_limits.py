"""What a report says of trainings before anyone trusts them: few seeds, and ends that are none."""

import numpy as np
import pytest

from bench.report.findings import FIRST, findings
from bench.report.summary import Summary, summarise
from bench.report.text import interval
from bench.report.training_limits import few_seeds, still_rising
from bench.statistics import mean_interval
from tests.bench.records import Made, Record, problem, record

STEPS = [0, 25, 50, 75, 80, 100]


def trained(label: str, curve: list[list[float]]) -> Record:
    """A training whose test ELBO at each of `STEPS` is [points, seeds]."""
    seeds, ends = list(range(len(curve[0]))), curve[-1]
    nothing = [None] * len(seeds)
    measurements = {
        "seeds": seeds,
        "curve": {
            "step": STEPS, "seconds": STEPS, "f_evals": STEPS, "train_elbo": curve, "test_elbo": curve,
        },
        "final": {"train_elbo": ends, "test_elbo": ends, "test_iwae": ends, "iwae_samples": 1},
        "diverged": nothing,
    }  # fmt: skip
    measurement = {"kind": "train", "seeds": len(seeds)}
    return record(measurement, problem("vae", "digits/b", "bernoulli"), Made(label, 2, True, 0, 0, 0), measurements)


def summary_of(*records: Record) -> Summary:
    """Of a report with these trainings."""
    return summarise(records)


FLAT = np.repeat([[-30.0], [-21.0], [-20.2], [-20.1], [-20.0], [-20.0]], 10, axis=1)
NOISE = np.random.default_rng(0).normal(0, 0.05, (6, 10))


def test_a_rise_over_the_last_fifth_of_the_steps_is_said_with_its_interval() -> None:
    rising = FLAT + NOISE
    rising[-1] += 1.0
    summary = summary_of(trained("rloo", (FLAT + NOISE[:, ::-1]).tolist()), trained("disarm", rising.tolist()))
    (said,) = still_rising(summary.elbo, summary.frames)
    # Step 80 is where the last fifth begins; of two trainings each interval holds at 97.5 %.
    gain = interval(*mean_interval(rising[-1] - rising[-2], 1 - 0.05 / 2))
    assert said == (
        "Training on digits/b ends while the test ELBO still rises, for 1 of 2 estimators: by "
        f"{gain} nats over the last 20 of its 100 steps for `disarm`, the most. Longer runs may rank them otherwise."
    )
    assert said in [finding.text for finding in findings(summary)[FIRST]]


def test_what_has_come_to_its_end_is_not_doubted() -> None:
    swinging = FLAT.copy()
    swinging[4] += [0.3, -0.3] * 5  # one seed's rise is another's fall
    summary = summary_of(trained("rloo", FLAT.tolist()), trained("disarm", swinging.tolist()))
    assert list(still_rising(summary.elbo, summary.frames)) == []
    falling = FLAT.copy()
    falling[-1] -= 1
    summary = summary_of(trained("rloo", falling.tolist()))
    assert list(still_rising(summary.elbo, summary.frames)) == []


def test_of_many_that_have_come_to_their_end_none_rises_by_chance() -> None:
    """Of 20 reports of 20 such trainings: at 95 % each, 2 of 5 would say that one still rises."""
    rng, said = np.random.default_rng(1), 0
    for _ in range(20):
        curves = [FLAT + rng.normal(0, 0.05, FLAT.shape) for _ in range(20)]
        summary = summary_of(*(trained(f"e{i}", curve.tolist()) for i, curve in enumerate(curves)))
        said += len(list(still_rising(summary.elbo, summary.frames)))
    assert said <= 3


def test_a_rise_between_two_evaluations_far_apart_is_not_that_of_the_last_fifth() -> None:
    record_of = trained("rloo", (FLAT + NOISE).tolist())
    curve = record_of["measurements"]["curve"]
    for name, values in curve.items():
        curve[name] = [values[i] for i in (0, 1, 5)]  # steps 0, 25 and 100
    summary = summary_of(record_of)
    (said,) = still_rising(summary.elbo, summary.frames)
    assert "over the last 75 of its 100 steps" in said


@pytest.mark.parametrize(("seeds", "said"), [(10, 0), (9, 1), (2, 1)])
def test_few_seeds_are_said(seeds: int, said: int) -> None:
    summary = summary_of(trained("rloo", FLAT[:, :seeds].tolist()))
    found = list(few_seeds(summary.elbo))
    assert len(found) == said
    assert all(f"ELBOs of {seeds} seeds on digits/b: a table to publish wants 10" in text for text in found)
