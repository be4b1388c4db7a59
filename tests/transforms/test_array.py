"""Arrays of the user's own sensor become tensors of one shape."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.errors import MediaError
from imagebind.transforms import ArrayTransform

IMAGE = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.mark.parametrize("item", [IMAGE, IMAGE[None], IMAGE[..., None], torch.from_numpy(IMAGE.astype(int))])
def test_an_image_of_the_right_size_is_only_scaled(item):
    found = ArrayTransform(shape=(1, 3, 4), mean=2, std=4)(item)
    assert found.dtype is torch.float32 and found.shape == (1, 3, 4)
    assert np.allclose(found[0].numpy(), (IMAGE.astype(float) - 2) / 4)


def test_files_and_pil_images_are_read_as_their_numbers(tmp_path):
    transform = ArrayTransform(shape=(1, 3, 4))
    np.save(tmp_path / "a.npy", IMAGE)
    np.savez(tmp_path / "a.npz", array=IMAGE, other=IMAGE + 1)
    Image.fromarray(IMAGE).save(tmp_path / "deep.png")
    for item in (tmp_path / "a.npy", tmp_path / "a.npz", tmp_path / "deep.png", str(tmp_path / "a.npy")):
        assert np.array_equal(transform(item)[0].numpy(), IMAGE)
    assert np.array_equal(transform(Image.fromarray(IMAGE.astype(np.uint8)))[0].numpy(), IMAGE)


def test_an_image_of_another_size_is_resized_with_its_mean_kept():
    checks = np.indices((64, 64)).sum(axis=0) % 2  # without antialias, some cells would be 0 or 1
    found = ArrayTransform(shape=(1, 16, 8))(checks)
    assert found.shape == (1, 16, 8) and torch.allclose(found, torch.full_like(found, 0.5), atol=0.05)


def test_a_series_must_have_the_shape_of_the_transform():
    series = np.random.default_rng(0).normal(size=(3, 50))
    assert np.allclose(ArrayTransform(shape=(3, 50))(series), series, atol=1e-6)
    with pytest.raises(
        MediaError, match=r"expected an array of shape \(3, 50\), got float\d+ of shape \(50, 3\)$"
    ):
        ArrayTransform(shape=(3, 50))(series.T)


def test_an_image_of_several_channels_may_have_them_first_or_last_and_each_is_scaled(tmp_path):
    image = np.random.default_rng(0).uniform(0, 9, (5, 6, 8)).astype(np.float32)
    mean, std = (1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 2.0, 1.0, 2.0, 4.0)
    transform = ArrayTransform(shape=(5, 6, 8), mean=mean, std=std)
    expected = (image - np.reshape(mean, (5, 1, 1))) / np.reshape(std, (5, 1, 1))
    np.save(tmp_path / "first.npy", image)
    np.savez(tmp_path / "last.npz", array=image.transpose(1, 2, 0))
    items = (image, image.transpose(1, 2, 0), torch.from_numpy(image))
    for item in (*items, tmp_path / "first.npy", tmp_path / "last.npz"):
        assert np.allclose(transform(item), expected, atol=1e-5)
    larger = np.repeat(np.repeat(image, 2, axis=1), 2, axis=2)
    assert transform(larger).shape == (5, 6, 8)
    both = ArrayTransform(shape=(3, 4, 3))  # if the first and the last axis fit, the first has the channels
    square = np.arange(36, dtype=np.float32).reshape(3, 4, 3)
    assert np.array_equal(both(square), square)


def test_an_image_file_of_four_channels_is_read_as_its_numbers(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (6, 8, 4), np.uint8)
    Image.fromarray(image).save(tmp_path / "rgba.png")
    Image.fromarray(image).save(tmp_path / "rgba.tif", compression="tiff_lzw")
    for name in ("rgba.png", "rgba.tif"):
        found = ArrayTransform(shape=(4, 6, 8))(tmp_path / name)
        assert np.array_equal(found, image.transpose(2, 0, 1))


def test_channels_of_samples_may_have_their_own_statistics():
    series = np.random.default_rng(0).normal(size=(2, 50))
    found = ArrayTransform(shape=(2, 50), mean=(1.0, -1.0), std=(2.0, 4.0))(series)
    assert np.allclose(found, (series - [[1.0], [-1.0]]) / [[2.0], [4.0]], atol=1e-6)


def test_an_image_of_another_number_of_channels_is_an_error(tmp_path):
    np.save(tmp_path / "four.npy", np.zeros((4, 6, 8)))
    expected = (
        r"four\.npy: expected an array of shape \(5, 6, 8\) or \(6, 8, 5\).*, got .* of shape \(4, 6, 8\)"
    )
    with pytest.raises(MediaError, match=expected):
        ArrayTransform(shape=(5, 6, 8))(tmp_path / "four.npy")
    with pytest.raises(MediaError, match="shape"):
        ArrayTransform(shape=(5, 6, 8))(np.zeros((6, 8)))


@pytest.mark.parametrize(
    "item", [np.full((3, 4), np.nan), np.zeros((3, 4, 3)), np.zeros((0, 4)), np.array(["a"]), object(), 3]
)
def test_an_item_that_is_no_image_is_an_error(item):
    with pytest.raises(MediaError):
        ArrayTransform(shape=(1, 3, 4))(item)


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (2, 3, 4, 5)},
        {"shape": (1, 0, 4)},
        {"shape": (4,)},
        {"shape": (1, 3, 4), "std": 0},
        {"shape": (3, 4, 5), "mean": (0.0, 1.0)},
        {"shape": (3, 4, 5), "std": (1.0, 1.0, 0.0)},
        {"shape": (3, 4, 5), "mean": (0.0, 1.0, float("nan"))},
    ],
)
def test_options_out_of_range_are_an_error(options):
    with pytest.raises(ValueError, match="expected"):
        ArrayTransform(**options)
