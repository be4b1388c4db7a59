"""The documentation is true: its Python code runs with the small model, its links and commands exist."""

import re
import shutil
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import av
import numpy as np
import pytest
import typer

from imagebind import imagebind_tiny
from imagebind.cli.main import app
from tests.reference import DATA
from tests.test_architecture import FLOORS, MODULES

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FILES = {  # files that the pages' code reads, and their sources
    "dog.jpg": "rgb_640x480.jpg",
    "bark.wav": "mono_16k_7s.wav",
}
README_LINES = 200
CODE_BLOCK = re.compile(r"^( *)```(.*?)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page in a language, without their indentation."""
    found = CODE_BLOCK.findall(page.read_text(encoding="utf-8"))
    return [textwrap.dedent(code) for _, name, code in found if name == language]


def prose(page: Path) -> str:
    """Return the text of a page without code blocks."""
    return CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    titles = [re.sub(r"[^\w\s-]", "", title).strip().lower() for title in HEADING.findall(prose(page))]
    return {re.sub(r"[-\s]+", "-", title) for title in titles}


def write_video(path: Path) -> None:
    """Write a video with audio."""
    with (
        av.open(DATA / "preprocessing" / "wide_320x240_25fps_6s.mp4") as source,
        av.open(path, "w") as target,
    ):
        (frames,) = source.streams.video
        copied = target.add_stream_from_template(frames)
        audio = target.add_stream("aac", rate=16_000)
        audio.layout = "mono"
        for packet in source.demux(frames):
            if packet.dts is not None:
                packet.stream = copied
                target.mux(packet)
        tone = (np.sin(np.arange(96_000) / 10) * 0.5).astype(np.float32)
        audio_frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        audio_frame.sample_rate = 16_000
        target.mux([*audio.encode(audio_frame), *audio.encode(None)])


@pytest.fixture
def small_in_place_of_huge(monkeypatch) -> None:
    """Make `imagebind_huge` return the small model, so that the code of the pages needs no download."""

    def huge(pretrained: Any = False, *, cache_dir: Any = None, **options: Any):
        return imagebind_tiny(pretrained=bool(pretrained), **options)

    for module in ("imagebind.checkpoints.factory", "imagebind.models.imagebind_model"):
        monkeypatch.setattr(f"{module}.imagebind_huge", huge)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page == ROOT / "README.md" else pytest.mark.huge)
        for page in PAGES
        if blocks(page, "python")
    ],
    ids=page_id,
)
def test_the_python_code_of_a_page_runs(page, tmp_path, monkeypatch, small_in_place_of_huge):
    monkeypatch.chdir(tmp_path)
    for name, file in FILES.items():
        shutil.copy(DATA / "preprocessing" / file, tmp_path / name)
    write_video(tmp_path / "clip.mp4")
    (tmp_path / "labels.txt").write_text("dog | puppy\ncar\n")
    (tmp_path / "pairs.csv").write_text("vision,audio\nclip.mp4,bark.wav\n")
    names: dict[str, Any] = {}
    for code in blocks(page, "python"):
        exec(compile(code, page_id(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_links_of_a_page_have_targets(page):
    broken = []
    for link in LINK.findall(INLINE_CODE.sub("", prose(page))):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = page if not path else (page.parent / unquote(path)).resolve()
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_is_short_and_has_the_two_commands_that_are_checked():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= README_LINES
    assert "pip install . && imagebind quickstart" in readme
    assert 'pip install -e ".[test]" && pytest -n 2 --dist worksteal' in readme


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_commands_of_a_page_exist_with_their_options(page):
    unknown = []
    for code in blocks(page, ""):
        for line in code.replace("\\\n", " ").splitlines():
            match = re.search(r"(?:^|&& )imagebind ([a-z].*)", line.split("  #")[0])
            if match is None:
                continue
            command: Any = typer.main.get_command(app)
            words = match[1].split()
            while hasattr(command, "commands") and words and words[0] in command.commands:
                command = command.commands[words.pop(0)]
            known = {option for parameter in command.params for option in parameter.opts}
            if hasattr(command, "commands") or [w for w in words if w.startswith("--") and w not in known]:
                unknown.append(line)
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_extras_of_a_page_exist(page):
    project = (ROOT / "pyproject.toml").read_text()
    extras = re.findall(r"^(\w+) = \[", project.partition("[project.optional-dependencies]")[2], re.MULTILINE)
    named = re.findall(r"pip install [^\n`]*?(?:\.|imagebind)\[([\w,]+)\]", page.read_text(encoding="utf-8"))
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


def test_every_page_is_in_the_navigation():
    config = (ROOT / "mkdocs.yml").read_text()
    docs = ROOT / "docs"
    missing = [page for page in docs.rglob("*.md") if f" {page.relative_to(docs)}\n" not in config]
    assert missing == []


def test_the_design_page_has_the_floors_of_the_import_order():
    rows = re.findall(
        r"^\| (\d+) \| (.*) \|$", (ROOT / "docs" / "design.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    listed = {int(number): set(re.findall(r"`([\w.]+)`", parts)) for number, parts in rows}
    exist = [{part for part in parts if f"imagebind.{part}" in MODULES} for parts in FLOORS]
    assert listed == dict(enumerate(exist, start=1))


def test_the_design_page_names_every_reader_of_media():
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = page.split("### The readers in `media`")[1].split("## Import order")[0]
    readers = {file.stem for file in (ROOT / "imagebind" / "media").glob("*.py")} - {"__init__"}
    assert readers - set(re.findall(r"`(\w+)`", table)) == set()
