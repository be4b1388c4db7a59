"""Pairs of items of the same scene, as a retrieval: one item is the query, the other its candidate."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from imagebind.datasets.labelled import LabelledSet, NamedItem, RetrievalSet
from imagebind.datasets.layouts.ave import ave_list
from imagebind.datasets.layouts.clips import labelled_clips
from imagebind.datasets.layouts.found import Found, files_by_stem, folder_at
from imagebind.datasets.layouts.llvip import llvip
from imagebind.datasets.layouts.sound import has_audio
from imagebind.datasets.layouts.sun_rgbd import split_views, sun_rgbd
from imagebind.datasets.layouts.vggsound import vggsound_list
from imagebind.errors import MissingMediaError
from imagebind.modality import MediaKind

Folder = str | os.PathLike[str]

MAX_PAIRS = 1000  # of a retrieval, whose recall depends on their number
DRAW_SEED = 0


class NamedPair(NamedTuple):
    """Two items of the same scene, and their name."""

    query: Any
    candidate: Any
    name: str


def paired_folders(
    root: Folder, *, query: str = "depth", candidate: str = "audio", pairs: int = MAX_PAIRS
) -> RetrievalSet:
    """Return pairs of files with equal names in the folders <root>/<query>/ and <root>/<candidate>/.

    Args:
        query, candidate: media types, which are also the names of the folders.
        pairs: the largest number of pairs; of more, this many are drawn with a fixed seed.

    Raises:
        MediaError: a folder does not exist, or there are no pairs.
        ValueError: an unknown media type, the same one twice, or `pairs` is less than 1.
    """
    for option, media in (("query", query), ("candidate", candidate)):
        if media not in [*MediaKind]:
            raise ValueError(f"{option}: expected one of {', '.join(MediaKind)}, got {media!r}")
    if query == candidate:
        raise ValueError(f"candidate: expected another media type than that of query, got {candidate!r}")
    root = folder_at(root)
    queries, candidates = (
        files_by_stem(folder_at(root / media, f"files of {media}")) for media in (query, candidate)
    )
    named = [
        NamedPair({query: queries[name]}, {candidate: candidates[name]}, name)
        for name in sorted(queries.keys() & candidates.keys())
    ]
    unpaired = [str(root / candidate / f"{name}.*") for name in sorted(queries.keys() - candidates.keys())]
    unpaired += [str(root / query / f"{name}.*") for name in sorted(candidates.keys() - queries.keys())]
    if not named:
        raise MissingMediaError(
            str(root), got="no pair", expected=f"files of equal names in {query}/ and {candidate}/"
        )
    return _retrieval(_drawn(named, pairs), missing=unpaired)


def llvip_pairs(root: Folder, *, split: str = "test", pairs: int = MAX_PAIRS) -> RetrievalSet:
    """Return thermal images as queries, and the visible images taken with them."""
    return _of_training_pairs(llvip(root, split=split), pairs)


def sun_rgbd_pairs(root: Folder, *, split: str = "test", pairs: int = MAX_PAIRS) -> RetrievalSet:
    """Return depth as queries, and the images taken with it."""
    return _of_training_pairs(sun_rgbd(root, views=split_views(folder_at(root), split)), pairs)


def vggsound_pairs(root: Folder, *, split: str = "test", pairs: int = MAX_PAIRS) -> RetrievalSet:
    """Return the audio of clips as queries, and their videos; clips without an audio track are left out."""
    root = folder_at(root)
    return _of_videos(labelled_clips(root, *vggsound_list(root, split), MediaKind.VIDEO), pairs)


def ave_pairs(root: Folder, *, split: str = "test", pairs: int = MAX_PAIRS) -> RetrievalSet:
    """Return the audio of videos as queries, and the videos; those without an audio track are left out."""
    root = folder_at(root)
    return _of_videos(labelled_clips(root, *ave_list(root, split), MediaKind.VIDEO), pairs)


def _of_training_pairs(found: Found, count: int) -> RetrievalSet:
    named = [NamedPair(pair.other, pair.vision, pair.name) for pair in found.pairs]
    return _retrieval(_drawn(named, count), missing=found.missing)


def _of_videos(found: LabelledSet, count: int) -> RetrievalSet:
    named = [NamedPair({"audio": each.item["video"]}, each.item, each.name) for each in found.items]
    drawn = _drawn(named, count)
    pairs = [pair for pair in drawn if has_audio(pair.query["audio"])]
    silent = len(drawn) - len(pairs)
    notes = [f"{silent:,} of {len(drawn):,} videos have no audio track: they are left out"] if silent else []
    return _retrieval(pairs, missing=found.missing, damaged=found.damaged, notes=notes)


def _drawn(pairs: Sequence[NamedPair], count: int) -> list[NamedPair]:
    """Return at most `count` pairs in their order, chosen with a fixed seed."""
    if count < 1:
        raise ValueError(f"pairs: expected at least 1, got {count}")
    chosen = np.random.default_rng(DRAW_SEED).permutation(len(pairs))[:count]
    return [pairs[number] for number in sorted(chosen.tolist())]


def _retrieval(
    pairs: Sequence[NamedPair],
    *,
    missing: Sequence[str],
    damaged: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> RetrievalSet:
    return RetrievalSet(
        queries=[NamedItem(item=pair.query, name=pair.name) for pair in pairs],
        candidates=[NamedItem(item=pair.candidate, name=pair.name) for pair in pairs],
        relevant=[(number,) for number in range(len(pairs))],
        missing=missing,
        damaged=damaged,
        notes=notes,
    )
