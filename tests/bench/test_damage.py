"""Records that are damaged in every field and every way: named by every reader, or harmless, and never a traceback."""

import itertools
import json
import os
import random
import stat
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.cli.compare import compare_verb
from bench.cli.report import write_report
from bench.cli.status import status_verb
from bench.records.content import parse
from bench.records.identity import cell_id
from bench.records.record import Newer, refuse_newer
from bench.records.validate import digest_of, fault
from bench.run import archive
from bench.run.planned import write_plan
from bench.run.store import Store
from bench.studies.chaos.damage import Damaged, damages, every, written

Values = dict[str, Any]
RESULTS = Path(__file__).parents[2] / "results"
KINDS = {
    "train": ("quick", "train"),
    "moments": ("quick", "moments"),
    "time": ("timing-cpu", "time"),
    "a person's own": ("score-no-entropy", "bench.studies.score_no_entropy.posterior:Posterior"),
}
DECLARED = {"provenance.cores", "provenance.estimator_source", "provenance.gpu", "provenance.host", "provenance.load"}
DECLARED |= {"provenance.matmul_precision", "tags.method", "tags.needs", "tags.negative_control", "tags.summary"}
DECLARED |= {"tags.unbiased", "seconds", "started", "status", "reason", "schema", "cell", "traceback"}
"""Fields that readers use, of those parts of a record that may hold others too."""
CHANGED = {"another value", "times 1000", "negative", "a huge number", "removed", "null", "empty", "longer", "shorter"}
CHANGED |= {"extra key"}
"""What leaves a value of the right type, or none where an earlier release may have had none."""


@cache
def published(kind: str) -> Values:
    """The shortest record of a kind in results/; of the lists that a person's own wrote, the first of each."""
    run, name = KINDS[kind]
    found = (json.loads(content) for content in archive.unpack(RESULTS / run / "cells.zip").values())
    least = min((one for one in found if one["config"]["measurement"]["kind"] == name), key=lambda one: len(str(one)))
    if kind in ("train", "moments", "time"):
        return least
    short = {key: value[:1] if isinstance(value, list) else value for key, value in least["measurements"].items()}
    return least | {"measurements": short}


def of_schema_2(record: Values) -> Values:
    changed = record | {"schema": 2}
    return changed | {"digest": digest_of(changed)}


def judged(content: bytes, cell: str) -> str:
    """What a store says of a file."""
    values, wrong = parse(content)
    try:
        refuse_newer(values, "it")
    except Newer:
        return "newer"
    return wrong or fault(values, cell)


@pytest.mark.parametrize("kind", KINDS)
def test_every_damage_of_a_record_with_a_digest_is_named(kind: str) -> None:
    record = of_schema_2(published(kind))
    assert not judged(written(record), record["cell"])
    unnamed, tried = [], 0
    for one in every(record):
        tried += 1
        unnamed += [] if judged(one.content, record["cell"]) else [one.name]
    assert unnamed == []
    assert tried > 1500


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_record_without_a_digest_values_alone_may_be_damaged_unseen(kind: str) -> None:
    """And what no reader reads: keys of tags and provenance that no model names, and what a person's own run wrote."""
    record = published(kind)
    assert not judged(written(record), record["cell"])
    for one in every(record):
        if judged(one.content, record["cell"]):
            continue
        field, own = ".".join(map(str, one.path[:2])), kind not in ("train", "moments", "time")
        assert one.path[0] not in ("schema", "cell", "status", "reason", "config", "digest"), one.name
        if (one.path[0] in ("tags", "provenance") and field not in DECLARED) or (own and one.path[0] == "measurements"):
            continue
        before = value_at(record, one.path)
        may_be = one.way in ("a number", "another value") if before is None else False
        assert one.way in CHANGED or may_be or (one.way == "a list with null" and isinstance(before, list)), one.name


def test_where_a_file_is_torn_is_said_in_words() -> None:
    assert parse(b'{"a": "b').wrong == "is torn or no JSON (Unterminated string starting at byte 6 of 8)"
    assert parse(b'{"a": ').wrong == "is torn or no JSON (Expecting value at byte 6 of 6)"


@pytest.mark.parametrize("started", ["yesterday", "0001-01-01", "2026-13-01T00:00:00"])
def test_a_start_is_a_time_that_readers_can_make_seconds_of(started: str) -> None:
    record = published("moments")
    said = judged(written(record | {"started": started}), record["cell"])
    assert said == f"was started at {started!r}, which is no time"
    assert not judged(written(record | {"started": "0001-01-03T00:00:00"}), record["cell"])


@pytest.mark.parametrize("kurtosis", [0, -3.0])
def test_a_kurtosis_is_one_that_draws_can_be_divided_by(kurtosis: float) -> None:
    record = json.loads(json.dumps(published("moments")))
    record["measurements"]["points"][0]["q"]["kurtosis"] = kurtosis
    said = judged(written(record), record["cell"])
    assert said == f"is wrong: measurements.points[0].q.kurtosis is {kurtosis:g}, and none is below 1"


def value_at(record: Values, path: tuple[str | int, ...]) -> Any:
    found: Any = record
    for key in path:
        found = found[key]
    return found


def renamed(values: Values, number: int) -> Values:
    """The record as of another problem, so that many of them lie in one folder."""
    config = values["config"]
    config = config | {"problem": config["problem"] | {"label": f"p{number}"}}
    return values | {"config": config, "cell": cell_id(config)}


def run_folder(path: Path, contents: Mapping[str, bytes]) -> Path:
    (path / "cells").mkdir(parents=True)
    (path / "suite.toml").write_text('name = "damaged"')
    for cell, content in contents.items():
        (path / "cells" / f"{cell}.json").write_bytes(content)
    write_plan(path, list(contents))
    return path


def read_by_all(folder: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The cells that status, report and compare name as damaged in a folder; in text each of them says it too."""
    capsys.readouterr()
    status_verb(folder, as_json=True)
    named = [json.loads(capsys.readouterr().out)["damaged"]]
    write_report([folder], folder / "report", ["csv", "md", "tex"], as_json=True)
    named.append(json.loads(capsys.readouterr().out)["damaged"])
    compare_verb(folder, other, False, None, None, as_json=True)
    named.append(json.loads(capsys.readouterr().out)["damaged"])
    return [[one["cell"] for one in found] for found in named]


@pytest.mark.parametrize("schema", [1, 2])
def test_readers_name_what_is_damaged_and_use_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], schema: int
) -> None:
    """A share of all damages in one folder, beside a whole record of each kind that a report knows.

    Of schema 1 some that cannot be seen, too: all readers come to their end with them.
    """
    draw, whole, named, unseen = random.Random(schema), dict[str, bytes](), dict[str, bytes](), dict[str, bytes]()
    number = 0
    for kind in ("train", "moments", "time"):
        base = of_schema_2(published(kind)) if schema == 2 else published(kind)
        for one in itertools.chain([None], every(base)):
            if one is not None and draw.random() > 0.03:
                continue
            number += 1
            given = renamed(base, number)
            given = of_schema_2(given) if schema == 2 else given
            if one is None:
                whole[given["cell"]] = written(given)
            else:
                content = again(one, base, given)
                says = judged(content, given["cell"])
                if says != "newer":
                    (named if says else unseen)[given["cell"]] = content
    assert len(named) > 100
    assert bool(unseen) == (schema == 1)
    folder = run_folder(tmp_path / "a", whole | named | unseen)
    other = run_folder(tmp_path / "b", whole)
    assert read_by_all(folder, other, capsys) == [sorted(named)] * 3
    assert {record.cell for record in Store(folder).whole()} == whole.keys() | unseen.keys()
    text = (folder / "report" / "tables" / "variance.csv").read_text()
    assert text.count("\n") - 1 >= 1
    if schema == 2:
        assert {record.cell for record in Store(folder).records()} == whole.keys()
        assert all(Store(folder).read(cell) is None for cell in named)
        write_report([other], other / "report", ["csv"])
        alone = (other / "report" / "tables" / "variance.csv").read_text()
        assert text == alone


def again(one: Damaged, base: Values, given: Values) -> bytes:
    """The same damage in the other record, of which all that is renamed stands where it is not what was damaged."""
    content = one.content
    for values in ((base["cell"], given["cell"]), tuple(of["config"]["problem"]["label"] for of in (base, given)),
                   (base.get("digest"), given.get("digest"))):  # fmt: skip
        old, new = (json.dumps(value).encode() for value in values)
        content = content.replace(b": " + old, b": " + new) if values[0] is not None else content
    return content


def test_whatever_happens_to_a_file_is_named_or_changes_nothing() -> None:
    record = of_schema_2(published("moments"))
    harmless = 0
    for name, content in itertools.islice(damages(record, seed=1), 3000):
        if not judged(content, record["cell"]):
            assert json.loads(content) == record, name
            harmless += 1
    assert harmless < 300


def _large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**9)


STRANGE = {
    "is a pipe, not a file": os.mkfifo,
    "is a folder, not a file": Path.mkdir,
    "is a link, not a file": lambda path: path.symlink_to("/etc/hostname"),
    "is a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "is a file of 954 MB, where 64 MB are the most": _large,
    "is empty": Path.touch,
    "cannot be read (Permission denied)": Path.touch,
}


@pytest.mark.parametrize("words", STRANGE)
def test_what_is_no_file_of_ours_is_named_and_written_over(
    tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, opened = of_schema_2(published("moments")), os.open
    path = run_folder(tmp_path / "a", {record["cell"]: written(record)}) / "cells" / f"{record['cell']}.json"
    (kept,) = Store(tmp_path / "a").whole()
    path.unlink()
    STRANGE[words](path)

    def forbidden(name: Any, *more: Any, **others: Any) -> int:
        """Whoever runs the tests may be one whom no permission binds."""
        if "Permission" in words and name == path:
            raise PermissionError(13, "Permission denied", str(name))
        return opened(name, *more, **others)

    monkeypatch.setattr(os, "open", forbidden)
    store = Store(tmp_path / "a")
    assert store.read(record["cell"]) is None
    said = "is a link, not a file" if "link" in words else words
    assert [(one.cell, one.path, one.why) for one in store.damaged()] == [(record["cell"], str(path), said)]
    assert list(store.noticed) == [record["cell"]]
    assert status_verb(tmp_path / "a") == 1
    assert f"damaged: {path} {said}" in capsys.readouterr().out
    monkeypatch.setattr(os, "open", opened)
    store.write(kept)
    assert store.whole() == [kept]
    assert stat.S_ISREG(path.lstat().st_mode)
    assert not store.noticed
