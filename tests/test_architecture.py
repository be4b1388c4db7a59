"""The import order, read from the sources, and the libraries that importing the package loads."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "imagebind"

# From the bottom to the top. A part imports parts of lower floors, and of its own floor only those listed in
# SAME_FLOOR_IMPORTS.
FLOORS = (
    ("checks", "modality", "moved"),
    ("errors", "config"),
    ("io",),
    ("calibration", "device", "failures", "media", "models", "losses", "metrics", "prompts"),
    ("transforms", "zeroshot"),
    ("intake",),
    ("batching", "checkpoints"),
    ("packs", "space"),
    ("data", "embedder", "models.imagebind_model", "models.multimodal_preprocessors", "vectors"),
    ("query", "datasets", "toyworld", "windows"),
    ("applications",),
    ("search", "training", "evaluation", "integrations"),
    ("distributed",),  # it writes into an index
    ("benchmark", "quickstart", "plot"),
    ("cli",),
)
SAME_FLOOR_IMPORTS = {
    ("packs", "space"): "a pack has the fingerprint of its space",
    ("quickstart", "plot"): "it draws its similarities",
    ("training", "evaluation"): "figures between epochs",
}
FLOOR_OF = {part: number for number, parts in enumerate(FLOORS) for part in parts}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sources()}


def imports(path: Path) -> set[str]:
    """Return the names of all modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports or names in strings, except after `-m`."""
    nodes = list(ast.walk(ast.parse(MODULES[module].read_text())))
    run = {
        id(argument)
        for node in nodes
        if isinstance(node, ast.List)
        for option, argument in pairwise(node.elts)
        if isinstance(option, ast.Constant) and option.value == "-m"
    }
    names = imports(MODULES[module])
    names |= {node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in run}
    used = {name if name in MODULES else str(name).rpartition(".")[0] for name in names}
    return used & set(MODULES) - {module, "imagebind"}


def part_of(module: str) -> str | None:
    """Return the part in FLOORS that a module belongs to; None for the package itself, which names all."""
    name = module.removeprefix("imagebind").removeprefix(".")
    return name if name in FLOOR_OF else name.split(".")[0] or None


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_lower_floors(module):
    part = part_of(module)
    if part is None:  # it names everything
        return
    for other in map(part_of, own_imports(module)):
        allowed = other == part or FLOOR_OF[other] < FLOOR_OF[part] or (part, other) in SAME_FLOOR_IMPORTS
        assert allowed, f"{part} imports {other}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: own_imports(module) for module in MODULES if module != "imagebind"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_strings_name_only_modules_that_exist():
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value
                if re.fullmatch(r"imagebind(\.[a-z_]+)+", name):
                    assert name in MODULES, f"{module} names {name}"


@pytest.mark.parametrize("part", ["modality", "config"])
def test_modality_and_config_import_only_the_standard_library_and_the_package(part):
    for name in imports(PACKAGE / f"{part}.py"):
        assert name.split(".")[0] in sys.stdlib_module_names | {"imagebind"}


def test_no_file_has_more_than_400_lines():
    long = {str(p.relative_to(PACKAGE)): n for p in sources() if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}


def test_building_a_model_for_weights_imports_no_compiler_and_no_vision_library():
    code = (
        "import sys, imagebind; imagebind.ImageBindModel(device='meta'); imagebind.Embedder; "
        "print(sorted({'timm', 'torchvision', 'torch._dynamo', 'sympy'} & set(sys.modules)))"
    )  # together they take 190 MB and three seconds
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_importing_the_package_imports_neither_torch_nor_numpy_nor_media_libraries():
    code = "import imagebind, sys; print(sorted({'torch', 'av', 'numpy', 'PIL'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
