"""Renders audio: the object's motion excites it (impacts, rubbing, rattling), and its body rings.

The shape sets the ratios of the partials, the size their pitch, the material their decay and brightness, and
the motion the excitation. Excitation and response are multiplied in the frequency domain.
"""

from functools import lru_cache
from types import MappingProxyType

import numpy as np

from imagebind.toyworld.motion import approach_at, drop_height, impacts_of
from imagebind.toyworld.scene import CLIP_SECONDS, Material, Motion, Scene, Shape
from imagebind.toyworld.view import AUDIO_STREAM

AUDIO_RATE = 16_000  # Hz, the sample rate of the audio trunk
SAMPLES = int(CLIP_SECONDS * AUDIO_RATE)
FFT_SIZE = 49_152  # 3 · 2^14: a second more than the clip, before ringing wraps around
MAX_PARTIAL_HERTZ = 7_200.0  # higher partials are left out, since they would be inaudible

# Frequencies of the partials relative to the lowest one; those of real bodies if known.
PARTIALS = MappingProxyType(
    {
        Shape.DISC: (1.0, 1.594, 2.136, 2.653, 3.156, 3.652),  # a round membrane
        Shape.RING: (1.0, 2.83, 5.42, 8.77, 12.8),  # bending of a hoop
        Shape.TRIANGLE: (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),  # a full harmonic series
        Shape.SQUARE: (1.0, 2.5, 4.0, 5.0, 6.5, 8.5),  # a square plate: m² + n² over 2
        Shape.STAR: (1.0, 1.12, 3.4, 3.8, 7.6, 8.5),  # pairs that beat
        Shape.CROSS: (1.0, 3.0, 5.0, 7.0, 9.0, 11.0),  # odd harmonics only, as of a stopped pipe
        Shape.CRESCENT: (1.0, 1.5, 2.25, 3.375, 5.06, 7.59),  # a series of fifths
        Shape.BAR: (1.0, 2.0, 6.3, 8.2, 12.4),  # two low ones, then a gap
    }
)
# At `MEAN_SIZE`. Neighbours are 8% to 19% apart, so that a change of size can bridge the difference.
LOWEST_HERTZ = MappingProxyType(
    {
        Shape.DISC: 310.0,
        Shape.RING: 420.0,
        Shape.TRIANGLE: 260.0,
        Shape.SQUARE: 360.0,
        Shape.STAR: 500.0,
        Shape.CROSS: 230.0,
        Shape.CRESCENT: 280.0,
        Shape.BAR: 390.0,
    }
)
MEAN_SIZE = 0.24  # radius in metres
DETUNING = 0.15  # maximum relative change of pitch, random per scene

RINGING = MappingProxyType(  # seconds until the lowest partial is at 1/e
    {Material.METAL: 0.7, Material.GLASS: 0.28, Material.WOOD: 0.1, Material.RUBBER: 0.04}
)
PARTIAL_FALL_OFF = MappingProxyType(  # amplitude falls with this power of a partial's ratio
    {Material.METAL: 0.3, Material.GLASS: 0.15, Material.WOOD: 0.7, Material.RUBBER: 1.0}
)
DAMPING = 0.35  # higher partials decay faster, by this power of their ratio

STRIKE_TIME = (0.1, 0.6)  # seconds: a resting object is struck once
RATTLE_RATE = (22.0, 30.0)  # impacts per second of an approaching object
WHIRR_RATE = (4.5, 7.0)  # bursts per second of a spinning object
OVERSAMPLING = 3  # to interpolate between samples without aliasing
DOPPLER = 0.09  # relative change of pitch at each end of an approach; stronger than in nature
REFERENCE_DISTANCE = 1.2  # metres from the camera at which the loudness is unchanged
LOUDNESS = (0.04, 0.5)  # peak amplitude, full scale is 1
BACKGROUND_DB = (-44.0, -22.0)  # relative to the peak amplitude
CALLS = (3, 7)  # number of unrelated tones, such as bird calls
CALL_SECONDS = (0.06, 0.3)
CALL_HERTZ = (300.0, 6000.0)
CALL_BEND = 0.25  # maximum relative change of pitch
CALL_LEVEL = (0.04, 0.25)  # relative to the peak amplitude
BACKGROUND_SLOPE = (0.0, 1.2)  # power of frequency by which the background falls


def render_audio(scene: Scene) -> tuple[np.ndarray, int]:
    """Render two seconds of audio: (32000,) float32 in [-1, 1], and the sample rate."""
    rng = scene.rng(AUDIO_STREAM)
    loudness = rng.uniform(*LOUDNESS)
    background = _background(rng) + _calls(rng)
    spectrum = np.fft.rfft(_excitation(scene, rng), FFT_SIZE) * _response(scene, rng)
    if scene.motion is Motion.APPROACH:
        waveform = _approached(np.fft.irfft(spectrum, OVERSAMPLING * FFT_SIZE), scene.distance)
    else:
        waveform = np.fft.irfft(spectrum)[:SAMPLES]
    nearness = min(REFERENCE_DISTANCE / scene.distance, 1.5)
    waveform = nearness * waveform / np.abs(waveform).max() + background
    return (loudness * waveform).clip(-1, 1).astype(np.float32), AUDIO_RATE


def _excitation(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the excitation by impacts or rubbing: (32000,)."""
    impacts = np.zeros(SAMPLES)
    seconds = np.arange(SAMPLES) / AUDIO_RATE
    if scene.motion is Motion.SLIDE:
        rubbing = rng.standard_normal(SAMPLES)
        unevenness = np.interp(seconds, np.linspace(0, CLIP_SECONDS, 9), rng.uniform(0.8, 1, 9))
        return rubbing * unevenness
    if scene.motion is Motion.SPIN:
        rate = WHIRR_RATE[0] + (WHIRR_RATE[1] - WHIRR_RATE[0]) * scene.vigour
        modulation = np.cos(2 * np.pi * (rate * seconds + rng.uniform()))
        return rng.standard_normal(SAMPLES) * modulation.clip(0, 1) ** 4
    if scene.motion is Motion.REST:
        impacts[int(rng.uniform(*STRIKE_TIME) * AUDIO_RATE)] = 1
    elif scene.motion is Motion.BOUNCE:
        times, speeds = impacts_of(drop_height(scene))
        in_clip = times < CLIP_SECONDS
        impacts[(times[in_clip] * AUDIO_RATE).astype(int)] = speeds[in_clip]
    else:
        steps = rng.uniform(0.7, 1.3, int(CLIP_SECONDS * RATTLE_RATE[1])) / rng.uniform(*RATTLE_RATE)
        times = np.cumsum(steps)
        times = times[times < CLIP_SECONDS]
        impacts[(times * AUDIO_RATE).astype(int)] = rng.uniform(0.6, 1, len(times))
    return impacts


def _response(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the frequency response of the body to one impact: (24577,) complex.

    A partial exp(-t/τ) sin(ωt) has the transform ω / ((1/τ + is)² + ω²).
    """
    ratios = np.array(PARTIALS[scene.shape])
    pitch = LOWEST_HERTZ[scene.shape] * MEAN_SIZE / scene.size * rng.uniform(1 - DETUNING, 1 + DETUNING)
    strengths = ratios ** -PARTIAL_FALL_OFF[scene.material] * rng.uniform(0.6, 1, 6)[: len(ratios)]
    audible = ratios * pitch < MAX_PARTIAL_HERTZ
    ringing = RINGING[scene.material] * ratios**-DAMPING
    spectrum = np.zeros(FFT_SIZE // 2 + 1, dtype=complex)
    for ratio, strength, decay in zip(ratios[audible], strengths[audible], ringing[audible], strict=True):
        omega = 2 * np.pi * ratio * pitch
        spectrum += strength * omega / ((1 / decay + _frequencies()) ** 2 + omega**2)
    return spectrum


@lru_cache(maxsize=1)
def _frequencies() -> np.ndarray:
    """Return i·2πf of each bin."""
    return 2j * np.pi * np.fft.rfftfreq(FFT_SIZE, 1 / AUDIO_RATE)


def _approached(waveform: np.ndarray, distance: float) -> np.ndarray:
    """Raise pitch and loudness over time, as of an approaching object; the input is oversampled."""
    seconds = np.arange(SAMPLES) / AUDIO_RATE
    share = seconds / CLIP_SECONDS
    pace = seconds + DOPPLER * (share**2 - share) * CLIP_SECONDS  # its slope is 1 - DOPPLER ... 1 + DOPPLER
    warped = np.interp(pace * AUDIO_RATE * OVERSAMPLING, np.arange(len(waveform)), waveform)
    return warped / (distance + approach_at(seconds)) ** 2


def _background(rng: np.random.Generator) -> np.ndarray:
    """Return background noise for a peak amplitude of 1: (32000,)."""
    level = 10 ** (rng.uniform(*BACKGROUND_DB) / 20)
    white = np.fft.rfft(rng.standard_normal(SAMPLES))
    noise = np.fft.irfft(
        white * (1 + np.arange(len(white)) / 200) ** -rng.uniform(*BACKGROUND_SLOPE), SAMPLES
    )
    return level * noise / noise.std()


def _calls(rng: np.random.Generator) -> np.ndarray:
    """Return short tones with changing pitch at random times: (32000,)."""
    waveform = np.zeros(SAMPLES)
    for _ in range(rng.integers(*CALLS, endpoint=True)):
        length = int(rng.uniform(*CALL_SECONDS) * AUDIO_RATE)
        start = rng.integers(SAMPLES - length)
        share = np.arange(length) / length
        pitch = np.exp(rng.uniform(*np.log(CALL_HERTZ))) * (1 + rng.uniform(-CALL_BEND, CALL_BEND) * share)
        tone = np.sin(2 * np.pi * np.cumsum(pitch) / AUDIO_RATE) * np.sin(np.pi * share)
        waveform[start : start + length] += rng.uniform(*CALL_LEVEL) * tone
    return waveform
