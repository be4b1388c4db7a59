"""Tests of embedding mixed items in order, where a bad item does not affect the others."""

import copy
import multiprocessing
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from imagebind.checkpoints.factory import imagebind_tiny, list_models, save_model
from imagebind.embedder import Embedder
from imagebind.errors import AmbiguousMediaError, MediaError
from imagebind.io.store_path import as_path
from imagebind.modality import MediaKind, ModalityType
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.text import Tokenizer
from imagebind.transforms.video import VideoTransform
from tests.reference import small_config

SAME = {"atol": 1e-5, "rtol": 0}


@pytest.fixture
def items(image_file, audio_file, video_file, imu_file):
    """Return one item of each modality, and some twice."""
    rng = np.random.default_rng(0)
    return [
        "a dog",
        image_file,
        {"depth": rng.uniform(1, 5, (60, 80)), "focal": 518.9},
        audio_file,
        "a small red car by the sea",
        video_file,
        imu_file,
        {"thermal": rng.integers(0, 255, (60, 80), dtype=np.uint8)},
        Image.open(image_file),
    ]


def test_every_modality_becomes_float32_unit_vectors_in_input_order(embedder, items):
    vectors, report = embedder.encode(items, return_report=True)
    assert vectors.shape == (9, 32) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert [result.index for result in report] == list(range(9))
    kinds = "text image depth audio text video imu thermal image"
    assert [result.kind.value for result in report] == kinds.split()
    assert report[5].modality.value == "vision"
    np.testing.assert_allclose(vectors[1], vectors[8], **SAME)  # a path and its image


def test_a_file_in_a_store_has_the_embedding_of_the_same_file_on_disk(embedder, memory, image_file):
    memory.put_file(str(image_file), "/media/star.jpg")
    expected = embedder.encode(image_file)
    for item in ({"image": "memory://media/star.jpg"}, as_path("memory://media/star.jpg")):
        np.testing.assert_array_equal(embedder.encode(item), expected)


def test_encode_returns_the_normalised_result_of_forward(
    embedder, small_model, image_file, audio_file, video_file
):
    tensors = {
        "vision": VideoTransform()(video_file).unsqueeze(0),
        "audio": AudioTransform()(audio_file).unsqueeze(0),
        "text": Tokenizer()("a dog"),
    }
    with torch.inference_mode():
        wanted = {name: rows[0].numpy() for name, rows in small_model(tensors).items()}
        image = small_model({"vision": ImageTransform()(image_file).unsqueeze(0)})["vision"][0].numpy()
    got = embedder.encode([video_file, audio_file, "a dog", image_file])
    for vector, raw in zip(got, [wanted["vision"], wanted["audio"], wanted["text"], image], strict=True):
        np.testing.assert_allclose(vector, raw / np.linalg.norm(raw), **SAME)
    raw = embedder.encode([video_file, audio_file, "a dog", image_file], normalize_embeddings=False)
    np.testing.assert_allclose(raw[1], wanted["audio"], atol=2e-4)
    np.testing.assert_allclose(raw[0], wanted["vision"], **SAME)


def test_an_embedding_does_not_depend_on_batch_or_order(embedder, items):
    together = embedder.encode(items, batch_size=4)
    for position, item in enumerate(items):
        np.testing.assert_allclose(embedder.encode(item), together[position], **SAME)
    order = np.random.default_rng(1).permutation(len(items))
    np.testing.assert_allclose(embedder.encode([items[i] for i in order]), together[order], **SAME)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_the_clips_of_a_recording_may_be_in_several_batches(embedder, video_file, audio_file, batch_size):
    wanted = embedder.encode([video_file, audio_file, video_file])
    got = embedder.encode([video_file, audio_file, video_file], batch_size=batch_size)
    np.testing.assert_allclose(got, wanted, **SAME)


def test_texts_of_all_lengths_are_returned_in_order(embedder):
    texts = [" ".join(["dog"] * (i * 37 % 90)) for i in range(60)]
    together = embedder.encode(texts, batch_size=8)
    for i in (0, 17, 41, 59):
        np.testing.assert_allclose(embedder.encode(texts[i]), together[i], **SAME)


def test_one_item_gives_one_vector_and_no_items_none(embedder, image_file):
    assert embedder.encode("a dog").shape == (32,)
    assert embedder.encode(image_file).shape == (32,)
    assert embedder.encode(image_file.read_bytes()).shape == (32,)
    assert embedder.encode({"audio": np.zeros(16000, np.float32) + 0.1, "rate": 16000}).shape == (32,)
    assert embedder.encode([]).shape == (0, 32)
    assert embedder.encode(text for text in ("a", "b")).shape == (2, 32)


def test_a_tensor_can_be_requested_and_used_in_training(embedder):
    vectors = embedder.encode(["a dog", "a car"], convert_to_tensor=True)
    assert isinstance(vectors, torch.Tensor) and vectors.dtype == torch.float32
    weight = torch.ones(32, requires_grad=True)
    (vectors @ weight).sum().backward()
    assert weight.grad is not None


def test_a_str_is_a_path_only_with_a_modality(embedder, audio_file):
    as_text = embedder.encode(str(audio_file))
    as_audio = embedder.encode([str(audio_file)], modality="audio")[0]
    np.testing.assert_allclose(as_audio, embedder.encode(Path(audio_file)), **SAME)
    assert not np.allclose(as_text, as_audio, atol=0.1)


def test_options_of_an_item_are_passed_to_its_transform(embedder):
    stereo = Path(__file__).parent / "data/preprocessing/stereo_48k_8s.wav"
    first, average = embedder.encode([{"audio": stereo, "channel": 0}, {"audio": stereo}])
    assert not np.allclose(first, average, atol=1e-3)
    near, far = (embedder.encode({"depth": np.full((60, 80), 2.0), "focal": f}) for f in (200, 1000))
    assert not np.allclose(near, far, atol=1e-3)


def test_a_misspelt_option_raises_an_error_with_the_existing_ones(embedder):
    with pytest.raises(MediaError, match=r"focal.*, got focl"):
        embedder.encode({"depth": np.ones((4, 4)), "focl": 500})


def test_skipped_items_are_nan_and_the_others_are_embedded(embedder, image_file, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(image_file.read_bytes()[:3000])
    items = ["a dog", cut, image_file, tmp_path / "none.png", np.zeros((3, 3)), 7, {"smell": 1}, "a car"]
    vectors, report = embedder.encode(items, on_error="skip", return_report=True)
    assert [result.error is None for result in report] == [
        True,
        False,
        True,
        False,
        False,
        False,
        False,
        True,
    ]
    assert np.isnan(vectors[[1, 3, 4, 5, 6]]).all() and np.isfinite(vectors[[0, 2, 7]]).all()
    assert "cut.jpg" in str(report[1].error) and "none.png" in str(report[3].error)
    np.testing.assert_allclose(vectors[0], embedder.encode("a dog"), **SAME)


def test_by_default_the_first_bad_item_is_raised(embedder, tmp_path):
    with pytest.raises(MediaError, match=r"none\.png: no such file"):
        embedder.encode(["a dog", tmp_path / "none.png"])
    with pytest.raises(ValueError, match="'raise' or 'skip'"):
        embedder.encode(["a dog"], on_error="ignore")


def test_a_16_bit_grayscale_image_raises_an_error_with_the_ways_to_specify_its_modality(
    embedder, deep_grey_file
):
    with pytest.raises(
        AmbiguousMediaError, match=r"16-bit grayscale PNG.*\{'depth': path\} or \{'thermal': path\}"
    ):
        embedder.encode(deep_grey_file)
    depth, thermal = embedder.encode([{"depth": deep_grey_file}, {"thermal": deep_grey_file}])
    assert not np.allclose(depth, thermal, atol=0.1)
    np.testing.assert_allclose(embedder.encode(deep_grey_file, modality="depth"), depth, **SAME)


def test_a_modality_without_a_trunk_raises_an_error(image_file):
    embedder = Embedder(ImageBindModel(small_config(), modalities=["text"]))
    with pytest.raises(MediaError, match=r"one of text.*, got .*built without"):
        embedder.encode(image_file)
    vectors = embedder.encode(["a dog", image_file], on_error="skip")
    assert np.isfinite(vectors[0]).all() and np.isnan(vectors[1]).all()


def test_embeddings_that_are_not_finite_are_errors():
    model = ImageBindModel(small_config(), modalities=["text"])
    model.modality_heads["text"].proj[1].weight.data.fill_(float("nan"))
    with pytest.raises(MediaError, match="expected a finite embedding, got one with NaN or infinite numbers"):
        Embedder(model).encode("a dog")


def test_an_endless_stream_is_embedded_in_order_and_in_bounded_memory(embedder, image_file):
    requested = []

    def endless():
        for i in count():
            requested.append(i)
            yield image_file if i % 50 == 3 else f"number {i}"

    results = list(islice(embedder.encode_stream(endless(), batch_size=8), 200))
    assert [result.index for result in results] == list(range(200))
    assert results[3].kind is MediaKind.IMAGE and results[4].kind is MediaKind.TEXT
    assert len(requested) < 200 + 6 * 8  # no more than a few batches ahead


def test_clips_are_returned_with_their_time_spans_on_request(embedder, audio_file, video_file, image_file):
    results = list(embedder.encode_stream([audio_file, video_file, image_file], clips=True))
    audio, video, image = results
    assert audio.clips.shape == (3, 32) and video.clips.shape == (5, 32) and image.clips is None
    assert [span[1] - span[0] for span in audio.spans] == pytest.approx([2, 2, 2])
    assert audio.spans[0][0] == 0 and audio.spans[-1][1] == pytest.approx(7)
    np.testing.assert_allclose(np.linalg.norm(video.clips, axis=1), 1, atol=1e-6)
    mean = audio.clips.mean(axis=0)  # of unit vectors
    np.testing.assert_allclose(audio.vector, mean / np.linalg.norm(mean), **SAME)
    assert next(embedder.encode_stream([audio_file])).clips is None


def test_a_pair_of_array_and_rate_raises_an_error_with_the_right_form(embedder):
    audio = np.zeros(16000, dtype=np.float32)
    audio[::40] = 0.5
    with pytest.raises(MediaError, match=r"shape \(16000,\) without a rate.*'rate': hz.*\[\(array, rate\)\]"):
        embedder.encode((audio, 16000), modality="audio")
    (listed,) = embedder.encode([(audio, 16000)], modality="audio")
    np.testing.assert_allclose(embedder.encode({"audio": audio, "rate": 16000}), listed, **SAME)


def test_columns_of_texts_and_of_paths_are_several_items(embedder, image_file, audio_file):
    pandas = pytest.importorskip("pandas")
    texts = ["a red star", "a blue ring"]
    wanted = embedder.encode(texts)
    for column in (np.array(texts), np.array(texts, dtype=object), pandas.Series(texts, index=[4, 2])):
        np.testing.assert_allclose(embedder.encode(column), wanted, **SAME)
        np.testing.assert_allclose([r.vector for r in embedder.encode_stream(column)], wanted, **SAME)
    paths = [image_file, audio_file]
    np.testing.assert_allclose(embedder.encode(pandas.Series(paths)), embedder.encode(paths), **SAME)
    images = embedder.encode(np.array([str(image_file)] * 2), modality="image")
    np.testing.assert_allclose(images, embedder.encode([image_file] * 2), **SAME)
    assert embedder.encode(np.array(texts[0])).shape == embedder.encode(np.str_(texts[0])).shape == (32,)


def test_a_table_always_raises_an_error(embedder):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"caption": ["a dog"], "file": ["dog.jpg"]})
    for on_error in ("raise", "skip"):
        with pytest.raises(MediaError, match=r"table\['caption'\].*columns caption, file"):
            embedder.encode(table, on_error=on_error)
    assert embedder.encode(table["caption"]).shape == (1, 32)


def test_decoded_and_undecoded_rows_of_a_data_set_are_items(embedder, image_file, audio_file):
    tone = np.sin(np.arange(16000) / 8).astype(np.float32)
    rows = [
        {"image": {"bytes": image_file.read_bytes(), "path": "a.jpg"}},
        {"bytes": None, "path": str(audio_file)},
        {"array": tone, "sampling_rate": 16000, "path": None},
    ]
    vectors, report = embedder.encode(rows, return_report=True)
    assert [result.kind.value for result in report] == ["image", "audio", "audio"]
    wanted = embedder.encode([image_file, audio_file, {"audio": tone, "rate": 16000}])
    np.testing.assert_allclose(vectors, wanted, **SAME)


def count_of_dogs():
    return (f"{number} dogs" for number in count())


def test_forward_alone_also_uses_evaluation_mode():
    model = imagebind_tiny(pretrained=True, modalities=["text"])
    for block in model.modality_trunks["text"].blocks:
        block.drop_path = nn.Dropout(0.5)
    embedder, views = Embedder(model.train()), Tokenizer()("a red star")
    once, again = (embedder.forward(ModalityType.TEXT, views) for _ in range(2))
    torch.testing.assert_close(once, again)
    assert all(module.training for module in model.modules())


def test_encoding_uses_evaluation_mode_and_restores_training_mode(small_model, image_file):
    model = ImageBindModel(small_config())
    embedder = Embedder(model)
    assert model.training
    item = {"imu": np.ones((2000, 6)) * 5, "rate": 400}
    first, second = embedder.encode(item), embedder.encode(item)
    np.testing.assert_array_equal(first, second)  # no dropout
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_embedders_of_one_model_share_its_evaluation_mode():
    model = ImageBindModel(small_config(), modalities=["text"])
    first, second = (Embedder(model).encode_stream(count_of_dogs(), batch_size=1) for _ in range(2))
    next(first), next(second)
    first.close()
    assert not model.training  # the second one encodes
    second.close()
    assert model.training


def test_threads_share_an_embedder(embedder, items):
    wanted = embedder.encode(items)
    before = threading.active_count()
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(embedder.encode, [items] * 6):
            np.testing.assert_allclose(got, wanted, **SAME)
    assert threading.active_count() <= before


def test_no_threads_remain_if_the_consumer_stops_early(embedder, items):
    stream = embedder.encode_stream(items * 5)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("imagebind-decode")]


def test_a_copy_of_an_embedder_has_its_own_model_and_the_same_vectors(small_model, items):
    embedder = Embedder(small_model, num_workers=3, transforms={"audio": AudioTransform(clips=2)})
    wanted = embedder.encode(items)
    for copied in (copy.deepcopy(embedder), pickle.loads(pickle.dumps(embedder))):
        assert copied.model is not embedder.model and copied.num_workers == 3
        np.testing.assert_array_equal(copied.encode(items), wanted)
        next(copied.model.parameters()).data.fill_(float("nan"))
    np.testing.assert_array_equal(embedder.encode(items), wanted)
    assert copy.copy(embedder).model is embedder.model


def test_an_embedder_can_be_copied_while_it_encodes():
    embedder = Embedder(ImageBindModel(small_config(), modalities=["text"]).eval())
    stream = embedder.encode_stream(count_of_dogs(), batch_size=1)
    first = next(stream).vector
    np.testing.assert_allclose(copy.deepcopy(embedder).encode("0 dogs"), first, **SAME)
    stream.close()


def test_an_embedder_can_be_passed_to_a_spawned_worker(embedder):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        embedded = pool.apply(embedder.encode, (["a dog", "a car"],))
    np.testing.assert_allclose(embedded, embedder.encode(["a dog", "a car"]), **SAME)


def test_the_default_dtype_changes_no_vector(embedder, items):
    wanted = embedder.encode(items)
    torch.set_default_dtype(torch.float64)
    try:
        got = embedder.encode(items)
        views = [embedder.transform(MediaKind(kind))(item) for kind, item in _recordings(items)]
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(got, wanted)
    assert got.dtype == np.float32 and {view.dtype for view in views} == {torch.float32}


@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_the_default_device_changes_no_vector(embedder, items, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    wanted = embedder.encode(items)
    with torch.device(device):
        np.testing.assert_array_equal(embedder.encode(items), wanted)


def _recordings(items):
    return [("image", items[1]), ("audio", items[3]), ("video", items[5]), ("imu", items[6])]


def test_similarity_returns_the_cosine_similarity_of_all_pairs(embedder):
    similarity = embedder.similarity([[3.0, 0.0], [1.0, 1.0]], [0.0, 2.0])
    torch.testing.assert_close(similarity, torch.tensor([[0.0], [2**-0.5]]))
    np.testing.assert_array_equal(embedder.similarity(np.eye(2)[::-1], np.eye(2)), np.eye(2)[::-1])


def test_similarity_refuses_items_and_vectors_of_other_shapes(embedder):
    with pytest.raises(TypeError, match="expected vectors"):
        embedder.similarity(["A dog."], [[1.0, 0.0]])
    with pytest.raises(ValueError, match=r"expected \(n, e\) and \(m, e\), got \(1, 3\) and \(1, 2\)"):
        embedder.similarity(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match=r"got \(1, 2\) and \(4, 3, 2\)"):
        embedder.similarity(np.ones(2), np.ones((4, 3, 2)))


def test_the_transform_of_a_media_type_can_be_replaced(small_model, audio_file):
    embedder = Embedder(small_model, transforms={"audio": AudioTransform(clips=7)})
    result = next(embedder.encode_stream([audio_file], clips=True))
    assert result.clips.shape == (7, 32)


def test_autocast_to_bfloat16_stays_close_to_float32(small_model, embedder, items):
    exact = embedder.encode(items)
    close = Embedder(small_model, autocast=torch.bfloat16).encode(items)
    assert (exact * close).sum(axis=1).min() > 0.999


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_returns_the_embeddings_of_the_cpu(embedder, items):
    from tests.reference import filled_model

    on_cuda = Embedder(filled_model(small_config()), device="cuda")
    assert on_cuda.device.type == "cuda"
    np.testing.assert_allclose(on_cuda.encode(items), embedder.encode(items), atol=1e-3)


def test_an_embedder_loads_a_model_by_name_or_by_the_folder_it_was_saved_in(tmp_path):
    named = Embedder("imagebind_tiny", device="cpu")
    save_model(imagebind_tiny(pretrained=True, modalities=["text", "vision"]), tmp_path / "saved")
    saved = Embedder(tmp_path / "saved", device="cpu", modalities=["text"])
    assert saved.model.modalities == ("text",) and not named.model.training
    np.testing.assert_allclose(saved.encode("a red star"), named.encode("a red star"), **SAME)
    assert {*list_models()} >= {"imagebind_huge", "imagebind_tiny"}


def test_an_embedder_changes_the_precision_of_a_model_and_refuses_modalities_for_a_built_one():
    model = imagebind_tiny(pretrained=True, modalities=["text"])
    assert (
        Embedder(model, dtype=torch.bfloat16).model.modality_heads.text.proj[0].weight.dtype == torch.bfloat16
    )
    with pytest.raises(ValueError, match="modalities: expected None"):
        Embedder(model, modalities=["text"])


def test_an_embedder_refuses_other_objects_as_models_and_negative_workers(small_model):
    with pytest.raises(TypeError, match="model: expected a model or its name, path or URI, got None"):
        Embedder(None)
    with pytest.raises(ValueError, match="num_workers: expected at least 1, got -1"):
        Embedder(small_model, num_workers=-1)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, float("nan"), None])
def test_a_batch_size_that_is_not_a_whole_number_of_at_least_1_is_refused(embedder, batch_size):
    with pytest.raises(
        ValueError, match=f"batch_size: expected a whole number of at least 1, got {batch_size}"
    ):
        embedder.encode("a dog", batch_size=batch_size)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    "options", [{"dtype": torch.bfloat16}, {"autocast": torch.bfloat16}], ids=["weights", "autocast"]
)
def test_bfloat16_on_cuda_stays_close_to_float32_on_the_cpu(embedder, items, options):
    from tests.reference import filled_model

    on_cuda = Embedder(filled_model(small_config()), device="cuda", **options)
    assert (on_cuda.encode(items) * embedder.encode(items)).sum(axis=1).min() > 0.999


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_a_long_stream_on_cuda_keeps_each_vector_with_its_item(embedder, items, batch_size):
    """Copies run beside computations: a buffer that is used again too early would mix up vectors."""
    from tests.reference import filled_model

    wanted = embedder.encode(items)
    on_cuda = Embedder(filled_model(small_config()), device="cuda")
    order = np.random.default_rng(0).integers(0, len(items), 300)
    results = list(on_cuda.encode_stream((items[index] for index in order), batch_size=batch_size))
    np.testing.assert_allclose(np.stack([result.vector for result in results]), wanted[order], atol=1e-3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_threads_may_share_an_embedder_on_cuda(embedder, items):
    from tests.reference import filled_model

    wanted = embedder.encode(items)
    on_cuda = Embedder(filled_model(small_config()), device="cuda")
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(on_cuda.encode, [items] * 12):
            np.testing.assert_allclose(vectors, wanted, atol=1e-3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_saved_model_is_loaded_to_cuda_in_the_requested_precision(tmp_path):
    save_model(imagebind_tiny(pretrained=True), tmp_path / "saved")
    texts = ["A red cube.", "A blue sphere moves to the left."]
    expected = Embedder("imagebind_tiny", device="cpu").encode(texts)
    for dtype, least in ((torch.float32, 0.99999), (torch.float16, 0.999), (torch.bfloat16, 0.99)):
        loaded = Embedder(tmp_path / "saved", device="cuda", dtype=dtype)
        assert {(value.device.type, value.dtype) for value in loaded.model.parameters()} == {("cuda", dtype)}
        assert (loaded.encode(texts) * expected).sum(axis=1).min() > least
