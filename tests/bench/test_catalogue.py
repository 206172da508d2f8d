"""What `gradest list` shows, row by row."""

import json

import bench.datasets
import estimators
from bench.cli.catalogue import SHORT, rows, short
from bench.suite.load import load_suite
from estimators.families import FAMILIES

ALL = list(FAMILIES)


def test_problems_are_the_toys_and_the_vae_with_their_families() -> None:
    found = rows("problems")
    assert [(row["name"], row["kind"], list(row["families"])) for row in found] == [
        ("quadratic", "toy", ALL),
        ("cubic", "toy", ALL),
        ("coupled", "toy", ALL),
        ("exp", "toy", ALL),
        ("cos", "toy", ALL),
        ("network", "toy", ["bernoulli", "categorical"]),
        ("random", "toy", ["bernoulli"]),
        ("vae", "vae", ALL),
        ("logistic-regression", "logistic-regression", ["gaussian"]),
    ]
    formulas = {row["name"]: row["summary"] for row in found}
    assert "sum_i (y_i - target)^2;" in formulas["quadratic"]
    assert "sum_i (y_i - target)^3:" in formulas["cubic"]
    assert "(y - target)' A (y - target), A_ij = cos(1 + i + j) / sqrt(n)" in formulas["coupled"]
    assert "sum_i exp(-target y_i^2);" in formulas["exp"]
    assert "sum_i cos(target y_i);" in formulas["cos"]
    assert "8 tanh units over y - target" in formulas["network"]
    assert "every joint state, minus the target" in formulas["random"]
    assert formulas["vae"] == (
        "the shared VAE, Bernoulli likelihood; factors: latents, architecture, decoder, activation, "
        "embedding one-hot | integer, bound elbo | iwae, entropy sampled | analytic, kl_weight, kl_warm_up, "
        "prior fixed | learned"
    )


def test_data_sets_are_shown_as_they_describe_themselves() -> None:
    found = {row["name"]: row for row in rows("datasets")}
    assert list(found) == [info.name for info in bench.datasets.available()]
    digits, fashion = found["digits"], found["fashion-dynamic"]
    assert (digits["pixels"], digits["rows"], digits["dynamic"]) == (64, [1285, 256, 256], False)
    assert (fashion["pixels"], fashion["rows"], fashion["dynamic"]) == (784, [50000, 10000, 10000], True)
    assert (fashion["licence"], digits["licence"]) == ("MIT", "CC BY 4.0 (UCI Machine Learning Repository)")
    assert digits["summary"].startswith("scikit-learn's 8x8 digits")
    assert digits["citation"].startswith("E. Alpaydin and C. Kaynak")


def test_suites_are_counted() -> None:
    found = {row["name"]: row for row in rows("suites")}
    assert list(found) == sorted(found)
    suite = load_suite("mnist-small")
    assert found["mnist-small"] == {
        "name": "mnist-small",
        "problems": 2,
        "estimators": 6,
        "seeds": 2,
        "title": "Static MNIST, linear, 200 Bernoulli latents: a short look at the real files",
    }
    assert (len(suite.problems), len(suite.estimators), suite.seeds) == (2, 6, 2)


def test_estimators_are_their_tags() -> None:
    found = {row["name"]: row for row in rows("estimators")}
    assert list(found) == [entry.name for entry in estimators.available()]
    for name, unbiased, families in (
        ("rloo", True, tuple(ALL)),
        ("straight-through", False, ("bernoulli", "categorical")),
    ):
        assert (found[name]["unbiased"], found[name]["bound"], found[name]["families"]) == (unbiased, "elbo", families)
    assert found["rloo"]["summary"] == estimators.get("rloo").summary


def test_a_short_list_holds_the_columns_that_fit_and_a_long_one_can_be_written_as_json() -> None:
    columns = {
        "estimators": ["name", "families", "bound", "unbiased", "needs", "summary"],
        "problems": ["name", "families", "summary"],
        "datasets": ["name", "pixels", "rows", "dynamic", "summary"],
        "measurements": ["name", "problems", "summary"],
        "suites": ["name", "problems", "estimators", "seeds", "title"],
    }
    assert set(SHORT) == set(columns)
    for what, keys in columns.items():
        full = rows(what)
        assert short(what, full) == [{key: row[key] for key in keys} for row in full]
        assert [list(row) for row in short(what, full)] == [keys] * len(full)
        assert len(json.loads(json.dumps(full))) == len(full)
