"""Detections in an uploaded image: the request's form, its boxes, and refused requests."""

import io
import json
import re

import httpx
import numpy as np
import pytest
import soundfile
from PIL import Image

from imagebind.search.app.detector import MAX_IMAGE_SIDE, MAX_QUERIES
from imagebind.toyworld import render_audio
from imagebind.toyworld.group import Group, GroupWorld, boxes_of, group_masks, render_group_image
from tests.search.app.served import Served, upload

GROUP = GroupWorld(seed=5).group(3)
BOX = re.compile(r"<td>(\d+), (\d+)</td><td>(\d+) × (\d+)</td>")


def encoded(pixels: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


@pytest.fixture(scope="module")
def image() -> bytes:
    return encoded(render_group_image(GROUP), "PNG")


def detect(served: Served, content: bytes, **options: object) -> httpx.Response:
    body = json.dumps(options).encode() + b"\n" + content
    return httpx.post(f"{served.url}/detections", params={"name": "group.png"}, content=body, timeout=120)


def centres(answer: httpx.Response) -> list[tuple[float, float]]:
    """Return the centre of each box in the table."""
    rows = [tuple(map(int, numbers)) for numbers in BOX.findall(answer.text)]
    return [(left + width / 2, top + height / 2) for left, top, width, height in rows]


def is_inside(point: tuple[float, float], number: int, group: Group = GROUP, scale: float = 1.0) -> bool:
    left, top, right, bottom = boxes_of(group_masks(group))[number] * scale
    return left <= point[0] <= right and top <= point[1] <= bottom


def test_texts_and_audio_are_found_at_the_positions_of_their_objects(served, image):
    texts = [f"a {thing.colour.value} {thing.shape.value}" for thing in GROUP.things[:2]]
    audio = upload(served.url, wav(*render_audio(GROUP.things[2])), "<b>thing.wav").json()
    answer = detect(served, image, texts=texts, uploads=[[audio, "audio"]], maps=True, threshold=0.05)
    assert answer.status_code == 200 and 'src="data:image/jpeg;base64,' in answer.text
    names = re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', answer.text)
    best = dict(reversed(list(zip(names, centres(answer), strict=True))))  # the most probable of each
    for number, text in enumerate(texts):
        assert is_inside(best[text], number)
    assert is_inside(best["&lt;b&gt;thing.wav"], 2) and "<b>" not in answer.text
    assert served.temporary_files() == []


def test_boxes_in_an_image_above_the_size_limit_are_in_its_own_pixels(served):
    small = Image.fromarray(render_group_image(GROUP))
    scale = 3
    large = np.asarray(small.resize((small.width * scale, small.height * scale), Image.Resampling.BICUBIC))
    assert max(large.shape) > MAX_IMAGE_SIDE
    thing = GROUP.things[1]
    text = f"a {thing.colour.value} {thing.shape.value}"
    answer = detect(served, encoded(large, "JPEG"), texts=[text], threshold=0.05)
    assert is_inside(centres(answer)[0], 1, scale=scale)


def test_an_image_without_detections_above_the_minimum_score_has_a_notice(served, image):
    answer = detect(served, image, texts=["a red star"], threshold=1)
    assert answer.status_code == 200 and "Nothing found." in answer.text and "detections" not in answer.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "the queries: expected 1 to 12 texts and files, got none"),
        ({"texts": [" ", ""]}, "none"),
        ({"texts": [f"a {number}" for number in range(MAX_QUERIES + 1)]}, "got 13"),
        ({"uploads": [[{"name": "x", "kind": None, "vectors": {"audio": [1.0]}}, "audio"]]}, "(128,)"),
        ({"uploads": [[{"name": "x", "kind": None, "vectors": {}}, None]]}, "x: "),
    ],
)
def test_the_error_of_invalid_queries_is_shown(served, image, options, message):
    answer = detect(served, image, **options)
    assert answer.status_code == 200 and 'role="alert"' in answer.text
    assert message in answer.text, answer.text


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_content_that_is_no_image_is_named(served, content):
    answer = detect(served, content, texts=["a red star"])
    assert answer.status_code == 200 and 'role="alert"' in answer.text and "group.png" in answer.text


@pytest.mark.parametrize("line", [b"", b"[]", b"{", b'{"threshold": 2}', b'{"texts": 3}', b"\xff\xfe"])
def test_a_body_without_a_valid_first_line_is_refused(served, line):
    answer = httpx.post(f"{served.url}/detections", params={"name": "x"}, content=line + b"\nx", timeout=30)
    assert answer.status_code == 422 and len(answer.text) < 1000
