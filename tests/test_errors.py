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


def test_a_message_states_the_expected_value_the_found_value_and_the_way_out():
    short = errors.MediaError("dog.wav", expected="at least 400 samples (25 ms at 16 kHz)", got="12")
    assert str(short) == "dog.wav: expected at least 400 samples (25 ms at 16 kHz), got 12"
    loud = errors.MediaError("dog.wav", expected="samples in [-1, 1]", got="9", hint="divide by 32768")
    assert str(loud) == "dog.wav: expected samples in [-1, 1], got 9; divide by 32768"
    assert str(loud.renamed("cat.wav")) == "cat.wav: expected samples in [-1, 1], got 9; divide by 32768"


def test_without_an_expected_value_a_message_states_the_found_value():
    missing = errors.MissingMediaError("x.png", got="no such file")
    assert str(missing) == "x.png: no such file" and missing.strerror == "no such file"
    deep = errors.AmbiguousMediaError(
        "depth.png",
        got="a 16-bit PNG may be depth or thermal",
        hint="pass --map '**/depth.png=depth' or =thermal",
        kinds=(MediaKind.DEPTH, MediaKind.THERMAL),
    )
    assert str(deep) == (
        "depth.png: a 16-bit PNG may be depth or thermal; pass --map '**/depth.png=depth' or =thermal"
    )


MEDIA_ERRORS = [
    each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.MediaError)
]


@pytest.mark.parametrize("error_class", MEDIA_ERRORS)
def test_an_error_can_be_pickled_and_recreated_from_its_message(error_class):
    error = error_class("a.png", got="nothing", expected="an image", hint="draw one")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is error_class and again.item == "a.png"
    assert again.fields == error.fields and (again.got, again.expected) == ("nothing", "an image")
    assert again.hint == "draw one"
    assert str(again) == str(error) == str(error_class(str(error)))


def test_an_ambiguous_media_error_keeps_its_media_types_when_renamed_or_pickled():
    kinds = (MediaKind.DEPTH, MediaKind.THERMAL)
    error = errors.AmbiguousMediaError(
        "<9 bytes>", got="it may be depth or thermal", hint="name one", kinds=kinds, pattern="*.png"
    )
    again = pickle.loads(pickle.dumps(error.renamed("a.png")))
    assert again.kinds == kinds and again.pattern == "*.png"
    assert str(again) == "a.png: it may be depth or thermal; name one"


def test_a_missing_extra_is_told_from_one_whose_import_fails(tmp_path, monkeypatch):
    (tmp_path / "needs_other.py").write_text("import other")
    (tmp_path / "unfit.py").write_text("raise RuntimeError('built for CUDA 12')")
    (tmp_path / "lazy.py").write_text("def __getattr__(name): raise RuntimeError(f'no {name} here')")
    monkeypatch.syspath_prepend(tmp_path)
    for package, attribute, message in [
        ("absent_package", "", "Music needs absent_package: pip install 'imagebind[music]'"),
        ("absent_package.part", "", "Music needs absent_package.part: pip install 'imagebind[music]'"),
        (
            "needs_other",
            "",
            "whose import fails (ModuleNotFoundError: No module named 'other'",
        ),
        ("unfit", "", "Music needs unfit, whose import fails (RuntimeError: built for CUDA 12): pip install"),
        (
            "lazy",
            "Player",
            "Music needs lazy, whose import fails (RuntimeError: no Player here): pip",
        ),
    ]:
        with pytest.raises(errors.MissingExtraError) as caught:
            errors.import_extra(package, extra="music", purpose="Music", attribute=attribute)
        assert message in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value) and again.package == package


class MissingImage(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> torch.Tensor:
        return data.load_and_transform_vision_data(["missing.jpg"], "cpu")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_dataloader_worker_has_the_same_type_as_without_workers(workers):
    with pytest.raises(FileNotFoundError, match=r"missing\.jpg"):
        next(iter(DataLoader(MissingImage(), num_workers=workers)))
