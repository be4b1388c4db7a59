"""Find the moments of a recording that fit a text, and audio if given, and cut them out.

    python examples/moments.py --out moments

Without `--recording` it writes and searches a recording of the toy world: 36 s of video with audio, and an
IMU file; the text then describes one of its shots. To search your own, pass
`--recording video.mp4 --model imagebind_huge --text "a dog barks"`.
"""

import argparse
from pathlib import Path

import numpy as np

from imagebind import Embedder
from imagebind.applications.cut import cut_moments
from imagebind.applications.moments import Moment, find_moments
from imagebind.applications.streams import embed_recording
from imagebind.query import to_query
from imagebind.toyworld.recordings import sample_shots, write_recording

SHOT_COUNT, SEED = 8, 0


def main(arguments: list[str] | None = None) -> list[Moment]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recording", type=Path)
    parser.add_argument("--imu", type=Path, help="an IMU file that starts at the same time as the recording")
    parser.add_argument("--text", default="a dog barks")
    parser.add_argument("--audio", type=Path, help="an audio file that is added to the text")
    parser.add_argument("--model", default="imagebind_tiny")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    recording, imu, text = given.recording, given.imu, given.text
    if recording is None:
        shots = sample_shots(np.random.default_rng(SEED), SHOT_COUNT)
        written = write_recording(given.out, shots)
        recording, imu = written.video, written.imu
        middle = shots[SHOT_COUNT // 2]
        attributes = middle.scene.attributes
        text = f"a {attributes['colour']} {attributes['shape']} {attributes['motion']}"
        print(f"{text}: from {middle.start:.1f} to {middle.end:.1f} s")

    embedder = Embedder(given.model)
    items = [(text, 1.0)] + ([] if given.audio is None else [({"audio": given.audio}, 1.0)])
    query = to_query(items, embedder, embed_dim=embedder.embed_dim)
    vectors = embed_recording(embedder, recording, imu=imu)  # once for any number of queries
    moments = find_moments(vectors, query.vector, top=3)
    for moment, clip in zip(moments, cut_moments(recording, moments, given.out / "clips"), strict=True):
        print(f"{moment.start:6.1f} to {moment.end:5.1f} s, score {moment.score:5.2f}, {clip.path}")
    return moments


if __name__ == "__main__":
    main()
