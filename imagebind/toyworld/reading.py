"""The library's transforms with the settings of the toy world's sensors."""

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
    """Return a transform for each media type but text, for files of `write_scene` or arrays of `render_...`.

    Recordings last one clip and frames are square, so there is one clip and one crop. Pass rendered IMU as
    {"imu": samples, "timestamps": seconds}. Its units are set here, because they cannot be inferred from the
    small accelerations of an object in free fall.
    """
    return {
        MediaKind.IMAGE: ImageTransform(),
        MediaKind.VIDEO: VideoTransform(clips=1, crops=1, clip_seconds=CLIP_SECONDS),
        MediaKind.AUDIO: AudioTransform(clips=1, clip_seconds=CLIP_SECONDS),
        MediaKind.DEPTH: DepthTransform(focal=FOCAL, baseline=BASELINE),
        MediaKind.THERMAL: ThermalTransform(low=THERMAL_LOW, high=THERMAL_HIGH),
        MediaKind.IMU: ImuTransform(window_seconds=CLIP_SECONDS, accel_unit="m/s2"),
    }
