"""Arrays of a sensor of the user's own become tensors of one shape."""

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


def test_a_series_must_have_its_shape():
    series = np.random.default_rng(0).normal(size=(3, 50))
    assert np.allclose(ArrayTransform(shape=(3, 50))(series), series, atol=1e-6)
    with pytest.raises(
        MediaError, match=r"expected an array of shape \(3, 50\), got float\d+ of shape \(50, 3\)$"
    ):
        ArrayTransform(shape=(3, 50))(series.T)


@pytest.mark.parametrize(
    "item", [np.full((3, 4), np.nan), np.zeros((3, 4, 3)), np.zeros((0, 4)), np.array(["a"]), object(), 3]
)
def test_an_item_that_is_no_image_is_an_error(item):
    with pytest.raises(MediaError):
        ArrayTransform(shape=(1, 3, 4))(item)


@pytest.mark.parametrize(
    "options", [{"shape": (3, 4, 5)}, {"shape": (1, 0, 4)}, {"shape": (4,)}, {"shape": (1, 3, 4), "std": 0}]
)
def test_options_out_of_range_are_an_error(options):
    with pytest.raises(ValueError, match="expected"):
        ArrayTransform(**options)
