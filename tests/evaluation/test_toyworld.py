"""Evaluation on the toy world: names of the metrics, chance levels, and the values of a correct model."""

import pytest
import torch

from imagebind.config import tiny_config
from imagebind.evaluation import toyworld as figures
from imagebind.evaluation.toyworld import (
    CLASSIFIED_ATTRIBUTES,
    WorldFigures,
    chance_of,
    embed_scenes,
    embed_texts,
    is_shown_by,
)
from imagebind.modality import MediaKind
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.toyworld.captions import class_prompts
from imagebind.toyworld.nearest import nearest_neighbours, raw_accuracy
from imagebind.toyworld.rendered import render_world


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return render_world(tmp_path_factory.mktemp("world"), 12, seed=0, held_out=True)


@pytest.fixture(scope="module")
def new_model():
    torch.manual_seed(0)
    return ImageBindModel(tiny_config()).eval()


def test_every_figure_is_a_share_and_has_a_chance_level(rendered, new_model):
    shares = WorldFigures(rendered)(new_model)
    assert {"image_shape", "audio_motion", "imu_motion", "depth_to_audio_r1"} <= set(shares)
    assert all(0 <= share <= 1 and 0 < chance_of(name, 1024) <= 0.5 for name, share in shares.items())
    assert chance_of("audio_shape", 1024) == 1 / 8
    assert [chance_of("depth_to_audio_r10", scenes) for scenes in (1024, 100, 5)] == [10 / 256, 0.1, 1]


def test_a_model_with_two_towers_has_only_their_figures(rendered):
    two_towers = ImageBindModel(tiny_config(), modalities=["vision", "text"]).eval()
    measured = WorldFigures(rendered)(two_towers)
    assert "image_shape" in measured and not any("audio" in name or "imu" in name for name in measured)


def test_a_model_without_text_has_only_figures_without_text(rendered):
    without_text = ImageBindModel(tiny_config(), modalities=["vision", "depth"]).eval()
    assert set(WorldFigures(rendered)(without_text)) == {"depth_to_image_r1", "depth_to_image_r10"}


def test_figures_are_compared_in_float32_for_any_model_precision(rendered, new_model, monkeypatch):
    dtypes = []

    def recalls(similarity: torch.Tensor, *, ks: tuple[int, ...]) -> dict[int, float]:
        dtypes.append(similarity.dtype)
        return dict.fromkeys(ks, 0.0)

    monkeypatch.setattr(figures, "retrieval_recalls", recalls)
    with torch.autocast("cpu", torch.bfloat16):
        WorldFigures(rendered)(new_model)
    assert set(dtypes) == {torch.float32}


def test_a_model_that_classifies_correctly_scores_1(rendered):
    class ShapeModel(ImageBindModel):
        """Embeds an image as the prompts of its scene's shape."""

        def embed(self, modality, inputs):
            if modality == "text":
                return super().embed(modality, inputs)
            names = [scene.attributes["shape"] for scene in map(rendered.scene, range(len(inputs)))]
            return torch.stack(
                [embed_texts(self, class_prompts("shape")[each]).mean(dim=0) for each in names]
            )

    torch.manual_seed(0)
    model = ShapeModel(tiny_config(), modalities=["vision", "text"]).eval()
    assert WorldFigures(rendered)(model)["image_shape"] == 1.0


def test_embeddings_are_of_unit_length_in_the_order_of_the_scenes(rendered, new_model):
    embedded = embed_scenes(new_model, rendered, MediaKind.AUDIO)
    alone = new_model.embed("audio", rendered.tensor(MediaKind.AUDIO, 7)[None])
    assert embedded.shape == (12, 128) and torch.allclose(embedded.norm(dim=1), torch.ones(12))
    assert torch.allclose(torch.nn.functional.normalize(alone, dim=-1)[0], embedded[7], atol=1e-5)


def test_every_media_type_but_video_is_classified_by_an_attribute_that_it_does_not_show():
    for kind, attributes in CLASSIFIED_ATTRIBUTES.items():
        if kind is not MediaKind.VIDEO:
            assert not all(is_shown_by(kind, attribute) for attribute in attributes)


@pytest.mark.parametrize("kind", [MediaKind.THERMAL, MediaKind.IMU])
def test_the_nearest_of_the_same_scenes_is_each_scene_itself(rendered, kind):
    assert nearest_neighbours(rendered, rendered, kind).tolist() == list(range(12))
    assert raw_accuracy(rendered, rendered, kind, ("shape", "motion")) == {"shape": 1.0, "motion": 1.0}
