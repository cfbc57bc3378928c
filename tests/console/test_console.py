"""The console in a real browser: what people see of it, with and without a mouse, in both themes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.api.conftest import _quiet, _shared_api, api, fresh_png  # noqa: F401 (fixtures)
from tests.api.running_api import RunningApi
from tests.end_to_end.running_service import RunningService

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("console")]

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
POINTS = ("fmr_1e-2", "fmr_1e-3", "fmr_1e-4", "fmr_1e-5")
_PATIENCE_MS = 30_000


# The machine may be busy with other tests; how long something takes is not what is tested here.
expect.set_options(timeout=_PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if binary is None:
        pytest.skip("no chromium is installed")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, default_pack_path: Path) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("console"), default_pack_path, {}) as running:
        yield running


@pytest.fixture
def page(browser: Browser, service: RunningService) -> Iterator[Page]:
    yield from opened(browser, service.url)


def opened(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(_PATIENCE_MS)
    new = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    new.on("pageerror", lambda error: errors.append(str(error)))
    new.on("request", lambda request: asked.append(request.url))
    new.goto(f"{url}/console")
    yield new
    context.close()
    assert errors == []
    assert {address for address in asked if not address.startswith((url, "blob:"))} == set(), "no other host"


@pytest.fixture(scope="module")
def people(shared_data: Path) -> dict[str, list[Path]]:
    """Pictures of two people of the `test` split, by number."""
    names = json.loads((shared_data / "lfw_splits.json").read_text())["test"]
    folders = [sorted((shared_data / "lfw" / name).glob("*.jpg")) for name in names]
    first, second = [files for files in folders if len(files) >= 8][:2]
    return {"one": first, "other": second}


def give(page: Page, side: str, files: list[Path]) -> None:
    page.locator(f".side[data-side={side}] input[type=file]").set_input_files(files)
    expect(page.locator(f".side[data-side={side}] .samples li, .side[data-side={side}] .warning").first).to_be_visible(
        timeout=_PATIENCE_MS
    )


def check_accessibility(page: Page) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def keep(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_two_sets_are_compared(page: Page, people: dict[str, list[Path]], shared_data: Path, theme: str) -> None:
    page.select_option("#theme", theme)
    faceless = shared_data / "photos" / "no_face_small.png"
    give(page, "reference", [*people["one"][:4], people["other"][0], faceless])
    side = page.locator(".side[data-side=reference]")
    expect(side.locator(".samples li")).to_have_count(6)
    expect(side.locator(".samples li.core")).to_have_count(3)
    refused = side.locator(".samples li.rejected")
    expect(refused).to_have_count(1)
    expect(refused).to_contain_text("no face was found")
    expect(refused).to_contain_text(faceless.name)
    expect(side.get_by_role("alert")).to_contain_text("do not look like one person's")
    expect(side.locator(".frame svg rect")).to_have_count(5)
    expect(side.locator(".frame svg circle")).to_have_count(25)
    give(page, "probe", people["one"][4:7])
    expect(page.locator("#decision")).to_have_text("Match")
    expect(page.locator("#decisions tbody tr")).to_have_count(len(POINTS))
    expect(page.locator("#scale .threshold")).to_have_count(len(POINTS))
    expect(page.locator("#scale .score")).to_have_count(1)
    expect(page.locator("#decision-detail")).to_contain_text("log-likelihood ratio +")
    check_accessibility(page)
    keep(page, f"compare-{theme}")


def test_the_box_lies_on_the_face(page: Page, shared_data: Path) -> None:
    """Of a photograph that its EXIF turns: the service answers pixels of the upright image."""
    give(page, "reference", [shared_data / "photos" / "exif_orientation_6.jpeg"])
    box = page.locator(".side[data-side=reference] .frame rect").first
    image = page.locator(".side[data-side=reference] .frame img").first
    shown, within = box.bounding_box(), image.bounding_box()
    assert shown is not None and within is not None
    for start, size in (("x", "width"), ("y", "height")):
        assert within[start] - 1 <= shown[start]
        assert shown[start] + shown[size] <= within[start] + within[size] + 1
        assert shown[size] > 0.05 * within[size]


def test_the_operating_point_is_chosen_by_keyboard(page: Page, people: dict[str, list[Path]]) -> None:
    give(page, "reference", people["one"][:2])
    give(page, "probe", people["other"][:2])
    expect(page.locator("#decision")).to_have_text("No match")
    detail = page.locator("#decision-detail")
    chosen = page.locator("#points input:checked")
    expect(chosen).to_have_value("fmr_1e-4")
    chosen.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#points input:checked")).to_have_value("fmr_1e-3")
    expect(detail).to_contain_text("of fmr_1e-3")
    expect(page.locator("#decisions tr[aria-current]")).to_contain_text("fmr_1e-3")
    expect(page.locator("#scale .chosen.threshold")).to_have_count(1)


def test_a_clip_shows_its_frame(page: Page, shared_data: Path) -> None:
    give(page, "reference", [shared_data / "video" / "friends.mp4"])
    side = page.locator(".side[data-side=reference]")
    expect(side.locator(".frame canvas, .frame .missing")).to_have_count(1)
    expect(side.locator(".state")).to_contain_text("core")


def test_files_may_be_dropped(page: Page, people: dict[str, list[Path]]) -> None:
    import base64

    content = base64.b64encode(people["one"][0].read_bytes()).decode()
    transfer = page.evaluate_handle(
        """async (content) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const dropped = new DataTransfer();
            dropped.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
            return dropped;
        }""",
        content,
    )
    page.dispatch_event(".side[data-side=probe] .drop", "drop", {"dataTransfer": transfer})
    expect(page.locator(".side[data-side=probe] .samples li")).to_contain_text("dropped.jpg")


def test_a_set_without_a_face_says_why(page: Page, shared_data: Path) -> None:
    photos = shared_data / "photos"
    give(page, "reference", [photos / "no_face_landscape.jpg", photos / "raw_not_an_image.nv21"])
    side = page.locator(".side[data-side=reference]")
    expect(side.get_by_role("alert")).to_contain_text("no_usable_sample")
    expect(side.locator(".samples li.rejected")).to_have_count(2)
    expect(page.locator("#comparison")).to_be_hidden()
    check_accessibility(page)


def test_templates_are_listed_let_expire_and_erased(page: Page, people: dict[str, list[Path]]) -> None:
    give(page, "reference", people["other"][3:5])
    template_id = page.locator(".side[data-side=reference] dd").first.inner_text()
    page.get_by_role("link", name="Templates").click()
    row = page.locator("#templates tbody tr", has_text=template_id)
    expect(row).to_be_visible()
    check_accessibility(page)
    keep(page, "templates")
    row.get_by_role("button", name="expire sooner").click()
    page.get_by_label("Days from now").fill("2")
    page.get_by_role("button", name="Let it expire").click()
    expect(page.get_by_role("alert")).to_contain_text(f"{template_id} expires")
    row.get_by_role("button", name="Erase").click()
    page.get_by_role("button", name="Leave it").click()
    expect(row).to_be_visible()
    row.get_by_role("button", name="Erase").click()
    page.keyboard.press("Escape")
    expect(row).to_be_visible()
    row.get_by_role("button", name="Erase").click()
    page.locator("#confirmation-yes").click()
    expect(row).to_have_count(0)


def test_health_and_throughput_are_shown(page: Page) -> None:
    page.goto(page.url + "#service")
    expect(page.locator("#service-status")).to_contain_text("Ready")
    expect(page.locator("#checks li")).to_have_count(3)
    expect(page.locator("#pack")).to_contain_text("opencv-sface")
    expect(page.locator("#throughput")).to_contain_text("/s)")
    check_accessibility(page)
    keep(page, "service")


def test_it_fits_a_telephone(page: Page, people: dict[str, list[Path]]) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    give(page, "reference", people["one"][:2])
    give(page, "probe", people["one"][2:4])
    expect(page.locator("#decision")).to_have_text("Match")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep(page, "telephone")


def test_the_theme_of_the_system_is_taken_and_another_is_kept(page: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(paper)
    assert light != dark
    page.select_option("#theme", "light")
    assert page.evaluate(paper) == light
    page.reload()
    assert page.evaluate(paper) == light


def test_a_service_that_is_gone_is_told(page: Page, people: dict[str, list[Path]]) -> None:
    page.route("**/v1/**", lambda route: route.abort())
    give(page, "reference", people["one"][:1])
    expect(page.locator(".side[data-side=reference]").get_by_role("alert")).to_contain_text("does not answer")


class TestWithKeys:
    """The real application with keys, around an engine that makes everything up."""

    @pytest.fixture
    def guarded(self, valkey_url: str) -> Iterator[RunningApi]:
        from service.settings import Limits

        with RunningApi(valkey_url, Limits(), with_keys=True) as running:
            yield running

    @pytest.fixture
    def page(self, browser: Browser, guarded: RunningApi) -> Iterator[Page]:
        yield from opened(browser, f"http://127.0.0.1:{guarded.port}")

    def test_a_key_is_asked_for_and_kept_in_this_tab_alone(
        self, page: Page, guarded: RunningApi, tmp_path: Path
    ) -> None:
        from service.access.callers import Scope
        from tests.pipeline.fakes import png

        picture = tmp_path / "one.png"
        picture.write_bytes(png(1))
        give(page, "reference", [picture])
        expect(page.locator(".side[data-side=reference]").get_by_role("alert")).to_contain_text("asks for an API key")
        with ThreadPoolExecutor(1) as apart:  # An event loop, the browser's, runs in this thread.
            headers = apart.submit(guarded.new_key, Scope.TEMPLATES_WRITE, Scope.VERIFY).result()
        key = headers["Authorization"].removeprefix("Bearer ")
        page.locator("#api-key").fill(key)
        page.locator("#api-key").press("Enter")
        expect(page.locator(".side[data-side=reference] .samples li")).to_have_count(1)
        give(page, "probe", [picture])
        # Without the scopes for pairs and for exact scores there still is a decision.
        expect(page.locator("#decision")).to_have_text("Match")
        expect(page.locator("#scale .score")).to_have_count(0)
        expect(page.locator("#scale-caption")).to_contain_text("not answered to this key")
        assert page.evaluate("JSON.stringify(localStorage)").find(key) == -1
        page.reload()
        expect(page.locator("#api-key")).to_have_value(key)
        assert key not in page.url
