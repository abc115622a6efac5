"""The page in a real browser: upload, progress, slider, download, refusals; phone and dark.

Skipped where no Chromium is.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from superres.imaging.io import read_image
from tests.browser import chromium

from .conftest import NAME

NASTY = "<img src=x onerror=alert(document.domain)>.png"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")

    def adjust(options):
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})

    with chromium("1200,1000", adjust) as driver:
        driver.downloads = downloads
        yield driver


@pytest.fixture
def page(browser, server):
    """The page, freshly opened; at the end nothing was complained of but refused uploads."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get_log("browser")
    browser.get(server.url)
    yield browser
    log = [line["message"] for line in browser.get_log("browser")]
    assert not [line for line in log if "Failed to load resource" not in line], log


@pytest.fixture
def picture(tmp_path) -> Path:
    """Red and blue halves, 120x80, under a name that would be a script if it were HTML."""
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[:, :60], pixels[:, 60:] = (30, 30, 200), (200, 30, 30)  # BGR
    cv2.imwrite(str(tmp_path / "plain.png"), pixels)
    (tmp_path / "plain.png").rename(tmp_path / NASTY)
    return tmp_path / NASTY


def one(page, selector: str):
    return page.find_element("css selector", selector)


def until(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def choose(page, *files: Path) -> None:
    one(page, "#file").send_keys("\n".join(map(str, files)))


def finished(page):
    until(lambda: page.find_elements("css selector", ".finish:not([hidden])"))
    page.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map((i) => i.decode().catch(() => 0))).then(() => done())"
    )


def test_upload_progress_slider_download(page, server, picture, weights, tmp_path):
    from superres import load_model

    expected = tmp_path / "expected.png"
    load_model(weights, device="cpu").upscale(picture, out=expected, backend="torch")
    page.execute_script("document.querySelector('input[value=\"3\"]').click()")
    choose(page, picture)
    finished(page)
    card = one(page, ".job")
    safe = "img src=x onerror=alert(document.domain).png"
    assert card.find_element("css selector", "h2").text == safe
    assert f"{NAME}, ×3 · 120 × 80 → 360 × 240 pixels" in one(page, ".facts").text
    assert one(page, "#announce").get_attribute("textContent") == f"{safe} is done"

    # Before is on the left of the line; on its right, what the untrained network made of blue.
    shown = read_image(one(page, ".pane").screenshot_as_png)[..., :3].astype(int)
    row, third = shown.shape[0] // 4, shown.shape[1] // 3
    assert abs(shown[row, 40] - (200, 30, 30)).max() < 12
    made = read_image(expected)[60, 360 - 60]
    assert abs(shown[row, -third // 2] - made).max() < 12
    assert abs(made - np.array((30, 30, 200))).max() > 20

    link = one(page, ".finish .download")
    assert link.text == f"Download {safe[:-4]}_x3.png"
    link.click()
    file = until(lambda: [p for p in page.downloads.iterdir() if p.suffix == ".png"])[0]
    until(lambda: file.stat().st_size == expected.stat().st_size)
    assert file.read_bytes() == expected.read_bytes()


def test_progress_by_tiles_and_cancelling(page, server, tmp_path):
    y, x = np.mgrid[0:1300, 0:1300]
    cv2.imwrite(str(tmp_path / "large.jpg"), np.uint8((x + y) // 11))
    page.execute_script("document.querySelector('#ensemble').click()")
    choose(page, tmp_path / "large.jpg", tmp_path / "large.jpg")
    until(lambda: one(page, ".seen").get_property("naturalWidth") == 1300)
    state = (
        "const c = document.querySelectorAll('.job')[1];"  # the newest is on top
        "return c && [c.querySelector('progress').getAttribute('value'),"
        "c.querySelector('.phase').textContent, c.querySelector('.finish').hidden]"
    )
    seen: list[float] = []
    words = set()

    def over() -> bool:
        value, phase, going = page.execute_script(state)
        if value is not None:
            seen.append(float(value))
        words.add(phase)
        return not going

    until(over)
    between = [value for value in seen if 0 < value < 1]
    assert len(set(between)) >= 2
    assert seen == sorted(seen)
    assert any(re.match(r"upscaling, tile \d+ of \d+ · \d+ s, about \d+ s left", w) for w in words)
    # The other one is in work by now.
    until(lambda: "upscaling" in one(page, ".job .phase").text)
    one(page, ".job .remove").click()
    until(lambda: len(page.find_elements("css selector", ".job")) == 1)
    until(lambda: len(list(server.temporary.glob("*/*/source"))) == 0)


def test_samples_again_at_another_scale_and_all_in_one_archive(page, server):
    import io
    import zipfile

    one(page, "#samples button").click()
    finished(page)
    assert "3" not in (again := [b.text for b in page.find_elements("css selector", ".again *")])
    assert again == ["Again at ×2"]  # the network's own is x3
    assert not one(page, "#all").is_displayed()
    one(page, ".again button").click()
    until(lambda: len(page.find_elements("css selector", "[data-done]")) == 2)
    path = one(page, "#all").get_attribute("href").removeprefix(server.url)
    assert one(page, "#all").text == "Download all 2 (zip)"
    archive = zipfile.ZipFile(io.BytesIO(server.ask("GET", f"/{path}").body))
    assert sorted(archive.namelist()) == ["astronaut_x2.jpg", "astronaut_x3.jpg"]
    assert server.ask("GET", "/all.zip?id=x").status == 404


def test_everything_by_keyboard(page, picture):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    choose(page, picture)
    finished(page)
    page.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = []
    for _ in range(25):
        ActionChains(page).send_keys(Keys.TAB).perform()
        reached.append(
            page.execute_script(
                "const e = document.activeElement;return e.id || e.className || e.type || e.tagName"
            )
        )
    for wanted in ("model", "format", "ensemble", "file", "remove", "download", "squares", "range"):
        assert any(wanted in name for name in reached), (wanted, reached)
    assert any("pane" in name for name in reached)
    one(page, ".remove").send_keys(Keys.ENTER)
    until(lambda: not page.find_elements("css selector", ".job"))
    assert page.switch_to.active_element.get_attribute("id") == "file"


def test_refused_uploads_say_why(page, tmp_path):
    hostile = {
        "page.png": b"<html><script>document.title = 'taken'</script>",
        "large.png": b"\x89PNG" + b"x" * 400_000,
    }
    files = []
    for name, content in hostile.items():
        files.append(tmp_path / name)
        files[-1].write_bytes(content)
    choose(page, *files)
    until(lambda: len(page.find_elements("css selector", ".job .message:not([hidden])")) == 2)
    said = {
        card.find_element("css selector", "h2").text: card.find_element(
            "css selector", ".message"
        ).text
        for card in page.find_elements("css selector", ".job")
    }
    assert "not an image in a known format" in said["page.png"]
    assert "more than the 300 KiB" in said["large.png"]
    assert page.title == "superres"


def test_dropped_files_are_taken(page):
    page.execute_script(
        "const t = new DataTransfer();"
        "t.items.add(new File(['<html>'], 'dropped.png', {type: 'image/png'}));"
        "const drop = document.querySelector('#drop');"
        "drop.dispatchEvent(new DragEvent('dragenter', {bubbles: true, dataTransfer: t}));"
        "window.over = drop.classList.contains('over');"
        "const options = {bubbles: true, cancelable: true, dataTransfer: t};"
        "drop.dispatchEvent(new DragEvent('drop', options))"
    )
    assert page.execute_script("return window.over") is True
    assert "over" not in (one(page, "#drop").get_attribute("class") or "")
    until(lambda: "not an image" in one(page, ".job .message").text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(page, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    shown = read_image(page.get_screenshot_as_png())[..., :3].mean()
    assert (shown > 200) if scheme == "light" else (shown < 60)


def test_a_phone(page, picture):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    touch = {"enabled": True, "maxTouchPoints": 5}
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", touch)
    try:
        choose(page, picture)
        finished(page)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
        small = page.execute_script(
            "const all = 'button, select, .download, .split, .choices span';"
            "return [...document.querySelectorAll(all)]"
            ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 36)"
            ".map((e) => e.className)"
        )
        assert small == []
        pane = one(page, ".pane")
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", pane)
        box = page.execute_script(
            "const b = arguments[0].getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]",
            pane,
        )
        assert box[2] > 250
        y = box[1] + box[3] / 2
        points = [box[0] + box[2] * share for share in (0.5, 0.4, 0.3, 0.2)]
        for kind, x in zip(("touchStart", *["touchMove"] * 3), points, strict=True):
            page.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            )
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        value = one(page, ".split input").get_property("value")
        assert float(value) == pytest.approx(20, abs=2)
    finally:
        page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
