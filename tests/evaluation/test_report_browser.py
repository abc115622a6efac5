"""The report in a real browser: opened from disk, used with mouse, finger and keyboard.

Skipped where no Chromium is.
"""

from __future__ import annotations

import numpy as np
import pytest

from superres.evaluation.embedding import Shot
from superres.evaluation.report import render_report
from tests.browser import chromium

from .records import entry, record
from .test_report import album

NASTY = "<script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def browser():
    logs = {"browser": "ALL", "performance": "ALL"}
    with chromium("1200,900", lambda o: o.set_capability("goog:loggingPrefs", logs)) as driver:
        yield driver


def shots() -> list[Shot]:
    lq = np.full((40, 50, 3), 90, np.uint8)
    sr = lq.repeat(2, 0).repeat(2, 1)
    return [Shot("Set5", 2, name, lq, sr, sr) for name in ("b-plain", NASTY, "c-small")]


@pytest.fixture
def page(browser, tmp_path):
    """The report, freshly opened."""
    scores = {"b-plain": 31.5, NASTY: 9.25, "c-small": 100.0, "d-broken": None}
    base = {"b-plain": 30.0, NASTY: 9.0, "c-small": 28.0, "d-broken": 20.0}
    content = record(entry("ours", scores), baselines=[entry("Bicubic", base)])
    curves = {"loss": {"loss": [(1, 1.0), (50, 0.3), (100, 0.1)]}}
    path = tmp_path / "report.html"
    path.write_text(render_report(content, album(*shots()), curves), encoding="utf-8")
    send = browser.execute_cdp_cmd
    send("Emulation.clearDeviceMetricsOverride", {})
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(path.as_uri())
    yield browser
    assert browser.get_log("browser") == []  # no script error, nothing that the policy refused
    requests = [line["message"] for line in browser.get_log("performance")]
    assert not [m for m in requests if '"Network.requestWillBeSent"' in m and '"http' in m]


def settle(page) -> None:
    """Wait until pictures are decoded and a frame is drawn."""
    page.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map((i) => i.decode().catch(() => 0)))"
        ".then(() => requestAnimationFrame(() => requestAnimationFrame(done)));"
    )


def one(page, selector: str):
    return page.find_element("css selector", selector)


def view(page) -> list[float]:
    """The zoom, and what part of the picture is above and left of the pane."""
    return page.execute_script(
        "const p = document.querySelector('#compare'), s = document.querySelector('#stage');"
        "return [s.clientWidth / p.clientWidth, p.scrollLeft / s.clientWidth,"
        " p.scrollTop / s.clientHeight].map((x) => Math.round(x * 1000) / 1000)"
    )


def boundary(page) -> float:
    """Where the left layer ends, as a share of the pane's width; the divider is there, too."""
    settle(page)
    clip, place, pane = page.execute_script(
        "const box = (s) => document.querySelector(s).getBoundingClientRect();"
        "const over = document.querySelector('.over');"
        "const right = parseFloat(over.style.clipPath.split(' ')[1]) / 100;"
        "const o = box('.over'), d = box('.divider'), p = box('#compare');"
        "return [o.left + o.width * (1 - right) - p.left, d.left + d.width / 2 - p.left, p.width]"
    )
    assert clip == pytest.approx(place, abs=1.5)
    return place / pane


def slide(page, value: float) -> None:
    page.execute_script(
        "const s = document.querySelector('#split'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input', {bubbles: true}))",
        value,
    )


def test_the_slider_zoom_and_pan(page):
    from selenium.webdriver import ActionChains

    assert boundary(page) == pytest.approx(0.5, abs=0.01)
    slide(page, 20)
    assert boundary(page) == pytest.approx(0.2, abs=0.01)
    pane = one(page, "#compare")
    pane.send_keys("++")
    one(page, "[data-key='+']").click()
    assert one(page, "#zoom").text == "3.38×"
    assert view(page) == [3.375, 0.352, 0.352]  # the middle stays in the middle
    drag = ActionChains(page).move_to_element(pane).click_and_hold().move_by_offset(-60, -30)
    drag.release().perform()
    _, left, top = view(page)
    assert left > 0.352 < top
    assert boundary(page) == pytest.approx(0.2, abs=0.01)  # also where they are enlarged
    pane.send_keys("0")
    assert view(page) == [1, 0, 0]
    ActionChains(page).double_click(pane).perform()
    assert view(page)[0] == 4


def rows(page) -> list[str]:
    found = page.find_elements("css selector", "#per-image tbody th")
    return [element.text for element in found]


def test_sorting(page):
    heads = page.find_elements("css selector", "#per-image thead th")
    titles = [head.text.split()[0] for head in heads]
    assert titles == ["image", "set", "protocol", "PSNR", "SSIM", "gain", "seconds"]
    column = heads[titles.index("PSNR")]
    # By number, not by letters (100 after 31.5); what is missing comes last.
    for order, wanted in (
        ("ascending", [NASTY, "b-plain", "c-small", "d-broken"]),
        ("descending", ["c-small", "b-plain", NASTY, "d-broken"]),
    ):
        column.find_element("tag name", "button").click()
        assert rows(page) == wanted
        assert column.get_attribute("aria-sort") == order
    heads[0].find_element("tag name", "button").click()
    assert rows(page)[1:] == ["b-plain", "c-small", "d-broken"]


def test_a_row_shows_its_picture_and_keys_go_on(page):
    buttons = page.find_elements("css selector", "#per-image .show")
    assert len(buttons) == 3  # the broken one has no picture
    buttons[1].click()
    assert one(page, "#name").text == f"Set5 x2: {NASTY}"
    assert page.title == "ours on Set5 x2"
    assert page.switch_to.active_element.get_attribute("id") == "compare"
    for key, name in (("n", "c-small"), ("n", "b-plain"), ("p", "c-small")):
        one(page, "#compare").send_keys(key)
        assert one(page, "#name").text == f"Set5 x2: {name}"
    assert one(page, "tr.chosen th").text == "c-small"
    assert "edsr-y 100.00 dB" in one(page, "#figures").text


def test_a_phone(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    settle(page)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    assert 300 < one(page, "#compare").rect["width"] <= 360
    small = page.execute_script(
        "return [...document.querySelectorAll('#viewer button, #viewer select, #split')]"
        ".filter((e) => e.getBoundingClientRect().height < 36).map((e) => e.id)"
    )
    assert small == []
