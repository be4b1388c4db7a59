"""Tests of the class names of data sets."""

import json
from importlib.resources import files

import pytest

from imagebind.datasets.classes import known_classes

NAMES = sorted(
    path.name.removesuffix(".json")
    for path in files("imagebind.datasets.classes").iterdir()
    if path.name.endswith(".json")
)


@pytest.mark.parametrize("name", NAMES)
def test_classes_have_a_source_and_different_labels_and_names(name):
    content = json.loads(files("imagebind.datasets.classes").joinpath(f"{name}.json").read_text())
    assert set(content) == {"source", "classes"} and content["source"]
    assert all(set(each) <= {"label", "names", "data_names"} for each in content["classes"])
    classes, number_of = known_classes(name)
    labels = [each.label for each in classes]
    names = [text for each in classes for text in each.names]
    assert len(set(labels)) == len(labels) and len(set(names)) == len(names)
    assert not any("_" in text for text in names)
    assert set(number_of.values()) == set(range(len(classes))), "each class is in the data"
    assert len(number_of) == sum(len(each.get("data_names", [0])) for each in content["classes"])


def test_the_numbers_of_classes_are_those_of_the_paper():
    sizes = {name: len(known_classes(name).names) for name in ("llvip", "nyu_depth", "sun_rgbd")}
    assert sizes == {"llvip": 2, "nyu_depth": 10, "sun_rgbd": 19}
