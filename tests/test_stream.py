"""Tests of `encode_stream`: bounded memory with failures, clean shutdown, and repeated items."""

import io
import threading
import time
import traceback
import weakref
from itertools import count, islice

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.embedder import Embedder
from imagebind.errors import MediaError
from imagebind.intake.requests import Request
from imagebind.modality import MediaKind
from imagebind.models.imagebind_model import ImageBindModel
from tests.reference import small_config

SAME = {"atol": 1e-5, "rtol": 0}


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("imagebind-decode")]


class BlankTransform:
    """A transform that returns blank images, or raises the item if it is an error."""

    def __call__(self, item):
        if isinstance(item, Exception):
            raise item
        return torch.zeros(3, 224, 224)


def blank(item=0) -> Request:
    return Request(kind=MediaKind.IMAGE, payload=item, name="blank")


@pytest.fixture
def quick(small_model) -> Embedder:
    return Embedder(small_model, transforms={"image": BlankTransform()}, num_workers=2)


@pytest.mark.parametrize("bad", [None, blank(ValueError("no")), blank(RuntimeError("no"))])
def test_an_item_does_not_wait_for_endless_failures(quick, bad):
    requested = []

    def items():
        yield "a dog"
        for number in count():
            requested.append(number)
            yield bad

    results = list(islice(quick.encode_stream(items(), batch_size=4), 10))
    assert results[0].error is None and all(result.error for result in results[1:])
    assert len(requested) < 60


def test_a_batch_above_the_memory_limit_is_computed_early(quick, monkeypatch):
    monkeypatch.setattr("imagebind.embedder.MAX_VIEWS_AHEAD", 8)
    monkeypatch.setattr("imagebind.batching.LOOKAHEAD_BYTES", 10 * 3 * 224 * 224 * 4)
    requested = []

    def items():
        for number in count():
            requested.append(number)
            yield blank()

    list(islice(quick.encode_stream(items(), batch_size=10**6), 5))
    assert len(requested) < 30


def test_a_shape_that_the_model_rejects_fails_only_its_own_items(quick, video_file):
    wrong = {"video": video_file, "frames": 4}
    items = ["a dog", wrong, blank(), wrong, {"text": "word " * 150, "context_length": 99}, "a car"]
    for batch_size in (1, 4, 100):  # a video has 15 views, some computed and some pending at the error
        vectors = quick.encode(items, on_error="skip", batch_size=batch_size)
        assert np.isnan(vectors[:, 0]).tolist() == [False, True, False, True, True, False]
        np.testing.assert_allclose(vectors[5], quick.encode("a car"), **SAME)
    with pytest.raises(MediaError, match=r"vision trunk.*of shape \(3, 4, 224, 224\)") as caught:
        quick.encode(items)
    assert caught.value.item == str(video_file)


def test_an_empty_tensor_of_a_transform_is_an_error_of_the_item(small_model):
    class Nothing:
        def with_spans(self, item):
            return torch.zeros(0, 1, 128, 204), []

    embedder = Embedder(small_model, transforms={"audio": Nothing()})
    vectors = embedder.encode([{"audio": "a.wav"}, "a dog"], on_error="skip")
    assert np.isnan(vectors[0]).all() and np.isfinite(vectors[1]).all()


def test_texts_of_different_context_lengths_do_not_share_a_batch(embedder):
    together = embedder.encode([{"text": "a dog", "context_length": 20}, "a dog"])
    np.testing.assert_allclose(together[0], together[1], **SAME)


def test_an_error_of_the_items_iterator_is_raised_and_stops_all_threads(quick):
    for error_class in (OSError, KeyboardInterrupt):

        def items(error_class=error_class):
            yield from ["a dog", blank()] * 20
            raise error_class("the iterator failed")

        quick.model.train()
        with pytest.raises(error_class, match="the iterator failed"):
            list(quick.encode_stream(items(), batch_size=8))
        assert not decoders() and quick.model.training
        quick.model.eval()


def test_a_raised_error_stops_all_threads_while_it_is_handled(quick):
    quick.model.train()
    try:
        quick.encode([blank(RuntimeError("no")), *["a dog"] * 50])
    except RuntimeError as error:
        assert not decoders() and quick.model.training
        # The traceback has the line in the thread.
        assert "raise item" in "".join(traceback.format_exception(error))
    else:
        pytest.fail("nothing was raised")
    finally:
        quick.model.eval()


def test_the_report_of_a_failure_does_not_keep_the_item_in_memory(quick):
    class Payload(ValueError):
        """An item that fails."""

    bad = Payload("no")
    large = np.zeros(3)
    gone = weakref.ref(large)

    def items(large):
        yield {"depth": large}
        yield blank(bad)

    stream = quick.encode_stream(items(large))
    del large
    failed = next(stream)
    assert isinstance(failed.error, MediaError)
    list(stream)
    assert gone() is None


def test_only_modules_in_training_mode_are_set_back_to_it(quick):
    model = ImageBindModel(small_config(), modalities=["text", "imu"])
    embedder = Embedder(model)
    model.train()
    model.modality_trunks["text"].eval()  # frozen
    before = {name: module.training for name, module in model.named_modules()}
    embedder.encode("a dog")
    assert {name: module.training for name, module in model.named_modules()} == before
    model.eval()
    model.modality_heads["imu"].train()
    embedder.encode("a dog")
    assert model.modality_heads["imu"].training and not model.training


def test_items_may_contain_one_open_file_or_image_several_times(
    small_model, image_file, audio_file, video_file
):
    embedder = Embedder(small_model, num_workers=8)
    wanted = embedder.encode([image_file, audio_file, video_file])
    files = [io.BytesIO(path.read_bytes()) for path in (image_file, audio_file, video_file)]
    for _ in range(3):
        image = Image.open(image_file)  # not read yet
        vectors = embedder.encode([image] * 8)
        np.testing.assert_allclose(vectors, np.repeat(wanted[:1], 8, axis=0), **SAME)
    np.testing.assert_allclose(embedder.encode(files * 3), np.tile(wanted, (3, 1)), **SAME)


def test_a_repeated_image_is_read_by_one_thread_at_a_time(small_model):
    inside, most = [], []

    class Watching:
        def __call__(self, item):
            inside.append(item)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()
            return torch.zeros(3, 224, 224)

    embedder = Embedder(small_model, transforms={"image": Watching()}, num_workers=4)
    embedder.encode([Image.new("RGB", (4, 4))] * 6)
    assert max(most) == 1
    embedder.encode([blank() for _ in range(6)])  # items without state do not wait for locks
    assert max(most) > 1


def test_large_and_small_batch_sizes_give_equal_embeddings(embedder, image_file, audio_file):
    items = ["a dog", image_file, audio_file, "a car by the sea"]
    large, small = (embedder.encode(items, batch_size=size) for size in (10**9, 1))
    np.testing.assert_allclose(large, small, **SAME)
