"""What the parts of a suite file share."""

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.bounds import MANY_DRAWS, MOST_DRAWS, AtMost, Few, Word, plain, printable, shown
from estimators.base import Estimator
from estimators.entry import SIZES
from estimators.errors import BadInput
from estimators.labels import Scalar, label_of, read_label
from estimators.registry import get


class Config(BaseModel):
    """A frozen part of a suite file, in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, data: Any) -> Any:
        """Python would take `true` for a 1."""
        for name, value in data.items() if isinstance(data, dict) else ():
            given = [one for one in (value if isinstance(value, list | tuple) else (value,)) if isinstance(one, bool)]
            if given and name in _numbers(cls):
                raise ValueError(f"{name} = {str(given[0]).lower()} is no number")
        return data


@cache
def _numbers(config: type[Config]) -> frozenset[str]:
    """Fields that are numbers, and not true or false."""
    parts = {name: list(_parts(field.annotation)) for name, field in config.model_fields.items()}
    return frozenset(
        name
        for name, found in parts.items()
        if any(part in (int, float) for part in found) and not any(part is bool or part is True for part in found)
    )


def _parts(annotation: Any) -> Iterator[Any]:
    """All types that an annotation is made of, and the values of a literal."""
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def added_later(default: Any) -> Any:
    """The field of a setting that came after records were published: left out of what is written where it is `default`.

    A cell's id, and so its noise, is the hash of its configuration. Without the setting that is as it was before, so
    that published records stay those of their suites; any other value is written, and is another cell.

    Args:
        default: what every earlier record was made with.
    """
    return Field(default=default, exclude_if=lambda value: value == default)


LONGEST_LABEL, LONGEST_OPTION = 200, 100
MOST_OPTION = 1e9
"""The largest number that an option takes: none counts or scales anything beyond a billion."""


class EstimatorConfig(Config):
    """An estimator with its options; a suite or the command line writes it as `name[key=value,...]` too."""

    name: Word
    samples: Annotated[int, Field(ge=-MOST_DRAWS), AtMost(MOST_DRAWS, MANY_DRAWS)] | None = None
    """Draws of z a row; None takes the suite's, and without one the estimator's own default. The least number is the
    estimator's own, which the registry knows and refuses the others by."""
    options: Annotated[dict[str, Scalar], Few(50, "no estimator has half as many")] = {}
    label: Word = ""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        return parse_estimator(data) if isinstance(data, str) else data

    @model_validator(mode="after")
    def _labelled(self) -> "EstimatorConfig":
        if "samples" in self.options:
            raise ValueError("samples is a key beside options, not among them")
        for size in SIZES:
            if size in self.options:
                raise ValueError(f"{size} is no option of estimator {self.name!r}: a run sizes it for its problem")
        for option, value in self.options.items():
            _check_option(option, value)
        if not self.label:
            label = label_of(self.name, self.arguments())
            if len(label) > LONGEST_LABEL:
                raise ValueError(f"its name with its options has {len(label)} characters: give it a label of its own")
            object.__setattr__(self, "label", label)
        return self

    def __hash__(self) -> int:
        return hash((self.name, self.samples, self.label, *sorted(self.options.items())))

    def arguments(self) -> dict[str, Any]:
        """What the registry's `create` takes."""
        return self.options | ({} if self.samples is None else {"samples": self.samples})

    def resolved(self, preferred: int | None) -> "EstimatorConfig":
        """With its number of samples filled in: its own, else the preferred one where legal, else the default.

        Raises:
            BadInput: no such estimator, or options that it does not take; constructing it once checks them.
        """
        entry, samples = get(self.name), self.samples
        if samples is None:
            legal = preferred is not None and entry.samples.allow(preferred)
            samples = preferred if legal else entry.samples.default
        resolved = self.model_copy(update={"samples": samples})
        example(resolved)
        return resolved


def _check_option(option: str, value: Scalar) -> None:
    """Refuse what no option of an estimator can mean.

    Raises:
        ValueError: a name or a word that is long or not to be printed, or a number out of all proportion.
    """
    for text in (option, value):
        if isinstance(text, str) and len(printable(text)) > LONGEST_OPTION:
            raise ValueError(f"option {option[:LONGEST_OPTION]} takes at most {LONGEST_OPTION} characters")
    if not isinstance(value, str) and not abs(value) <= MOST_OPTION:
        raise ValueError(f"option {option} takes numbers between -{plain(MOST_OPTION)} and {plain(MOST_OPTION)}")


def example(config: EstimatorConfig) -> Estimator:
    """One estimator of a configuration, which no cell runs and nothing may change; constructed once in a process.

    It shows whether the options are taken, what a call returns, and which source is behind a record.

    Raises:
        BadInput: no such estimator, or options that it does not take.
    """
    registered: Any = get(config.name).cls
    return _constructed(config, registered)


@lru_cache(maxsize=4096)
def _constructed(config: EstimatorConfig, registered: type) -> Estimator:
    """Kept for as long as the same class is registered under the name."""
    return get(config.name).create(**config.arguments())


def typed_estimator(text: str) -> EstimatorConfig:
    """The estimator that a person typed as `name[key=value,...]`.

    Raises:
        BadInput: the text cannot be read, or holds what no estimator takes.
    """
    try:
        return EstimatorConfig.model_validate(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = str(first["msg"]).removeprefix("Value error, ")
        where = ".".join(map(str, first["loc"][:2]))
        raise BadInput(f"{where}: {said}, got {shown(first['input'])}" if where else said) from error


def parse_estimator(text: str) -> dict[str, Any]:
    """Read `name[key=value,...]` as the fields of an `EstimatorConfig`; see `estimators.labels.read_label`."""
    return read_label(text)._asdict()
