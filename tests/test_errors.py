"""Errors and warnings name the item they are about."""

import logging
from dataclasses import dataclass

import torch

from imagebind.errors import collect_warnings, warn_of
from imagebind.modality import MediaKind
from imagebind.transforms.intake import Request, prepare


@dataclass(frozen=True)
class DoubtfulTransform:
    """Warns about every item."""

    def __call__(self, item: object) -> torch.Tensor:
        warn_of("<no name>", "half of it is noise")
        warn_of("<no name>", "half of it is noise")
        return torch.zeros(1)


def test_a_warning_that_nobody_collects_is_logged_with_the_items_name(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of("dog.wav", "0.1 s could not be decoded")
    assert "dog.wav: 0.1 s could not be decoded" in caplog.text


def test_collected_warnings_are_not_logged_and_occur_once(caplog):
    with caplog.at_level(logging.WARNING), collect_warnings() as messages:
        warn_of("dog.wav", "damaged")
        warn_of("dog.wav", "damaged")
    assert messages == ["damaged"]
    assert not caplog.text


def test_the_warnings_of_an_item_come_with_its_views_and_are_logged_under_its_name(caplog):
    request = Request(kind=MediaKind.IMAGE, payload=b"", name="dog.png")
    with caplog.at_level(logging.WARNING):
        views = prepare(request, DoubtfulTransform())
    assert views.warnings == ("half of it is noise",)
    assert caplog.text.count("dog.png: half of it is noise") == 1
