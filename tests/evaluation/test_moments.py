"""Moments of the toy world: which scenes are correct, the chance level, and the results of a model."""

from dataclasses import replace

import pytest

from imagebind.checkpoints.factory import imagebind_tiny
from imagebind.embedder import Embedder
from imagebind.evaluation.moments import (
    SHOWN,
    STREAM_SETS,
    chance_of_window,
    is_found,
    matching_spans,
    temporal_iou,
    text_of,
)
from imagebind.evaluation.run import evaluate
from imagebind.modality import MediaKind
from imagebind.toyworld.recordings import Shot
from imagebind.toyworld.scene import SHOWN_ATTRIBUTES
from tests.toyworld.scenes import OTHER_VALUES, SCENE


def test_temporal_iou_equals_values_computed_by_hand():
    assert temporal_iou((0, 4), (2, 6)) == pytest.approx(1 / 3)
    assert temporal_iou((0, 4), (0, 2)) == 0.5 and is_found((0, 4), [(9, 11), (0, 2)])
    assert temporal_iou((0, 1), (2, 3)) == 0 and not is_found((0, 4.1), [(0, 2)])


def test_scenes_match_if_they_share_the_attributes_that_the_query_shows():
    scenes = [
        SCENE,
        *(replace(SCENE, **{name: OTHER_VALUES[name]}) for name in ("shape", "colour", "motion")),
    ]
    shots = [Shot(scene=scene, start=3.0 * n, end=3.0 * n + 3) for n, scene in enumerate(scenes)]
    found = {kind: [round(start / 3) for start, _ in matching_spans(shots, shots[0], kind)] for kind in SHOWN}
    assert found[MediaKind.TEXT] == [0] and found[MediaKind.IMAGE] == [0, 3]
    assert found[MediaKind.AUDIO] == [0, 2] and found[MediaKind.DEPTH] == [0, 2, 3]
    assert found[MediaKind.THERMAL] == [0, 2, 3] and found[MediaKind.IMU] == [0, 1, 2]
    for kind, attributes in SHOWN.items():  # a query has only attributes that its modality shows
        assert {*attributes} <= SHOWN_ATTRIBUTES.get(kind, {*attributes})
    assert text_of(SCENE) == "a red star spinning"


def test_the_chance_level_is_the_share_of_correct_windows():
    assert chance_of_window([(4, 6)], 10.0) == pytest.approx(3 / 17)  # windows from 3.5, 4 and 4.5 s
    assert chance_of_window([(0, 10)], 10.0) == 0  # 2 s of 10 s
    assert chance_of_window([(0, 4)], 6.0) == pytest.approx(5 / 9)


@pytest.mark.huge
def test_the_small_model_finds_moments_by_text_and_each_query_and_stream_set_has_a_figure(tmp_path):
    options = {"recordings": 1, "scenes": 8}
    embedder = Embedder(imagebind_tiny(pretrained=True))
    result = evaluate("toyworld-moments", embedder, options=options, cache=tmp_path)
    assert set(result.figures) == {f"{kind}_by_{name}" for kind in SHOWN for name in STREAM_SETS}
    assert result.samples == 8 and result.metric == "text_by_sum"
    assert result.figures["text_by_sum"].value >= 60 > result.figures["text_by_sum"].chance * 3
