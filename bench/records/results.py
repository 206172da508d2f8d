"""What each kind of measurement puts into a record, and a report reads from it.

A value that was not measured is NaN, None or empty; so is one that an earlier release did not record.
"""

import math

from pydantic import model_validator

from bench.records.values import Number, Part, Unbounded

NAN = math.nan


class Ends(Part):
    """An estimate with the ends of its interval."""

    estimate: Number = NAN
    low: Number = NAN
    high: Number = NAN


class Variance(Ends):
    """A variance with its jackknife interval; one draw that carries all of it leaves no upper end.

    An exact one has neither end, and a standard error of 0.
    """

    high: Unbounded = math.inf
    log_se: Unbounded = math.inf
    """Standard error of its logarithm."""

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
    kurtosis: Number = NAN
    heavy_tailed: bool = False
    """Whether the variance rests on few draws, so that its interval is optimistic or there is none."""
    halves: tuple[Number, ...] = ()
    """The variance from the first and from the second half of the draws: one chooses, the other judges."""
    halves_log_se: tuple[Unbounded, ...] = ()
    """Standard errors of their logarithms."""


class OfParameters(Noise):
    """The gradient with respect to q's parameters."""

    coordinates: Number = NAN
    rare_events: Number = NAN
    """Expected number of rare outcomes among the draws at this q; without enough of them there is no interval."""
    gradient_norm: Number = NAN
    snr: Number = NAN
    snr_low: Number = NAN
    snr_high: Number = NAN
    cosine: Number = NAN
    cosine_low: Number = NAN
    cosine_high: Number = NAN
    mse: Number = NAN
    mse_low: Number = NAN
    mse_high: Unbounded = NAN
    """Ends of 95 % intervals, as those of the variance."""


class OfEncoder(Noise):
    """The gradient with respect to the encoder's weights."""

    minibatch_variance: Ends = Ends()
    """What the choice of the rows adds, alike for all estimators."""


class Bias(Part):
    """The mean gradient against a reference."""

    squared: Ends = Ends()
    relative: Number = NAN
    relative_low: Number = NAN
    relative_high: Number = NAN
    smallest_visible: Number = NAN
    reference: str | None = None
    max_z: Number = NAN
    p_value: Number = NAN
    coordinates: Number = NAN
    """That were tested."""
    untestable: int = 0
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
    minibatch: int | None = None
    """Which of several; None where there is one trajectory with one minibatch."""
    elbo: float | None = None
    """Of the trajectory there."""
    draws: Number = NAN
    rows: Number = NAN
    f_evals: Number = NAN
    q: OfParameters = OfParameters()
    bias: Bias = Bias()
    encoder: OfEncoder | None = None


class Moments(Part):
    """Variance and bias of an estimator's gradient, a point a checkpoint or one at a toy.

    Where there are several trajectories or minibatches, a point for each of them at each checkpoint.
    """

    points: tuple[Point, ...] = ()
    weights: tuple[str, ...] = ()
    """Where weights are kept, the hash of those that each trajectory was measured at."""


Elbos = tuple[float | None, ...]
"""A number a seed; None where it is not finite."""


class Curve(Part):
    """Training, evaluated at some steps."""

    step: tuple[int, ...] = ()
    f_evals: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    train_elbo: tuple[Elbos, ...] = ()
    test_elbo: tuple[Elbos, ...] = ()


class Final(Part):
    """The end of training."""

    train_elbo: Elbos = ()
    test_elbo: Elbos = ()
    test_iwae: Elbos = ()
    iwae_samples: Number = NAN


class Rows(Part):
    """Rows of each split on which the ELBO is evaluated."""

    train: Number = NAN
    test: Number = NAN


class Program(Part):
    """What came of compiling the training steps."""

    compiled: bool = False
    seconds: float | None = None
    """That compiling took; no clock of steps holds them."""
    because: str | None = None
    """Why they were not compiled."""


class Training(Part):
    """ELBO of seeds trained side by side."""

    seeds: tuple[int, ...] = ()
    diverged: tuple[int | None, ...] = ()
    """The step at which each seed diverged."""
    rows_per_step: Number = NAN
    evaluated_rows: Rows = Rows()
    captured: bool = False
    program: Program = Program()
    resumed: int = 0
    """How often it was stopped and went on from a checkpoint."""
    elsewhere: tuple[str, ...] = ()
    """The machines of its earlier parts that are not the record's own."""
    parameters: Number = NAN
    curve: Curve = Curve()
    final: Final = Final()

    @property
    def ends(self) -> Elbos:
        """Final test ELBO of each seed; None for one that diverged or left none."""
        none = (None,) * len(self.seeds)
        pairs = zip(self.final.test_elbo or none, self.diverged or none, self.seeds, strict=False)
        return tuple(end if step is None else None for end, step, _ in pairs)


class Quartiles(Part):
    """Median and quartiles of seconds, or of their ratios round by round."""

    median: Number = NAN
    q25: Number = NAN
    q75: Number = NAN
    n: Number = NAN


class Ratio(Quartiles):
    """Of a ratio, with the standard error of the logarithm of its median: infinite for few rounds."""

    log_se: Unbounded = NAN


class Time(Part):
    """A training step beside its floor and beside a plain step of one evaluation of f."""

    step: Quartiles = Quartiles()
    floor: Quartiles = Quartiles()
    plain: Quartiles = Quartiles()
    ratio: Ratio | None = None
    plain_ratio: Ratio | None = None
    rows: Number = NAN
    """Evaluations of f a row."""
    captured: bool = False
    eager_because: str | None = None
    program: Program = Program()
    """Of the compiled step, where one was timed beside the others."""
    compiled: Quartiles | None = None
    """The compiled step."""
    compiled_ratio: Ratio | None = None
    """How many times as long the step takes that is not compiled."""
    kernels: float | None = None
    """Seconds of a step's kernels; None on the CPU."""
    peak_memory_bytes: int | None = None
    tries: Number = NAN
    load_before: Number = NAN
    load: tuple[float, ...] = ()
