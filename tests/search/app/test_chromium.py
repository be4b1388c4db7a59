"""The page in a browser: searching, playing, the map; and requests to this machine only."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from imagebind.modality import MediaKind
from imagebind.search import Index
from imagebind.toyworld import render_audio
from imagebind.toyworld.group import GroupWorld, render_group_image
from tests.search.app.conftest import ODD_NAME, items
from tests.search.app.served import serving
from tests.search.crawled import tiny

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 740}
HTML = "<img src=x onerror=alert(1)><b>bold"
TIMEOUT_MS = 90_000  # long, because the machine may be busy

pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"drives a browser, {CHROMIUM}")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)


def is_problem(message) -> bool:
    """Return whether a console message is an error; the response to a file that cannot be embedded is not."""
    return message.type == "error" and "status of 422" not in message.text


@pytest.fixture
def opened(browser):
    """Open pages; fail at the end if a page had an error or requested another machine."""
    problems, contexts = [], []

    def open_page(url: str, viewport=DESKTOP):
        context = browser.new_context(viewport=viewport, permissions=["camera", "microphone"])
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: is_problem(message) and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        allowed = (f"{url}/", "data:", "blob:")
        page.on("request", lambda sent: sent.url.startswith(allowed) or problems.append(sent.url))
        page.goto(url)
        page.get_by_role("heading", level=1).wait_for()
        page.locator("#hits .notice").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def cards(page) -> list[str]:
    """Return the ids of the shown cards, in order."""
    page.locator("#hits .hit").first.wait_for()
    return page.locator("#hits [data-like]").evaluate_all("all => all.map(each => each.dataset.like)")


def wait_for_status(page, text: str) -> None:
    page.locator("#hits .status", has_text=text).wait_for()


def drop(page, *paths: Path) -> None:
    page.locator("#drop input[type=file]").set_input_files(paths)
    for path in paths:
        page.get_by_role("button", name=f"Remove {path.name}").wait_for()


def wait_until(scope, expression: str) -> None:
    """Wait for an expression of a page or element; the page's policy forbids `wait_for_function`."""
    end = time.monotonic() + TIMEOUT_MS / 1000
    while not scope.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def search(page) -> None:
    page.locator("#go").click()


def test_a_typed_text_finds_the_hits_of_the_index_and_a_card_finds_more_like_it(opened, served, indexed):
    page = opened(served.url)
    reached = []
    while not reached or reached[-1] != "TEXTAREA":
        assert len(reached) < 10, reached
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.tagName"))
    page.keyboard.type("a star")
    page.keyboard.press("Enter")
    wait_for_status(page, "24 hits for “a star”")
    found = cards(page)
    assert found == [hit.id for hit in indexed.search("a star", 24)]
    page.locator(f"[data-like='{found[-1]}']").press("Enter")  # far down, and the page scrolls to its hits
    name = indexed.get(found[-1]).path.rpartition("/")[2]
    wait_for_status(page, f"items similar to {name}")
    assert found[-1] not in cards(page)
    wait_until(page, "document.querySelector('#hits .status').getBoundingClientRect().top >= 0")


def test_dropped_files_are_added_to_the_query_subtracted_and_removed_and_leave_no_files(
    opened, served, media
):
    scenes = sorted(path.parent for path in media.rglob("audio.wav"))
    page = opened(served.url)
    drop(page, scenes[1] / "audio.wav")
    assert served.temporary_files() == []
    page.locator("summary", has_text="Filters").click()
    page.get_by_label("audio items").check()
    search(page)
    wait_for_status(page, "audio.wav")
    first = page.locator("#hits .hit").first.inner_text()
    assert scenes[1].name in first and "1.000" in first  # it finds itself
    page.get_by_label("audio items").uncheck()
    drop(page, scenes[0] / "image.png")
    search(page)
    wait_for_status(page, "audio.wav + image.png")
    added = cards(page)
    slider = page.get_by_label("Weight of audio.wav")
    slider.focus()
    slider.press("Home")
    search(page)
    wait_for_status(page, "− audio.wav + image.png")
    assert cards(page) != added
    page.get_by_role("button", name="Remove audio.wav").click()
    page.get_by_role("button", name="Remove audio.wav").wait_for(state="hidden")
    search(page)
    page.locator("#hits .status", has_text="audio.wav").wait_for(state="detached")
    assert served.temporary_files() == []


def test_audio_plays_from_the_time_of_the_hit_and_a_video_plays(opened, served, indexed):
    later = next(hit for hit in items(indexed, MediaKind.AUDIO) if (hit.start or 0) >= 10)
    page = opened(served.url)
    page.get_by_label("Text", exact=True).fill("a star")
    page.locator("summary", has_text="Filters").click()
    page.get_by_label("Number of hits").fill("100")
    search(page)
    wait_for_status(page, f"{len(indexed)} hits")
    audio = page.locator(f"audio[src*='{later.id}']")
    audio.evaluate("player => { player.muted = true; return player.play(); }")
    wait_until(audio, "player => player.played.length && player.played.end(0) > player.played.start(0)")
    assert audio.evaluate("player => player.played.start(0)") == pytest.approx(later.start, abs=0.1)
    video = page.locator("#hits video").first
    video.evaluate("player => player.play()")
    wait_until(video, "player => player.currentTime > 0.2")
    assert audio.evaluate("player => player.paused")  # one at a time


def test_a_point_of_the_map_shows_its_item_by_mouse_and_keys_and_media_types_can_be_hidden(
    opened, served, indexed
):
    page = opened(served.url)
    page.get_by_role("tab", name="Map").click()
    page.locator(".map-points circle").first.wait_for()
    assert page.locator(".map-points circle").count() == len(indexed)
    id = page.locator(".map-points circle[data-kind=depth]").first.get_attribute("data-id")
    box = page.locator(f".map-points circle[data-id='{id}']").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(middle[0] + 1, middle[1])
    page.mouse.move(*middle)
    page.locator(".map-tip img").wait_for()
    page.mouse.click(*middle)
    page.locator(f"#item [data-like='{id}']").wait_for()
    page.get_by_role("button", name="thermal 4").click()
    page.locator(".map-points circle[data-kind=thermal]").first.wait_for(state="hidden")
    page.get_by_role("listbox", name="Map of the index").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    reached = page.locator(".map-points circle.active")
    assert reached.get_attribute("data-id") != id and reached.get_attribute("data-kind") != "thermal"
    page.keyboard.press("Enter")
    page.locator(f"#item [data-like='{reached.get_attribute('data-id')}']").click()
    wait_for_status(page, "items similar to")


def test_an_upload_has_a_row_for_each_label(opened, served, media):
    page = opened(served.url)
    page.get_by_role("tab", name="Labels").click()
    path = sorted(media.rglob("depth.png"))[0]
    page.locator("#label-drop input[type=file]").set_input_files(path)
    page.get_by_label("Choose the media type").select_option("depth")
    page.get_by_label("Labels, one per line").fill("a star\na ring\na rod | a stick")
    page.locator("#label-go").click()
    page.locator(".labels tbody tr").first.wait_for()
    assert sorted(page.locator(".labels tbody th").all_inner_texts()) == ["a ring", "a rod", "a star"]


def test_an_ambiguous_array_shows_why_it_cannot_be_imu(opened, served, tmp_path):
    np.save(tmp_path / "array.npy", np.ones((6, 200), dtype=np.float32))
    page = opened(served.url)
    drop(page, tmp_path / "array.npy")
    options = page.get_by_label("Choose the media type").locator("option").all_inner_texts()
    assert options == ["choose …", "depth", "thermal"]
    shown = page.locator("#uploads .refusal").inner_text()
    assert shown.startswith("Cannot be read as IMU. array.npy: expected rate= in Hz")


def test_recordings_are_added_to_the_query_and_not_kept(opened, served):
    page = opened(served.url)
    page.locator("summary", has_text="Record").click()
    page.get_by_role("button", name="Record audio").click()
    page.get_by_role("button", name="Stop audio").wait_for()
    page.wait_for_timeout(2500)  # of audio
    page.get_by_role("button", name="Stop audio").click()
    page.get_by_role("button", name="Remove audio.webm").wait_for()
    page.get_by_role("button", name="Open camera").click()
    wait_until(page, "[...document.querySelectorAll('video')].some(each => each.videoWidth)")
    page.get_by_role("button", name="Take image").click()
    page.get_by_role("button", name="Remove image.png").wait_for()
    page.get_by_role("button", name="Record video").click()
    page.get_by_role("button", name="Stop video").wait_for()
    page.wait_for_timeout(2500)  # of video
    page.get_by_role("button", name="Stop video").click()
    page.get_by_role("button", name="Remove video.webm").wait_for()
    page.get_by_role("button", name="Close camera").click()
    assert page.locator("#record video").is_hidden()
    assert served.temporary_files() == []
    search(page)
    wait_for_status(page, "audio.webm + image.png + video.webm")


def test_bad_and_large_uploads_are_named_and_the_page_keeps_working(opened, served, tmp_path):
    page = opened(served.url)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    page.locator("#drop input[type=file]").set_input_files(tmp_path / "torn.png")
    alert = page.get_by_role("alert").filter(has_text="torn.png")
    alert.wait_for()
    assert "Drop another file" in alert.inner_text() and str(tmp_path) not in alert.inner_text()
    (tmp_path / "large.wav").write_bytes(b"x" * 2_000_000)
    for number in range(7):
        (tmp_path / f"{number}.txt").write_text("a red star")
    page.locator("#drop input[type=file]").set_input_files(tmp_path / "large.wav")
    page.get_by_text("expected at most").wait_for()
    page.locator("#drop input[type=file]").set_input_files(
        [tmp_path / f"{number}.txt" for number in range(7)]
    )
    page.get_by_role("alert").filter(has_text="No room for 6.txt.").wait_for()
    assert page.locator("#uploads .upload").count() == 6
    for number in range(6):
        page.get_by_role("button", name=f"Remove {number}.txt").click()
    search(page)
    page.get_by_text("the query: expected a text or a file, got none").wait_for()


def test_the_page_of_an_empty_index_shows_how_to_fill_it(opened, tmp_path):
    index = Index.open(tmp_path / "new.lance", tiny(), create=True)
    with serving(index, max_upload_mb=1) as url:
        page = opened(url)
        page.locator("#hits", has_text="This index is empty.").wait_for()
        page.get_by_text("imagebind index FOLDER --db").wait_for()
        page.get_by_role("tab", name="Map").click()
        page.locator("#map", has_text="This index is empty.").wait_for()


def test_filters_apply_and_no_hits_suggest_wider_filters_and_names_are_shown_unchanged(
    opened, served, indexed
):
    page = opened(served.url)
    page.locator("summary", has_text="Filters").click()
    page.get_by_label("Path").fill("*onerror*")
    page.get_by_label("Text", exact=True).fill("a star")
    search(page)
    page.locator("#hits .hit-name bdi", has_text=ODD_NAME).wait_for()
    page.get_by_label("Path").fill("")
    page.get_by_label("From time").fill("12")
    search(page)
    wanted = [hit for hit in indexed.sample(10**4) if (hit.end or 0) >= 12]
    wait_for_status(page, f"{len(wanted)} hits")
    page.get_by_label("From time").fill("")
    page.get_by_label("Path").fill("nowhere/*")
    search(page)
    page.get_by_text("Remove or widen a filter").wait_for()


def test_html_in_an_index_a_query_an_upload_and_labels_is_shown_as_text(opened, image_file, tmp_path):
    index = Index.open(tmp_path / f"{HTML}.lance", tiny(), create=True)
    (tmp_path / "media").mkdir()
    image = tmp_path / "media" / f"{HTML}.png"
    shutil.copy(image_file, image)
    index.add([image, HTML], metadata=[{HTML: HTML}, {"caption": HTML}])
    with serving(index, max_upload_mb=1) as url:
        page = opened(url)
        assert HTML in page.title()
        page.get_by_label("Text", exact=True).fill(HTML)
        page.locator("#drop input[type=file]").set_input_files(image)
        page.get_by_role("button", name=f"Remove {HTML}.png").wait_for()
        search(page)
        wait_for_status(page, HTML)
        hits = page.locator("#hits").inner_text()
        assert hits.count(HTML) >= 3  # the query, the name, the text
        page.get_by_role("tab", name="Map").click()
        page.locator(".map-points circle").first.wait_for()
        points = page.locator(".map-points circle")
        for id in points.evaluate_all("all => all.map(each => each.dataset.id)"):
            box = page.locator(f".map-points circle[data-id='{id}']").bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2)
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.locator(f"#item [data-like='{id}']").wait_for()
            assert HTML in page.locator("#item").inner_text()
        page.get_by_role("tab", name="Labels").click()
        page.locator("#label-drop input[type=file]").set_input_files(image)
        page.locator("#label-upload .upload").wait_for()
        page.get_by_label("Labels, one per line").fill(f"{HTML}\na ring")
        page.locator("#label-go").click()
        page.locator(".labels tbody tr").first.wait_for()
        assert HTML in page.locator(".labels tbody th").all_inner_texts()
        assert page.locator("img[src='x'], b:text-is('bold')").count() == 0


def test_a_phone_does_not_scroll_sideways_and_scrolls_to_hits(opened, served, media):
    page = opened(served.url, PHONE)
    page.get_by_label("Text", exact=True).fill("a" * 300)  # no space at which a line may break
    search(page)
    wait_for_status(page, "24 hits")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    wait_until(page, "document.querySelector('#hits').getBoundingClientRect().top < 200")
    assert page.locator("#hits .hit").first.bounding_box()["width"] > 120
    page.get_by_role("tab", name="Labels").click()
    page.locator("#label-drop input[type=file]").set_input_files(next(media.rglob("image.txt")))
    page.locator("#label-upload .upload").wait_for()
    page.get_by_label("Labels, one per line").fill("a star\na ring")
    page.locator("#label-go").click()
    wait_until(page, "document.querySelector('.labels')?.getBoundingClientRect().bottom <= innerHeight")
    for tab, content in (("Search", "#hits .hit"), ("Map", ".map"), ("Labels", "table.labels")):
        page.get_by_role("tab", name=tab).click()
        page.locator(content).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        if tab == "Map":
            assert page.locator(".map").bounding_box()["width"] > 0.8 * PHONE["width"]


def test_an_invalid_number_in_the_closed_filters_is_shown_instead_of_searching(opened, served):
    page = opened(served.url)
    page.get_by_label("Text", exact=True).fill("a star")
    page.locator("summary", has_text="Filters").click()
    page.get_by_label("Number of hits").fill("500")
    page.locator("summary", has_text="Filters").click()
    search(page)
    wait_until(page, "document.activeElement.name === 'top' && document.getElementById('filters').open")
    page.get_by_label("Number of hits").fill("2")
    search(page)
    wait_for_status(page, "2 hits for “a star”")
    page.get_by_label("Number of hits").fill("")
    page.locator("#go").focus()  # so that only the refused click can focus the number again
    page.locator("[data-like]").first.click()
    wait_until(page, "document.activeElement.name === 'top'")
    assert len(cards(page)) == 2


def test_detection_by_a_text_and_an_audio_file_shows_rows_and_an_image(opened, served, tmp_path):
    group = GroupWorld(seed=5).group(3)
    image, audio = tmp_path / "group.png", tmp_path / "thing.wav"
    Image.fromarray(render_group_image(group)).save(image)
    soundfile.write(audio, *render_audio(group.things[1]))
    page = opened(served.url)
    page.get_by_role("tab", name="Detect").click()
    page.locator("#detect-go").click()
    page.locator("#detected .notice", has_text="No image yet.").wait_for()
    page.locator("#detect-drop input").set_input_files(image)
    page.locator("#detect-image", has_text="group.png").wait_for()
    page.locator("#detect-files-drop input").set_input_files(audio)
    page.get_by_role("button", name="Remove thing.wav").wait_for()
    thing = group.things[0]
    page.get_by_label("Queries, one per line").fill(f"a {thing.colour.value} {thing.shape.value}\n")
    page.get_by_label("Show where").check()
    page.get_by_label("Minimum score").fill("0")
    page.locator("#detect-go").click()
    page.locator("#detected .labels", has_text="thing.wav").wait_for()
    wait_until(page.locator("#detected img"), "image => image.naturalWidth >= 448")
    assert served.temporary_files() == []
