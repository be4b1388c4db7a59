"""MSR-VTT: videos, their audio, and both, by their captions."""

from imagebind.datasets.layouts.msrvtt import AUDIO_WEIGHT, msrvtt_audio, msrvtt_audio_video, msrvtt_video
from imagebind.evaluation.benchmark import Benchmark, Task
from imagebind.evaluation.result import Choice
from imagebind.modality import MediaKind

NEEDS = "MSRVTT_JSFUSION_test.csv (split=full: MSRVTT_data.json), videos/<video_id>.mp4"
URL = "https://www.microsoft.com/en-us/research/publication/msr-vtt-a-large-video-description-dataset-for-bridging-video-and-language/"
LICENCE = "see the data set's page"
QUERIES = 1000
SPLIT = Choice(value="1k-A", reason="the paper; full: the data set's own test split, of 2,990 videos")
CAPTIONS = Choice(value=1, reason="the paper: the caption in the CSV; the JSON has 20 of each video")
VIDEO_CLIPS = Choice(value=5, reason="unpublished for 10 to 30 s; ours: as the released video loader")
CROPS = Choice(value=3, reason="the released loader: three crops of each clip")
AUDIO_CLIPS = Choice(value=5, reason="unpublished for 10 to 30 s; ours: as many as of the video")
BENCHMARKS = (
    Benchmark(
        name="msrvtt_video",
        title="MSR-VTT text to video",
        task=Task.RETRIEVAL,
        media=MediaKind.VIDEO,
        read=msrvtt_video,
        options={"split": SPLIT, "captions": CAPTIONS, "video_clips": VIDEO_CLIPS, "crops": CROPS},
        paper={"R@1": 36.1},
        paper_samples=QUERIES,
        needs=NEEDS,
        url=URL,
        licence=LICENCE,
        folder="MSRVTT",
    ),
    Benchmark(
        name="msrvtt_audio",
        title="MSR-VTT text to audio",
        task=Task.RETRIEVAL,
        media=MediaKind.AUDIO,
        read=msrvtt_audio,
        options={
            "split": SPLIT,
            "captions": CAPTIONS,
            "silent": Choice(
                value="leave_out",
                reason="unpublished; ours: videos without an audio track are left out, with their captions",
            ),
            "audio_clips": AUDIO_CLIPS,
        },
        paper={"R@1": 6.8, "R@5": 18.5, "R@10": 27.2},
        paper_samples=QUERIES,
        needs=NEEDS,
        url=URL,
        licence=LICENCE,
        folder="MSRVTT",
    ),
    Benchmark(
        name="msrvtt_audio_video",
        title="MSR-VTT text to audio and video",
        task=Task.RETRIEVAL,
        media=MediaKind.VIDEO,
        read=msrvtt_audio_video,
        options={
            "split": SPLIT,
            "captions": CAPTIONS,
            "audio_weight": Choice(
                value=AUDIO_WEIGHT,
                reason="the paper: 0.95 video + 0.05 audio; ours: silent videos are used alone",
            ),
            "video_clips": VIDEO_CLIPS,
            "crops": CROPS,
            "audio_clips": AUDIO_CLIPS,
        },
        paper={"R@1": 36.8, "R@5": 61.8, "R@10": 70.0},
        paper_samples=QUERIES,
        needs=NEEDS,
        url=URL,
        licence=LICENCE,
        folder="MSRVTT",
    ),
)
