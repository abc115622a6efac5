"""The viewer, in a report and in a comparison, in a real browser: mouse, finger and keyboard.

Skipped where no Chromium is.
"""

from __future__ import annotations

import numpy as np
import pytest

from superres import save_comparison
from superres.evaluation.html_report import render_report
from superres.evaluation.report_images import Shot, embed_all
from superres.imaging.io import read_image
from tests.browser import chromium

from .records import entry, record

NASTY = "<script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def browser():
    logs = {"browser": "ALL", "performance": "ALL"}
    with chromium("1200,900", lambda o: o.set_capability("goog:loggingPrefs", logs)) as driver:
        yield driver


@pytest.fixture
def opened(browser):
    """``opened(path)``: a page of ours, from disk; nothing is complained of or fetched."""

    def open_page(path):
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.get_log("performance")
        browser.get_log("browser")
        browser.get(path.as_uri())
        settle(browser)
        return browser

    yield open_page
    assert browser.get_log("browser") == []  # no script error, nothing that the policy refused
    requests = [line["message"] for line in browser.get_log("performance")]
    assert not [m for m in requests if '"Network.requestWillBeSent"' in m and '"http' in m]


@pytest.fixture
def page(opened, tmp_path):
    """A report of three images, and one that could not be scored."""
    scores = {"b-plain": 31.5, NASTY: 9.25, "c-small": 100.0, "d-broken": None}
    base = {"b-plain": 30.0, NASTY: 9.5, "c-small": 28.0, "d-broken": 20.0}
    content = record(entry("ours", scores), baselines=[entry("Bicubic", base)])
    lq = np.full((40, 50, 3), 90, np.uint8)
    sr = lq.repeat(2, 0).repeat(2, 1)
    names = [name for name in scores if scores[name]]
    shots = embed_all(names, lambda n: Shot("Set5", 2, n, lq, {"ours": sr}, sr + np.uint8(10)))
    path = tmp_path / "report.html"
    path.write_text(render_report(content, shots, {"loss": {"loss": [(1, 1.0), (50, 0.3)]}}))
    return opened(path)


def settle(page) -> None:
    """Wait until images are decoded and a frame is drawn."""
    page.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map((i) => i.decode().catch(() => 0)))"
        ".then(() => requestAnimationFrame(() => requestAnimationFrame(done)));"
    )


def one(page, selector: str):
    return page.find_element("css selector", selector)


def split(page) -> float:
    """Where the line is, percent; the slider says the same."""
    box, line = one(page, ".pane").rect, one(page, ".divider").rect
    shown = 100 * (line["x"] + line["width"] / 2 - box["x"]) / box["width"]
    assert shown == pytest.approx(float(one(page, ".split input").get_property("value")), abs=0.5)
    return shown


def views(page) -> list[str]:
    """How both images are moved and magnified: alike."""
    script = "return [...document.querySelectorAll('.pane img')].map((i) => i.style.transform)"
    left, right = page.execute_script(script)
    assert left == right
    return left


def test_the_line_zoom_and_pan(page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    pane = one(page, ".pane")
    width = pane.size["width"]
    ActionChains(page).move_to_element_with_offset(pane, -width // 4, 0).click().perform()
    assert split(page) == pytest.approx(25, abs=1)
    drag = ActionChains(page).click_and_hold(one(page, ".divider"))
    drag.move_by_offset(width // 2, 0).release().perform()
    assert split(page) == pytest.approx(75, abs=1)
    pane.send_keys(Keys.ARROW_LEFT)
    assert split(page) == pytest.approx(73, abs=1)
    whole = views(page)
    pane.send_keys("++")
    assert "%" in one(page, ".zoom").text
    assert "scale(2.25)" in (larger := views(page))
    pane.send_keys(Keys.ARROW_RIGHT)
    assert views(page) != larger
    ActionChains(page).move_to_element_with_offset(
        pane, width // 8, 0
    ).click_and_hold().move_by_offset(-30, -10).release().perform()
    assert split(page) == pytest.approx(73, abs=1)  # it was the image that moved
    pane.send_keys("0")
    assert (views(page), one(page, ".zoom").text) == (whole, "fit")
    ActionChains(page).double_click(pane).perform()
    assert "scale(2)" in views(page)


def test_layers_are_chosen_and_their_difference_is_shown(page):
    from selenium.webdriver.support.ui import Select

    Select(one(page, "select.right")).select_by_visible_text("HR")
    Select(one(page, "select.left")).select_by_visible_text("ours")
    one(page, ".pane").send_keys("d")
    settle(page)
    assert one(page, ".tag.left").text == "difference of ours and HR, 8 times"
    image = read_image(one(page, ".pane").screenshot_as_png)[-90:-30, -90:-30, :3]
    assert (image == 80).all()
    one(page, "#viewer .squares").click()
    assert one(page, ".pane img").value_of_css_property("image-rendering") == "pixelated"


def rows(page) -> list[str]:
    found = page.find_elements("css selector", "#per-image tbody th")
    return [element.text for element in found]


def test_sorting(page):
    heads = page.find_elements("css selector", "#per-image thead th")
    titles = [head.text.split()[0] for head in heads]
    assert titles == ["image", "PSNR", "gain", "SSIM", "method", "set", "protocol", "seconds"]
    column = heads[titles.index("PSNR")]
    # By number, not by letters (100 after 31.5); what is missing comes last.
    for order, wanted in (
        ("ascending", [NASTY, "b-plain", "c-small", "d-broken"]),
        ("descending", ["c-small", "b-plain", NASTY, "d-broken"]),
    ):
        column.find_element("tag name", "button").click()
        assert rows(page) == wanted
        assert column.get_attribute("aria-sort") == order


def test_thumbnails_rows_and_keys_choose_the_image(page):
    assert one(page, "h1").text.startswith("46.92 dB on Set5 x2, +")
    thumbs = page.find_elements("css selector", "#thumbs button")
    assert [t.text.split("\n")[1] for t in thumbs] == ["+1.500 dB", "-0.250 dB", "+72.000 dB"]
    thumbs[1].click()
    assert one(page, "#name").text == f"Set5 x2: {NASTY}"
    assert page.switch_to.active_element.get_attribute("class") == "pane"
    for key, name in (("n", "c-small"), ("n", "b-plain"), ("p", "c-small")):
        one(page, ".pane").send_keys(key)
        assert one(page, "#name").text == f"Set5 x2: {name}"
    assert thumbs[2].get_attribute("aria-pressed") == "true"
    assert "ours: 100.000 dB (edsr-y)" in one(page, "#figures").text
    one(page, "#per-image .show").click()
    assert one(page, "#name").text == "Set5 x2: b-plain"


def test_a_phone(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    settle(page)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    assert 300 < one(page, ".pane").rect["width"] <= 360


def test_a_comparison_has_the_same_viewer(opened, tmp_path):
    lq = np.full((20, 30, 3), 90, np.uint8)
    sr = lq.repeat(2, 0).repeat(2, 1)
    save_comparison(lq, sr, tmp_path / "page.html", gt=sr)
    page = opened(tmp_path / "page.html")
    labels = [option.text for option in page.find_elements("css selector", ".left option")]
    assert labels == ["before", "after", "truth"]
    one(page, ".pane").send_keys("+")
    assert "scale(1.5)" in views(page)
