"""docs/records.md has every field of every record, as the models have them."""

from pathlib import Path

from bench.records import results
from bench.records.record import Record
from bench.studies.records_page import kind, made, said

PAGE = Path(__file__).parents[2] / "docs" / "records.md"


def test_the_tables_are_made_from_the_models() -> None:
    """`python -m bench.studies.records_page docs/records.md` mends the page where this fails."""
    page = PAGE.read_text()
    assert made(page) == page
    assert made(page.replace("| `cell` | text |", "| `cell` | number |")) == page
    for name in ("`schema`", "`smallest_visible`", "`halves_log_se`", "`compiled_ratio`", "`gpu`", "`logit`"):
        assert f"| {name} |" in page


def test_every_field_says_what_it_is() -> None:
    assert [
        line for line in PAGE.read_text().splitlines() if line.endswith(("| required | |", "| may be missing | |"))
    ] == []
    assert said(results.OfParameters)["snr_low"] == "Lower end of its 95 % interval."
    assert said(results.OfParameters)["kurtosis"] == said(results.Noise)["kurtosis"] != ""


def test_types_are_in_words_that_json_knows() -> None:
    types = {name: kind(field.annotation) for name, field in Record.model_fields.items()}
    assert types["cell"] == "text" and types["reason"] == "text or null" and types["measurements"] == "table"
    assert kind(results.Curve.model_fields["train_elbo"].annotation) == "list of list of number or null"
