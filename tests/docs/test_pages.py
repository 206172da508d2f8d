"""All code of README, CONTRIBUTING and docs: programs run, commands parse and run where that is cheap."""

import math
import re
import shlex
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
import typer

import estimators
from bench.cli.dry_run import show_plan
from bench.config import EstimatorConfig, parse_estimator
from bench.library.recommend import suite_of
from bench.studies import page_code
from bench.studies.page_code import Block, Shown
from bench.studies.tutorial.__main__ import PICTURES, REPORT, SCREEN
from bench.suite.load import load_suite, override, parse_suite, suite_names
from tests.bench.processes import forked
from tests.docs.exempt import NOT_RUN, PARSED
from tests.docs.typed import ROOT, SYNOPSIS, environments, parse_gradest, parse_study, parse_synopsis

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}


def _bits() -> dict[str, Any]:
    """What a page takes to be the reader's: a model of some bits, and minibatches."""
    encoder, decoder = torch.nn.Linear(6, 20), torch.nn.Linear(20, 6)
    encode = lambda x: torch.distributions.Bernoulli(logits=encoder(x))  # noqa: E731
    cost = lambda x: lambda z, q: (decoder(z) - x).square().sum(-1)  # noqa: E731
    model = SimpleNamespace(encode=encode, cost=cost, parameters=encoder.parameters)
    batches = torch.rand(2, 5, 6)
    common = {"torch": torch, "estimators": estimators, "encoder": encoder, "decoder": decoder, "model": model}
    return common | {"batches": batches, "encode": encode, "cost": cost, "q": encode(batches[0])}


def given(name: str) -> dict[str, Any]:
    """The names of a page that are the reader's own."""
    if name == "README.md":
        point = torch.distributions.Bernoulli(logits=torch.zeros(1, 3))
        return {"q": point, "f": lambda z, q: (z.sum(-1) - 1).square().detach()}  # values alone: fewer take it
    return _bits() if name in ("CONTRIBUTING.md", "docs/estimators.md") else {}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: None) -> Path:
    """An empty folder, where a page's own files are found; what they register is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("mine", "wrong"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.parametrize("name", TEXTS)
def test_a_page_runs(name: str, folder: Path) -> None:
    # As importing torch's compiler does, which may have been done for a test before; a fixture puts it back.
    torch.distributions.Distribution.set_default_validate_args(False)
    wide = ("display.width", 120, "display.max_columns", 20)  # as a notebook prints a frame
    with torch.random.fork_rng(), pd.option_context(*wide):
        torch.manual_seed(0)
        shown = page_code.run(TEXTS[name], folder, typed, given(name))
    for one in shown:
        same_as_shown(name, one)
    if name == "docs/tutorial.md":
        assert set(re.findall(r"\(images/(.*?)\)", TEXTS[name])) == {*PICTURES, SCREEN}
        assert (folder / REPORT).exists() and (ROOT / "docs/images" / SCREEN).exists()
        assert all((folder / made).exists() for made in PICTURES.values())
        assert all((ROOT / "docs/images" / picture).exists() for picture in PICTURES)


FEW = 2
"""Estimators of a recommendation that takes seconds."""


def typed(words: tuple[str, ...], folder: Path) -> str:
    """Run a command, or see that it could be; returns what it printed."""
    line = " ".join(words)
    match words:
        case ("gradest", *arguments):
            return run_gradest(arguments, folder)
        case ("python", "-m", module, *arguments) if module.startswith("bench"):
            parse_study((module, *arguments))
        case ("tox", *arguments):
            assert not arguments or (arguments[0] == "-e" and arguments[1] in environments()), line
        case _:
            assert any(re.fullmatch(pattern, line) for pattern in NOT_RUN), f"{line} is not run: say why in exempt.py"
    return ""


def run_gradest(arguments: list[str], folder: Path) -> str:
    """Run a command of gradest that is of the page's own files; plan, or read, another."""
    asked = parse_gradest(arguments)
    verb = asked["verb"]
    if own(asked, folder):
        if verb == "check":
            file = f"{asked['estimator'].partition(':')[0]}.py"
            done = checked(*arguments, **{file: (folder / file).read_text()})
        else:
            done = forked("bench", *arguments, cwd=folder)
        refuted = int(verb == "check" and " is refuted" in done.stdout)  # as the tutorial shows
        assert done.returncode == refuted, done.stderr
        return done.stdout
    assert verb in PARSED
    labels = [*(asked.get("estimators") or []), *([asked["estimator"]] if "estimator" in asked else [])]
    known = [label for label in labels if ":" not in label]
    for label in known:
        estimators.get(EstimatorConfig(**parse_estimator(label)).name)
    if verb == "run" and asked["suite"] in suite_names():
        if any((folder / f"{label.partition(':')[0]}.py").exists() for label in labels if ":" in label):
            planned = forked("bench", *arguments, "--dry-run", cwd=folder)
            assert planned.returncode == 0, planned.stderr
        suite = load_suite(asked["suite"])
        show_plan(override(suite, estimators=known, seeds=asked["seeds"], device=asked["device"]), folder / "planned")
    if verb == "recommend" and ":" not in asked["problem"]:
        own_settings = {name: asked[name] for name in ("f_evals", "draws", "steps", "black_box")}
        suite_of(asked["problem"], **own_settings, estimators=asked["estimators"] or ())
    return ""


@cache
def checked(*arguments: str, **sources: str) -> subprocess.CompletedProcess[str]:
    """A check of a page's own file, once for all pages that show the same: it writes nothing."""
    with tempfile.TemporaryDirectory() as name:
        for file, text in sources.items():
            Path(name, file).write_text(text)
        return forked("bench", *arguments, cwd=Path(name))


def own(asked: dict[str, Any], folder: Path) -> bool:
    """Whether all that a command needs was made by the page before it."""
    match asked["verb"]:
        case "run":
            return asked["suite"].endswith(".toml") and (folder / asked["suite"]).exists()
        case "check":
            return (folder / f"{asked['estimator'].partition(':')[0]}.py").exists()
        case "recommend":
            of_page = (folder / f"{asked['problem'].partition(':')[0]}.py").exists()
            return of_page or len(asked["estimators"] or []) == FEW
        case "report":
            return all((folder / directory).exists() for directory in asked["directories"])
        case "compare":
            return all((folder / asked[side]).exists() for side in ("first", "second"))
        case "status":
            return bool((folder / asked["directory"]).exists())
    return False


VARIES = re.compile(r"\(?\b\d+ s\b|wrote \d+ files|to \d+e-\d+")
"""What is not the same each time, or moves with rounding."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def same_as_shown(name: str, one: Shown) -> None:
    """What is shown was printed, words as they are and numbers up to rounding and what that moves.

    Of a program all is shown; of commands a part, or parts with `...` between them. Commands that were not run, or read
    alone, printed nothing.
    """
    place = f"{name}:{one.block.line}"
    printed, shown = (VARIES.sub("", text) for text in (one.printed, one.block.text))
    whole = one.code.language == "python"
    if not whole and not printed:
        return
    said, at = printed.split(), 0
    words = [NUMBER.sub("N", word) for word in said]
    for part in [shown] if whole else shown.split("..."):
        wanted = part.split()
        form = [NUMBER.sub("N", word) for word in wanted]
        starts = [i for i in range(at, len(words) - len(form) + 1) if words[i : i + len(form)] == form]
        assert starts and (not whole or len(words) == len(form)), f"{place} shows what is not printed: {one.printed}"
        at = starts[0]
        for word, other in zip(said[at:], wanted, strict=False):
            for x, y in zip(NUMBER.findall(word), NUMBER.findall(other), strict=True):
                assert math.isclose(float(x), float(y), rel_tol=0.05, abs_tol=0.02), f"{place}: {x} is not {y}"
        at += len(form)


def test_commands_in_the_text_are_commands() -> None:
    for name, text in TEXTS.items():
        for line in page_code.inline(text):
            if not re.match(r"(?:\.venv/bin/)?gradest [a-z]|python -m bench", line):
                continue
            (words,) = page_code.commands(line)[:1]
            try:
                if SYNOPSIS.search(line):
                    parse_synopsis(words)
                elif words[0] == "python":
                    parse_study(words[2:])
                elif len(words) > 2:
                    parse_gradest(words[1:])
                else:
                    parse_synopsis(words)
            except (typer.TyperException, KeyError) as error:
                raise AssertionError(f"{name} has `{line}`, which gradest does not take: {error}") from error


def test_every_block_says_what_it_is() -> None:
    for name, text in TEXTS.items():
        assert text.count("\n```") + text.startswith("```") == 2 * len(page_code.blocks(text)), name
        for block in page_code.blocks(text):
            assert block.language in page_code.LANGUAGES, f"{name}:{block.line}"
        for indented in page_code.indented(text):
            assert not re.search(r"gradest |python|tox|import |^ +\w+ = ", indented, re.MULTILINE), (
                f"{name}: {indented}"
            )


def _files(text: str) -> list[Block]:
    return [block for block in page_code.blocks(text) if block.title]


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if _files(text)])
def test_every_file_of_a_page_is_used(name: str) -> None:
    """By a command of the page, or by a file that is."""
    lines = [" ".join(words) for block in page_code.blocks(TEXTS[name]) if block.language == "sh"
             for words in page_code.commands(block.text)]  # fmt: skip
    for block in _files(TEXTS[name]):
        others = [other.text for other in _files(TEXTS[name]) if other.title != block.title]
        stem = re.compile(rf"\b{Path(block.title).stem}(?::|\.py|\.toml)")
        assert any(stem.search(used) for used in [*lines, *others]), (
            f"{name} makes {block.title} and does nothing with it"
        )


SMALL = """
name = "small"
problems = [{kind = "vae", dataset = "digits", family = "bernoulli", latents = 2}]
estimators = ["rloo"]
[elbo]
"""
"""What a part of a suite is a part of."""


def test_toml_that_is_no_file_is_a_suite() -> None:
    for name, text in TEXTS.items():
        for block in page_code.blocks(text):
            if block.language == "toml" and not block.title:
                whole = block.text if "problems = " in block.text else f"{SMALL}\n{block.text}"
                parse_suite(whole.encode(), f"{name}:{block.line}")


def test_every_exemption_is_of_use() -> None:
    lines = {
        " ".join(words)
        for text in TEXTS.values()
        for block in page_code.blocks(text)
        if block.language == "sh"
        for words in page_code.commands(block.text)
    }
    inline = {" ".join(shlex.split(line)) for text in TEXTS.values() for line in page_code.inline(text)
              if line.startswith("gradest ") and line.count("'") % 2 == 0}  # fmt: skip
    assert [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, line) for line in lines)] == []
    assert [verb for verb in PARSED if not any(line.startswith(f"gradest {verb}") for line in lines | inline)] == []
