"""Tables of the literature as data: those that come with the package, and what is said of a file that is wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

import estimators
from bench.published import TABLES, Margin, read_table, tables
from estimators.errors import BadInput

RIGHT = """title = "Variance on one bit"
metric = "variance"
cells = [
  {estimator = "LOORF", at = {chance = 0.5}, quantity = "variance", value = 2.5e-5},
  {estimator = "LOORF", at = {chance = 0.25}, quantity = "variance", value = 2.3e-5, error = {absolute = 1e-6}},
]

[source]
paper = "A paper"
authors = "Somebody"
year = 2021
venue = "a conference"
place = "table 1"
read = "printed"
resolution = "two digits"
spread = "none"

[protocol]
kind = "one-bit"
target = 0.49
evaluations = 2
columns = 1
column = 0.0

[estimators]
LOORF = "rloo"

[error]
absolute = 5e-7

[matters]
relative = 0.1
"""
WRONG = {
    ("[error]", "[errors]"): "unknown key 'errors'; did you mean 'error'?",
    ("year = 2021", "year = 2021\npages = 3"): "unknown key 'source.pages'; leave it out",
    ("year = 2021", 'year = "soon"'): "source.year: Input should be a valid integer",
    ('read = "printed"', 'read = "guessed"'): "source.read: Input should be 'printed', 'read from a figure' or",
    ('read = "printed"', 'read = "authors\' file"'): "source: numbers of the authors' file need its repository",
    ('place = "table 1"', 'place = "t"\nrepository = "a/b"\ncommit = "12"'): "source.commit: String should match",
    ('place = "table 1"', 'place = "t"\nrepository = "a/b"'): "source: repository and commit belong together",
    ("value = 2.5e-5", "value = nan"): "cells.0.value: Input should be a finite number",
    ('{estimator = "LOORF", at = {chance = 0.5}', '{estimator = "LORF", at = {chance = 0.5}'): (
        "estimator 'LORF' is not among those of [estimators]: LOORF"
    ),
    ("chance = 0.5}", "chance = 1.5}"): "cell 1 (LOORF): chance: Input should be less than 1",
    ("chance = 0.5}", "chances = 0.5}"): "cell 1 (LOORF): chance: Field required",
    ("chance = 0.5}", "chance = 0.5, target = 0.4}"): (
        "cell 1 (LOORF) says target again, which [protocol] fixes for all cells"
    ),
    ("chance = 0.5}", "chance = 0.25}"): "cells 1 and 2 are of the same protocol, estimator and quantity",
    ('"one-bit"', '"one-bite"'): "cell 1 (LOORF): protocol: Input tag 'one-bite' found using 'kind' does not match",
    ('"variance", value = 2.5e-5', '"bias", value = 2.5e-5'): (
        "cell 1 (LOORF): quantity 'bias' is none of this protocol's: variance"
    ),
    ("columns = 1\ncolumn = 0.0", "columns = 99\ncolumn = 0.02"): "columns reach 0.98 around chance 0.5, beyond 0 or 1",
    ("relative = 0.1", "relative = 1.5"): "matters.relative: Input should be less than 1",
    ("relative = 0.1", ""): "nothing would matter: give [matters] a share or a fixed part above 0",
    ("[source]", "[source"): "is not valid TOML: ",
}


def read(folder: Path, text: str):
    path = folder / "a.toml"
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def test_a_table_is_read(tmp_path: Path) -> None:
    table = read(tmp_path, RIGHT)
    assert table.number(0)[:3] == (2.5e-5, 5e-7, 0.0)
    assert table.number(1).error == 1e-6
    assert table.protocol_of(1).chance == 0.25
    assert Margin(relative=0.1, absolute=2.0).of(-30.0) == 5.0


@pytest.mark.parametrize(("change", "said"), WRONG.items())
def test_a_wrong_file_is_one_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in RIGHT
    with pytest.raises(BadInput) as caught:
        read(tmp_path, RIGHT.replace(*change, 1))
    assert said in str(caught.value)
    assert str(caught.value).startswith("a.toml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"b\.toml"):
        read_table(tmp_path / "b.toml")


def test_a_table_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read(tmp_path, RIGHT).cells[0].value = 3.0


def test_a_number_that_was_sampled_needs_its_standard_error_from_elsewhere(tmp_path: Path) -> None:
    table = read(tmp_path, 'sampled = ["LOORF"]\ndraws = 100\n' + RIGHT)
    assert table.number(0).standard_error is None
    assert table.number(0, 1e-7).standard_error == 1e-7


def test_the_hash_is_that_of_every_factor_and_of_our_estimator(tmp_path: Path) -> None:
    hashes = {read(tmp_path, RIGHT).hash_of(0)}
    for change in (("target = 0.49", "target = 0.5"), ("evaluations = 2", "evaluations = 4"), ('"rloo"', '"disarm"')):
        hashes.add(read(tmp_path, RIGHT.replace(*change)).hash_of(0))
    assert len(hashes) == 4
    assert read(tmp_path, RIGHT.replace("Somebody", "Somebody else")).hash_of(0) in hashes


def test_all_tables_of_the_package_are_whole() -> None:
    known = tables()
    assert sum(len(table.cells) for table in known.values()) > 300
    assert len(known) == len([*TABLES.glob("*.toml")]) > 0
    for name, table in known.items():
        for label in table.estimators.values():
            assert estimators.create(label), (name, label)
        assert all(table.matters.of(cell.value) > 0 for cell in table.cells), name
        assert set(table.sampled) == set() or table.draws, name
        assert {cell.estimator for cell in table.cells} == set(table.estimators), name
        assert not re.search(r"/tmp|\[mem\]", (TABLES / f"{name}.toml").read_text(encoding="utf-8")), name


def test_tables_are_read_without_torch() -> None:
    code = "import sys; from bench.published import tables; tables(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
