"""The registry: third parties in one file, tags checked, names guessed."""

import subprocess
import sys
from pathlib import Path

import pytest

import estimators
from bench.config import parse_estimator
from estimators import BadInput, registry
from estimators.checks import subjects
from estimators.families import register_family
from estimators.labels import label_of

PLUGIN = Path(__file__).parent.parent / "plugin"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, forget: None):
    """The out-of-tree package importable, and forgotten afterwards."""
    monkeypatch.syspath_prepend(PLUGIN)
    yield
    sys.modules.pop("halfway", None)


def test_names_and_filters() -> None:
    names = [entry.name for entry in estimators.available()]
    assert names == sorted(names)
    assert {"exact", "rloo", "disarm", "score-no-entropy"} <= set(names)
    for family in ("gaussian", "bernoulli", "categorical"):
        assert all(family in entry.families for entry in estimators.available(family=family))
    assert {entry.bound for entry in estimators.available(bound="iwae")} == {"iwae"}


def test_every_entry_says_what_it_is() -> None:
    for entry in estimators.available():
        assert entry.summary
        assert entry.enumerates or entry.paper, f"{entry.name} names no source"
        assert entry.create().samples == entry.samples.default
        source = sys.modules[entry.cls.__module__].__doc__
        assert source, f"{entry.name} has no word at the head of its file"


def test_importing_a_file_registers_it(plugin: None) -> None:
    entry = estimators.get("halfway:Halfway")
    assert (entry.name, entry.families, entry.unbiased) == ("halfway", ("bernoulli",), True)
    assert estimators.get("halfway") is entry
    assert entry.create(samples=4).samples == 4


def test_entry_points_are_found_in_a_real_process(tmp_path: Path) -> None:
    """A package that is installed beside gradest: its metadata names the entry point, and nothing else is done."""
    info = tmp_path / "halfway-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: halfway\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gradest.estimators]\nhalfway = halfway\n")
    code = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(PLUGIN)!r}]\n"
        "import estimators; print('halfway' in [e.name for e in estimators.available()])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_broken_plugin_warns_and_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        name, value = "broken", "nowhere:at_all"

        def load(self) -> None:
            raise ImportError("no module named 'nowhere'")

    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: [Broken()])
    monkeypatch.setattr(registry, "_loaded", False)
    with pytest.warns(UserWarning, match=r"plug-in broken .* was not loaded"):
        assert estimators.get("rloo").name == "rloo"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rlo", "unknown estimator 'rlo'; did you mean 'rloo'?"),
        ("nothing-like-it-at-all", "unknown estimator 'nothing-like-it-at-all'. Known: "),
        ("nothing-like-it-at-all", " names (gradest list estimators, or module:Class)"),
        ("no_such_module:Thing", "cannot import 'no_such_module'"),
        ("halfway:Halfwey", "did you mean 'Halfway'?"),
    ],
)
def test_unknown_names_answer_with_the_nearest(plugin: None, name: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        estimators.get(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"families": ("bernouli",)}, "did you mean 'bernoulli'"),
        ({"families": ("bernoulli",), "neds": "neither"}, "did you mean 'needs'"),
        ({"families": ("bernoulli",), "needs": "nothing"}, "needs is 'nothing', expected one of"),
        ({"families": ("bernoulli",), "bound": "iwea"}, "bound is 'iwea', expected one of elbo, iwae"),
    ],
)
def test_tags_are_checked(tags: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        estimators.register("mine", unbiased=True, **tags)(estimators.Estimator)


def test_a_taken_name_is_refused_but_a_reload_is_not() -> None:
    class Other(estimators.Estimator):
        pass

    with pytest.raises(BadInput, match="already registered by estimators\\.rloo"):
        estimators.register("rloo", families=("bernoulli",), unbiased=True)(Other)
    entry = estimators.get("rloo")
    estimators.register("rloo", families=entry.families, unbiased=True, samples=(2, 2))(entry.cls)
    registry._entries["rloo"] = entry


def test_only_estimators_are_registered() -> None:
    with pytest.raises(BadInput, match=r"must be a class that derives from estimators\.Estimator"):
        estimators.register("plain", families=("bernoulli",), unbiased=True)(object)


def test_a_class_may_take_any_option_and_samples_may_be_one_number(plugin: None) -> None:
    @estimators.register("open", families=("bernoulli",), unbiased=True, samples=4)
    class Open(estimators.Estimator):
        def __init__(self, samples: int, **options: object) -> None:
            super().__init__(samples)
            self.options = options

    created = estimators.get("open").create(anything=1)
    assert (created.samples, created.options) == (4, {"anything": 1})
    with pytest.raises(BadInput, match="takes samples >= 4"):
        estimators.get("open").create(samples=3)


def test_reasons_say_why_an_estimator_is_illegal() -> None:
    exact = estimators.get("exact")
    assert exact.reason_against(family="bernoulli", states=64) is None
    assert exact.reason_against(family="bernoulli", states=2**40) == "enumerates at most 4096 joint states, not 1.1e+12"
    assert exact.reason_against(family="gaussian") == "is for bernoulli and categorical latents, not gaussian"
    assert exact.reason_against(family="bernoulli", bound="iwae", states=4) == "estimates the elbo bound, not iwae"


def test_labels_are_as_a_person_types_them() -> None:
    assert label_of("rloo", {}) == "rloo"
    options = {"variance_normalisation": True, "baseline": "input-dependent"}
    label = label_of("reinforce", options | {"samples": 2})
    assert label == "reinforce[baseline=input-dependent,samples=2,variance_normalisation=true]"
    assert parse_estimator(label) == {"name": "reinforce", "samples": 2, "options": options}
    (subject,) = subjects("disarm", {"samples": 4})
    assert subject.label == "disarm[samples=4]-bernoulli"


@pytest.mark.parametrize("cls", ["laplace", int, 3])
def test_what_is_no_family_is_refused_with_one_line(cls: object) -> None:
    with pytest.raises(BadInput, match="register_family is put over a class that derives from Family"):
        register_family(cls)  # type: ignore[type-var]


def test_completion_offers_the_public_names() -> None:
    assert set(estimators.__all__) <= set(dir(estimators))
