"""The records: round numbers, all different, so that a wrong column, row, unit, sign or order shows.

What a table below does not state follows from a number k of its row: a point's 20 + k rows, its kurtosis 1 + k / 8,
or of heavy tails 52 + k / 8, above a 20th of 1000 draws; its halves, k / 64 of the variance below and above it.
An interval that nothing is computed from reaches from 3/4 of its estimate to 3/2 of it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Record = dict[str, Any]


class Made(NamedTuple):
    """An estimator's label, number of samples and tag."""

    label: str
    samples: int = 2
    unbiased: bool = True

    @property
    def name(self) -> str:
        return self.label.split("[")[0]


def toy(label: str, **more: Any) -> Record:
    return {"kind": "toy", "label": label, **more}


def vae(label: str, dataset: str, family: str, **more: Any) -> Record:
    return {"kind": "vae", "label": label, "dataset": dataset, "family": family, "latents": 3, **more}


def record(kind: str, where: Record, made: Made, measured: Any = None, **changes: Any) -> Record:
    """One record; changes go to its top, and to `measurement` and `provenance` key by key."""
    estimator = {"label": made.label, "name": made.name, "samples": made.samples, "options": {}}
    measurement = {"kind": kind, **changes.pop("measurement", {})}
    provenance = {
        "host": "left",
        "gpu": None,
        "cores": 2,
        "load": [0.5, 0.25, 0.125],
        "torch": "2.13.0",
        "build_of": "cpu",
    }
    provenance |= {"dirty": False, "estimator_source": f"source of {made.name}", **changes.pop("provenance", {})}
    config = {"measurement": measurement, "problem": where, "estimator": estimator, "device": "cpu", "threads": 1}
    config |= {key: changes.pop(key) for key in ("device", "threads") if key in changes}
    # Ids whose order is nobody's.
    order = hashlib.sha256(json.dumps([config, provenance["host"]], sort_keys=True).encode()).hexdigest()[:4]
    whole = {
        "schema": 1,
        "cell": f"{order}-{kind}-{made.name}",
        "status": "ok",
        "reason": None,
        "started": "2026-01-02T03:04:05",
        "seconds": 30.0,
        "config": config,
        "tags": {"unbiased": made.unbiased},
        "measurements": {} if measured is None else measured,
        "provenance": provenance,
        **changes,
    }
    return dict(json.loads(json.dumps(whole)))  # as it comes from a file


def around(estimate: float | None, **more: Any) -> Record:
    """An estimate from whose interval nothing is computed."""
    if estimate is None:
        return {"estimate": None, "low": None, "high": None, **more}
    return {"estimate": estimate, "low": 0.75 * estimate, "high": 1.5 * estimate, **more}


def bias(k: int, p: float | None = None, **more: Any) -> Record:
    """A measured bias of k / 1024 of the gradient, that k / 256 would have been told from 0."""
    return {
        "squared": {"estimate": k / 64, "low": -k / 128, "high": k / 32},
        "relative": k / 1024,
        "relative_low": k / 2048,
        "relative_high": k / 512,
        "smallest_visible": k / 256,
        "max_z": 2 + k / 16,
        "p_value": 0.25 + k / 1024 if p is None else p,
        "coordinates": 90 + k,
        "untestable": 0,
        "seldom_moved": 0,
        "reference": "enumeration",
        **more,
    }


def point(
    k: int,
    variance: float,
    log_se: float | None,
    own_bias: Record | None = None,
    *,
    step: int | None = None,
    **more: Any,
) -> Record:
    """One measured point; only a checkpoint has an encoder and an ELBO."""
    draws, f_evals, mse, norm, heavy = (
        more.pop(name, default)
        for name, default in (("draws", 1000), ("f_evals", 2), ("mse", variance + 1), ("norm", 2.0), ("heavy", False))
    )
    assert not more, more
    encoder = {
        "variance": around(k + 0.5, log_se=0.05) | ({"high": None, "log_se": None} if log_se is None else {}),
        "kurtosis": (52 if k % 10 == 6 else 2) + k / 8,
        "heavy_tailed": k % 10 == 6,
        "minibatch_variance": around(3.0 * k),
    }
    high = None if log_se is None else 1.5 * variance
    q = {
        "variance": {"estimate": variance, "low": 0.75 * variance, "high": high, "log_se": log_se},
        "halves": [variance * (1 - k / 64), variance * (1 + k / 64)],
        "halves_log_se": [None if log_se is None else 1.5 * log_se] * 2,
        "kurtosis": 52 + k / 8 if heavy else 1 + k / 8,
        "heavy_tailed": heavy,
        "coordinates": 100 + k,
        "gradient_norm": norm,
        "snr": k / 64,
        "cosine": k / 128,
        "mse": mse,
    }
    place = {"step": step, "elbo": None if step is None else -30.0 - k, "draws": draws, "rows": 20 + k}
    encoder_or_none = None if step is None else encoder
    return {**place, "f_evals": f_evals, "q": q, "bias": own_bias or bias(k), "encoder": encoder_or_none}


def clock(median: float, n: int, **more: Any) -> Record:
    return {"median": median, "q25": 0.75 * median, "q75": 1.5 * median, "n": n, **more}


def timed(
    k: int, step: float, floor: float, ratio: tuple[float, float | None],
    plain: float, cost: tuple[float, float | None], **more: Any,
) -> Record:  # fmt: skip
    """Measured times, in milliseconds; ratio to the floor and cost in plain steps with their log standard errors."""
    return {
        "step": clock(step / 1000, 40 + k),
        "floor": clock(floor / 1000, 50 + k),
        "ratio": clock(ratio[0], 60 + k, log_se=ratio[1]),
        "plain": clock(plain / 1000, 70 + k),
        "plain_ratio": clock(cost[0], 80 + k, log_se=cost[1]),
        "rows": 10 + k,
        "tries": k,
        "load_before": k / 8,
        "load": [k / 4, 9.0, 9.0],
        **more,
    }


def trained(
    k: int,
    test: Mapping[int, float | None],
    gaps: Sequence[float | None],
    diverged: Mapping[int, int],
    iwae_samples: int = 64,
) -> Record:
    """A training of some seeds: seed -> final test ELBO, train minus test ELBO, seed -> step at which it diverged."""
    ends = list(test.values())
    train = [None if end is None or gap is None else end + gap for end, gap in zip(ends, gaps, strict=True)]
    steps = [0, 50, 200]
    curve = {
        name: [[start + 10.0 * i + j + k / 8 for j in range(len(test))] for i in range(len(steps))]
        for name, start in (("train_elbo", -200.0), ("test_elbo", -300.0))
    }
    for values in curve.values():
        for j, seed in enumerate(test):
            for i in range(len(steps)):
                values[i][j] = None if diverged.get(seed, 999) <= steps[i] else values[i][j]  # type: ignore[call-overload]
    return {
        "seeds": list(test),
        "diverged": [diverged.get(seed) for seed in test],
        "rows_per_step": 30 + k,
        "evaluated_rows": {"train": 500 + k, "test": 60 + k},
        "parameters": 7000 + k,
        "curve": {"step": steps, "seconds": [0.0, k / 4, k / 2 + 8], "f_evals": [0, 100 * k, 400 * k], **curve},
        "final": {
            "train_elbo": train,
            "test_elbo": ends,
            "test_iwae": [None if end is None else end + 0.25 * k for end in ends],
            "iwae_samples": iwae_samples,
        },
    }


RLOO, DISARM, BITFLIP, EXACT = Made("rloo"), Made("disarm"), Made("bitflip", 3), Made("exact", 1)
REBAR = Made("rebar[temperature=0.5,tied=true]", 3)
RELAX = Made("relax[eta=none]", 3)
STRAIGHT = Made("straight-through[hard_forward=false]", 1, unbiased=False)
ODD = Made("a_b[c=%&#|<x>$]", 4)
PATHWISE, WEAK = Made("pathwise", 5), Made("weak-derivative", 5)
REASON = "ValueError: 100 % of x_1 & y #2 | z < 0,\n<b>*no*</b> `q` {$1} ~ ^"

DIGITS = vae("digits/bernoulli-3/8", "digits", "bernoulli", bound="elbo", entropy="sampled")
GAUSSIAN = vae("mnist/gaussian-3", "mnist-static", "gaussian", bound="iwae", entropy="analytic")

ROUNDED = bias(1, 1.0, relative=1e-8, relative_low=0.0, relative_high=2e-8, smallest_visible=3e-8)
CAUGHT = bias(21, 1e-9, relative=0.25, relative_low=0.125, relative_high=0.5)
UNSURE = bias(31, 2e-17), bias(32, 5e-4)
NEVER = bias(33, untestable=5, seldom_moved=2, squared={"estimate": 0.5, "low": None, "high": None}, p_value=None)
SOME = bias(36, 1e-20, relative=0.125, relative_low=0.0625, relative_high=0.25, seldom_moved=4, untestable=4)
MUCH = bias(37, 3e-5, relative=0.5, relative_low=0.25, relative_high=1.0, untestable=7)

CHECKPOINTS = [  # at the last of which efficiencies are taken
    (RLOO, [point(1, 16, 0.03, step=0), point(2, 32, 0.06, step=100), point(3, 8, 0.03, step=1000, mse=10)]),
    (DISARM, [point(4, 4, 0.04, step=0), point(5, 16, 0.08, step=100), point(6, 6, 0.04, step=1000, mse=5, f_evals=4)]),
    (REBAR, [point(11, 12, 0.04, step=0), point(12, 24, 0.06, step=100), point(13, 2, 0.12, step=1000, f_evals=6)]),
    (RELAX, [point(20, 20, 0.04, step=0), point(21, 40, 0.06, CAUGHT, step=100), point(22, 2.25, 0.05, step=1000)]),
    (BITFLIP, [point(31, 64, 0.25, UNSURE[0], step=0, heavy=True),
               point(32, 128, None, UNSURE[1], step=100, heavy=True), point(33, 0, 0.0, NEVER, step=1000)]),
    (STRAIGHT, [point(34, 1, 0.07, step=0) | {"bias": bias(34, relative_low=0.0)}, point(36, 1.5, 0.07, SOME, step=100),
                point(37, 0.5, 0.07, MUCH, step=1000, mse=4.5, f_evals=1)]),
    (EXACT, [point(41, 0, 0.0, ROUNDED, step=s, mse=0.0, f_evals=8) for s in (0, 100, 1000)]),
]  # fmt: skip
TRAININGS = [
    (RLOO, trained(1, {3: -100.0, 5: -102.0, 7: -104.0, 11: -106.0, 13: -90.0}, [1.0, 2.0, 3.0, 4.5, 5.0], {13: 40})),
    (DISARM, trained(2, {3: -98.0, 5: -99.0, 7: -101.0, 11: -104.0, 13: -97.0}, [20.0, 21.0, 22.0, 24.0, None], {})),
    (REBAR, trained(3, {3: -97.0, 5: None, 7: -99.5, 11: None, 13: -100.0}, [0.5, None, 1.5, None, 3.5], {5: 120})),
    (EXACT, trained(4, {3: -96.0, 7: -98.0, 13: -97.0}, [2.0, 3.0, 7.0], {})),
    (STRAIGHT, trained(5, {7: -120.0}, [6.0], {})),
    (BITFLIP, trained(6, {3: None, 5: None}, [None, None], {3: 10, 5: 0})),
]
TIMES = [  # the median plain step is the 4 ms of straight-through
    (RLOO, timed(1, 6, 4, (1.5, 0.01), 1, (6, 0.04))),
    (DISARM, timed(2, 8, 5, (1.75, 0.02), 2, (4, 0.09), captured=True, kernels=0.0025, peak_memory_bytes=123_400_000)),
    (REBAR, timed(3, 10, 16, (0.625, 0.03), 3, (2, 0.01), load=[2.5, 1.0, 1.0])),
    (STRAIGHT, timed(4, 3, 2, (1.25, 0.05), 4, (1.5, None))),
    (
        RELAX,
        timed(
            5,
            12,
            7,
            (1.6, 0.05),
            5,
            (8, 0.03),
            compiled=clock(0.003, 90),
            compiled_ratio=clock(4, 91, log_se=0.1),
            program={"compiled": True, "seconds": 12.5, "because": None},
        ),
    ),
    (BITFLIP, timed(6, 14, 9, (1.4, 0.05), 6, (3, 0.07))),
    (EXACT, timed(7, 20, 11, (1.9, 0.05), 8, (16, 0.05))),
]

DRIVEN = {"measurement": {"reference": {"label": "rloo", "samples": 2}}}
BATCH = {"measurement": {"optimisation": {"batch": 40}, "stacked": 2}}
QUICK = [
    *(record("moments", DIGITS, made, {"points": points}, **DRIVEN) for made, points in CHECKPOINTS),
    *(record("train", DIGITS, made, measured, seconds=45.0) for made, measured in TRAININGS),
    *(record("time", DIGITS, made, measured, seconds=12.0, **BATCH) for made, measured in TIMES),
    record("moments", DIGITS, ODD, status="failed", reason=REASON, **DRIVEN),
    record("train", DIGITS, RELAX, status="out of memory", reason=None, started=None),
    record(
        "time",
        DIGITS,
        ODD,
        status="failed",
        reason=REASON,
        started="2026-01-02T01:02:03",
        provenance={"load": [9.0]},
        **BATCH,
    ),
    record("moments", GAUSSIAN, PATHWISE, {"points": [point(43, 3, 0.05, step=0)]}, provenance={"torch": "2.12.1"}),
    record("moments", GAUSSIAN, WEAK, {"points": [point(44, 6, 0.12, step=0)]}, provenance={"gpu": "H100"}),
    record(
        "train", GAUSSIAN, PATHWISE, trained(7, {1: -80.0, 2: -82.0}, [1.0, 2.5], {}), started="2026-03-04T05:06:07"
    ),
    record("train", GAUSSIAN, WEAK, trained(8, {3: -85.0, 4: -88.0}, [2.0, 4.5], {}, iwae_samples=8)),
    record("time", GAUSSIAN, WEAK, timed(8, 2, 1, (2, 0.05), 0.5, (4, 0.05))),
]

MEAN, FOUR = Made("rloo[baseline=mean]"), Made("rloo", 4)


def cubic(logit: float) -> Record:
    return toy("cubic/bernoulli-3", family="bernoulli", bound="elbo", logit=logit, scale=None)


def exponential(scale: float) -> Record:
    return toy("exp/gaussian-1", family="gaussian", logit=None, scale=scale)


def at(where: Record, made: Made, measured: Record, **changes: Any) -> Record:
    """A moments cell of one point."""
    return record("moments", where, made, {"points": [measured]}, **changes)


PLAIN = toy("plain")
TOYS = [
    at(cubic(0.0), RLOO, point(1, 4, 0.03)),
    at(cubic(-2.0), RLOO, point(2, 8, 0.03)),
    at(cubic(5.0), RLOO, point(3, 64, 0.06, norm=0.25)),
    at(cubic(0.0), FOUR, point(4, 6, 0.04)),
    at(cubic(-2.0), FOUR, point(5, 12, 0.04)),
    at(cubic(5.0), FOUR, point(6, 16, 0.08)),
    at(cubic(0.0), MEAN, point(7, 10, 0.04)),
    at(cubic(-2.0), MEAN, point(8, 20, 0.04)),
    at(cubic(5.0), MEAN, point(9, 48, 0.08)),
    at(cubic(0.0), DISARM, point(10, 5, 0.05)),
    record("moments", cubic(-2.0), DISARM, status="failed", reason="MemoryError"),
    at(cubic(5.0), STRAIGHT, point(11, 0.25, 0.08)),
    at(exponential(0.5), PATHWISE, point(13, 2, 0.04)),
    at(exponential(0.125), PATHWISE, point(14, 3, 0.12)),
    at(exponential(0.5), RLOO, point(15, 8, 0.03)),
    at(exponential(0.25), PATHWISE, point(12, 4, 0.04)),
    at(exponential(0.25), RLOO, point(19, 8, 0.03)),
    at(exponential(0.125), WEAK, point(16, 6, 0.05)),
    at(PLAIN, EXACT, point(17, 0, 0.0, ROUNDED)),
    at(PLAIN, STRAIGHT, point(18, 9, 0.06, SOME)),
]  # fmt: skip

# Records of earlier releases, without the newer keys.
OLDER = {"kind": "vae", "label": "older", "family": "categorical"}


def older_point(draws: int, variance: float, log_se: float, own_bias: Record) -> Record:
    """One checkpoint; of its intervals of the squared bias half the width is 1 or 4, of a gradient of norm 4."""
    q = {"variance": {"estimate": variance, "low": variance / 2, "high": variance * 2, "log_se": log_se}}
    return {"step": 7, "draws": draws, "q": {**q, "gradient_norm": 4.0}, "bias": own_bias}


def older_bias(low: float, high: float) -> Record:
    return {"squared": {"estimate": 0.75, "low": low, "high": high}, "relative": 0.125, "relative_low": 0.0,
            "relative_high": 0.5, "max_z": 1.5, "p_value": 0.75}  # fmt: skip


def older_clock(step: float, ratio: float, plain: float, cost: float) -> Record:
    """In milliseconds; no noise of a clock, no load."""
    return {"step": clock(step / 1000, 30), "floor": clock(0.004, 30), "ratio": clock(ratio, 30),
            "plain": clock(plain / 1000, 30), "plain_ratio": clock(cost, 30)}  # fmt: skip


def older_training(test: Sequence[float]) -> Record:
    final = {"train_elbo": [end + 2.0 for end in test], "test_elbo": list(test)}
    curve = {"step": [0, 10], "seconds": [0.0, 4.0], "f_evals": [0, 50]}
    both = {name: [[-70.0] * len(test), [-60.0] * len(test)] for name in ("train_elbo", "test_elbo")}
    return {"seeds": list(range(len(test))), "diverged": [None] * len(test), "curve": {**curve, **both}, "final": final}


def problem(label: str, **more: Any) -> Record:
    return vae(label, "digits", "bernoulli", bound="elbo", entropy="sampled", **more)


BUSY, OWN, DEVICES = problem("busy"), problem("own"), problem("devices")
TWINS = problem("twin"), problem("twin") | {"latents": 4, "entropy": "analytic"}
BOUND = problem("bound") | {"bound": "iwae"}
TOY = toy("a-toy")
LOADED = {"provenance": {"load": [3.5, 9.0, 9.0], "cores": 4}}
SAME, LONE = (Made(f"same[{key}=x]") for key in ("b", "c"))
LESS = {"started": "2026-01-01T00:00:00", "folder": "runs/one"}

FAST = older_clock(2, 0.5, 1, 2)
MIXED = [
    record(
        "moments", OLDER, RLOO, {"points": [older_point(500, 8, 0.03, older_bias(-0.5, 1.5))]}, tags={"unbiased": True}
    ),
    record("moments", OLDER, DISARM, {"points": [older_point(600, 2, 0.04, older_bias(-1.0, 7.0))]}),
    record("moments", OLDER, WEAK, {"points": [older_point(700, 4, 0.12, {})]}, tags=None),
    record("train", OLDER, RLOO, older_training([-60.0, -62.0, -64.0])),
    record("train", OLDER, DISARM, older_training([-50.0, -53.0, -56.0]), measurement={"seeds": 3}),
    record("time", OLDER, RLOO, older_clock(6, 1.25, 3, 4), **LOADED),
    record("time", OLDER, DISARM, FAST, **LOADED),
    at(BUSY, RLOO, point(1, 8, 0.03, step=3)),
    at(BUSY, DISARM, point(2, 4, 0.04, step=3)),
    record("time", BUSY, RLOO, timed(1, 6, 4, (1.5, 0.01), 1, (6, 0.04), load=[2.25])),
    record("time", BUSY, DISARM, timed(2, 8, 5, (1.75, 0.02), 2, (3, 0.12), load=[2.0])),
    record("time", BUSY, BITFLIP, timed(9, 9, 5, (1.8, 0.02), 3, (5, 0.12), load=[4.5]), provenance={"cores": 4}),
    at(OWN, RLOO, point(3, 2, 0.03, step=3)),
    at(OWN, DISARM, point(4, 8, 0.04, step=3, heavy=True), provenance={"estimator_source": "another"}),
    at(OWN, STRAIGHT, point(17, 3, 0.04, bias(17, relative_low=0.0), step=3)),
    at(OWN, BITFLIP, {"step": 3, "draws": 50, "q": {"variance": around(None, log_se=None)}}),
    record("time", OWN, RLOO, timed(3, 6, 4, (1.5, 0.01), 1, (6, 0.04))),
    record("time", OWN, DISARM, timed(4, 8, 5, (1.75, 0.02), 2, (4, 0.09))),
    # Two devices, and two numbers of draws: a time takes the moments of its device, then those of most draws.
    at(DEVICES, RLOO, point(5, 8, 0.03, step=3, draws=4000)),
    at(DEVICES, RLOO, point(6, 16, 0.03, step=3, draws=2000), measurement={"draws": 2000}),
    at(DEVICES, RLOO, point(7, 32, 0.06, step=3, draws=1000), device="cuda"),
    at(DEVICES, DISARM, point(8, 64, 0.04, step=3, draws=4000)),
    at(DEVICES, DISARM, point(9, 2, 0.08, step=3, draws=1000), device="cuda"),
    record("time", DEVICES, RLOO, timed(5, 6, 4, (1.5, 0.01), 1, (6, 0.04)), device="cuda"),
    record("time", DEVICES, DISARM, timed(6, 8, 5, (1.75, 0.02), 1, (3, 0.09)), device="cuda"),
    record("time", DEVICES, RLOO, timed(7, 6, 4, (1.5, 0.01), 1, (6, 0.04)), threads=2),
    record("time", DEVICES, DISARM, timed(8, 8, 5, (1.75, 0.02), 1, (3, 0.09)), threads=2, provenance={"gpu": "H100"}),
    # Names.
    at(TWINS[0], SAME, point(10, 8, 0.03, step=3)),
    at(TWINS[1], LONE, point(11, 8, 0.03, step=3)),
    at(TWINS[1], LONE, point(12, 16, 0.03, step=3), measurement={"warm_up": 5}),
    at(BOUND, PATHWISE, point(13, 8, 0.03, step=3, heavy=True)),
    at(BOUND, PATHWISE._replace(samples=2), point(14, 8, 0.03, step=3)),
    at(TOY, RLOO, point(15, 8, 0.03)),
    at(TOY, DISARM, point(18, 16, 0.04)),
    record("train", TOY, RLOO, older_training([-6.0, -8.0, -10.0]) | {"diverged": [None, 5, None]}),
    record("time", TOY, RLOO, timed(10, 6, 9, (0.5, 0.04), 1, (2, 0.04), load=[2.75])),
    record("time", TOY, DISARM, timed(8, 9, 4, (1.5, 0.01), 1, (3, 0.03))),
    # Records that others of the same thing stand for.
    at(BUSY, RLOO, point(16, 1, 0.03, step=3), **LESS),
    record("time", OWN, DISARM, status="failed", reason="late", started="2027-01-01", folder="runs/two"),
]
