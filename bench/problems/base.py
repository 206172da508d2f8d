"""What a problem must say of itself, once and in one file.

A problem is a table of a suite: a class with settings, registered under the word that the suite gives as `kind`. There
are two sorts, and a measurement asks for the one it needs:

    PointProblem      a q that stays where it is, with its f; the exact gradient where it is known
    TrainedProblem    a model that is trained on a data set, and whose encoder makes q
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator
from torch import Tensor
from torch.distributions import Distribution

from bench.bounds import AtMost, Word
from bench.config import Config, EstimatorConfig
from bench.datasets import Dataset, load_once
from bench.problems.model import Model
from bench.problems.widths import Widths
from bench.registry import Registry
from estimators import registry
from estimators.base import Estimator, Objective
from estimators.bounds import Bound
from estimators.exact import NODES, expectation
from estimators.families import FAMILIES, Family, family_named
from estimators.families.quadrature import MAX_STATES
from estimators.registry import load_all

ENUMERATION = "enumeration"
"""Of all joint states: the way to an exact gradient that asks nothing of a problem."""


def _known(name: str) -> str:
    """The name of a family, if it is known.

    Raises:
        BadInput: it is not.
    """
    load_all()
    family_named(name)
    return name


FamilyName = Annotated[Word, AfterValidator(_known)]
"""A family's name, or module:Class."""


class Problem(Config):
    """What every problem says. Fields must be hashable: tuples rather than lists."""

    kind: Word
    """The word in the suite that chose the class: its registered name, or module:Class."""
    family: FamilyName
    latents: Annotated[int, Field(ge=1), AtMost(10**6, "q holds numbers for each of them")]
    categories: Annotated[int, Field(ge=2), AtMost(1024, "q holds a number for each of them")] | None = None
    label: Word = ""
    """Names the problem in tables and must tell it from the others of a suite; filled in where it is not given."""

    cost: ClassVar[int] = 1
    """Rough work of one of its cells, which decides the order of a run and the time left that is shown."""
    only_on_cpu: ClassVar[bool] = False
    """Whether its cells run on the CPU whatever the device of the suite."""
    plural: ClassVar[str] = "such problems"
    """What several of them are called in a message."""

    if TYPE_CHECKING:  # a field of some classes and a property of others

        @property
        def bound(self) -> Bound:
            """The loss that gradients are estimated of: E_q[f], or the importance-weighted bound made of the same f."""
            raise NotImplementedError

        @property
        def importance_samples(self) -> int | None:
            """K of the importance-weighted bound, None for the ELBO."""
            raise NotImplementedError

    @model_validator(mode="after")
    def _labelled(self) -> "Problem":
        if bool(self.kind_of_latents.latent_dims) != (self.categories is not None):
            raise ValueError("categories belongs to categorical latents, and only to them")
        if not self.label:
            object.__setattr__(self, "label", self.default_label())
        return self

    def default_label(self) -> str:
        """The label of a problem that is given none."""
        return f"{self.kind.rpartition(':')[2]}/{self.size_words()}"

    def size_words(self) -> str:
        """The latents in a label, such as bernoulli-20 or categorical-10x5."""
        size = f"{self.latents}x{self.categories}" if self.categories else f"{self.latents}"
        return f"{self.kind_of_latents.name}-{size}"

    @property
    def kind_of_latents(self) -> Family:
        """The family itself."""
        return family_named(self.family)

    @property
    def event(self) -> tuple[int, ...]:
        """Shape of an event, [D] or [L, C]."""
        return self.kind_of_latents.event(self.latents, self.categories)

    def states(self) -> int | None:
        """Number of joint states of q, None for a continuous q."""
        return self.kind_of_latents.joint_states(self.event)

    def points(self) -> Sequence["Problem"]:
        """The problems that cells are of: this one, or each point of a sweep.

        Points differ in `label`, or in a field called `logit` or `scale`, along which a report draws them.
        """
        return [self]

    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets that must be at hand before a run begins."""
        return ()

    def estimator(self, config: EstimatorConfig) -> Estimator:
        """The estimator that a suite names, not bound yet to the problem's sizes."""
        return registry.get(config.name).create(**config.arguments())

    @classmethod
    def listed(cls, kind: str) -> list[dict[str, Any]]:
        """Rows of `gradest list problems`."""
        return [row(kind, kind, (cls.__doc__ or "").partition("\n")[0])]


class PointProblem(Problem):
    """A q whose parameters stay where they are, with its f: what gradient moments are measured at."""

    only_on_cpu: ClassVar[bool] = True

    @property
    def bound(self) -> Literal["elbo"]:
        """A cost is taken as it is."""
        return "elbo"

    @property
    def importance_samples(self) -> None:
        """There is no importance-weighted bound."""
        return None

    def q(self) -> Distribution:
        """The distribution, best in double precision; its gradient is taken in the family's parameters."""
        raise NotImplementedError

    def f(self) -> Objective:
        """The objective: z [S, *B, *event] and q to [S, *B]."""
        raise NotImplementedError

    def context(self) -> Tensor | None:
        """What q was computed from, [*B, X], for input-dependent baselines; None for nothing."""
        return None

    def rows(self) -> int | None:
        """How many rows q has, where that is known without making it; time and memory are estimated from it."""
        return None

    def closed_form(self, q: Distribution) -> Tensor | None:
        """What the loss holds besides E_q[f], [*B], such as an analytic KL divergence; None for nothing."""
        return None

    @property
    def exact_method(self) -> str | None:
        """How `expectation` is computed, in a word or two; None where it is not known.

        Without it estimators are held against a long run of an unbiased one.
        """
        states = self.states()
        if states is not None:
            return ENUMERATION if states <= MAX_STATES else None
        if not self.kind_of_latents.integrable(self.event, NODES):
            return None
        try:
            self.kind_of_latents.quadrature(self.q(), NODES)  # how many points it takes may depend on q
        except ValueError:
            return None
        return "quadrature"

    def expectation(self, q: Distribution) -> Tensor:
        """E_q[f], [*B], exact and differentiable in q's parameters: by enumeration or quadrature."""
        return expectation(q, self.f())


class TrainedProblem(Problem):
    """A model that is trained on the rows of a data set."""

    cost: ClassVar[int] = 20

    dataset: Word
    bound: Bound = "elbo"
    importance_samples: Annotated[int, Field(ge=1), AtMost(1000, "a step holds all draws of the bound")] | None = None
    """K of the importance-weighted bound, which every estimator of it then draws."""

    @model_validator(mode="after")
    def _whole_bound(self) -> "TrainedProblem":
        if (self.bound == "iwae") != (self.importance_samples is not None):
            raise ValueError('importance_samples = K belongs to bound = "iwae", and only to it')
        return self

    def default_label(self) -> str:
        """The data set comes first: numbers of two data sets are never compared."""
        return f"{self.dataset}/{super().default_label()}"

    def datasets(self) -> tuple[str, ...]:
        """The one that it is trained on."""
        return (self.dataset,)

    @property
    def learns_prior(self) -> bool:
        """Whether its models train a prior, which is what their `prior_weights` are."""
        return False

    @property
    def shares_latents(self) -> bool:
        """Whether all rows share their latents, so that its models' q is of one row whatever the batch."""
        return False

    @property
    def exact_method(self) -> str | None:
        """How the exact gradient is had, in a word or two; None where it is not known.

        By `ENUMERATION` where states are few; in another way by the models' own `expectation`. Without it gradients are
        held against a long run of an unbiased estimator.
        """
        states = self.states()
        few = states is not None and states ** (self.importance_samples or 1) <= MAX_STATES
        return ENUMERATION if few else None

    @property
    def learns_decoder(self) -> bool:
        """Whether its models train weights behind the latents and say which: their `generative_weights`."""
        return False

    def data(self) -> Dataset:
        """The rows to train and to evaluate on."""
        return load_once(self.dataset)

    def model(self, data: Dataset, seeds: Sequence[int]) -> Model:
        """Fresh models side by side, one a seed, which is the source of its initial values."""
        raise NotImplementedError

    def widths(self, evaluations: float) -> Widths | None:
        """How large a model is, from which time and memory are estimated; None where nothing is said of it.

        Args:
            evaluations: of f that an estimator takes for a row's gradient: as many it takes at each draw of a layer
                of latents for the layer above.
        """
        return None

    def states_within_f(self) -> int:
        """States that f itself sums over at each z, such as those of a second layer; it bounds the memory of a call."""
        return 1


PROBLEMS: Registry[type[Problem]] = Registry(
    "problem kind",
    "bench.problems",
    ("toys", "vae", "logistic_regression"),
    "gradest.problems",
    "gradest list problems",
)
ProblemClass = TypeVar("ProblemClass", bound=type[Problem])


def register_problem(kind: str) -> Callable[[ProblemClass], ProblemClass]:
    """Class decorator that puts a problem among those that a suite can name by `kind`.

    Raises:
        BadInput: the name is taken by another class.
    """

    def decorate(cls: ProblemClass) -> ProblemClass:
        PROBLEMS.add(kind, cls, cls)
        return cls

    return decorate


def row(name: str, kind: str, summary: str, families: Sequence[str] | None = None) -> dict[str, Any]:
    """A row of `gradest list problems`."""
    return {"name": name, "kind": kind, "families": list(families or FAMILIES), "summary": summary}
