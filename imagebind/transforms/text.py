"""Convert strings to the 77 token ids that the text trunk takes, by CLIP's byte-pair vocabulary.

A text is cleaned and split into words, and the bytes of each word are merged pair by pair, the earliest
learnt pair first. Text is cleaned thoroughly only if its characters require it, and ids of words are cached.
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

from imagebind.checks import check_whole
from imagebind.errors import MediaError
from imagebind.modality import ModalityType

# CLIP's vocabulary, and the context length of the text trunk (released).
CONTEXT_LENGTH = 77
VOCABULARY_SIZE = 49_408
# The other ids are the bytes, inside and at the end of a word, and the start and end tokens.
MERGES = VOCABULARY_SIZE - 2 * 256 - 2  # 48,894
START_OF_TEXT = "<|startoftext|>"
END_OF_TEXT = "<|endoftext|>"
START_ID = VOCABULARY_SIZE - 2
END_ID = VOCABULARY_SIZE - 1
WORD_END = "</w>"
VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"

WORD_PATTERN = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)

# A printable character for each byte, in the vocabulary's order, so that merges can be written as text.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_UNPRINTABLE = [octet for octet in range(256) if octet not in _PRINTABLE]
BYTE_CHARACTERS = {octet: chr(octet) for octet in _PRINTABLE} | {
    octet: chr(256 + index) for index, octet in enumerate(_UNPRINTABLE)
}
CHARACTER_BYTES = {character: octet for octet, character in BYTE_CHARACTERS.items()}
CHARACTER_BYTES[" "] = 0x20  # decodes the end of a word

# Ours: limits of the cache, and of the characters read of a text, of which only a few ids are kept.
CACHED_WORDS = 2**16
MAX_CACHED_CHARACTERS = 64  # longer words rarely repeat
MAX_CHARACTERS_PER_ID = 256  # of uncleaned text: leaves room for white space and HTML entities


class Vocabulary(NamedTuple):
    """The vocabulary of byte-pair encoding."""

    pieces: list[str]  # id -> its text, in the vocabulary's alphabet for bytes
    ids: dict[str, int]
    ranks: dict[tuple[str, str], int]  # a pair that may be merged -> the order in which it was learnt


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """Convert strings to (b, 77) int64: start token, ids, end token, zeros. Source: released.

    Args:
        context_length: number of ids of a text, including its start and end tokens.
        legacy_truncation: whether long text loses its end token, as in the original before 2025-11, for an
            index built then.
    """

    modality: ClassVar[ModalityType] = ModalityType.TEXT

    context_length: int = CONTEXT_LENGTH
    legacy_truncation: bool = False

    def __post_init__(self) -> None:
        check_whole(2, context_length=self.context_length)  # for start and end tokens

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Return token ids, (b, context_length); for one string (1, context_length).

        Only the first 256 · context_length characters of a text are read (ours).

        Raises:
            MediaError: `texts` or an item of it has another type; the message has the item's index and type.
        """
        if not isinstance(texts, (str, Sequence)) or isinstance(texts, (bytes, bytearray)):
            raise MediaError("text", got=type(texts).__name__, expected="a string, or a list of them")
        texts = [texts] if isinstance(texts, str) else texts
        rows = [self._row(text, index) for index, text in enumerate(texts)]
        # `torch.tensor(rows)` is slower.
        ids = np.array(rows, dtype=np.int64).reshape(len(rows), self.context_length)
        return torch.from_numpy(ids)

    def encode(self, text: str) -> list[int]:
        """Return the ids of the whole text, without start and end tokens."""
        return [token for chunk in clean(text).split() for token in chunk_ids(chunk)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids up to the first end token: lower case, spaces also before punctuation.

        Raises:
            ValueError: an id is outside the vocabulary.
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
        octets = bytes(CHARACTER_BYTES[character] for character in text)
        return octets.decode("utf-8", errors="replace").strip()

    def _row(self, text: object, index: int) -> list[int]:
        if not isinstance(text, str):
            raise MediaError(f"text {index}", got=type(text).__name__, expected="a string")
        room = self.context_length - 2
        ids: list[int] = []
        for chunk in clean(text[: self.context_length * MAX_CHARACTERS_PER_ID]).split():
            ids += chunk_ids(chunk)
            if len(ids) > room:
                break
        keep = self.context_length - 1 if self.legacy_truncation else room
        row = [START_ID, *ids[:keep], END_ID][: self.context_length]
        return row + [0] * (self.context_length - len(row))


def trim(tokens: Tensor) -> Tensor:
    """Cut a padded batch after its longest text: (b, l) -> (b, longest).

    A text ends with its end token, which has the largest id; the head reads the token at its position.
    """
    if not tokens.numel():
        return tokens
    return tokens[:, : int(tokens.argmax(dim=1).max()) + 1]


def clean(text: str) -> str:
    """Fix wrong encodings, unescape HTML twice, collapse white space, and lower case. Source: released."""
    if text.isascii() and text.isprintable() and "&" not in text:  # nothing to fix or unescape
        return " ".join(text.split()).lower()
    return clean_thoroughly(text)


def clean_thoroughly(text: str) -> str:
    """Clean any text without the shortcut of `clean`; much slower."""
    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return regex.sub(r"\s+", " ", mended).strip().lower()


def chunk_ids(chunk: str) -> Sequence[int]:
    """Return the ids of a piece of cleaned text without white space."""
    return _cached_ids(chunk) if len(chunk) <= MAX_CACHED_CHARACTERS else _ids(chunk)


@lru_cache(maxsize=CACHED_WORDS)
def _cached_ids(chunk: str) -> tuple[int, ...]:
    return tuple(_ids(chunk))


def _ids(chunk: str) -> list[int]:
    _, ids, ranks = vocabulary()
    found = []
    for word in WORD_PATTERN.findall(chunk):
        if word in (START_OF_TEXT, END_OF_TEXT):
            found.append(ids[word])
        else:
            symbols = [BYTE_CHARACTERS[octet] for octet in word.encode("utf-8", errors="replace")]
            symbols[-1] += WORD_END
            found += [ids[symbol] for symbol in merge(symbols, ranks)]
    return found


def merge(symbols: Sequence[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge neighbours until no pair has a rank, lowest rank first, from the left.

    Symbols form a linked list and pairs a heap, so that a word of n bytes takes n · log n steps.
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
        while heap and heap[0][0] == rank:  # all pairs of this rank, before any pair that their merges create
            left = heapq.heappop(heap)[1]
            right = after[left]
            if right == end or ranks.get((merged[left], merged[right])) != rank:
                continue  # one of the two has already been merged
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
    """Return the path of CLIP's merge table.

    Raises:
        FileNotFoundError: the file is neither in the package nor next to it.
    """
    package = Path(__file__).parents[1]
    folders = package / "bpe", package.parent / "bpe"  # of a wheel, of a checkout
    candidates = [folder / VOCABULARY_FILE for folder in folders]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{VOCABULARY_FILE}: expected it in {' or '.join(map(str, folders))}, got no such file"
        )
    return path


@cache
def vocabulary() -> Vocabulary:
    """Return CLIP's vocabulary, which is read at the first call.

    Raises:
        FileNotFoundError: as `vocabulary_path`.
    """
    lines = gzip.decompress(vocabulary_path().read_bytes()).decode("utf-8").split("\n")
    pairs = [(left, right) for left, right in map(str.split, lines[1 : MERGES + 1])]  # line 0 is a version
    letters = list(BYTE_CHARACTERS.values())
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
