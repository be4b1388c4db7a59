"""Reading: the library's own transforms, with what they must be told about this world's sensors."""

from imagebind.modality import MediaKind
from imagebind.toyworld.scene import CLIP_SECONDS
from imagebind.toyworld.sensors import BASELINE, THERMAL_HIGH, THERMAL_LOW
from imagebind.toyworld.view import FOCAL
from imagebind.transforms.audio import AudioTransform
from imagebind.transforms.depth import DepthTransform
from imagebind.transforms.image import ImageTransform
from imagebind.transforms.imu import ImuTransform
from imagebind.transforms.thermal import ThermalTransform
from imagebind.transforms.video import VideoTransform

Transform = (
    ImageTransform | VideoTransform | AudioTransform | DepthTransform | ThermalTransform | ImuTransform
)


def world_transforms() -> dict[MediaKind, Transform]:
    """A transform for each sense but text: files as `write_scene` writes them, or what `render_...` returns.

    Everything lasts one clip, so audio and video are cut into one, and pictures are square: one crop.
    Rendered motion goes in as {"imu": samples, "timestamps": seconds}, its units said here, since a thing in
    free fall feels so little that they could not be told from it.
    """
    return {
        MediaKind.IMAGE: ImageTransform(),
        MediaKind.VIDEO: VideoTransform(clips=1, crops=1, clip_seconds=CLIP_SECONDS),
        MediaKind.AUDIO: AudioTransform(clips=1, clip_seconds=CLIP_SECONDS),
        MediaKind.DEPTH: DepthTransform(focal=FOCAL, baseline=BASELINE),
        MediaKind.THERMAL: ThermalTransform(low=THERMAL_LOW, high=THERMAL_HIGH),
        MediaKind.IMU: ImuTransform(window_seconds=CLIP_SECONDS, accel_unit="m/s2"),
    }
