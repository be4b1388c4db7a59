"""Class names of data sets, each set in a JSON file beside this one, with its source."""

import json
from importlib.resources import files
from typing import NamedTuple

from imagebind.datasets.labelled import ClassNames


class KnownClasses(NamedTuple):
    """Classes with their names for prompts, and the class number of each name that the data use."""

    names: list[ClassNames]
    number_of: dict[str, int]


def known_classes(name: str) -> KnownClasses:
    """Return the classes of a data set, by the name of its file: {"source": …, "classes": [{"label": …}]}.

    "names" are for prompts, by default the label; "data_names" are those of the data, by default the label.
    """
    text = files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    classes = json.loads(text)["classes"]
    return KnownClasses(
        names=[
            ClassNames(label=each["label"], names=tuple(each.get("names", [each["label"]])))
            for each in classes
        ],
        number_of={
            data_name: number
            for number, each in enumerate(classes)
            for data_name in each.get("data_names", [each["label"]])
        },
    )
