"""Wave initialisation: filters, position embeddings, and parameters that stay unchanged."""

import pytest
import torch

from imagebind.config import tiny_config
from imagebind.models.imagebind_model import ImageBindModel
from imagebind.training.tiny.waves import grid_positions, initialise_as_waves, line_positions, waves


def test_the_first_filter_is_the_mean_of_a_patch():
    first = waves((8, 1, 6, 6))[0]
    assert torch.allclose(first, first[0, 0, 0].expand_as(first)) and first[0, 0, 0] > 0


def test_filters_are_orthogonal_and_their_amplitude_grows_with_frequency():
    filters = waves((30, 3, 2, 8, 8)).flatten(1)
    lengths = filters.norm(dim=1)
    unit = filters / lengths[:, None]
    assert torch.allclose(unit @ unit.T, torch.eye(30), atol=1e-5)
    assert lengths[0] == lengths.min() and lengths[-1] > 3 * lengths[0]


def test_filters_of_two_frames_include_their_mean_and_their_difference():
    filters = waves((60, 3, 2, 8, 8))
    still = torch.randn(3, 1, 8, 8).expand(3, 2, 8, 8)
    responses = (filters * still).flatten(1).sum(dim=1).abs()
    is_zero = responses < 1e-4
    assert 5 < is_zero.sum() < 55  # filters of the difference return 0 for a still


def test_more_filters_than_waves_repeat_the_waves():
    filters = waves((10, 1, 2, 2))
    assert torch.equal(filters[0], filters[4]) and torch.isfinite(filters).all()


def test_all_position_embeddings_differ():
    for positions in (line_positions(100, 64), grid_positions((8, 12), 128)):
        distance = torch.cdist(positions, positions) + torch.eye(len(positions))
        assert distance.min() > 0.05


def test_grid_positions_encode_rows_and_columns_separately():
    positions = grid_positions((3, 5), 16).unflatten(0, (3, 5))
    assert torch.equal(positions[0, 0, :8], positions[0, 4, :8]) and torch.equal(
        positions[0, 1, 8:], positions[2, 1, 8:]
    )


def test_all_stems_are_set_to_waves_and_nothing_else_changes():
    torch.manual_seed(0)
    model = ImageBindModel(tiny_config())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    after = initialise_as_waves(model).state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[1] for name in changed} == {"vision", "audio", "depth", "thermal", "imu"}
    assert all("stem" in name or "pos_embed" in name for name in changed) and len(changed) == 10


@pytest.mark.parametrize("modality", ["vision", "imu"])
def test_a_model_with_some_trunks_can_start_as_waves(modality):
    model = initialise_as_waves(ImageBindModel(tiny_config(), modalities=[modality]))
    assert model.modalities == (modality,)
