"""The page in a real headless Chromium, from a file and without a network."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.printed import visible
from bench.report.output import write
from tests.bench.drawn import trained
from tests.bench.page_of_stubs import HOSTILE, VARIANCE, page
from tests.bench.test_hostile_texts import HOSTILE as HARM
from tests.bench.test_hostile_texts import hostile_records

playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser: pip install playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page with what it said and asked for."""

    def __init__(self, browser: Any, file: Path, width: int = 1280, **settings: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())

    def chart(self, name: str) -> Any:
        """A figure, once its chart is drawn."""
        figure = self.page.locator(f'figure[data-chart="{name}"]')
        figure.scroll_into_view_if_needed()
        figure.locator("svg.marks").wait_for()
        return figure

    def rows(self, part: str) -> list[str]:
        """The estimators of the rows that a section of a table shows, from top to bottom."""
        table = self.page.locator(f'details:has(> summary[id="{part}"]) table')
        table.scroll_into_view_if_needed()
        self.page.wait_for_function("table => table.classList.contains('dataTable')", arg=table.element_handle())
        return list(table.locator("tbody td.who").all_inner_texts())

    def choose(self, name: str, value: str) -> None:
        self.page.locator(f'form [name="{name}"]').select_option(value)


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    """The page on a wide screen; whatever a test does there, it says nothing and asks for nothing."""
    one = Opened(browser, file)
    yield one
    one.context.close()
    assert one.said == []
    assert [url for url in one.asked if not url.startswith("data:")] == [file.as_uri()]


LATENT = "digits-b"
VARIANCES = f"variance-{LATENT}"


def test_a_click_on_a_head_sorts_by_number(opened: Opened) -> None:
    """Not by text, as which 1200 stands before 30, and not by what is printed, as which 1.1e-4 stands before 30."""
    opened.rows(VARIANCES)
    opened.choose("point", "step 100")
    shown = {label.partition(" †")[0]: label for label in opened.rows(VARIANCES)}
    expected = sorted((own[1], label) for label, own in VARIANCE.items() if label != "wrong")
    head = opened.page.locator(f'details:has(> summary[id="{VARIANCES}"]) th', has_text="variance w.r.t. q")
    head.click()
    assert opened.rows(VARIANCES) == [shown[label] for _, label in expected]
    head.click()
    assert opened.rows(VARIANCES) == [shown[label] for _, label in reversed(expected)]


def test_filters_leave_rows_with_a_tag(opened: Opened) -> None:
    def labels() -> set[str]:
        return {label.partition(" †")[0] for label in opened.rows(VARIANCES)}

    assert labels() == set(VARIANCE) - {"wrong"}
    assert "10 of 12 rows" in opened.page.locator(f'summary[id="{VARIANCES}"]').inner_text()
    opened.page.locator('[name="controls"]').uncheck()
    assert labels() == set(VARIANCE)
    opened.choose("declared", "biased")
    assert labels() == {"straight-through", "wrong"}
    opened.choose("needs", "gradient of f")
    assert labels() == {"straight-through"}
    opened.choose("declared", "")
    opened.choose("needs", "relaxed f")
    assert opened.rows(VARIANCES) == ["rebar", "rebar"]
    opened.choose("point", "step 0")
    assert opened.rows(VARIANCES) == ["rebar"]
    opened.choose("needs", "")
    opened.page.locator('[name="name"]').fill("dis")
    assert opened.rows(VARIANCES) == ["disarm"]


def test_a_family_leaves_its_problems(opened: Opened) -> None:
    opened.choose("family", "gaussian")
    parts = opened.page.locator("details.part:visible > summary strong")
    assert set(parts.all_inner_texts()) == {"cubic/gaussian-3"}
    assert opened.page.locator(".problem:visible h3").count() == 1


def test_a_mark_says_its_number_and_its_interval(opened: Opened) -> None:
    figure = opened.chart(VARIANCES)
    figure.locator('path[aria-label*="estimator: rebar"][aria-label*="at: step 100"]').hover()
    tooltip = opened.page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    said = tooltip.inner_text()
    assert "1200" in said and "[600, 2400]" in said and "1000 draws" in said and "step 100" in said


def _outstanding(figure: Any, name: str) -> set[str]:
    """Colours of an estimator's marks in a chart."""
    marks = figure.locator(f'.mark-symbol path[aria-label*="estimator: {name}"]')
    return {mark.get_attribute("stroke") or mark.get_attribute("fill") for mark in marks.all()}


def test_a_click_brings_an_estimator_out_in_all_figures(opened: Opened) -> None:
    dots = opened.chart(VARIANCES)
    before = _outstanding(dots, "rloo")
    dots.locator('path[aria-label*="estimator: disarm"]').first.click()
    opened.page.wait_for_timeout(300)
    (grey,) = _outstanding(dots, "rloo")
    assert {grey} != before and _outstanding(dots, "disarm") != {grey}
    lines = opened.chart(f"trajectory-{LATENT}")
    assert _outstanding(lines, "rloo") == {grey} != _outstanding(lines, "disarm")
    assert opened.page.locator('[name="estimator"] option:checked').inner_text() == "disarm"
    lines.locator('path[aria-label*="estimator: disarm"]').last.click()
    opened.page.wait_for_timeout(300)
    assert _outstanding(dots, "rloo") == before
    opened.page.locator(".key button", has_text="rebar").first.click()
    opened.page.wait_for_timeout(300)
    assert _outstanding(dots, "disarm") == {grey} != _outstanding(dots, "rebar")


def test_axes_change_between_logarithmic_and_linear_absolute_and_relative(opened: Opened) -> None:
    figure = opened.chart(VARIANCES)

    def ticks() -> list[float]:
        opened.page.wait_for_timeout(300)
        words = figure.locator(".role-axis-label text").all_text_contents()
        return [float(word.replace(",", "")) for word in words if word.replace(",", "").replace(".", "").isdigit()]

    logarithmic = ticks()
    assert logarithmic[-1] / logarithmic[-2] == pytest.approx(logarithmic[-2] / logarithmic[-3])
    opened.choose("scale", "linear")
    linear = ticks()
    assert linear[-1] - linear[-2] == pytest.approx(linear[-2] - linear[-3])
    opened.choose("relative", "all")
    title = figure.locator(".role-axis-title text").all_text_contents()
    assert any("times that of rloo" in words for words in title)
    said = figure.locator('path[aria-label*="estimator: rebar"][aria-label*="at: step 0"]').get_attribute("aria-label")
    # 2 of 8; both intervals span a factor 2 either way, so the ratio's a factor exp(sqrt(2) log 2).
    assert "value: 0.25 times; 2.00 by itself" in said and "interval: [0.09, 0.67]" in said
    opened.choose("reference", "disarm")
    said = figure.locator('path[aria-label*="estimator: rebar"][aria-label*="at: step 0"]')
    said.and_(figure.locator('[aria-label*="value: 0.50 times"]')).wait_for(state="attached")


def test_a_curve_is_relative_until_one_asks_otherwise(opened: Opened) -> None:
    figure = opened.chart(f"elbo-steps-{LATENT}")
    assert "ELBO, nats, minus that of rloo" in figure.locator(".role-axis-title text").all_text_contents()
    mark = figure.locator('path[aria-label*="estimator: disarm"][aria-label*="at: step 100"]').first
    assert "value: 2 more; -27.8 by itself" in mark.get_attribute("aria-label")
    opened.choose("relative", "none")
    figure.locator(".role-axis-title text", has_text="ELBO, nats").filter(has_not_text="minus").wait_for()
    # To digits that show how wide the interval is, as in the table: of -28.0, -27.9, ... -27.6 Student's is 0.196.
    mark = figure.locator('path[aria-label*="estimator: disarm"][aria-label*="interval: [-28.0, -27.6]"]')
    mark.first.wait_for(state="attached")


def test_over_learning_rates_the_best_rate_is_large_and_ranks(browser: Any, tmp_path: Path) -> None:
    """Far above its best rate an estimator may still be ahead of those that are better at theirs."""
    ends = {"rloo": (-32.0, -35.0), "disarm": (-28.0, -60.0), "arms": (-29.0, -61.0), "ugc": (-30.0, -62.0),
            "bitflip": (-31.0, -40.0)}  # fmt: skip
    made = []
    for label, (best, high) in ends.items():
        for rate, end in ((1e-3, best), (1e-2, high)):
            elbos = [[-90.0 - seed for seed in range(5)], [end + seed / 10 for seed in range(5)]]
            settings = {"optimisation": {"steps": 100, "learning_rate": rate}}
            made.append(trained(label, [0, 100], [0.0, 2.0], elbos, elbos, settings=settings))
    (file,) = write(made, tmp_path, {"html"})
    one = Opened(browser, file)
    figure = one.chart(f"rates-{LATENT}")
    named = set(figure.locator(".role-mark.mark-text text").all_text_contents())
    assert named == {"disarm", "arms", "ugc", "rloo"}
    marks = figure.locator('path[aria-label*="shape:"]')  # faint points have none
    large = [mark.get_attribute("aria-label") for mark in marks.all()]
    assert len(large) == 4 and all("at: learning rate 0.001" in said for said in large)
    assert one.said == []
    one.context.close()


def test_a_hostile_name_is_a_name(opened: Opened) -> None:
    assert HOSTILE in opened.page.locator("h1").inner_text()
    assert HOSTILE in opened.rows(VARIANCES)
    assert opened.page.locator(".key button", has_text=HOSTILE).count() == 2
    assert opened.chart(VARIANCES).locator(".role-axis-label text", has_text="</script>").count() == 1
    assert opened.page.locator('img[src="x"]').count() == 0


def test_a_page_of_hostile_records_does_nothing_of_what_they_say(browser: Any, tmp_path: Path) -> None:
    (hostile,) = write(hostile_records(), tmp_path, {"html"}, title=HARM, notes=[HARM])
    one = Opened(browser, hostile)
    name = one.page.locator("figure[data-chart]").first.get_attribute("data-chart")
    one.chart(name).locator(".mark-symbol path[aria-label]").first.hover()
    assert one.page.locator("h1").inner_text() == " ".join(visible(HARM).split())
    assert one.page.locator("img[src='x'], script[src], base, iframe, object").count() == 0
    assert one.said == []
    assert [url for url in one.asked if not url.startswith("data:")] == [hostile.as_uri()]
    one.context.close()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_but_tables_is_wider_than_a_telephone(browser: Any, file: Path, colours: str) -> None:
    one = Opened(browser, file, 400, color_scheme=colours)
    for name in (VARIANCES, f"trajectory-{LATENT}", f"efficiency-{LATENT}"):
        one.chart(name)
    assert one.page.evaluate("document.documentElement.scrollWidth") == 400
    wide = one.page.locator(f'details:has(> summary[id="{VARIANCES}"]) .scroll')
    assert wide.evaluate("box => box.scrollWidth > box.clientWidth")
    wide.evaluate("box => { box.scrollLeft = 300; }")
    name = wide.locator("tbody td.who").first.bounding_box()
    assert name["x"] == pytest.approx(wide.bounding_box()["x"], abs=2)  # it stays in sight
    assert one.said == []
    one.context.close()


def test_without_scripts_tables_and_pictures_are_there(browser: Any, file: Path) -> None:
    one = Opened(browser, file, java_script_enabled=False)
    assert one.page.locator("table.sortable tbody tr").count() == 12 + 12 + 6 + 12 + 12 + 2
    pictures = one.page.locator("figure img")
    assert pictures.count() == one.page.locator("figure").count() > 5
    assert all(picture.is_visible() for picture in pictures.all())
    assert not one.page.locator("form").first.is_visible()
    one.context.close()


def test_paper_shows_pictures(opened: Opened) -> None:
    figure = opened.chart(VARIANCES)
    assert not figure.locator("img").is_visible()
    opened.page.emulate_media(media="print")
    assert figure.locator("img").is_visible() and not figure.locator(".chart").is_visible()
