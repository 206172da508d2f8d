"""What published numbers were measured of: every factor explicit, one class a setting.

A cell's protocol is that of its table with the factors that the cell names. Its hash stands beside every number.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    """A frozen part of a table, in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CategoricalQuadratic(Part):
    """z' A z + b' z of one categorical latent, one-hot; gradient with respect to its logits eta.

    Drawn in single precision by `torch.manual_seed(seed)`: Q = randn(d, d), A = Q'Q, b = randn(d), eta = randn(d).
    Squared bias and variance (summed over coordinates) are those of the estimate once its mean has been rescaled to the
    length of the true gradient.
    """

    kind: Literal["categorical-quadratic"]
    classes: Annotated[int, Field(ge=2, le=64)]
    seed: Annotated[int, Field(ge=0)]
    quantities: ClassVar[tuple[str, ...]] = ("squared bias", "variance")


class GaussianCost(Part):
    """(x - k)^2, exp(-k x^2) or cos(k x) under a Normal; one draw's gradient with respect to its mean and deviation."""

    kind: Literal["gaussian-cost"]
    cost: Literal["square", "exp", "cos"]
    k: float
    mean: float
    deviation: Annotated[float, Field(gt=0)]
    quantities: ClassVar[tuple[str, ...]] = ("variance in mu", "variance in sigma")

    @model_validator(mode="after")
    def _integrable(self) -> "GaussianCost":
        if self.cost == "exp" and self.k < 0:
            raise ValueError(f"exp(-k x^2) has no mean at k = {self.k:g}: give k >= 0")
        return self


class OneBit(Part):
    """(b - target)^2 of one bit; the variance of the gradient with respect to its logit, from so many evaluations of f.

    A curve that was read from a figure is the mean over `columns` columns of pixels around `chance`, `column` apart.
    """

    kind: Literal["one-bit"]
    target: float
    chance: Annotated[float, Field(gt=0, lt=1)]
    evaluations: Annotated[int, Field(ge=1, le=64)]
    columns: Annotated[int, Field(ge=1, le=99)]
    column: Annotated[float, Field(ge=0, lt=0.05)]
    quantities: ClassVar[tuple[str, ...]] = ("variance",)

    @model_validator(mode="after")
    def _inside(self) -> "OneBit":
        reach = self.column * (self.columns - 1) / 2
        if not 0 < self.chance - reach <= self.chance + reach < 1:
            raise ValueError(f"columns reach {reach:g} around chance {self.chance:g}, beyond 0 or 1")
        return self


class ManyBits(Part):
    """The mean over bits of (b_i - target)^2, all at one logit; the variance of the gradient, mean over coordinates."""

    kind: Literal["many-bits"]
    latents: Annotated[int, Field(ge=1, le=4096)]
    target: float
    logit: float
    evaluations: Annotated[int, Field(ge=1, le=64)]
    quantities: ClassVar[tuple[str, ...]] = ("variance",)


class OneBitDescent(Part):
    """Adam on the logit of one bit, to minimise E (b - target)^2; the exact loss before the update of number `step`.

    `lacks_factor`: the gradient is divided by 1 - sigmoid(logit), a factor that a program left out.
    """

    kind: Literal["one-bit-descent"]
    target: float
    logit: float
    learning_rate: Annotated[float, Field(gt=0)]
    step: Annotated[int, Field(ge=0, le=100_000)]
    lacks_factor: bool
    quantities: ClassVar[tuple[str, ...]] = ("loss",)


class CategoricalDescent(Part):
    """Adam on the logits of categorical latents, to minimise the mean over latents of E |v - target|^power.

    v is the value of the class that is drawn: with "integers" its number among 0 to 1 in equal steps, with "random" one
    of randn(classes) under `torch.manual_seed(0)`, moved and scaled so that the least is 0 and the largest 1. Logits
    start uniform in (-reach, reach). A step has so many draws of every latent; the loss of an epoch is the mean of f
    over its steps, their draws and all latents. Epochs count from 1.
    """

    kind: Literal["categorical-descent"]
    embedding: Literal["integers", "random"]
    classes: Annotated[int, Field(ge=2, le=64)]
    target: float
    power: Annotated[float, Field(ge=1, le=8)]
    reach: Annotated[float, Field(gt=0)]
    latents: Annotated[int, Field(ge=2, le=4096)]
    draws: Annotated[int, Field(ge=1, le=64)]
    learning_rate: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1, le=10_000)]
    epoch: Annotated[int, Field(ge=1, le=1000)]
    quantities: ClassVar[tuple[str, ...]] = ("loss",)


Protocol = Annotated[
    CategoricalQuadratic | GaussianCost | OneBit | ManyBits | OneBitDescent | CategoricalDescent,
    Field(discriminator="kind"),
]
