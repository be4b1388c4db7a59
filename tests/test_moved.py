"""Modules can be imported from their paths of version 1.0."""

import subprocess
import sys
from importlib import import_module

import pytest

from imagebind import moved


@pytest.mark.parametrize("old", sorted(moved._MODULES))
def test_a_moved_module_is_found_at_its_old_path_with_a_warning(old):
    sys.modules.pop(f"imagebind.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"imagebind.{old} is now imagebind.{moved._MODULES[old]}"):
        module = import_module(f"imagebind.{old}")
    new = import_module(f"imagebind.{moved._MODULES[old]}")
    names = [name for name in vars(new) if not name.startswith("_")]
    assert all(getattr(module, name) is getattr(new, name) for name in names)


def test_names_are_imported_from_old_paths_as_code_for_version_1_does():
    code = (
        "from imagebind.transforms.detect import detect; from imagebind.search.crawl import crawl; "
        "from imagebind.search.engines.worker import Trial, embed_part; import imagebind.search.space; "
        "from imagebind.training.world import write_world; from imagebind.factory import load_model; "
        "from imagebind.transforms.video_file import open_video; print(Trial.__name__)"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "PartAttempt", run.stderr


def test_a_module_that_never_existed_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"imagebind\.transforms\.nothing"):
        import_module("imagebind.transforms.nothing")
