"""Text: strings to the 77 token ids the text trunk takes, by CLIP's byte-pair vocabulary.

A text is cleaned, cut into words, and each word's bytes are merged pair by pair, the earliest learnt pair
first. Whether text needs cleaning is told by its characters; words are remembered.
"""

import gzip
import heapq
import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

import ftfy
import numpy as np
import regex
import torch
from torch import Tensor

from imagebind.errors import MediaError
from imagebind.modality import ModalityType

# Released: CLIP's vocabulary, and the context of the text trunk.
CONTEXT_LENGTH = 77
VOCABULARY_SIZE = 49_408
# Less each byte, inside and at the end of a word, and the two marks of a text.
MERGES = VOCABULARY_SIZE - 2 * 256 - 2  # 48,894
START_OF_TEXT = "<|startoftext|>"
END_OF_TEXT = "<|endoftext|>"
START_ID = VOCABULARY_SIZE - 2
END_ID = VOCABULARY_SIZE - 1
WORD_END = "</w>"
VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"

WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)

# A printable character for each byte, in the vocabulary's order, so that merges can be written as text.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [octet for octet in range(256) if octet not in _PRINTABLE]
ALPHABET = {octet: chr(octet) for octet in _PRINTABLE} | {
    octet: chr(256 + place) for place, octet in enumerate(_OTHERS)
}
BYTES = {character: octet for octet, character in ALPHABET.items()} | {" ": 0x20}  # a space ends a word

# Ours: what is remembered, and how much of a hostile text is looked at for the few ids that are kept.
REMEMBERED_WORDS = 2**16
REMEMBERED_LENGTH = 64  # characters; nothing longer comes back often
CHARACTERS_PER_ID = 256  # of text as given, so with room for white space and HTML entities


class Vocabulary(NamedTuple):
    """The merge table."""

    pieces: list[str]  # id -> what it stands for, in the vocabulary's alphabet for bytes
    ids: dict[str, int]
    ranks: dict[tuple[str, str], int]  # a pair that may be merged -> how early it was learnt


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Strings to (b, 77) int64: start of text, ids, end of text, zeros. Source: released.

    Args:
        context_length: ids a text has, its two marks included.
        legacy_truncation: whether long text loses its end of text, as in the original before 2025-11,
            for an index built then.
    """

    modality: ClassVar[ModalityType] = ModalityType.TEXT

    context_length: int = CONTEXT_LENGTH
    legacy_truncation: bool = False

    def __post_init__(self) -> None:
        if self.context_length < 2:
            raise ValueError(
                f"context_length: expected at least 2, for both marks, got {self.context_length}"
            )

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Token ids, (b, context_length); one string gives (1, context_length).

        Of a text longer than 256 characters for each id it may have, the rest is not looked at (ours).

        Raises:
            MediaError: something that is not a string; its index and type are named.
        """
        if not isinstance(texts, (str, Sequence)) or isinstance(texts, (bytes, bytearray)):
            raise MediaError("text", got=f"a {type(texts).__name__}", expected="a string, or a list of them")
        texts = [texts] if isinstance(texts, str) else texts
        rows = [self._row(text, index) for index, text in enumerate(texts)]
        ids = np.array(rows, dtype=np.int64).reshape(len(rows), self.context_length)  # torch's is slower here
        return torch.from_numpy(ids)

    def encode(self, text: str) -> list[int]:
        """The ids of all of a text, without the marks of its start and end."""
        return [token for chunk in clean(text).split() for token in chunk_ids(chunk)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, up to the first end of text; case and white space are those of cleaned text.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        pieces = vocabulary().pieces
        text = ""
        for token in map(int, ids):
            if token == END_ID:
                break
            if not 0 <= token < VOCABULARY_SIZE:
                raise ValueError(f"token id: expected 0 to {VOCABULARY_SIZE - 1}, got {token}")
            if token != START_ID:
                piece = pieces[token]
                text += piece.removesuffix(WORD_END) + " " if piece.endswith(WORD_END) else piece
        octets = bytes(BYTES[character] for character in text)
        return octets.decode("utf-8", errors="replace").strip()

    def _row(self, text: object, index: int) -> list[int]:
        if not isinstance(text, str):
            raise MediaError(f"text {index}", got=f"a {type(text).__name__}", expected="a string")
        room = self.context_length - 2
        ids: list[int] = []
        for chunk in clean(text[: self.context_length * CHARACTERS_PER_ID]).split():
            ids += chunk_ids(chunk)
            if len(ids) > room:
                break
        keep = self.context_length - 1 if self.legacy_truncation else room
        row = [START_ID, *ids[:keep], END_ID][: self.context_length]
        return row + [0] * (self.context_length - len(row))


def trim(tokens: Tensor) -> Tensor:
    """Cut a padded batch behind its longest text: (b, l) -> (b, longest).

    A text ends with its end-of-text token, the largest id there is and the place the trunk reads.
    """
    if not tokens.numel():
        return tokens
    return tokens[:, : int(tokens.argmax(dim=1).max()) + 1]


def clean(text: str) -> str:
    """Mend wrong encodings, undo HTML escapes twice, collapse white space, lower case. Source: released."""
    if text.isascii() and text.isprintable() and "&" not in text:  # then there is nothing to mend
        return " ".join(text.split()).lower()
    return clean_thoroughly(text)


def clean_thoroughly(text: str) -> str:
    """`clean` for any text, much slower."""
    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return regex.sub(r"\s+", " ", mended).strip().lower()


def chunk_ids(chunk: str) -> Sequence[int]:
    """Ids of a stretch of cleaned text that has no white space."""
    return _remembered_ids(chunk) if len(chunk) <= REMEMBERED_LENGTH else _ids(chunk)


@lru_cache(maxsize=REMEMBERED_WORDS)
def _remembered_ids(chunk: str) -> tuple[int, ...]:
    return tuple(_ids(chunk))


def _ids(chunk: str) -> list[int]:
    _, ids, ranks = vocabulary()
    found = []
    for word in WORDS.findall(chunk):
        if word in (START_OF_TEXT, END_OF_TEXT):
            found.append(ids[word])
        else:
            symbols = [ALPHABET[octet] for octet in word.encode("utf-8", errors="replace")]
            symbols[-1] += WORD_END
            found += [ids[symbol] for symbol in merge(symbols, ranks)]
    return found


def merge(symbols: Sequence[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge neighbours until no pair of them has a rank, lowest rank first, from the left.

    The symbols are a linked list and the pairs a heap, so that a word of n bytes takes n · log n steps.
    """
    merged = list(symbols)
    end = len(merged)
    before = list(range(-1, end - 1))
    after = list(range(1, end + 1))
    heap = [(ranks[pair], left) for left, pair in enumerate(pairwise(merged)) if pair in ranks]
    heapq.heapify(heap)
    while heap:
        rank = heap[0][0]
        changed = []
        while heap and heap[0][0] == rank:  # every such pair, before any that comes of it
            left = heapq.heappop(heap)[1]
            right = after[left]
            if right == end or ranks.get((merged[left], merged[right])) != rank:
                continue  # one of the two has been merged since
            merged[left] += merged[right]
            merged[right] = ""
            after[left] = after[right]
            if after[left] < end:
                before[after[left]] = left
            changed += [before[left], left]
        for left in changed:
            if left >= 0 and after[left] < end and (pair := (merged[left], merged[after[left]])) in ranks:
                heapq.heappush(heap, (ranks[pair], left))
    return [symbol for symbol in merged if symbol]


def vocabulary_path() -> Path:
    """The file of CLIP's merge table.

    Raises:
        FileNotFoundError: it is neither in the package nor beside it.
    """
    package = Path(__file__).parents[1]
    places = [package / "bpe" / VOCABULARY_FILE, package.parent / "bpe" / VOCABULARY_FILE]  # wheel, checkout
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"no {VOCABULARY_FILE} in {' or '.join(str(place.parent) for place in places)}"
        )
    return path


@cache
def vocabulary() -> Vocabulary:
    """CLIP's merge table, read once, when first needed.

    Raises:
        FileNotFoundError: as `vocabulary_path`.
    """
    lines = gzip.decompress(vocabulary_path().read_bytes()).decode("utf-8").split("\n")
    pairs = [(left, right) for left, right in map(str.split, lines[1 : MERGES + 1])]  # line 0 is a version
    letters = list(ALPHABET.values())
    pieces = [
        *letters,
        *(letter + WORD_END for letter in letters),
        *map("".join, pairs),
        START_OF_TEXT,
        END_OF_TEXT,
    ]
    return Vocabulary(
        pieces,
        {piece: token for token, piece in enumerate(pieces)},
        {pair: rank for rank, pair in enumerate(pairs)},
    )
