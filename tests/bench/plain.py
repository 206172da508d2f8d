"""Typed results and records as the plain values that a record's JSON holds, which tests state and compare."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from pydantic import BaseModel

from bench.measure import basket, elbo, points, toy, wallclock
from bench.records import shown
from bench.records.damage import Damage
from bench.records.identity import cell_id
from bench.records.record import Record, read
from bench.report import naming as names
from bench.report.compare import pairs
from bench.run import cell as cells
from bench.run import store

Plain = dict[str, Any]


def values(found: Any) -> Any:
    """Models as mappings and tuples as lists; numbers stay as they are."""
    match found:
        case BaseModel():
            return values(found.model_dump(by_alias=True, exclude_unset=True))
        case dict():
            return {key: values(value) for key, value in found.items()}
        case list() | tuple():
            return [values(value) for value in found]
    return found


def _plainly(function: Callable[..., Any]) -> Callable[..., Plain]:
    @wraps(function)
    def called(*arguments: Any, **more: Any) -> Plain:
        return values(function(*arguments, **more))

    return called


measure_point = _plainly(points.measure_point)
noise_of = _plainly(points.noise_of)
measure_toy = _plainly(toy.measure_toy)
measure_basket = _plainly(basket.measure_basket)
measure_training = _plainly(elbo.measure_training)
measure_time = _plainly(wallclock.measure_time)


def run_cell(cell: Any) -> Plain:
    record = cells.run_cell(cell)
    return values(record) | {
        part: getattr(record, part).model_dump(exclude_unset=True) for part in ("tags", "provenance")
    }


def make_record(*arguments: Any) -> Plain:
    return values(cells.make_record(*arguments))


class Store(store.Store):
    """A store that takes and gives plain values."""

    def write(self, record: Plain) -> None:
        store.Store(self.root).write(read(record))
        found = store.Store(self.root).look(record["cell"])
        assert not isinstance(found, Damage), found.words()  # a test that makes a record makes a whole one

    def read(self, cell_id: str) -> Plain | None:
        found = store.Store(self.root).read(cell_id)
        return None if found is None else values(found)

    def whole(self) -> list[Plain]:
        return [values(record) for record in store.Store(self.root).whole()]

    def records(self) -> list[Plain]:
        return [values(record) for record in store.Store(self.root).records()]


def typed(record: Plain) -> Record:
    """A record of which only a part was given."""
    config = {"measurement": {"kind": "train"}, "problem": {"kind": "vae", "label": "p"}, "estimator": {"label": "e"}}
    return read(
        {"schema": 1, "cell": "c", "status": "ok", "reason": None, "seconds": 1.0, "started": None, "tags": {}}
        | {"measurements": {}}
        | record
        | {"config": config | record["config"]}
    )


class naming:
    """`bench.report.naming` for plain records."""

    shortened = staticmethod(names.shortened)

    @staticmethod
    def problem_names(records: list[Plain]) -> list[str]:
        return names.problem_names(list(map(typed, records)))

    @staticmethod
    def settings(records: list[Plain], problems: list[str]) -> list[str]:
        return names.settings(list(map(typed, records)), problems)

    @staticmethod
    def estimator_labels(records: list[Plain]) -> list[str]:
        return names.estimator_labels(list(map(typed, records)))


def pair_up(first: list[Plain], second: list[Plain]) -> list[pairs.Pair]:
    found = pairs.pair_up(list(map(typed, first)), list(map(typed, second)))
    return [pairs.Pair(values(pair.a), values(pair.b)) for pair in found]


def _property(name: str) -> Callable[[Plain], Any]:
    return staticmethod(lambda record: getattr(typed(record), name))


def _of_two(function: Callable[[Record, Record], Any]) -> Callable[[Plain, Plain], Any]:
    return staticmethod(lambda a, b: function(typed(a), typed(b)))


def _choosing(choose: Callable[[list[Record]], shown.Kept]) -> Callable[[list[Plain]], shown.Kept]:
    """The same mappings come back that were given."""

    def chosen(records: list[Plain]) -> shown.Kept:
        of = {id(record): (record, given) for record, given in zip(map(typed, records), records, strict=True)}
        kept, left_out = choose([record for record, _ in of.values()])
        pairs = [shown.LeftOut(*(of[id(record)][1] for record in pair)) for pair in left_out]
        return shown.Kept([of[id(record)][1] for record in kept], pairs)

    return staticmethod(chosen)


class identity:
    """What one record and two of them are, for plain records: `bench.records.identity`, `record` and `shown`."""

    LeftOut = shown.LeftOut
    cell_id = staticmethod(cell_id)
    kind, machine, subject, measurement = map(_property, ("kind", "machine", "subject", "measurement"))
    same_draws, same_source, disagreement = map(_of_two, (shown.same_draws, shown.same_source, shown.disagreement))
    newest, merged = map(_choosing, (shown.newest, shown.merged))

    @staticmethod
    def comparable(record: Plain) -> Any:
        return typed(record).config.comparable

    @staticmethod
    def sentences(left_out: list[shown.LeftOut]) -> list[str]:
        return shown.sentences([shown.LeftOut(*map(typed, pair)) for pair in left_out])
