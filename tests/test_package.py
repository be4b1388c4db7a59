"""Tests that built distributions contain all necessary files."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
TOKENISE = "from imagebind.transforms.text import Tokenizer; print(Tokenizer()('A dog.')[0, :5].tolist())"


def build(kind: str, folder: Path) -> Path:
    code = f"import hatchling.build as b; print(b.build_{kind}({str(folder)!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / run.stdout.split()[-1]


def tokenise(folder: Path) -> str:
    """Tokenise a text in a process that finds the package only in `folder`."""
    code = f"import sys; sys.path.remove({str(ROOT)!r}) if {str(ROOT)!r} in sys.path else None; "
    code += f"sys.path.insert(0, {str(folder)!r}); import imagebind; "
    code += f"assert imagebind.__file__.startswith({str(folder)!r}); {TOKENISE}"
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_a_wheel_has_and_finds_the_vocabulary_with_its_licence(tmp_path):
    wheel = build("wheel", tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "unpacked")
    assert f"imagebind/bpe/{VOCABULARY}" in names and "imagebind/bpe/LICENSE" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]
    assert tokenise(tmp_path / "unpacked") == "[49406, 320, 1929, 269, 49407]"


def test_a_wheel_has_the_small_model_and_the_marker_of_types(tmp_path):
    with zipfile.ZipFile(build("wheel", tmp_path)) as archive:
        names = {name.removeprefix("imagebind/tiny/") for name in archive.namelist() if "/tiny/" in name}
        assert "imagebind/py.typed" in archive.namelist()
    assert {"config.json", "README.md", "log.jsonl", "text.safetensors", "imu.safetensors"} <= names


def test_a_source_distribution_can_be_used_without_a_build(tmp_path):
    sdist = build("sdist", tmp_path)
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (folder,) = (tmp_path / "unpacked").iterdir()
    assert (folder / "bpe" / VOCABULARY).is_file() and (folder / "tests").is_dir()
    assert tokenise(folder) == "[49406, 320, 1929, 269, 49407]"


def test_a_missing_vocabulary_raises_an_error_with_the_searched_folders(tmp_path, monkeypatch):
    from imagebind.transforms import text

    monkeypatch.setattr(text, "__file__", str(tmp_path / "imagebind" / "transforms" / "text.py"))
    with pytest.raises(FileNotFoundError, match=f"{VOCABULARY}: expected it in .*bpe, got no such file"):
        text.vocabulary.__wrapped__()


@pytest.mark.huge
def test_the_result_of_encode_is_typed(tmp_path):
    file = tmp_path / "typed.py"
    file.write_text(
        "from imagebind.embedder import Embedder\n"
        "def show(embedder: Embedder, flag: bool) -> None:\n"
        "    reveal_type(embedder.encode('a dog'))\n"
        "    reveal_type(embedder.encode('a dog', convert_to_tensor=True))\n"
        "    reveal_type(embedder.encode('a dog', return_report=flag))\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", str(file), "--follow-imports=silent", "--config-file="],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    revealed = [line.partition('Revealed type is "')[2] for line in run.stdout.splitlines() if "note" in line]
    assert [kind.partition("[")[0] for kind in revealed] == ["numpy.ndarray", 'torch._tensor.Tensor"', 'Any"']


def test_no_library_has_an_upper_bound_but_torch_beside_torchaudio():
    text = (
        (ROOT / "pyproject.toml").read_text().replace('torchaudio = ["torchaudio>=2.11", "torch<2.15"]', "")
    )
    lines = [line for line in text.splitlines() if ">=" in line]
    assert lines and not [line for line in lines if "<" in line.split("#")[0] or "==" in line.split("#")[0]]
