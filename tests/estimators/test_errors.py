"""What is guessed that a person meant, by meaning before spelling, and what is said of a path that is not there."""

import os
from pathlib import Path

import pytest

import bench.datasets
import estimators
from bench.run.folder import suite_file
from bench.suite.load import load_suite
from estimators import BadInput
from estimators.errors import missing, nearest, unknown
from estimators.families import family_named

NAMES = ["arm", "gumbel-rao", "gumbel-softmax", "mnist-dynamic", "mnist-static", "rloo", "sticking-the-landing",
         "straight-through", "straight-through-gumbel-softmax", "vimco"]  # fmt: skip


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("RLOO", ["rloo"]),
        ("Gumbel_Softmax", ["gumbel-softmax"]),
        ("st", ["straight-through"]),  # its initials, before all that begin so
        ("stl", ["sticking-the-landing"]),
        ("mnist", ["mnist-static", "mnist-dynamic"]),
        ("gumbel", ["gumbel-rao", "gumbel-softmax"]),
        ("softmax", ["gumbel-softmax", "straight-through-gumbel-softmax"]),
        ("landing", ["sticking-the-landing"]),
        ("vimko", ["vimco"]),
        ("concrete", ["gumbel-softmax"]),  # of what is said of it
        ("maddison 2016", ["gumbel-softmax"]),
        ("r", []),
        ("zzz", []),
        ("", []),
        ("?!", []),
    ],
)
def test_what_is_meant(typed: str, meant: list[str]) -> None:
    assert nearest(typed, NAMES, {"gumbel-softmax": "Concrete relaxation. Maddison et al. 2016"}) == meant


def test_an_unknown_name_guesses_up_to_three() -> None:
    found = unknown("thing", "ax", ["ax1", "ax2", "ax3", "ax4"], "and more")
    assert found == ("unknown thing 'ax'; did you mean 'ax1', 'ax2' or 'ax3'? Known: ax1, ax2, ax3, ax4 (and more)")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("nvil", "'reinforce'"), ("VIMCO", "'vimco'"), ("concrete", "gumbel-"), ("st", "'straight-through'"),
     ("gumbel", "'gumbel-softmax'")],
)  # fmt: skip
def test_words_of_the_field_lead_to_estimators(typed: str, meant: str) -> None:
    with pytest.raises(BadInput) as caught:
        estimators.get(typed)
    assert meant in str(caught.value).partition("Known:")[0]


def test_a_family_in_the_place_of_an_estimator_leads_to_those_for_it() -> None:
    with pytest.raises(BadInput, match="gradest list estimators --family categorical, or module:Class"):
        estimators.get("categorical")


def test_words_of_the_field_lead_to_families_and_data_sets() -> None:
    for typed, meant in (("normal", "'gaussian'"), ("binary", "'bernoulli'"), ("cat", "'categorical'")):
        with pytest.raises(BadInput) as caught:
            family_named(typed)
        assert meant in str(caught.value).partition("Known:")[0]
    with pytest.raises(BadInput, match="did you mean 'mnist-grey', 'mnist-static' or 'mnist-dynamic'"):
        bench.datasets.info("mnist")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("runs/quick", "runs/mine", "other"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "suite.toml").write_text("")
    for file in ("mine.toml", "note.md"):
        (tmp_path / file).write_text("")
    (tmp_path / "suites").mkdir()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("quick", "no such folder: 'quick'; did you mean 'runs/quick'?"),
        ("othr", "no such folder: 'othr'; did you mean 'other'?"),
        ("runs/quik", "no such folder: 'runs/quik'; did you mean 'runs/quick'?"),
        ("a/b", "no such folder: 'a/b', nor 'a'"),
        ("zzz", "no such folder: 'zzz'"),
        ("runs", "'runs' holds no run (no suite.toml); did you mean 'runs/mine' or 'runs/quick'?"),
        ("suites", "'suites' holds no run (no suite.toml); give the folder that `gradest run` made"),
        ("runs/mine/suite.toml", "'runs/mine/suite.toml' holds no run (no suite.toml); did you mean 'runs/mine'?"),
        ("mine.toml", "'mine.toml' holds no run (no suite.toml); give the folder that `gradest run` made"),
    ],
)
def test_a_missing_folder_is_called_so(here: None, typed: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        suite_file(Path(typed))
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("main.toml", "no such file: 'main.toml'; did you mean 'mine.toml'?"),
        ("quick.toml", "no such file: 'quick.toml'; did you mean 'quick'?"),
        ("mine", "unknown suite 'mine'; did you mean 'mine.toml'?"),
        ("runs/quick", "'runs/quick' is the folder of a run; gradest run runs/quick/suite.toml --out runs/quick "
                       "goes on with it"),
        ("suites/zzz", "no such file: 'suites/zzz.toml' (a suite is a name, or a path that ends in .toml)"),
        ("note.md", "'note.md' is no suite: give a suite's name, or a file that ends in .toml"),
        ("quik", "unknown suite 'quik'; did you mean 'quick'?"),
        ("mnist", "unknown suite 'mnist'; did you mean 'mnist-small', 'mnist-linear' or 'mnist-linear-elbo'?"),
    ],
)  # fmt: skip
def test_a_missing_suite_is_called_so(here: None, typed: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_suite(typed)
    assert str(caught.value).partition(" Known: ")[0] == said


def test_a_path_beside_hidden_files_guesses_none_of_them(tmp_path: Path) -> None:
    (tmp_path / ".quick").mkdir()
    assert missing("folder", tmp_path / "quick") == f"no such folder: {str(tmp_path / 'quick')!r}"


def test_what_lies_in_the_place_of_a_path_is_named_and_not_guessed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for what, name, is_one in (
        ("file", "pipe.toml", "a pipe or a device"),
        ("file", "folder.toml", "a folder"),
        ("folder", "file", "a file"),
        ("folder", "link", "a link to nowhere"),
    ):
        path = tmp_path / name
        assert missing(what, path) == f"{str(path)!r} is {is_one}, where a {what} is needed"
