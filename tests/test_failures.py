"""Messages about failures: one line for all files with the same reason."""

import re

import numpy as np
import pytest
from PIL import Image

from imagebind.errors import AmbiguousMediaError
from imagebind.failures import Failure, grouped
from imagebind.intake.files import kind_of
from imagebind.intake.mapping import parse_mapping
from imagebind.media.discover import FoundFile, discover


@pytest.mark.parametrize(
    "names",
    [
        [f"depth/{number:04}.png" for number in range(7)],
        [f"scans/{name}.png" for name in ("hall", "kitchen", "attic", "cellar", "bath", "yard", "loft")],
        [f"{scene}/depth.png" for scene in ("a", "b", "c", "d", "e", "f", "g")],
        ["a/0.png", "a/1.png", "b/2.png", "b/3.png", "c/hall.png", "c/d/4.png", "5.png"],
    ],
)
def test_files_that_are_ambiguous_for_one_reason_have_one_line_with_mappings_for_all(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16), 1000, np.uint16)).save(tmp_path / name)
    found = [file for file in discover([tmp_path]) if isinstance(file, FoundFile)]
    failures = []
    for file in found:
        with pytest.raises(AmbiguousMediaError) as refused:
            kind_of(file, [])
        failures.append(Failure.of(str(file.path), refused.value))
    (line,) = grouped(failures)
    assert line.startswith(f"{found[0].path} and 6 more: ") and len(line) < 600
    maps = re.findall(r"--map '([^']+)'", line)
    assert len(maps) == 2
    for each in maps:
        mapping = parse_mapping(each)
        assert {kind_of(file, [mapping])[0] for file in found} == {mapping.kind}


def test_other_reasons_and_other_suffixes_keep_lines_of_their_own():
    failures = [
        Failure(path="/a.png", error="/a.png: expected an image, got a damaged one", kind="MediaError"),
        Failure(path="/b.png", error="/b.png: expected an image, got a damaged one", kind="MediaError"),
        Failure(path="/c.png", error="/c.png: expected an image, got an empty file", kind="MediaError"),
        *(
            Failure.of(
                path,
                AmbiguousMediaError(
                    path, got="it may be depth", hint=f"pass --map '**{path}=depth'", pattern=f"**{path}"
                ),
            )
            for path in ("/d.png", "/e.tif")
        ),
    ]
    assert grouped(failures) == [
        "/a.png and 1 more: expected an image, got a damaged one",
        *(failure.error for failure in failures[2:]),
    ]
