"""Items: columns are collections, tables are refused, and anything else is one item or returned unchanged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagebind.errors import MediaError
from imagebind.intake.items import items_of
from tests.media.decoded import AudioDecoder, AudioSamples, VideoDecoder

TEXTS = ["a red star", "a blue ring", "日本"]
STRINGS = np.dtypes.StringDtype() if hasattr(np.dtypes, "StringDtype") else object  # of NumPy 2
IMAGES = [Image.new("RGB", (4, 4 + n)) for n in range(3)]


def many(items):
    found, is_one = items_of(items)
    assert not is_one
    return list(found)


def objects(values):
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array


@pytest.mark.parametrize("dtype", [None, object, STRINGS])
def test_an_array_of_texts_is_a_collection(dtype):
    found = many(np.array(TEXTS, dtype=dtype))
    assert found == TEXTS and {type(text) for text in found} == {str}
    assert many(np.array([], dtype=dtype or str)) == []


@pytest.mark.parametrize(
    "values",
    [
        list(map(Path, "ab")),
        IMAGES,
        [np.ones(3), np.ones(4)],
        [{"audio": "a.wav"}, {"text": "a"}],
        [b"\x00\x00", b"a"],
        ["a", None, 3.5],
        [np.str_("a"), "b"],
    ],
)
def test_an_array_of_objects_is_a_collection(values):
    found = many(objects(values))
    assert len(found) == len(values) and all(a is b for a, b in zip(found, values, strict=True))


@pytest.mark.parametrize("dtype", [None, "object", "string", "category", "string[pyarrow]"])
@pytest.mark.parametrize("wrap", ["Series", "Index"])
def test_a_pandas_column_of_texts_is_a_collection(dtype, wrap):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(TEXTS, dtype=dtype, index=[5, 2, 9])
    column = series if wrap == "Series" else pandas.Index(series)
    assert many(column) == TEXTS
    if wrap == "Series":
        assert many(series.drop(index=2)) == [TEXTS[0], TEXTS[2]]
    assert many(pandas.array(TEXTS)) == TEXTS


def test_a_pandas_column_of_paths_or_images_is_a_collection():
    pandas = pytest.importorskip("pandas")
    for values in ([Path("a"), Path("b")], IMAGES, [{"audio": 1}, {"text": 2}]):
        assert many(pandas.Series(values)) == values


def test_a_pyarrow_column_is_a_collection():
    pyarrow = pytest.importorskip("pyarrow")
    for column in (pyarrow.array(TEXTS), pyarrow.chunked_array([TEXTS[:1], TEXTS[1:]])):
        assert many(column) == TEXTS
    rows = [{"bytes": b"a", "path": "a"}, {"bytes": None, "path": "b"}]
    assert many(pyarrow.array(rows)) == rows
    assert many(pyarrow.array([], pyarrow.string())) == []
    assert many(pyarrow.table({"text": TEXTS})["text"]) == TEXTS


def test_a_polars_column_is_a_collection_and_a_polars_table_is_refused():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"text": TEXTS, "n": [1, 2, 3]})
    assert many(frame["text"]) == TEXTS
    assert items_of(frame["n"])[1]
    with pytest.raises(MediaError, match=r"table\['text'\]"):
        items_of(frame)


def test_an_array_of_numbers_of_any_library_is_one_item():
    arrays = [np.zeros(3), np.zeros((2, 3, 3), np.uint8), np.array([1, 2.5], dtype=object), np.float32(3)]
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    arrays += [pandas.Series([1.0, 2.0]), pandas.Series([1, 2], dtype="Int64"), pyarrow.array([1, 2])]
    for array in arrays:
        (item,), is_one = items_of(array)
        assert is_one and np.array_equal(np.asarray(item, dtype=float), np.asarray(array, dtype=float))
    tensor = torch.zeros(3)
    assert items_of(tensor)[0][0] is tensor and items_of(tensor)[1]


def test_the_error_for_a_table_says_how_to_pass_a_column():
    pandas, pyarrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    columns = {"text": TEXTS, "label": [1, 2, 3]}
    table = pyarrow.table(columns)
    structured = np.array([("a", 1)], dtype=[("text", "U9"), ("label", int)])
    for whole in (pandas.DataFrame(columns), table, table.to_batches()[0], structured):
        with pytest.raises(
            MediaError, match=r"one column.*table\['text'\].*a table with the columns text, label"
        ):
            items_of(whole)
        assert many(whole["text"])[0] in [*TEXTS, "a"]
    with pytest.raises(MediaError, match="none"):
        items_of(pandas.DataFrame())


def test_texts_or_objects_in_two_dimensions_are_refused():
    for array in (np.array([["a", "b"]]), np.array([[None], [None]])):
        with pytest.raises(MediaError, match=r"\[:, 0\].*2 dimensions"):
            items_of(array)


@pytest.mark.parametrize(
    "items",
    [
        TEXTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        dict.fromkeys(TEXTS).keys(),
        dict(enumerate(TEXTS)).values(),
    ],
)
def test_collections_and_generators_are_returned_in_order(items):
    assert many(items) == TEXTS


def test_a_set_and_the_files_of_a_folder_are_collections(tmp_path):
    for name in TEXTS:
        (tmp_path / name).touch()
    assert sorted(many(set(TEXTS))) == sorted(TEXTS)
    assert sorted(many(tmp_path.glob("*"))) == sorted(tmp_path / name for name in TEXTS)


def test_an_endless_generator_is_not_consumed():
    def endless():
        while True:
            yield "a"

    found, is_one = items_of(endless())
    assert not is_one and next(iter(found)) == "a"


@pytest.mark.parametrize(
    "item",
    [
        "a",
        np.str_("a"),
        b"\x00\x00",
        np.bytes_(b"ab"),
        bytearray(b"a"),
        memoryview(b"a"),
        Path("a"),
        {"text": "a"},
        IMAGES[0],
        None,
        7,
        AudioDecoder(torch.zeros(1, 9), 8000),
        AudioSamples(torch.zeros(1, 9), 0, 1, 8000),
        VideoDecoder(torch.zeros(2, 3, 4, 3), 25),
    ],
    ids=lambda item: type(item).__name__,
)
def test_anything_else_is_one_item(item):
    assert items_of(item) == ([item], True)


def test_an_array_without_dimensions_is_its_value():
    assert items_of(np.array("a dog")) == (["a dog"], True)
