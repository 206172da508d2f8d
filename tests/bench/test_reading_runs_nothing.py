"""Folders that mean harm: to read one imports nothing that it names, and writes nowhere but where a report belongs."""

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.records.identity import cell_id
from bench.records.record import read
from bench.run.planned import write_plan
from bench.run.store import Store
from bench.run.weights import Weights
from tests.bench.command import Done
from tests.bench.page_of_stubs import records

HARM = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nraise SystemExit('harm is done')\n"
SUITE = """
name = "theirs"
estimators = ["harm:Estimator"]
[[problems]]
kind = "harm:Problem"
[[problems]]
kind = "vae"
dataset = "harm:data"
family = "harm:Family"
latents = 4
[measurements."harm:Measurement"]
"""


@pytest.fixture
def theirs(tmp_path: Path, gradest: Callable[..., Done]) -> Path:
    """A run of somebody else's, with modules beside it that its suite and its records name, where one reads it."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "suite.toml").write_text(SUITE)
    for place in (tmp_path, folder):
        for name in ("harm.py", "sitecustomize.py", "conftest.py"):
            (place / name).write_text(HARM)
    made = [with_names(one) for one in records()[:4]]
    for one in made:
        Store(folder).write(read(one))
    write_plan(folder, [one["cell"] for one in made])
    return folder


def with_names(one: dict[str, Any]) -> dict[str, Any]:
    """A record of an estimator, on a problem, that are a file's."""
    config = one["config"]
    config = {
        **config,
        "estimator": {**config["estimator"], "name": "harm:Estimator", "label": f"harm:{config['estimator']['label']}"},
        "problem": {**config["problem"], "family": "harm:Family", "dataset": "harm:data"},
    }
    return {**one, "config": config, "cell": cell_id(config)}


@pytest.mark.parametrize(
    "typed",
    [["status", "theirs"], ["report", "theirs", "--format", "md,csv"], ["compare", "theirs", "theirs"]],
    ids=lambda typed: typed[0],
)
def test_reading_a_run_imports_nothing_that_it_names(
    gradest: Callable[..., Done], theirs: Path, typed: list[str]
) -> None:
    """Neither with the plan of its cells nor without, as a published run is."""
    done = gradest(*typed)
    assert done.code == 0 and done.err == ""
    (theirs / "plan.json").unlink()
    assert gradest(*typed).code == 0
    assert "harm" not in sys.modules
    assert not [*theirs.parent.rglob("ran")]


def test_a_measurement_of_theirs_draws_its_tables_where_a_person_names_its_module_alone(
    gradest: Callable[..., Done], theirs: Path
) -> None:
    (one,) = records()[:1]
    config = {**one["config"], "measurement": {"kind": "harm:Measurement"}}
    Store(theirs).write(read({**one, "config": config, "cell": cell_id(config)}))
    for typed in (["status", "theirs"], ["compare", "theirs", "theirs"], ["report", "theirs", "--format", "md"]):
        done = gradest(*typed)
        assert "harm is done" not in done.out + done.err and "Traceback" not in done.err
    assert not [*theirs.parent.rglob("ran")]
    done = gradest("report", "theirs", "--format", "md", "--import", "harm")
    assert done.code == 2 and "harm is done" in done.err
    assert [*theirs.parent.rglob("ran")]


def test_a_run_says_which_file_it_imports_before_it_does(gradest: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "own_file.py").write_text("import sys\nprint('it runs', file=sys.stderr)\nraise ValueError('no')\n")
    done = gradest("run", "small.toml", "-e", "own_file:Mine", "--dry-run")
    assert done.code == 2
    told, ran = (done.err.index(words) for words in ("runs code of your own: own_file (", "it runs"))
    assert told < ran and str(tmp_path / "own_file.py") in done.err


def test_a_plan_and_an_archive_lead_nowhere(gradest: Callable[..., Done], theirs: Path) -> None:
    """Ids and members that look like paths are none: what is read is in the folder, and what is written too."""
    ids = records_of(theirs)
    outside = theirs.parent / "outside.json"
    outside.write_bytes((theirs / "cells" / f"{ids[0]}.json").read_bytes())
    before = outside.read_bytes()
    with zipfile.ZipFile(theirs / "cells.zip", "w") as archive:
        for name in ("cells/../../evil.json", "/tmp/evil.json", "../evil.json", "cells/a/evil.json", "cells/..json"):
            archive.writestr(name, before)
    listed = sorted(path for path in theirs.parent.rglob("*") if path.is_file())
    assert gradest("status", "theirs").code in (0, 1, 2)
    assert sorted(path for path in theirs.parent.rglob("*") if path.is_file()) == listed
    store = Store(theirs)
    assert store.read(ids[0]) is not None and store.read("../../outside") is None
    assert not Path("/tmp/evil.json").exists() and outside.read_bytes() == before


def records_of(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "cells").glob("*.json"))


def test_weights_run_nothing(tmp_path: Path) -> None:
    """A file under their seal whose pickle calls something is refused by the reader of tensors."""
    import pickle

    import torch

    from bench.run import weights
    from bench.run.sealed import seal

    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    store = Weights(tmp_path)
    store.write("good", {}, {"w": torch.ones(2)}, replace=False)
    assert torch.equal(store.read("good", {})[1]["w"], torch.ones(2))  # type: ignore[index]

    for content in (pickle.dumps({"w": Harm()}), saved({"w": Harm()})):
        header = weights.Header(name="bad", made_by={}).model_dump_json()
        store.path("bad").write_bytes(seal(weights.MAGIC, header, content))
        with pytest.raises(Exception, match=r"(?i)weights|unusable|cannot"):
            store.read("bad", {})
    assert not (tmp_path / "ran").exists()


def saved(state: Any) -> bytes:
    """As torch saves it, pickle and all."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_out_may_be_a_link_that_a_person_made_and_is_followed_once(
    gradest: Callable[..., Done], theirs: Path, tmp_path: Path
) -> None:
    """A link within the folder that stands where a file is to be is replaced, never written through."""
    precious = tmp_path / "precious"
    precious.write_text("years of work")
    real = tmp_path / "real"
    (real / "tables").mkdir(parents=True)
    (real / "tables" / "variance.md").symlink_to(precious)
    (real / "report.html").symlink_to(precious)
    (tmp_path / "link").symlink_to(real)
    done = gradest("report", "theirs", "--format", "md,html", "--out", "link")
    assert done.code == 0, done.err
    assert precious.read_text() == "years of work"
    assert (real / "report.html").is_file() and not (real / "report.html").is_symlink()
    assert not (real / "tables" / "variance.md").is_symlink()


def test_what_a_folder_says_is_data_even_to_a_program(theirs: Path) -> None:
    """Keys such as __class__ are keys."""
    (one, *_) = records()
    config = {**one["config"], "__class__": "harm", "__reduce__": ["os.system", "true"]}
    found = read({**one, "config": config, "cell": cell_id(config)})
    assert type(found).__name__ == "Record"
    assert json.loads(json.dumps(found.config.model_dump()))["measurement"] == one["config"]["measurement"]
