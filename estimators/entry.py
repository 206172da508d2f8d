"""A registered estimator: its class, and the tags that say what it is and what it needs.

Tags drive which cells of a table are legal and how they read, so that no other code needs to know a name.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from torch.distributions import Distribution

from estimators.base import Estimator
from estimators.bounds import Bound
from estimators.call import canonical
from estimators.distributions import event_shape, parameters, row_shape
from estimators.errors import BadInput, listed, unknown
from estimators.families import CAPABILITIES, FAMILIES, Family, family_named, family_of
from estimators.labels import label_of
from estimators.parts.sizes import Unsized
from estimators.plugins import staying_here

MAX_STATES_AT_ONCE = 4096
"""Joint states that an estimator may visit in one step, with a graph for each."""
SIZES = ("like", "context_size", "stack")
"""What `Entry.create` takes for itself, so that no option can be called so."""

Needs = Literal["relaxed f", "gradient of f", "neither"]
Method = Literal[
    "pathwise",  # differentiates f along draws of q
    "score function",  # weighs the score by f, less a baseline
    "control variate",  # the same, with a control whose mean is known or learned
    "coupled draws",  # the same, with draws that share their noise
    "local differences",  # changes one latent, and leaves the others at their draw
    "summation",  # sums over states, of one latent or of all
    "relaxation",  # differentiates f between the values of z
    "straight-through",  # passes the gradient of f at a draw on to q
]


class Samples(NamedTuple):
    """How many draws of z an estimator takes a row."""

    min: int = 1
    default: int = 1
    even: bool = False

    def allow(self, samples: int) -> bool:
        """Whether this many can be drawn."""
        return samples >= self.min and not (self.even and samples % 2)

    def words(self) -> str:
        """The condition in words."""
        return f"samples >= {self.min}" + (", even" if self.even else "")


def one_a_sample(samples: int) -> int:
    """The tag `f_evals` of an estimator that evaluates f once a draw."""
    return samples


@dataclass(frozen=True, repr=False)
class Entry:
    """A registered estimator: its class and its tags."""

    name: str
    cls: type[Estimator]
    unbiased: bool
    declared: tuple[str, ...] = ()
    """The families that it is for by name, where it asks for no capability."""
    capability: str | None = None
    """What it asks of a family, a name in `CAPABILITIES`: it takes every family that has it."""
    bound: Bound = "elbo"
    samples: Samples = Samples()  # noqa: RUF009  (immutable)
    f_evals: Callable[..., int] | None = None
    """Evaluations of f a row, for S samples, or, where that matters, for S samples and an event shape, [D] or [L, C],
    or for both and a mapping of options; None where nothing is said, or where it enumerates."""
    needs: Needs | None = None
    """What it asks of f beyond its values at draws of q; None where nothing is said."""
    own_parameters: bool = False
    """Whether it learns parameters of its own, by the auxiliary loss."""
    enumerates: bool = False
    """Whether it visits every joint state, so that only small latents are legal."""
    negative_control: bool = False
    """Whether it is known to be wrong and kept to show that it is seen: nobody is to take it."""
    biased_options: Mapping[str, str] = field(default_factory=dict)
    """Options that, when set, give up unbiasedness, each with the reason."""
    variants: tuple[Mapping[str, Any], ...] = ()
    """Options that are certified beside the defaults."""
    method: Method | None = None
    """Which family of methods it belongs to, and so its colour in figures; None has a colour of its own."""
    summary: str = ""
    paper: str = ""

    @property
    def families(self) -> tuple[str, ...]:
        """The families of q that it works for."""
        return self.declared or tuple(name for name, family in FAMILIES.items() if self.takes(family))

    def takes(self, family: Family) -> bool:
        """Whether it works for a family."""
        if self.capability is None:
            return family.name in self.declared
        return isinstance(family, CAPABILITIES[self.capability])

    def __repr__(self) -> str:
        """The name with the default number of samples, and the options that there are."""
        options = [name for name in inspect.signature(self.cls).parameters if name != "samples"]
        more = f" options: {', '.join(options)}" if options else ""
        return f"<Entry {label_of(self.name, {'samples': self.samples.default})}{more}>"

    @staying_here()  # the class may be a person's own
    def create(
        self,
        *,
        like: Distribution | None = None,
        context_size: int = 0,
        stack: Sequence[int] = (),
        **options: Any,
    ) -> Estimator:
        """Construct the estimator with `samples` (the tag's default) and its own options, and with its sizes if given.

        Args:
            like: a q such as it will be called with, rows [..., *stack, B]; running state and own parameters are bound
                to its event, on its device. Without it they are sized by the first call, as the same objects.
            context_size: size X of the context given to `forward`, 0 for none.
            stack: leading dims of seeds trained side by side.
            **options: `samples` and the estimator's own.

        Raises:
            BadInput: an option that the estimator does not have, a value it does not take, an illegal `samples`, or
                sizes that do not go together.
        """
        # A class may leave `samples` to the base class, whose only option it is, and so define no __init__ of its own.
        taken = inspect.signature(self.cls).parameters
        anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
        if "samples" not in taken and not anything:
            raise BadInput(
                f"estimator {self.name!r}: {self.cls.__name__}.__init__ must take samples, as every estimator's"
            )
        for option, value in options.items():
            if option in taken:
                _check_type(self.name, option, value, taken[option].annotation)
            elif not anything:
                raise BadInput(unknown(f"option of estimator {self.name!r}:", option, list(taken)))
        samples = options.pop("samples", self.samples.default)
        self.check_samples(samples)
        like = self._check_sizes(like, context_size, stack)
        try:
            estimator = self.cls(samples=samples, **options)
            return self._sized(estimator, like, context_size, stack)
        except BadInput as error:  # ours name the estimator already
            ours = str(error).startswith(f"estimator {self.name!r}")
            raise error if ours else BadInput(f"estimator {self.name!r}: {error}") from error
        except Exception as error:  # of foreign code, whose reason is wanted, not its traceback
            raise BadInput(f"estimator {self.name!r}: {error}") from error

    def check_samples(self, samples: object) -> None:
        """Whether so many draws of z can be taken.

        Raises:
            BadInput: it is no whole number, too small, or odd where pairs are drawn.
        """
        if isinstance(samples, bool) or not isinstance(samples, int) or samples < self.samples.min:
            raise BadInput(f"estimator {self.name!r} takes samples >= {self.samples.min}, got samples={samples!r}")
        if self.samples.even and samples % 2:
            raise BadInput(
                f"estimator {self.name!r} draws pairs and takes an even number of samples, got samples={samples}; "
                f"try {samples + 1}"
            )

    def _check_sizes(self, like: object, context_size: object, stack: object) -> Distribution | None:
        """Refuse sizes that do not go together, or with the estimator; `like` in the form that methods take."""
        who = f"estimator {self.name!r}"
        if not (type(context_size) is int and context_size >= 0):
            raise BadInput(f"{who}: context_size must be a whole number >= 0, got {context_size!r}")
        if not (isinstance(stack, tuple | list) and all(type(size) is int and size > 0 for size in stack)):
            raise BadInput(f"{who}: stack must be whole numbers >= 1, got {stack!r}")
        if like is None:
            return None
        if not isinstance(like, Distribution):
            got = f"a {type(like).__name__}" if hasattr(like, "shape") else repr(like)
            raise BadInput(f"{who}: like must be a distribution q, got {got}")
        try:
            given = canonical(like).q
            reason = self.reason_against(family=family_of(given).name, bound=self.bound, states=1)
        except TypeError as error:
            raise BadInput(f"{who}: like: {error}") from error
        if reason is not None:
            raise BadInput(f"{who} {reason}, which like is")
        rows = row_shape(given)
        if stack and tuple(rows[:-1][-len(stack) :]) != tuple(stack):
            wanted = ", ".join(map(str, stack))
            raise BadInput(f"{who}: like has rows {list(rows)}, expected [..., {wanted}, B] for stack={tuple(stack)}")
        return given

    def _sized(
        self, estimator: Estimator, like: Distribution | None, context_size: int, stack: Sequence[int]
    ) -> Estimator:
        """The estimator bound to these sizes, where any are given."""
        if like is not None:
            estimator.bind(stack=stack, context_size=context_size, event=event_shape(like))
            return estimator.to(parameters(like)[0].device)
        if stack or context_size:
            estimator.bind(stack=stack, context_size=context_size)
            if any(isinstance(own, Unsized) for own in estimator.parameters()):
                raise BadInput(f"estimator {self.name!r} is sized by the event too: give like=q, a q to be called with")
        return estimator

    def evaluations(self, samples: int, event: tuple[int, ...], options: Mapping[str, Any] | None = None) -> int | None:
        """Evaluations of f a row, as the tag `f_evals` has it; None where it says nothing.

        Args:
            samples: draws of z a row.
            event: shape of an event, [D] or [L, C].
            options: those that are not left at their defaults.
        """
        if self.f_evals is None:
            return None
        arguments: tuple[Any, ...] = (samples, event, options or {})[: len(inspect.signature(self.f_evals).parameters)]
        return int(self.f_evals(*arguments))

    def claims_unbiased(self, options: Mapping[str, Any]) -> bool:
        """Whether the estimator is declared unbiased with these options."""
        return self.unbiased and not any(options.get(option) for option in self.biased_options)

    def reason_against(self, *, family: str, bound: str = "elbo", states: int | None = None) -> str | None:
        """Why this estimator cannot be used, in half a sentence, or None where it can.

        Args:
            family: the family of q.
            bound: the bound that the problem optimises.
            states: number of joint states of q, None for a continuous q.
        """
        if not self.takes(found := family_named(family)):
            return f"is for {listed(self.families)} latents, not {found.name}"
        if bound != self.bound:
            return f"estimates the {self.bound} bound, not {bound}"
        if self.enumerates and (states is None or states > MAX_STATES_AT_ONCE):
            count = "infinitely many" if states is None else f"{states:.3g}" if states < 1e100 else "over 1e100"
            return f"enumerates at most {MAX_STATES_AT_ONCE} joint states, not {count}"
        return None

    def described(self) -> str:
        """What `help()` of the class shows: what it is, its file's header with the formula and the paper, its tags."""
        own = vars(self.cls).get("__doc__")
        header = getattr(sys.modules.get(self.cls.__module__), "__doc__", None)
        evaluations = self.tags()["f_evals"]
        rows = {
            "name": self.name,
            "families": ", ".join(self.families),
            "unbiased": "yes" if self.unbiased else "no",
            "samples": f"{self.samples.default} by default, {self.samples.words()}",
            "f_evals": ", ".join(f"{count} ({family})" for family, count in evaluations.items() if count is not None),
            "f": {"neither": "its values are enough", "gradient of f": "differentiated at draws of q"}.get(
                str(self.needs), "differentiated between the values of z" if self.needs else ""
            ),
            "bound": self.bound,
            "paper": self.paper,
        }
        table = "\n".join(f"    {key:10}{value}" for key, value in rows.items() if value)
        said = [inspect.cleandoc(text) for text in (own or self.summary, header) if text]
        return "\n\n".join([*said, f"Tags:\n\n{table}"]) + "\n"

    def tags(self) -> dict[str, Any]:
        """The tags as plain values for JSON; f_evals by family, at the default samples and 10 latents (of 10)."""
        tags = {key: value for key, value in asdict(self).items() if key not in ("cls", "f_evals", "declared")}
        shown = {family: family_named(family).event(latents=10, categories=10) for family in self.families}
        return tags | {
            "families": self.families,
            "samples": self.samples._asdict(),
            "f_evals": {family: self.evaluations(self.samples.default, event) for family, event in shown.items()},
            "class": f"{self.cls.__module__}:{self.cls.__qualname__}",
        }


def _check_type(name: str, option: str, value: object, annotation: object) -> None:
    """Refuse a value of another type than a plain annotation (bool, int, float, str, or None) asks for."""
    wanted = set(get_args(annotation) or (annotation,)) & {bool, int, float, str}
    if not wanted or value is None or type(value) in wanted or (float in wanted and type(value) is int):
        return
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    expected = " or ".join(words[kind] for kind in words if kind in wanted)
    raise BadInput(f"estimator {name!r}: option {option} takes {expected}, got {value!r}")


def entry_of(
    cls: type[Estimator],
    name: str,
    *,
    unbiased: bool,
    families: Sequence[str] = (),
    capability: str | None = None,
    **tags: Any,
) -> Entry:
    """The entry that `register` makes of a class, without registering it.

    Raises:
        BadInput: a tag, a family or a capability that does not exist, or a class that is no estimator.
    """
    known = [tag for tag in Entry.__dataclass_fields__ if tag not in ("name", "cls", "declared")]
    for tag in tags:
        if tag not in known:
            raise BadInput(unknown(f"tag of estimator {name!r}:", tag, known))
    families = (families,) if isinstance(families, str) else tuple(families)
    for family in families:
        if family not in FAMILIES:
            raise BadInput(unknown(f"family of estimator {name!r}:", family, list(FAMILIES)))
    if capability is not None and capability not in CAPABILITIES:
        raise BadInput(unknown(f"capability of estimator {name!r}:", capability, list(CAPABILITIES)))
    if bool(families) == bool(capability):
        raise BadInput(f"estimator {name!r}: say either families or the capability that it asks of a family")
    for tag, allowed in (("bound", get_args(Bound)), ("needs", get_args(Needs)), ("method", get_args(Method))):
        if tag in tags and tags[tag] not in allowed:
            raise BadInput(f"estimator {name!r}: {tag} is {tags[tag]!r}, expected one of {', '.join(allowed)}")
    if not callable(tags.get("f_evals", one_a_sample)):
        raise BadInput(
            f"estimator {name!r}: f_evals must be a function of samples, and of the event shape, and of the options"
        )
    if not (isinstance(cls, type) and issubclass(cls, Estimator)):
        raise BadInput(f"estimator {name!r}: {cls!r} must be a class that derives from estimators.Estimator")
    for option in inspect.signature(cls).parameters:
        if option in SIZES:
            raise BadInput(f"estimator {name!r}: option {option} is a name that create() takes for itself; rename it")
    if "samples" in tags:
        given = (tags["samples"], tags["samples"]) if isinstance(tags["samples"], int) else tags["samples"]
        if not isinstance(given, tuple | list) or not given or not all(isinstance(part, int) for part in given):
            raise BadInput(f"estimator {name!r}: samples is {given!r}, expected a number or (min, default, even)")
        tags["samples"] = Samples(*given)
    else:
        own = inspect.signature(cls).parameters.get("samples")
        if own and type(own.default) is int and own.default > 1:
            tags["samples"] = Samples(
                own.default, own.default
            )  # its default is the only number that is known to be legal
    described = {"summary": (inspect.getdoc(cls) or "").partition("\n")[0]} | tags
    return Entry(name=name, cls=cls, unbiased=unbiased, declared=families, capability=capability, **described)
