"""The quick start: its scenes, its folder, and whether its results are correct."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.checkpoints import factory
from imagebind.checkpoints.factory import imagebind_tiny, save_model
from imagebind.errors import CheckpointError
from imagebind.quickstart import Search, Similarities, quickstart
from imagebind.quickstart.findings import KINDS, add, compare, retrieve, trained_together
from imagebind.quickstart.scenes import ABOUT_NAME, CLIP_FILES, HEATMAP_NAME, IMAGE_FILES, choose_scenes
from imagebind.toyworld import ATTRIBUTES, SHOWN_ATTRIBUTES, Motion, is_held_out

TRAINED = factory.TINY_FOLDER  # the fixture `untrained` replaces it
SCENES = 7
ALL_FILES = {ABOUT_NAME, HEATMAP_NAME} | {
    f"scene-{n + 1}/{file}" for n in range(SCENES) for file in IMAGE_FILES + CLIP_FILES
}


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Replace the trained weights by random ones."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    save_model(imagebind_tiny(), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "TINY_FOLDER", folder)
        yield folder


@pytest.fixture(scope="module")
def result(untrained, tmp_path_factory):
    return quickstart(tmp_path_factory.mktemp("quick") / "start")


def contents(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def perfect_vectors(scenes):
    """Return vectors of a perfect model: each encodes exactly the attributes that its modality shows."""
    vectors = {}
    for kind, media in KINDS.items():
        shown = SHOWN_ATTRIBUTES.get(media, SHOWN_ATTRIBUTES["video"])
        rows = [
            np.concatenate(
                [
                    [float(value == scene.attributes[name] and name in shown) for value in values]
                    for name, values in ATTRIBUTES.items()
                ]
            )
            for scene in scenes
        ]
        lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        vectors[kind] = np.array(rows) / lengths
    return vectors


@pytest.mark.parametrize("seed", range(6))
def test_the_scenes_differ_in_shape_and_have_every_motion(seed):
    scenes = choose_scenes(seed)
    assert len(scenes) == SCENES == len({scene.shape for scene in scenes})
    assert {scene.motion for scene in scenes} == set(Motion)
    assert all(is_held_out(scene.shape, scene.colour, scene.motion) for scene in scenes)
    assert choose_scenes(seed) == scenes


@pytest.mark.parametrize("seed", range(6))
def test_one_scene_is_correct_for_each_query_and_others_are_half_correct(seed):
    scenes = choose_scenes(seed)
    found = add(scenes, perfect_vectors(scenes))
    assert found.correct == (2,) and set(found.ranking) == set(range(2, SCENES))
    colour, motion = scenes[0].colour, scenes[1].motion
    assert [(scene.colour == colour, scene.motion == motion) for scene in scenes[2:]] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
        (False, False),
    ]
    assert retrieve(scenes, perfect_vectors(scenes)).correct == (SCENES - 1,)


def test_a_model_that_encodes_the_shown_attributes_gives_correct_results():
    scenes = choose_scenes(0)
    vectors = perfect_vectors(scenes)
    assert retrieve(scenes, vectors).is_correct and add(scenes, vectors).is_correct
    assert compare(vectors, "image_caption", "image").own_nearest == SCENES


def test_a_model_without_the_queried_attribute_gives_wrong_results():
    scenes = choose_scenes(0)
    vectors = perfect_vectors(scenes)
    vectors["audio"] = np.roll(vectors["audio"], 1, axis=0)
    found = retrieve(scenes, vectors)
    assert not found.is_correct and found.ranking[0] == 0 and found.rank > 1
    vectors = perfect_vectors(scenes)
    vectors["video"][[2, 5]] = vectors["video"][[5, 2]]
    found = add(scenes, vectors)
    assert not found.is_correct and found.ranking[0] == 5 and found.rank > 1


def test_a_search_is_correct_if_any_correct_result_is_first():
    def found(*correct):
        return Search(
            query=(("imu", 0),), among="audio", ranking=(2, 0, 1), cosines=(0.9, 0.5, 0.1), correct=correct
        )

    assert found(1, 2).is_correct and found(1, 2).rank == 1
    assert not found(0, 1).is_correct and found(0, 1).rank == 2


def test_a_sum_weights_both_queries_equally_and_leaves_out_their_own_scenes():
    scenes = choose_scenes(0)
    basis = np.eye(4)
    vectors = {
        "image": np.repeat(basis[:1], SCENES, axis=0),
        "audio": np.repeat(basis[1:2], SCENES, axis=0),
        "video": np.stack([basis[0], basis[1], basis[0] * 0.6 + basis[1] * 0.8, *basis[[0, 1, 2, 3]]]),
    }
    found = add(scenes, vectors)
    assert found.ranking == (2, 3, 4, 5, 6) and found.is_correct
    assert found.cosines == pytest.approx((1.4 / 2**0.5, 0.5**0.5, 0.5**0.5, 0, 0))


def test_rows_whose_nearest_is_their_own_scene_are_counted():
    cosines = np.array([[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [-0.5, -0.4, -0.3]])
    assert Similarities(rows="image_caption", columns="image", cosines=cosines).own_nearest == 2


def test_only_pairs_with_vision_were_trained_together():
    assert trained_together("image_caption", "image") and trained_together("audio", "video")
    assert not trained_together("video_caption", "audio") and not trained_together("imu", "audio")


def test_the_listed_files_exist_and_can_be_embedded(result):
    assert contents(result.folder) == ALL_FILES
    named = {path.relative_to(result.folder).as_posix() for scene in result.files for path in scene.values()}
    assert named == ALL_FILES - {ABOUT_NAME, HEATMAP_NAME}
    assert all(set(scene) == set(KINDS) for scene in result.files)
    assert [result.caption(number, "image_caption") for number in range(SCENES)] == [
        (result.folder / f"scene-{number + 1}" / "image.txt").read_text().strip() for number in range(SCENES)
    ]
    assert Image.open(result.heatmap).width > 800


def test_the_tables_have_a_row_and_a_column_per_scene(result):
    kinds = [(table.rows, table.columns, table.trained_together) for table in result.tables]
    assert kinds == [("image_caption", "image", True), ("video_caption", "audio", False)]
    for table in result.tables:
        assert table.cosines.shape == (SCENES, SCENES)
        assert np.isfinite(table.cosines).all() and np.abs(table.cosines).max() <= 1.0001
    assert len(result.retrieval.ranking) == SCENES and len(result.arithmetic.ranking) == SCENES - 2
    assert list(result.retrieval.cosines) == sorted(result.retrieval.cosines, reverse=True)


def test_a_row_and_a_column_belong_to_the_scene_of_their_number(result):
    from imagebind import Embedder
    from imagebind.toyworld import world_transforms

    embedder = Embedder(imagebind_tiny(pretrained=True), transforms=world_transforms())
    caption = embedder.encode(result.caption(4, "video_caption"))
    audio = embedder.encode(result.folder / "scene-3" / "audio.wav")
    assert result.tables[1].cosines[4, 2] == pytest.approx(float(caption @ audio), abs=1e-4)


def test_the_quickstart_runs_twice_in_one_folder_with_the_same_results(result):
    (result.folder / ".DS_Store").touch()
    again = quickstart(result.folder)
    (result.folder / ".DS_Store").unlink()
    assert contents(result.folder) == ALL_FILES
    assert again.scenes == result.scenes and again.retrieval.ranking == result.retrieval.ranking
    assert np.allclose(again.tables[0].cosines, result.tables[0].cosines, atol=1e-5)


@pytest.mark.parametrize("name", ["thesis.txt", "scene-1/image.png", ".git/config"])
def test_a_folder_with_other_files_is_refused_and_unchanged(untrained, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=name.split("/")[0]):
        quickstart(tmp_path)
    assert contents(tmp_path) == {name} and (tmp_path / name).read_text() == "mine"


def test_an_error_names_other_files_in_the_folder_of_an_earlier_run(untrained, tmp_path):
    (tmp_path / ABOUT_NAME).touch()
    (tmp_path / "scene-2").mkdir()
    (tmp_path / "scene-2" / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"'scene-2/notes\.txt'"):
        quickstart(tmp_path)


def test_a_file_instead_of_a_folder_is_refused(untrained, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="expected a new or empty folder, got a file"):
        quickstart(tmp_path / "file")


def test_without_the_small_weights_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(factory, "TINY_FOLDER", tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"none.config\.json"):
        quickstart(tmp_path / "quick")
    assert not (tmp_path / "quick").exists()


def test_the_trained_model_gives_correct_results(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "TINY_FOLDER", TRAINED)
        found = quickstart(tmp_path / "quick")
    assert found.retrieval.is_correct and found.arithmetic.is_correct
    for table in found.tables:
        assert table.own_nearest > SCENES / 2, (table.rows, table.columns)
