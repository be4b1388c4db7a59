"""Tokenizer: parity with the original's, known answers, fast paths against slow ones, and errors."""

import json
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebind.errors import MediaError
from imagebind.transforms.text import (
    END_ID,
    START_ID,
    Tokenizer,
    clean,
    clean_thoroughly,
    merge,
    trim,
    vocabulary,
)

EXPECTED = json.loads((Path(__file__).parents[1] / "data/preprocessing/text_expected.json").read_text())
CAPTION_WORDS = ["dog", "car", "bird", "bicycle", "umbrella", "lighthouse", "Frisbee", "tree"]

# ---- parity


@pytest.mark.parametrize("case", EXPECTED, ids=lambda case: repr(case["text"][:20]))
def test_ids_equal_those_of_the_original(case):
    ids = Tokenizer()(case["text"])[0].tolist()
    assert ids[: len(case["tokens"])] == case["tokens"]  # recorded up to the first end token


def test_a_batch_gives_the_same_rows_as_single_texts():
    texts = [case["text"] for case in EXPECTED]
    tokens = Tokenizer()(texts)
    assert tokens.shape == (104, 77)
    assert tokens.dtype == torch.int64
    assert torch.equal(tokens, torch.cat([Tokenizer()(text) for text in texts]))


# ---- known answers


def test_a_text_is_between_start_and_end_tokens_and_padded_with_zeros():
    tokens = Tokenizer()("a photo of a cat")
    assert tokens[0, :7].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert not tokens[0, 7:].any()


def test_an_empty_text_is_a_start_and_an_end_token():
    assert Tokenizer(context_length=4)(["", " \n"]).tolist() == [[START_ID, END_ID, 0, 0]] * 2


def test_an_empty_batch_has_no_rows():
    assert Tokenizer()([]).shape == (0, 77)


@pytest.mark.parametrize("words", [75, 76, 300])
def test_long_text_keeps_its_end_token(words):
    row = Tokenizer()("word " * words)[0]
    assert row[-1] == END_ID
    assert (row[1:-1] == 2653).all()


def test_legacy_truncation_removes_the_end_token_of_long_text_only():
    legacy = Tokenizer(legacy_truncation=True)
    assert torch.equal(legacy("word " * 75), Tokenizer()("word " * 75))
    assert legacy("word " * 76)[0].tolist() == [START_ID] + [2653] * 76


def test_encode_returns_all_ids_without_start_and_end_and_decode_inverts_it():
    tokenizer = Tokenizer()
    assert tokenizer.encode("A dog.") == [320, 1929, 269]
    assert len(tokenizer.encode("word " * 300)) == 300
    assert tokenizer.decode(tokenizer("Naïve  日本 😀")[0].tolist()) == "naïve 日本 😀"
    assert tokenizer.decode([START_ID, 1929, END_ID, 2368]) == "dog"
    with pytest.raises(ValueError, match="0 to 49407, got 49408"):
        tokenizer.decode([49408])


def test_trim_cuts_after_the_longest_text():
    tokens = Tokenizer()(["a dog", "a photo of a cat", ""])
    assert trim(tokens).shape == (3, 7)
    assert torch.equal(trim(tokens), tokens[:, :7])
    assert trim(Tokenizer()("word " * 100)).shape == (1, 77)
    assert trim(Tokenizer()([])).shape == (0, 77)


def test_merging_takes_the_lowest_rank_first_and_from_the_left():
    ranks = {("b", "c"): 0, ("a", "b"): 1, ("a", "bc"): 2}
    assert merge(list("abc"), ranks) == ["abc"]
    assert merge(list("aaa"), {("a", "a"): 0}) == ["aa", "a"]
    assert merge([], ranks) == []


# ---- fast paths against slow ones


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=0x7F)))
def test_quick_cleaning_equals_thorough_cleaning(text):
    assert clean(text) == clean_thoroughly(text)


def merge_by_passes(symbols: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge byte pairs by definition: one pair in each pass over the word."""
    while pairs := [pair for pair in pairwise(symbols) if pair in ranks]:
        best = min(pairs, key=ranks.__getitem__)
        merged: list[str] = []
        position = 0
        while position < len(symbols):
            step = 2 if tuple(symbols[position : position + 2]) == best else 1
            merged.append("".join(symbols[position : position + step]))
            position += step
        symbols = merged
    return symbols


@settings(max_examples=200, deadline=None)
@given(st.text("etaoinsrhx", min_size=1, max_size=40))
def test_merging_by_a_heap_equals_merging_by_passes(word):
    symbols = [*word[:-1], word[-1] + "</w>"]
    assert merge(symbols, vocabulary().ranks) == merge_by_passes(symbols, vocabulary().ranks)


@settings(max_examples=200, deadline=None)
@given(
    st.text("ab", max_size=12),
    st.permutations([("a", "a"), ("a", "b"), ("b", "a"), ("aa", "b"), ("ab", "a"), ("a", "ba"), ("b", "aa")]),
)
def test_merging_by_a_heap_equals_merging_by_passes_for_any_order_of_merges(word, order):
    ranks = {pair: rank for rank, pair in enumerate(order)}
    assert merge(list(word), ranks) == merge_by_passes(list(word), ranks)


def test_ten_thousand_captions_take_less_than_a_second():
    captions = [f"A photo of the {a} next to a {b} in the park." for a, b in pairwise(CAPTION_WORDS * 250)]
    Tokenizer()(captions[:100])
    start = time.process_time()
    Tokenizer()(captions)
    rate = len(captions) / (time.process_time() - start)
    assert rate > 10_000  # the goal is 20,000 and 60,000 is usual; half of the goal allows for a busy machine


# ---- errors


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", 3], "text 1: expected a string, got int"),
        ([None], "text 0: expected a string, got NoneType"),
        ([b"bytes"], "text 0: expected a string, got bytes"),
        (b"bytes", "text: expected a string, or a list of them, got bytes"),
        (7, "text: expected a string, or a list of them, got int"),
        (None, "text: expected a string, or a list of them, got NoneType"),
    ],
)
def test_the_error_for_an_item_that_is_not_a_string_has_its_index_and_type(texts, message):
    with pytest.raises(MediaError, match=message):
        Tokenizer()(texts)


@pytest.mark.parametrize(
    "text",
    [
        "\ud800 lone \udfff",
        "\x00" * 1000,
        "x" * 1_000_000,
        "😀" * 300_000,
        " " * 1_000_000 + "x",
        "&amp;" * 200_000,
        "é" * 1_000_000,
    ],
    ids=["surrogates", "nul", "long word", "emoji", "spaces", "entities", "long word of two bytes"],
)
def test_hostile_text_is_tokenised_quickly(text):
    start = time.process_time()
    row = Tokenizer()(text)[0]
    assert time.process_time() - start < 3
    assert row[0] == START_ID and (row == END_ID).sum() == 1


def test_a_long_word_does_not_take_quadratic_time():
    start = time.process_time()
    assert len(Tokenizer().encode("abcdefghij" * 10_000)) > 10_000
    assert time.process_time() - start < 5


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters()))
def test_any_text_has_ids_in_the_vocabulary_and_start_and_end_tokens(text):
    row = Tokenizer()(text)[0]
    assert row[0] == START_ID
    assert (row == END_ID).any()
    assert row.min() >= 0 and row.max() == END_ID


@pytest.mark.parametrize("length", [1, 0, -5])
def test_a_context_without_room_for_start_and_end_is_refused(length):
    with pytest.raises(ValueError, match=f"got {length}"):
        Tokenizer(context_length=length)


def test_a_pickled_tokenizer_gives_the_same_ids_in_threads():
    tokenizer = pickle.loads(pickle.dumps(Tokenizer()))
    texts = [case["text"] for case in EXPECTED]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(tokenizer, [texts] * 8))
    expected = Tokenizer()(texts)
    assert all(torch.equal(result, expected) for result in results)


def test_importing_does_not_read_the_vocabulary():
    code = "import imagebind.transforms.text as text; assert text.vocabulary.cache_info().currsize == 0"
    subprocess.run([sys.executable, "-c", code], check=True)
