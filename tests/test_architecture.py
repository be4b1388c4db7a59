"""Who may import whom, read from the sources; and that importing the package costs little."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "imagebind"
SIDE_BY_SIDE = ("search", "training", "evaluation", "applications", "serving")
ABOVE_TENSORS = ("embedder", "factory", "quickstart", "cli", *SIDE_BY_SIDE)

# Package part -> parts of ours that it must never import.
FORBIDDEN = {
    "modality": ("config", "models", "transforms", "checkpoint", "data", *ABOVE_TENSORS),
    "config": ("models", "transforms", "checkpoint", "data", *ABOVE_TENSORS),
    "models": ("transforms", "checkpoint", "data", *ABOVE_TENSORS),
    "transforms": ("models", "checkpoint", "data", *ABOVE_TENSORS),
    "checkpoint": ("models", "transforms", "data", *ABOVE_TENSORS),
    "losses": ("models", "transforms", "checkpoint", *ABOVE_TENSORS),
    "metrics": ("models", "transforms", "checkpoint", *ABOVE_TENSORS),
    "zeroshot": ("models", "transforms", "checkpoint", *ABOVE_TENSORS),
    "data": ("models", "checkpoint", *ABOVE_TENSORS),
    "batching": ("models", "checkpoint", "data", *ABOVE_TENSORS),
    # Whose speed it measures.
    "benchmark": ("cli", *(part for part in SIDE_BY_SIDE if part not in ("training", "search"))),
    "embedder": ("quickstart", "cli", *SIDE_BY_SIDE),
    # It shows the small model in the world that this was trained on, and so needs that world.
    "quickstart": ("cli", *(part for part in SIDE_BY_SIDE if part != "training")),
} | {part: tuple(other for other in ("cli", *SIDE_BY_SIDE) if other != part) for part in SIDE_BY_SIDE}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_place_allows(path):
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "imagebind" and rest:
            assert rest.split(".")[0] not in FORBIDDEN.get(part_of(path), ()), f"imports {name}"
        if package == "imagebind" and part_of(path) != "cli":
            assert not rest.startswith("cli"), "nothing imports cli"


@pytest.mark.parametrize("part", ["modality", "config"])
def test_the_vocabulary_and_the_sizes_need_the_standard_library_only(part):
    for name in imports(PACKAGE / f"{part}.py"):
        assert name.split(".")[0] in sys.stdlib_module_names | {"imagebind"}


def test_files_are_small_enough_to_read():
    long = {str(p.relative_to(PACKAGE)): n for p in sources() if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_building_a_model_for_weights_imports_no_compiler_and_no_vision_library():
    code = (
        "import sys, imagebind; imagebind.ImageBindModel(device='meta'); imagebind.Embedder; "
        "print(sorted({'timm', 'torchvision', 'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )  # together they take 190 MB and three seconds
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_importing_the_package_imports_neither_torch_nor_anything_heavy():
    code = "import imagebind, sys; print(sorted({'torch', 'av', 'numpy', 'PIL'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
