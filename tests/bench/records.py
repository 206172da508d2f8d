"""Synthetic records of realistic magnitudes, for the tests of the report."""

import math
from typing import Any, NamedTuple

import numpy as np

from bench.records.identity import cell_id

Record = dict[str, Any]


LEAST: dict[str, Record] = {
    "moments": {"points": [{"q": {"variance": {"estimate": 1.0}}}]},
    "time": {"step": {"median": 1.0}},
    "train": {"seeds": [0], "curve": {}, "final": {}},
}
"""The least that was measured in a cell of each kind that went well."""


class Made(NamedTuple):
    """An estimator to make records of."""

    label: str
    samples: int
    unbiased: bool
    deviation: float  # relative standard deviation at |logit| 0
    growth: float  # of its logarithm with |logit|
    cost: float  # step time over the reference's


BERNOULLI = (
    Made("rloo", 2, True, 2.7, 0.50, 1.0),
    Made("rloo[samples=4]", 4, True, 1.6, 0.50, 1.3),
    Made("reinforce[baseline=moving-average]", 1, True, 6.0, 0.50, 0.8),
    Made("disarm", 2, True, 1.9, 0.52, 1.0),
    Made("bitflip", 2, True, 3.2, 0.05, 1.1),
    Made("rebar", 3, True, 1.1, 0.45, 3.0),
    Made("relax", 3, True, 0.9, 0.45, 4.1),
    Made("local-expectation", 1, True, 0.0, 0.0, 5.0),
    Made("gumbel-softmax[straight_through=true,temperature=0.5]", 1, False, 0.4, 0.2, 1.4),
    Made("straight-through", 1, False, 0.3, 0.1, 1.2),
)
GAUSSIAN = (
    Made("rloo", 2, True, 9.0, 0.1, 1.0),
    Made("reparameterization", 1, True, 0.5, 0.0, 1.1),
    Made("measure-valued", 4, True, 0.9, 0.1, 6.0),
)


def record(measurement: Record, problem: Record, made: Made, measurements: Record) -> Record:
    """A whole record of one cell, as a store gives it back."""
    estimator = {
        "label": made.label,
        "name": made.label.split("[")[0],
        "samples": made.samples,
        "options": {},
    }
    config = {
        "measurement": measurement,
        "problem": problem,
        "estimator": estimator,
        "device": "cpu",
        "threads": 1,
    }
    provenance = {"host": "node-1", "cpu": "a processor", "cores": 2, "load": [0.4, 0.3, 0.2], "gpu": None}
    return {
        "schema": 1,
        "cell": cell_id(config),
        "status": "ok",
        "reason": None,
        "started": "2026-01-02T03:04:05",
        "seconds": 3.2,
        "config": config,
        "tags": {"unbiased": made.unbiased, "bound": "elbo"},
        "measurements": measurements,
        "provenance": {**provenance, "torch": "2.13.0", "commit": None, "estimator_source": made.label},
    }


def problem(kind: str, label: str, family: str, **more: Any) -> Record:
    """A problem's configuration."""
    dataset = "digits" if kind == "vae" else None
    place = {"logit": None, "scale": None}
    common = {"kind": kind, "label": label, "family": family, "dataset": dataset, "bound": "elbo"}
    return {**common, "entropy": "sampled", **place, **more}


VAE = problem("vae", "digits/bernoulli-8/nonlinear", "bernoulli")


def point(rng: np.random.Generator, made: Made, level: float, step: int | None, norm: float) -> Record:
    """One measured point; `level` stands for |logit|."""
    heavy = made.label == "bitflip" and level > 4
    variance = (made.deviation * math.exp(made.growth * level / 2) * norm) ** 2 * rng.uniform(0.9, 1.1)
    log_se = None if heavy and step else 0.0 if variance == 0 else 0.25 if heavy else 0.045
    factor = math.exp(1.96 * (log_se or 0))
    low, high = (0.0, None) if log_se is None else (variance / factor, variance * factor)
    error = 0.0 if made.unbiased else 0.12 * norm * (1 + 0.2 * level)
    half = 2 * variance / 1000 + 2 * error * math.sqrt(variance / 1000)
    square = error**2 + 0.3 * half * rng.uniform(-1, 1)
    low_square, high_square = square - half, square + half
    relative = [math.sqrt(max(0.0, value)) / norm for value in (square, low_square, high_square)]
    z = abs(rng.normal()) + 1 + (error / math.sqrt(variance / 1000) if variance else 0.0)
    interval = {"estimate": variance, "low": low, "high": high, "log_se": log_se}
    minibatch = {"estimate": 0.8, "low": 0.6, "high": 1.1}
    encoder = {"variance": interval, "kurtosis": 3.5, "heavy_tailed": False, "minibatch_variance": minibatch}
    q = {"variance": interval, "kurtosis": 55.0 if heavy else 3.4, "heavy_tailed": heavy, "coordinates": 8}
    return {
        "step": step,
        "elbo": None if step is None else -45.0 + step / 15,
        "draws": 1000,
        "rows": 20,
        "f_evals": made.samples,
        "q": {**q, "gradient_norm": norm, "snr": None, "cosine": 0.7, "mse": variance + error**2},
        "bias": {
            "squared": {"estimate": square, "low": low_square, "high": high_square},
            **dict(zip(("relative", "relative_low", "relative_high"), relative, strict=True)),
            "max_z": z,
            "p_value": min(1.0, 8 * math.erfc(z / math.sqrt(2))),
            "reference": "enumeration",
        },
        "encoder": None if step is None else encoder,
    }


def moments(rng: np.random.Generator, where: Record, made: Made) -> Record:
    """A moments cell: three checkpoints of a VAE, or one point of a toy."""
    if where["kind"] == "vae":
        points = [point(rng, made, level, step, 2.0) for level, step in ((0, 0), (2, 30), (5, 300))]
    else:
        level = where["scale"] if where["logit"] is None else where["logit"]
        points = [point(rng, made, level, None, 0.5 / (1 + level))]
    return record({"kind": "moments", "draws": 1000}, where, made, {"points": points})


def train(rng: np.random.Generator, where: Record, made: Made, seeds: int = 5) -> Record:
    """A train cell whose ELBO is worse the noisier its estimator."""
    steps = np.arange(0, 1001, 100)
    end = -21.0 - 1.2 * math.log1p(made.deviation) - (0.0 if made.unbiased else 0.8)
    mean = (end + (-44.0 - end) * np.exp(-steps / 180))[:, None]
    on_train = mean + rng.normal(0, 0.25, seeds) + rng.normal(0, 0.08, (len(steps), seeds))
    on_test = on_train - 0.6 * (1 - np.exp(-steps / 400))[:, None]
    curve = {
        "step": steps.tolist(),
        "f_evals": (steps * 50).tolist(),
        "seconds": (0.004 * made.cost * steps).tolist(),
    }
    final = {"train_elbo": on_train[-1].tolist(), "test_elbo": on_test[-1].tolist(), "iwae_samples": 100}
    measurements = {
        "seeds": list(range(seeds)),
        "diverged": [None] * seeds,
        "rows_per_step": 50,
        "evaluated_rows": {"train": 1000, "test": 256},
        "parameters": 1234,
        "curve": {**curve, "train_elbo": on_train.tolist(), "test_elbo": on_test.tolist()},
        "final": {**final, "test_iwae": (on_test[-1] + 0.9).tolist()},
    }
    return record({"kind": "train", "steps": 1000, "seeds": seeds}, where, made, measurements)


def timing(rng: np.random.Generator, where: Record, made: Made) -> Record:
    """A time cell."""
    step = 0.002 * made.cost * rng.uniform(0.97, 1.03)
    medians = {"step": step, "floor": 0.0015, "ratio": step / 0.0015, "plain": 0.001, "plain_ratio": step / 0.001}
    spread = {name: {"median": m, "q25": 0.97 * m, "q75": 1.05 * m, "n": 30} for name, m in medians.items()}
    for name in ("ratio", "plain_ratio"):
        spread[name]["log_se"] = 0.02
    loads = {"tries": 1, "load_before": 0.4, "load": [0.5, 0.4, 0.3]}
    return record({"kind": "time", "rounds": 30}, where, made, {**spread, **loads, "rows": made.samples})


def find(records: list[Record], kind: str, label: str) -> Record:
    """The first record of a kind and estimator."""
    for found in records:
        if found["config"]["measurement"]["kind"] == kind and found["config"]["estimator"]["label"] == label:
            return found
    raise LookupError(f"no {kind} record of {label}")


def quick() -> list[Record]:
    """Records like those of a small suite, with a failed cell and a diverged seed among them."""
    rng = np.random.default_rng(0)
    gaussian = problem("vae", "digits/gaussian-8/nonlinear", "gaussian")
    records = []
    for where, estimators in ((VAE, BERNOULLI), (gaussian, GAUSSIAN)):
        for made in estimators:
            records += [moments(rng, where, made), train(rng, where, made), timing(rng, where, made)]
    for logit in (0.0, 2.0, 6.0):
        toy = problem("toy", "cubic/bernoulli-4", "bernoulli", logit=logit)
        records += [moments(rng, toy, made) for made in BERNOULLI]
    for scale in (0.1, 0.5):
        toy = problem("toy", "exp/gaussian-1", "gaussian", scale=scale)
        records += [moments(rng, toy, made) for made in GAUSSIAN]
    measured = find(records, "train", "rebar")["measurements"]
    measured["diverged"][1] = 120
    for row in (*(measured["final"][name] for name in ("train_elbo", "test_elbo", "test_iwae")),
                *measured["curve"]["train_elbo"][2:], *measured["curve"]["test_elbo"][2:]):  # fmt: skip
        row[1] = None
    broken = {"status": "failed", "reason": "RuntimeError: a | bar & an_underscore", "measurements": {}}
    find(records, "train", "relax").update(broken)
    return records
