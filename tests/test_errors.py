"""Tests of errors and warnings, which name their item."""

import logging
import pickle
from dataclasses import dataclass

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from imagebind import data, errors
from imagebind.errors import collect_warnings, warn_of
from imagebind.intake.requests import Request, prepare
from imagebind.modality import MediaKind


@dataclass(frozen=True)
class DoubtfulTransform:
    """Warns about every item."""

    def __call__(self, item: object) -> torch.Tensor:
        warn_of("<no name>", "half of it is noise")
        warn_of("<no name>", "half of it is noise")
        return torch.zeros(1)


def test_a_warning_that_is_not_collected_is_logged_with_the_items_name(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of("dog.wav", "0.1 s could not be decoded")
    assert "dog.wav: 0.1 s could not be decoded" in caplog.text


def test_collected_warnings_are_not_logged_and_occur_once(caplog):
    with caplog.at_level(logging.WARNING), collect_warnings() as messages:
        warn_of("dog.wav", "damaged")
        warn_of("dog.wav", "damaged")
    assert messages == ["damaged"]
    assert not caplog.text


def test_the_warnings_of_an_item_are_part_of_its_views_and_are_logged_with_its_name(caplog):
    request = Request(kind=MediaKind.IMAGE, payload=b"", name="dog.png")
    with caplog.at_level(logging.WARNING):
        views = prepare(request, DoubtfulTransform())
    assert views.warnings == ("half of it is noise",)
    assert caplog.text.count("dog.png: half of it is noise") == 1


MEDIA_ERRORS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MediaError)
]


@pytest.mark.parametrize("kind", MEDIA_ERRORS)
def test_an_error_can_be_pickled_and_recreated_from_its_message(kind):
    error = kind("a.png", got="nothing", expected="an image")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and (again.item, again.got, again.expected) == ("a.png", "nothing", "an image")
    assert str(again) == str(error) == str(kind(str(error)))


def test_an_ambiguous_media_error_keeps_its_media_types_when_renamed_or_pickled():
    kinds = (MediaKind.DEPTH, MediaKind.THERMAL)
    error = errors.AmbiguousMediaError("<9 bytes>", got="deep", expected="a media type", kinds=kinds)
    again = pickle.loads(pickle.dumps(error.renamed("a.png")))
    assert again.kinds == kinds and str(again) == "a.png: deep; expected a media type"


class MissingImage(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> torch.Tensor:
        return data.load_and_transform_vision_data(["missing.jpg"], "cpu")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_dataloader_worker_has_the_same_type_as_without_workers(workers):
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        next(iter(DataLoader(MissingImage(), num_workers=workers)))
