"""Sound: partials where the shape has them, blows when the motion strikes, ringing as the material does."""

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


def loudness(sound: np.ndarray, parts: int) -> np.ndarray:
    """Root mean square over equal parts of the clip: (parts,)."""
    return np.sqrt((sound.reshape(parts, -1) ** 2).mean(axis=1))


def test_two_seconds_at_16_kilohertz_within_full_scale():
    for number in range(20):
        sound, rate = render_audio(World(seed=0).scene(number))
        assert rate == 16_000 and sound.shape == (32_000,) and sound.dtype == np.float32
        assert 0.05 < np.abs(sound).max() <= 1


@pytest.mark.parametrize("motion", Motion)
@pytest.mark.parametrize("shape", Shape)
def test_the_audio_transform_takes_every_sound(shape, motion):
    mel = MEL(render_audio(replace(SCENE, shape=shape, motion=motion)))
    assert mel.shape == (1, 1, 128, 204) and mel.isfinite().all()
    assert mel.std() > 0.1


@pytest.mark.parametrize("shape", Shape)
def test_a_struck_thing_rings_at_its_shape_s_partials_and_at_no_other_s(shape):
    sound, _ = render_audio(replace(STRUCK, shape=shape))
    spectrum = np.abs(np.fft.rfft(sound))  # bins of half a hertz

    def standing_out(lowest: float, ratios: tuple[float, ...]) -> float:
        """The least that any partial of a series stands above what is around it."""
        places = [round(2 * lowest * ratio) for ratio in ratios if lowest * ratio < MAX_PARTIAL_HERTZ]
        return min(spectrum[at - 3 : at + 4].max() / np.median(spectrum[at - 60 : at + 61]) for at in places)

    pitches = LOWEST_HERTZ[shape] * np.linspace(1 - DETUNING, 1 + DETUNING, 200)
    best = {
        other: max(standing_out(pitch, ratios) for pitch in pitches) for other, ratios in PARTIALS.items()
    }
    assert best.pop(shape) > 8 > max(best.values())


def test_no_two_shapes_have_their_partials_in_the_same_proportions():
    for first, second in combinations(PARTIALS.values(), 2):
        apart = [min(abs(np.log(ratio / other)) for other in second) for ratio in first]
        assert max(apart) > 0.1  # more than a tone and a half


def test_a_larger_thing_sounds_lower():
    def peak(size: float) -> float:
        sound, _ = render_audio(replace(STRUCK, shape=Shape.TRIANGLE, size=size))
        spectrum = np.abs(np.fft.rfft(sound))[: 2 * 400]  # the lowest partial lies below 400 Hz
        return spectrum.argmax() / 2

    assert peak(0.22) / peak(0.30) == pytest.approx(0.30 / 0.22, rel=0.03)


def test_metal_rings_longest_and_rubber_shortest():
    ringing = []
    for material in (Material.METAL, Material.GLASS, Material.WOOD, Material.RUBBER):
        sound, _ = render_audio(replace(STRUCK, material=material))
        power = np.sort(loudness(sound, 200))[::-1] ** 2
        ringing.append(power.sum() / power[0])  # about how many hundredths of a second
    assert ringing == sorted(ringing, reverse=True)


def test_a_resting_thing_is_silent_until_it_is_struck():
    sound, _ = render_audio(STRUCK)
    onset = np.abs(sound).argmax() / 16_000
    assert 0.1 <= onset <= 0.7
    before = sound[: int((onset - 0.05) * 16_000)]
    assert np.abs(before).max() < 0.2 * np.abs(sound).max()


def test_a_bouncing_thing_is_heard_when_it_is_seen_to_strike():
    scene = replace(SCENE, motion=Motion.BOUNCE, material=Material.RUBBER)
    power = loudness(render_audio(scene)[0], 200)  # of a hundredth of a second each
    times, _ = impacts_of(drop_height(scene))
    for blow in times[:4]:
        at = int(blow * 100)
        assert power[at : at + 3].max() > 3 * power[at - 4 : at - 1].max()


def test_an_approaching_thing_grows_louder():
    quarters = loudness(render_audio(replace(SCENE, motion=Motion.APPROACH))[0], 4)
    assert (np.diff(quarters) > 0).all() and quarters[-1] > 2 * quarters[0]


def test_sliding_goes_on_and_spinning_comes_and_goes():
    def unevenness(motion: Motion) -> float:
        power = loudness(render_audio(replace(SCENE, motion=motion, material=Material.RUBBER))[0], 40)
        return power.std() / power.mean()

    assert unevenness(Motion.SPIN) > 2 * unevenness(Motion.SLIDE)
