"""Every published sentence against its table, every number of the pages against claims and exceptions, and both."""

from pathlib import Path

import pytest

from bench.studies.claims.__main__ import CSV, main, problems
from bench.studies.claims.check import csv, faults
from bench.studies.claims.scan import loose, pages, useless
from bench.studies.claims.source import ROOT, Claim, read
from estimators.errors import BadInput

SOURCES = read()

TABLE = """estimator,logit,variance,seconds
rloo,0,0.2849,1000
disarm,0,0.12,31000
rloo,6,4.0,1000
disarm,6,4.001,1000
"""

CLAIM = """
[[claim]]
name = "ranks"
file = "README.md"
table = "made/up.csv"
value = "variance"
fixed = ["logit| 0", "seconds; 6"]
text = "At |logit| 0 {better} {has} a variance of {disarm}, {share} % of {rloo}, in {seconds} seconds; 6 {most}"
true = ["disarm < rloo"]

[claim.numbers]
disarm = "estimator == 'disarm' and logit == 0"
rloo = "estimator == 'rloo' and logit == 0"
share = {of = "disarm / rloo", factor = 100}
better = {where = "variance < .2", value = "estimator", reduce = "names"}
has = {reduce = "count", value = "logit"}
seconds = {where = "estimator == 'disarm'", value = "seconds", reduce = "max", digits = 1}
most = {where = "logit == 6", reduce = "max", round = "up"}
"""

SENTENCE = "At |logit| 0 `disarm`\ntwo a variance of .12, 42.1 % of 0.285, in 30,000 seconds; 6 4.1"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one page that has one claim, and nothing else in it."""
    texts = {
        "results/claims/some.toml": CLAIM,
        "results/made/up.csv": TABLE,
        "results/README.md": "# Results\n",
        "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n\nTwice 17.\n",
        "README.md": f"# Page\n\n{SENTENCE}. More `17` words.\n\n    17\n",
        "docs/empty.md": "# Nothing\n\n```\n17\n```\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def change(checkout: Path, name: str, before: str, after: str) -> None:
    text = (checkout / name).read_text()
    assert before in text
    (checkout / name).write_text(text.replace(before, after))


@pytest.mark.parametrize("claim", SOURCES.claim, ids=lambda claim: claim.name)
def test_a_published_sentence_says_what_its_table_says(claim: Claim) -> None:
    assert "\n".join(faults(claim, ROOT)) == ""


@pytest.mark.parametrize("file", pages(ROOT))
def test_every_number_of_a_page_is_a_claim_or_an_exception(file: str) -> None:
    assert "\n".join(loose(file, SOURCES, ROOT)) == ""


def test_every_exception_is_of_use() -> None:
    assert list(useless(SOURCES, ROOT)) == []


def test_the_list_of_claims_is_up_to_date() -> None:
    assert (ROOT / CSV).read_text() == csv(SOURCES.claim, ROOT)


def test_what_holds_is_listed_with_its_cell_and_its_test(checkout: Path) -> None:
    assert list(problems(read(checkout), checkout)) == []
    lines = csv(read(checkout).claim, checkout).splitlines()
    assert lines[0] == "claim,file,sentence,number,written,value,table,cell,test"
    assert lines[1].endswith(
        ",disarm,.12,0.12,results/made/up.csv,variance where estimator == 'disarm' and logit == 0,"
        "tests/bench/test_claims.py::test_a_published_sentence_says_what_its_table_says[ranks]"
    )
    assert ",disarm < rloo,,true,,," in lines[-1]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("of .12", "of .13", "README.md says .13 where results/made/up.csv, variance where estimator == 'disarm'"),
        ("42.1", "42.2", "README.md says 42.2 where disarm / rloo says 42.1 (42.12)"),
        ("0.285", "0.286", "says 0.286 where"),
        ("30,000", "31,000", "says 31,000 where results/made/up.csv, max of seconds where"),
        ("4.1", "4.0", "says 4.0 where"),
        ("two", "three", "says three where results/made/up.csv, count of logit, says two (2)"),
        ("`disarm`", "`rloo` and `disarm`", "says `rloo` and `disarm` where"),
    ],
)
def test_a_number_that_is_not_the_table_s_is_named_and_put_right(
    checkout: Path, before: str, after: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    right = (checkout / "README.md").read_text()
    change(checkout, "README.md", before, after)
    (line,) = problems(read(checkout), checkout)
    assert line.startswith("claim ranks: ")
    assert said in line
    main(write=True, root=checkout)
    assert (checkout / "README.md").read_text() == right
    assert capsys.readouterr().out == "README.md: numbers refreshed\n1 claims hold\n"
    assert (checkout / CSV).read_text() == csv(read(checkout).claim, checkout)


def test_a_table_made_anew_moves_the_sentence(checkout: Path) -> None:
    change(checkout, "results/made/up.csv", "0.12,", "0.181,")
    change(checkout, "results/made/up.csv", "4.001", "123.4")
    main(write=True, root=checkout)
    assert "variance of .18, 63.5 % of 0.285, in 30,000 seconds; 6 123.4." in (checkout / "README.md").read_text()


def test_a_comparison_that_is_not_so_is_a_fault(checkout: Path) -> None:
    change(checkout, "results/claims/some.toml", "disarm < rloo", "disarm > rloo")
    (line,) = problems(read(checkout), checkout)
    assert "but disarm > rloo is not so where disarm = 0.12, rloo = 0.2849, share = 42.12" in line


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("README.md", "a variance", "the variance", "claim ranks: README.md does not have the words: At |logit|"),
        ("README.md", "More", SENTENCE, "claim ranks: README.md has 2 times the words"),
        ("results/claims/some.toml", "logit == 6", "logit == 7", "claim ranks: {most} has no value: no row where"),
        ("results/claims/some.toml", "made/up", "made/down", "has no value: there is no table"),
        ("results/claims/some.toml", " and logit == 0\"\nrloo", "\"\nrloo", "2 different values where estimator =="),
        ("results/claims/some.toml", '"logit"}', '"speed"}', "claim ranks: {has} has no value: name 'speed'"),
        ("results/claims/some.toml", "{has}", "{have} {has}", "claim ranks: nothing says where {have} comes from"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_in_one_line(checkout: Path, name: str, before: str, after: str, said: str) -> None:
    change(checkout, name, before, after)
    (line, *_) = problems(read(checkout), checkout)
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("'disarm' and logit == 0", "'disram' and logit == 0", "{disarm} has no value: no row where"),
        ('count", value = "logit"', 'count", where = "estimator == \'disram\'"', "says empty = true"),
        ('"seconds", reduce = "max"', '"late", reduce = "max"', "{seconds} has no value: 1 of 2 values are missing"),
        ('"seconds", reduce = "max"', '"late", reduce = "mean"', "1 of 2 values are missing (NaN)"),
        ('"disarm / rloo"', '"disarm / rloo + 1e400 - 1e400"', "{share} has no value: it is not a number (NaN)"),
        ('"disarm / rloo"', '"disarm / rloo + 1e400"', "{share} has no value: it is infinite, as no sentence says"),
    ],
)  # fmt: skip
def test_what_is_empty_or_missing_holds_nothing(checkout: Path, before: str, after: str, said: str) -> None:
    """A sum of no rows is 0, a statistic leaves NaN out, and every comparison with NaN is false."""
    table = TABLE.replace("seconds", "seconds,late").replace("000\n", "000,1\n").replace("31000,1", "31000,")
    (checkout / "results/made/up.csv").write_text(table)
    assert list(problems(read(checkout), checkout)) == []
    change(checkout, "results/claims/some.toml", before, after)
    (line, *_) = problems(read(checkout), checkout)
    assert said in line


def test_a_count_that_is_to_be_zero_says_so(checkout: Path) -> None:
    change(checkout, "results/claims/some.toml", '["disarm < rloo"]', '["disarm < rloo", "none == 0"]')
    none = 'none = {where = "logit == 7", reduce = "count", empty = true}'
    change(checkout, "results/claims/some.toml", "has =", f"{none}\nhas =")
    assert list(problems(read(checkout), checkout)) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("has =", "idle = 'logit == 0'\nhas =", "claim ranks: idle has no place in text, true or of"),
        ('["disarm < rloo"]', '["1 < 2"]', "claim ranks: 1 < 2 compares none of its numbers"),
        ('"seconds; 6"', '"minutes; 6"', "claim ranks: its text does not have what is fixed: minutes; 6"),
        ('reduce = "max", round', 'reduce = "max", empty = true, round', "claim ranks: most has empty = true"),
    ],
)
def test_a_claim_that_checks_nothing_is_refused(checkout: Path, before: str, after: str, said: str) -> None:
    change(checkout, "results/claims/some.toml", before, after)
    with pytest.raises(BadInput) as error:
        read(checkout)
    assert said in str(error.value)


def test_a_number_of_a_claim_s_words_is_held_or_said_to_be_fixed(checkout: Path) -> None:
    change(checkout, "results/claims/some.toml", 'fixed = ["logit| 0", "seconds; 6"]', 'fixed = ["logit| 0"]')
    (line,) = problems(read(checkout), checkout)
    assert line.startswith("README.md:4: 6 is in no claim and no exception")


NUMBERS = ["took 17.3 s", "is twice that", "takes a seventh less", "in five minutes", "at .5", "is 7x as fast", "by x2"]
NUMBERS += ["wins eleven", "has forty", "takes a dozen", "wins two out of five", "is two orders of magnitude off"]
NUMBERS += ["takes 20ms", "is 3s longer", "has 1.5M", "gains tenfold", "is lost in one in ten"]


@pytest.mark.parametrize("words", NUMBERS)
def test_a_number_without_a_source_is_found(checkout: Path, words: str) -> None:
    change(checkout, "docs/empty.md", "# Nothing\n", f"# Nothing\n\nIt {words}.\n")
    (line,) = problems(read(checkout), checkout)
    assert line.startswith("docs/empty.md:3: ")
    assert line.endswith(
        f"is in no claim and no exception of results/claims: # Nothing It {words}. ``` 17 ```"[: len(line)]
    )


def test_exceptions_take_numbers_and_must_be_of_use(checkout: Path) -> None:
    change(checkout, "docs/empty.md", "# Nothing\n", "# Nothing\n\nIts level is 95 %.\n")
    source = checkout / "results/claims/more.toml"
    source.write_text('[[exempt]]\nkind = "level"\nfile = "docs/empty.md"\ntexts = ["level is 95 %"]\n')
    assert list(problems(read(checkout), checkout)) == []
    source.write_text('[[exempt]]\nkind = "level"\nfile = "docs/empty.md"\nheadings = ["Nothing"]\n')
    assert list(problems(read(checkout), checkout)) == []
    source.write_text(source.read_text().replace("headings", "texts").replace('"Nothing"', '"is 95 %", "and 99 %"'))
    (line,) = problems(read(checkout), checkout)
    assert line == "docs/empty.md does not have what an exception (level) is made for: and 99 %"
    source.write_text("".join(f"[[pattern]]\nkind = 'level'\npattern = '{p}'\nwhy = ''\n" for p in (r"\d+ %", "8 x")))
    assert list(problems(read(checkout), checkout)) == ["nothing matches the exception 8 x; remove it"]


def test_what_a_person_writes_is_checked(checkout: Path) -> None:
    source = checkout / "results/claims/more.toml"
    source.write_text(CLAIM)
    with pytest.raises(BadInput, match="two claims are called ranks"):
        read(checkout)
    source.write_text(CLAIM.replace("reduce", "redu"))
    with pytest.raises(BadInput, match=r"results/claims/more\.toml: .*Extra inputs"):
        read(checkout)


def test_a_setting_is_looked_up_in_the_code(checkout: Path) -> None:
    change(checkout, "docs/empty.md", "# Nothing\n", "# Nothing\n\nBy default 20, 1 and 1 of them.\n")
    (checkout / "results/claims/more.toml").write_text("""
[[claim]]
name = "defaults"
file = "docs/empty.md"
text = "By default {rows}, {n} and {factor} of them"

[claim.numbers]
rows = {code = "tests.bench.test_claims:TWENTY"}
n = {code = "bench.studies.results:Row.n"}
factor = {code = "tests.bench.test_claims:one_by_default.count"}
""")
    assert list(problems(read(checkout), checkout)) == []
    change(checkout, "docs/empty.md", "20", "21")
    (line,) = problems(read(checkout), checkout)
    assert "says 21 where tests.bench.test_claims, TWENTY, says 20 (20)" in line


TWENTY = 20


def one_by_default(count: int = 1) -> int:
    return count
