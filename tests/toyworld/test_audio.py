"""Audio: the shape sets the partials, the motion the times of impacts, the material how long it rings."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from imagebind.toyworld import Material, Motion, Shape, World, render_audio
from imagebind.toyworld.audio import DETUNING, LOWEST_HERTZ, MAX_PARTIAL_HERTZ, MEAN_SIZE, PARTIALS
from imagebind.toyworld.motion import drop_height, impacts_of
from imagebind.transforms.audio import AudioTransform
from tests.toyworld.scenes import SCENE

MEL = AudioTransform(clips=1)
STRUCK = replace(SCENE, motion=Motion.REST, size=MEAN_SIZE)


def loudness(waveform: np.ndarray, parts: int) -> np.ndarray:
    """Return the root mean square of each of `parts` equal parts of the clip: (parts,)."""
    return np.sqrt((waveform.reshape(parts, -1) ** 2).mean(axis=1))


def test_audio_has_two_seconds_at_16_khz_within_full_scale():
    for number in range(20):
        waveform, rate = render_audio(World(seed=0).scene(number))
        assert rate == 16_000 and waveform.shape == (32_000,) and waveform.dtype == np.float32
        assert 0.05 < np.abs(waveform).max() <= 1


@pytest.mark.parametrize("motion", Motion)
@pytest.mark.parametrize("shape", Shape)
def test_the_audio_transform_accepts_the_audio_of_every_shape_and_motion(shape, motion):
    mel = MEL(render_audio(replace(SCENE, shape=shape, motion=motion)))
    assert mel.shape == (1, 1, 128, 204) and mel.isfinite().all()
    assert mel.std() > 0.1


@pytest.mark.parametrize("shape", Shape)
def test_a_struck_object_has_the_partials_of_its_shape_and_of_no_other(shape):
    waveform, _ = render_audio(replace(STRUCK, shape=shape))
    spectrum = np.abs(np.fft.rfft(waveform))  # bins of half a hertz

    def prominence(lowest: float, ratios: tuple[float, ...]) -> float:
        """Return the lowest ratio of a partial's peak to the median of the spectrum around it."""
        bins = [round(2 * lowest * ratio) for ratio in ratios if lowest * ratio < MAX_PARTIAL_HERTZ]
        return min(spectrum[at - 3 : at + 4].max() / np.median(spectrum[at - 60 : at + 61]) for at in bins)

    pitches = LOWEST_HERTZ[shape] * np.linspace(1 - DETUNING, 1 + DETUNING, 200)
    best = {other: max(prominence(pitch, ratios) for pitch in pitches) for other, ratios in PARTIALS.items()}
    assert best.pop(shape) > 8 > max(best.values())


def test_no_two_shapes_have_the_same_ratios_of_partials():
    for first, second in combinations(PARTIALS.values(), 2):
        apart = [min(abs(np.log(ratio / other)) for other in second) for ratio in first]
        assert max(apart) > 0.1  # more than a semitone and a half


def test_a_larger_object_has_a_lower_pitch():
    def peak(size: float) -> float:
        waveform, _ = render_audio(replace(STRUCK, shape=Shape.TRIANGLE, size=size))
        spectrum = np.abs(np.fft.rfft(waveform))[: 2 * 400]  # the lowest partial lies below 400 Hz
        return spectrum.argmax() / 2

    assert peak(0.22) / peak(0.30) == pytest.approx(0.30 / 0.22, rel=0.03)


def test_metal_rings_longest_and_rubber_shortest():
    ringing = []
    for material in (Material.METAL, Material.GLASS, Material.WOOD, Material.RUBBER):
        waveform, _ = render_audio(replace(STRUCK, material=material))
        power = np.sort(loudness(waveform, 200))[::-1] ** 2
        ringing.append(power.sum() / power[0])  # approximately, in hundredths of a second
    assert ringing == sorted(ringing, reverse=True)


def test_a_resting_object_is_silent_until_it_is_struck():
    waveform, _ = render_audio(STRUCK)
    onset = np.abs(waveform).argmax() / 16_000
    assert 0.1 <= onset <= 0.7
    before = waveform[: int((onset - 0.05) * 16_000)]
    assert np.abs(before).max() < 0.2 * np.abs(waveform).max()


def test_the_audio_of_a_bouncing_object_has_its_impacts_at_the_times_of_the_video():
    scene = replace(SCENE, motion=Motion.BOUNCE, material=Material.RUBBER)
    power = loudness(render_audio(scene)[0], 200)  # per hundredth of a second
    times, _ = impacts_of(drop_height(scene))
    for impact in times[:4]:
        at = int(impact * 100)
        assert power[at : at + 3].max() > 3 * power[at - 4 : at - 1].max()


def test_an_approaching_object_becomes_louder():
    quarters = loudness(render_audio(replace(SCENE, motion=Motion.APPROACH))[0], 4)
    assert (np.diff(quarters) > 0).all() and quarters[-1] > 2 * quarters[0]


def test_sliding_has_constant_loudness_and_spinning_a_varying_one():
    def relative_variation(motion: Motion) -> float:
        power = loudness(render_audio(replace(SCENE, motion=motion, material=Material.RUBBER))[0], 40)
        return power.std() / power.mean()

    assert relative_variation(Motion.SPIN) > 2 * relative_variation(Motion.SLIDE)
