"""The report in a real browser: opened from disk, used with mouse, finger and keyboard.

Skipped where no Chromium is.
"""

from __future__ import annotations

import numpy as np
import pytest

from superres.evaluation.embedding import Shot
from superres.evaluation.report import render_report
from superres.imaging.io import read_image
from tests.browser import chromium

from .records import entry, record
from .test_report import album

RED, BLUE = (200, 30, 30), (30, 30, 200)
NASTY = "<script>document.title='taken'</script>"


@pytest.fixture(scope="module")
def browser():
    logs = {"browser": "ALL", "performance": "ALL"}
    with chromium("1200,900", lambda o: o.set_capability("goog:loggingPrefs", logs)) as driver:
        yield driver


def shots() -> list[Shot]:
    """LR and so bicubic are red, SR is blue with one white pixel in a corner, HR has stripes."""
    found = []
    for number, name in enumerate(("b-plain", NASTY, "c-small")):
        height, width = 60 + 20 * number, 80
        lq = np.full((height // 2, width // 2, 3), RED, np.uint8)
        sr = np.full((height, width, 3), BLUE, np.uint8)
        sr[:10, :10] = 255
        hr = sr.copy()
        hr[:, ::8] = 90
        found.append(Shot("Set5", 2, name, lq, sr, hr))
    return found


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


@pytest.fixture
def picture(page, tmp_path):
    """A screenshot of one element, as an array."""

    def take(selector: str) -> np.ndarray:
        path = tmp_path / "seen.png"
        element = one(page, selector)
        page.execute_script("arguments[0].scrollIntoView({block: 'nearest'})", element)
        settle(page)
        assert element.screenshot(str(path))
        return read_image(path)

    return take


def settle(page) -> None:
    """Wait until pictures are decoded and a frame is drawn."""
    page.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([...document.images].map((i) => i.decode().catch(() => 0)))"
        ".then(() => requestAnimationFrame(() => requestAnimationFrame(done)));"
    )


def one(page, selector: str):
    return page.find_element("css selector", selector)


def transforms(page) -> set[str]:
    images = page.find_elements("css selector", "#viewer .pane img")
    return {image.get_attribute("style").split("transform:")[1].split(";")[0] for image in images}


def close_to(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(picture.astype(int) - colour) < 40).all(axis=2)


def boundary(picture: np.ndarray) -> float:
    """Where red ends and blue begins, as a share of the width, in the middle row."""
    row = picture[picture.shape[0] // 2]
    red = np.flatnonzero(close_to(row[None], RED)[0])
    blue = np.flatnonzero(close_to(row[None], BLUE)[0])
    assert red.size
    assert blue.size
    assert red.max() < blue.min()
    return (red.max() + blue.min()) / 2 / row.shape[0]


def slide(page, value: float) -> None:
    page.execute_script(
        "const s = document.querySelector('#split'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input', {bubbles: true}))",
        value,
    )


def test_the_slider_moves_the_boundary(page, picture):
    assert boundary(picture("#compare")) == pytest.approx(0.5, abs=0.01)
    slide(page, 20)
    assert boundary(picture("#compare")) == pytest.approx(0.2, abs=0.01)
    one(page, "#larger").click()
    one(page, "#larger").click()  # also where the pictures are enlarged
    assert boundary(picture("#compare")) == pytest.approx(0.2, abs=0.01)
    one(page, "#split").send_keys("\ue014" * 4)  # right arrow, by half a percent each
    assert float(one(page, "#split").get_attribute("value")) == 22
    assert boundary(picture("#compare")) == pytest.approx(0.22, abs=0.01)


def test_zoom_and_pan_are_the_same_in_all_panes(page, picture):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    slide(page, 0)  # all SR
    corner = picture("#compare")
    white = (corner > 220).all(axis=2).mean()
    assert transforms(page) == {" translate(0%, 0%) scale(1)"}
    pane = one(page, "#compare")
    pane.send_keys("+++")
    assert one(page, "#zoom").text == "3.38×"
    assert len(transforms(page)) == 1
    # The white corner is out of sight in the middle, and comes back by the arrows.
    assert (picture("#compare") > 220).all(axis=2).mean() < white / 2
    for key in (Keys.ARROW_LEFT, Keys.ARROW_UP):
        pane.send_keys(key * 15)
    assert transforms(page) == {" translate(0%, 0%) scale(3.375)"}
    assert (picture("#compare") > 220).all(axis=2).mean() > 5 * white
    settle(page)
    before = transforms(page)
    ActionChains(page).move_to_element(pane).click_and_hold().move_by_offset(
        -60, -30
    ).release().perform()
    assert len(transforms(page)) == 1
    assert transforms(page) != before
    pane.send_keys("0")
    assert transforms(page) == {" translate(0%, 0%) scale(1)"}
    small = page.find_elements("css selector", "#panes .pane")
    assert len(small) == 5
    ActionChains(page).double_click(small[2]).perform()
    assert one(page, "#zoom").text == "4×"
    assert len(transforms(page)) == 1


def rows(page) -> list[str]:
    found = page.find_elements("css selector", "#per-image tbody th")
    return [element.text for element in found]


def test_sorting(page):
    from selenium.webdriver.common.keys import Keys

    assert rows(page) == ["b-plain", NASTY, "c-small", "d-broken"]
    heads = page.find_elements("css selector", "#per-image thead th")
    titles = [head.text.split()[0] for head in heads]
    assert titles == ["image", "set", "protocol", "PSNR", "SSIM", "gain", "seconds"]
    column = heads[titles.index("PSNR")]
    column.find_element("tag name", "button").click()
    # By number, not by letters (100 after 31.5); what is missing comes last.
    assert rows(page) == [NASTY, "b-plain", "c-small", "d-broken"]
    assert column.get_attribute("aria-sort") == "ascending"
    column.find_element("tag name", "button").send_keys(Keys.ENTER)
    assert rows(page) == ["c-small", "b-plain", NASTY, "d-broken"]
    assert column.get_attribute("aria-sort") == "descending"
    heads[0].find_element("tag name", "button").click()
    assert sorted(rows(page)) == sorted(["b-plain", NASTY, "c-small", "d-broken"])
    assert column.get_attribute("aria-sort") == "none"


def test_a_row_shows_its_picture_and_keys_go_on(page):
    buttons = page.find_elements("css selector", "#per-image .show")
    assert len(buttons) == 3  # the broken one has no picture
    buttons[1].click()
    assert one(page, "#name").text == f"Set5 x2: {NASTY}"
    assert page.title == "ours on Set5 x2"
    assert page.switch_to.active_element.get_attribute("id") == "compare"
    one(page, "#compare").send_keys("n")
    assert one(page, "#name").text == "Set5 x2: c-small"
    one(page, "#compare").send_keys("n")
    assert one(page, "#name").text == "Set5 x2: b-plain"
    one(page, "#compare").send_keys("p")
    assert one(page, "tr.chosen th").text == "c-small"
    assert "edsr-y 100.00 dB" in one(page, "#figures").text


def test_a_phone(page):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd(
        "Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 5}
    )
    try:
        settle(page)
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
        box = one(page, "#compare").rect
        assert 300 < box["width"] <= 360
        small = page.execute_script(
            "return [...document.querySelectorAll('#viewer button, #viewer select, #split')]"
            ".filter((e) => e.getBoundingClientRect().height < 36).map((e) => e.id)"
        )
        assert small == []
        slide(page, 0)
        page.execute_script("arguments[0].scrollIntoView({block: 'center'})", one(page, "#compare"))
        pinch(page)
        assert float(one(page, "#zoom").text[:-1]) > 1.5
        assert len(transforms(page)) == 1
    finally:
        page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def pinch(page) -> None:
    """Two fingers that part from each other in the middle of the compared pictures."""
    middle = page.execute_script(
        "const b = document.querySelector('#compare').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]"
    )

    def touch(kind: str, spread: float) -> None:
        points = [
            {"x": middle[0] + side * spread, "y": middle[1], "id": number}
            for number, side in enumerate((-1, 1))
        ]
        event = {"type": kind, "touchPoints": points if kind != "touchEnd" else []}
        page.execute_cdp_cmd("Input.dispatchTouchEvent", event)

    touch("touchStart", 20)
    for spread in (30, 40, 50, 60):
        touch("touchMove", spread)
    touch("touchEnd", 60)
