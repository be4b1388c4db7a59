"""Media types by name: those of the library, and the modalities of packs."""

import pytest

from imagebind.modality import BoundModality, MediaKind, kinds_in_order, media_kind, stored_kind


def test_a_name_is_that_of_the_library_or_of_a_pack():
    assert media_kind("image") is MediaKind.IMAGE
    found = media_kind("event", [BoundModality("event")])
    assert isinstance(found, BoundModality) and found.value == "event" and found.modality == found
    assert media_kind("image", ["image", "event"]) is MediaKind.IMAGE
    with pytest.raises(ValueError, match=r"expected one of image, .*imu, event, got 'evnt'"):
        media_kind("evnt", ["event"])


def test_a_stored_name_that_the_library_lacks_is_of_a_pack():
    assert stored_kind("audio") is MediaKind.AUDIO
    assert stored_kind("event") == BoundModality("event")


def test_media_types_come_before_packs_in_order():
    kinds = [BoundModality("radar"), MediaKind.IMU, BoundModality("event"), MediaKind.IMAGE]
    assert [kind.value for kind in kinds_in_order(kinds)] == ["image", "imu", "event", "radar"]
