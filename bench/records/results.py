"""What each kind of measurement puts into a record, and a report reads from it.

A value that was not measured is NaN, None or empty; so is one that an earlier release did not record.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from bench.records.values import Number, Part, Unbounded, lengths, ordered

NAN = math.nan


LARGEST_LOG_SE = 300.0
"""Of a logarithm: the ends of its interval are numbers still. What is known no better than that is infinite, null."""


class Ends(Part):
    """An estimate with the ends of its interval."""

    estimate: Number = NAN
    """The value."""
    low: Number = NAN
    """Lower end of its 95 % interval."""
    high: Number = NAN
    """Upper end of its 95 % interval."""

    CORE = ("estimate",)

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """Ends that are not in order; an estimate may lie outside of them, as that of a square below 0 does."""
        return ordered(values, "low", "high")


class Variance(Ends):
    """A variance with its jackknife interval; one draw that carries all of it leaves no upper end.

    An exact one has neither end, and a standard error of 0.
    """

    high: Unbounded = math.inf
    """Upper end of its 95 % interval."""
    log_se: Unbounded = math.inf
    """Standard error of its logarithm."""

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """A variance below 0, or outside of its interval, which is one of its logarithm."""
        known = {"0": 0.0, "the largest": LARGEST_LOG_SE} | dict(values)
        return ordered(known, "0", "low", "estimate", "high") or ordered(known, "0", "log_se", "the largest")

    @model_validator(mode="after")
    def _without_interval(self) -> "Variance":
        if math.isnan(self.estimate):
            self.__dict__.update(log_se=NAN)
        if math.isnan(self.estimate) or (math.isnan(self.low) and self.log_se == 0):
            self.__dict__.update(high=NAN if math.isinf(self.high) else self.high)
        return self


class Noise(Part):
    """How a gradient varies over the estimator's draws."""

    variance: Variance = Variance()
    """Trace of the covariance over the draws."""
    kurtosis: Number = NAN
    """Of the draws' squared distances from their mean; few draws that carry most of it make it large."""
    heavy_tailed: bool = False
    """Whether the variance rests on few draws, so that its interval is optimistic or there is none."""
    halves: tuple[Number, ...] = ()
    """The variance from the first and from the second half of the draws: one chooses, the other judges."""
    halves_log_se: tuple[Unbounded, ...] = ()
    """Standard errors of their logarithms."""

    CORE = ("variance",)

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """Halves without their errors, or more than two; a kurtosis that is none, by which draws are divided."""
        if (kurtosis := values.get("kurtosis")) is not None and not kurtosis > 0:
            return f".kurtosis is {kurtosis:g}, and none is below 1"
        if any(not 0 <= (error or 0) <= LARGEST_LOG_SE for error in values.get("halves_log_se") or ()):
            return ".halves_log_se holds what is no standard error"
        halves = {name: len(found) for name in ("halves", "halves_log_se") if (found := values.get(name)) is not None}
        return lengths(halves, 2, "halves") if any(halves.values()) else ""


class OfParameters(Noise):
    """The gradient with respect to q's parameters."""

    coordinates: Number = NAN
    """Of the gradient."""
    rare_events: Number = NAN
    """Expected number of rare outcomes among the draws at this q; without enough of them there is no interval."""
    gradient_norm: Number = NAN
    """Length of the reference gradient."""
    snr: Number = NAN
    """That length over the standard deviation of a draw."""
    snr_low: Number = NAN
    snr_high: Number = NAN
    cosine: Number = NAN
    """Between a draw and the reference, in the mean over draws."""
    cosine_low: Number = NAN
    cosine_high: Number = NAN
    mse: Number = NAN
    """Variance plus squared bias, as the mean of the draws' squared errors."""
    mse_low: Number = NAN
    mse_high: Unbounded = NAN


class OfEncoder(Noise):
    """The gradient with respect to the encoder's weights."""

    minibatch_variance: Ends = Ends()
    """What the choice of the rows adds, alike for all estimators."""


class Bias(Part):
    """The mean gradient against a reference."""

    squared: Ends = Ends()
    """Squared length of the bias, free of the noise floor, so that it may be negative."""
    relative: Number = NAN
    """Its root over the length of the reference gradient."""
    relative_low: Number = NAN
    relative_high: Number = NAN
    smallest_visible: Number = NAN
    """Smallest relative bias whose interval would have left out 0."""
    reference: str | None = None
    """What the mean is held against: enumeration, quadrature, closed form or a long run."""
    max_z: Number = NAN
    """Largest deviation of a coordinate in standard errors."""
    p_value: Number = NAN
    """Of that one, two-sided, times the number of coordinates that were tested."""
    coordinates: Number = NAN
    """That were tested."""
    untestable: int = 0
    """Coordinates that were not tested, for too few rare outcomes."""
    seldom_moved: int = 0
    """Of the untestable ones those that too few draws move."""


class Point(Part):
    """One estimator at fixed parameters and rows."""

    method: str = "sampled"
    """sampled, from `draws` and with intervals, or exact: by integration over the noise, without either."""
    tolerance: Number = NAN
    """Largest relative error of what is exact."""
    sampled_because: str | None = None
    """Why a point that was to be exact is not."""

    step: int | None = None
    """Of the reference trajectory; None at a toy."""
    trajectory: int | None = None
    """The seed of the reference's training, where there are several."""
    minibatch: int | None = None
    """Which of several; None where there is one trajectory with one minibatch."""
    elbo: float | None = None
    """Of the trajectory there."""
    draws: Number = NAN
    """Of the gradient, independent of each other."""
    rows: Number = NAN
    """Of the minibatch."""
    f_evals: Number = NAN
    """Evaluations of f a row and draw, as counted."""
    q: OfParameters = OfParameters()
    """The gradient in q's parameters."""
    bias: Bias = Bias()
    """Of its mean."""
    encoder: OfEncoder | None = None
    """The gradient in the encoder's weights, where there is one."""

    CORE = ("q",)


class Moments(Part):
    """Variance and bias of an estimator's gradient, a point a checkpoint or one at a toy.

    Where there are several trajectories or minibatches, a point for each of them at each checkpoint.
    """

    points: tuple[Point, ...] = ()
    """In the order of checkpoints."""
    weights: tuple[str, ...] = ()
    """Where weights are kept, the hash of those that each trajectory was measured at."""

    CORE = ("points",)

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """No point, or two of one place."""
        places = [tuple(point.get(key) for key in ("step", "trajectory", "minibatch")) for point in values["points"]]
        if len(set(places)) < len(places):
            return ".points holds two of one checkpoint, trajectory and minibatch"
        return "" if places else ".points is empty"


Elbos = tuple[float | None, ...]
"""A number a seed; None where it is not finite."""


class Curve(Part):
    """Training, evaluated at some steps."""

    step: tuple[int, ...] = ()
    """Steps of the optimiser before each evaluation."""
    f_evals: tuple[int, ...] = ()
    """Evaluations of f of one seed by then, with those by which a decoder is trained by draws of its own."""
    seconds: tuple[float, ...] = ()
    """Of training by then, of all seeds together, without evaluation."""
    train_elbo: tuple[Elbos, ...] = ()
    """In nats a row: a list over seeds at each step."""
    test_elbo: tuple[Elbos, ...] = ()
    """The same on rows of the test split."""

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """Lists of unequal length, or steps that do not ascend."""
        steps = values.get("step") or []
        counts = {name: len(values.get(name) or []) for name in cls.model_fields}
        if any(later <= step for step, later in itertools.pairwise(steps)):
            return ".step does not ascend"
        return lengths(counts, len(steps), "steps")


class Final(Part):
    """The end of training."""

    train_elbo: Elbos = ()
    """The curve's last, a number a seed."""
    test_elbo: Elbos = ()
    """The same on rows of the test split; on all of them where the record does not say on which (`evaluated_rows`)."""
    test_iwae: Elbos = ()
    """K-sample bound on the whole test split."""
    iwae_samples: Number = NAN
    """K."""


ELBOS = ("train_elbo", "test_elbo", "test_iwae")
"""Lists of the end of a training, of a number a seed."""


class Rows(Part):
    """Rows of each split on which the ELBO is evaluated."""

    train: Number = NAN
    """Of the train split."""
    test: Number = NAN
    """Of the test split."""


class Program(Part):
    """What came of compiling the training steps."""

    compiled: bool = False
    """Whether steps were compiled."""
    seconds: float | None = None
    """That compiling took; no clock of steps holds them."""
    because: str | None = None
    """Why they were not compiled."""


class Training(Part):
    """ELBO of seeds trained side by side."""

    seeds: tuple[int, ...] = ()
    """Their numbers, in the order of all lists over seeds."""
    diverged: tuple[int | None, ...] = ()
    """The step at which each seed diverged."""
    rows_per_step: Number = NAN
    """The batch of one seed."""
    evaluated_rows: Rows = Rows()
    """On which the curve is evaluated."""
    captured: bool = False
    """Whether steps were replayed from a CUDA graph."""
    program: Program = Program()
    """Of the compiled steps."""
    resumed: int = 0
    """How often it was stopped and went on from a checkpoint."""
    elsewhere: tuple[str, ...] = ()
    """The machines of its earlier parts that are not the record's own."""
    parameters: Number = NAN
    """Numbers of one model that are trained."""
    curve: Curve = Curve()
    """ELBO along training."""
    final: Final = Final()
    """Bounds at its end."""

    CORE = ("seeds", "curve", "final")

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """Lists that are not of all seeds, a seed that is there twice, or an end that is not the curve's."""
        seeds, curve, final = values["seeds"], values["curve"], values["final"]
        if len(set(seeds)) < len(seeds):
            return ".seeds holds one twice"
        counts = {"diverged": len(values["diverged"])} if values.get("diverged") else {}
        for name in ("train_elbo", "test_elbo"):
            along = curve.get(name) or []
            counts |= {f"curve.{name}[{i}]": len(elbos) for i, elbos in enumerate(along)}
            # In the first release, whose records lack `evaluated_rows`, the test ELBO ended on other rows.
            same = name == "train_elbo" or values.get("evaluated_rows")
            if same and along and final.get(name) and along[-1] != final[name]:
                return f".final.{name} is not the last of curve.{name}"
        counts |= {f"final.{name}": len(ends) for name, ends in final.items() if name in ELBOS and ends}
        return lengths(counts, len(seeds), "seeds")

    @property
    def ends(self) -> Elbos:
        """Final test ELBO of each seed; None for one that diverged or left none."""
        none = (None,) * len(self.seeds)
        pairs = zip(self.final.test_elbo or none, self.diverged or none, self.seeds, strict=False)
        return tuple(end if step is None else None for end, step, _ in pairs)


class Quartiles(Part):
    """Median and quartiles of seconds, or of their ratios round by round."""

    median: Number = NAN
    """The middle one."""
    q25: Number = NAN
    """A quarter lies below."""
    q75: Number = NAN
    """A quarter lies above."""
    n: Number = NAN
    """How many rounds."""

    CORE = ("median",)

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """Quartiles that are not in order, or seconds below 0."""
        return ordered({"0": 0.0} | dict(values), "0", "q25", "median", "q75")


class Ratio(Quartiles):
    """Of a ratio, with the standard error of the logarithm of its median: infinite for few rounds."""

    log_se: Unbounded = NAN
    """Standard error of the logarithm of the median."""

    @classmethod
    def misfit(cls, values: Mapping[str, Any]) -> str:
        """As of quartiles, or a standard error that is none."""
        known = {"0": 0.0, "the largest": LARGEST_LOG_SE} | dict(values)
        return super().misfit(values) or ordered(known, "0", "log_se", "the largest")


class Time(Part):
    """A training step beside its floor and beside a plain step of one evaluation of f."""

    step: Quartiles = Quartiles()
    """Seconds of the estimator's training step."""
    floor: Quartiles = Quartiles()
    """Seconds of its floor: the same passes, with samples and learning signal given."""
    plain: Quartiles = Quartiles()
    """Seconds of a step with one evaluation of f."""
    ratio: Ratio | None = None
    """Step over floor, round by round."""
    plain_ratio: Ratio | None = None
    """Step over plain step, round by round."""
    rows: Number = NAN
    """Evaluations of f a row of the estimate; those of a decoder that is trained by draws of its own are beside it."""
    captured: bool = False
    """Whether the step was replayed from a CUDA graph."""
    eager_because: str | None = None
    """Why it was not."""
    program: Program = Program()
    """Of the compiled step, where one was timed beside the others."""
    compiled: Quartiles | None = None
    """The compiled step."""
    compiled_ratio: Ratio | None = None
    """How many times as long the step takes that is not compiled."""
    kernels: float | None = None
    """Seconds of a step's kernels; None on the CPU."""
    peak_memory_bytes: int | None = None
    """Of the device, where it counts them."""
    tries: Number = NAN
    """How often it was timed, for a busy machine."""
    load_before: Number = NAN
    """The machine's load average before."""
    load: tuple[float, ...] = ()
    """And after."""

    CORE = ("step",)


MODELS: Mapping[str, type[Part]] = {"moments": Moments, "time": Time, "train": Training}
"""What records of each kind hold; those of a measurement that a person added hold what that says."""
