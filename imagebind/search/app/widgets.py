"""Parts of the page that are used more than once, out of Gradio's."""

from typing import Any

from imagebind.errors import import_extra
from imagebind.search.app import results
from imagebind.search.app.inputs import Part
from imagebind.search.html import KIND_NAMES

PRIVATE: dict[str, Any] = {"api_visibility": "private"}  # of an event: nothing but the page asks for it
DROP_HEIGHT, CAMERA_HEIGHT = 140, 240  # pixels

Update = dict[str, Any]


def gradio() -> Any:
    """The package, which takes seconds to import.

    Raises:
        MissingExtraError: it is not installed.
    """
    return import_extra("gradio", extra="app", purpose="the web page")


def html(**options: Any) -> Any:
    """A place for HTML of ours."""
    # Without a value from the start, scripts would not hear of the first one that comes.
    return gradio().HTML(value="", apply_default_css=False, **options)


def drop(label: str, **options: Any) -> Any:
    """A place for files."""
    return gradio().File(label=label, height=DROP_HEIGHT, **options)


def weight(label: str, *, value: float = 1.0) -> Any:
    """How much something counts; below 0 it is taken away."""
    return gradio().Slider(-1.0, 1.0, value=value, step=0.05, label=label)


def recorders() -> list[Any]:
    """A microphone, and a camera for pictures and for videos."""
    gr = gradio()
    # A mirrored video, or one without its sound, would be encoded anew, by a program that may not be there.
    plain = gr.WebcamOptions(mirror=False)
    camera: dict[str, Any] = {"sources": ["webcam"], "webcam_options": plain, "height": CAMERA_HEIGHT}
    return [
        gr.Audio(label="Microphone", sources=["microphone"], type="filepath"),
        gr.Image(label="Camera, a picture", type="filepath", image_mode=None, **camera),
        gr.Video(label="Camera, a video", include_audio=True, **camera),
    ]


def kind_choice() -> Any:
    """What an upload is taken for, where that can be several things."""
    return gradio().Dropdown(label="What it is", choices=[], visible=False, interactive=True)


def kinds_of(part: Part) -> Update:
    """The choices for an upload."""
    return gradio().update(
        choices=[(KIND_NAMES[kind], kind.value) for kind in part.vectors],
        value=None if part.kind is None else part.kind.value,
        label="What it is" if part.kind else "Choose what it is",
        visible=len(part.vectors) > 1,
    )


def head_of(part: Part) -> str:
    """How an upload looks, and its name."""
    return results.part_head(part.name, part.kind, part.picture)


class Slot:
    """A place for one upload in the query: how it looks, what it is taken for, and its weight."""

    def __init__(self) -> None:
        with gradio().Group(visible=False) as self.row:
            self.head = html()
            self.weight = weight("Weight")
            self.kind = kind_choice()
            self.remove = gradio().Button("Remove", size="sm")
        self.widgets = [self.row, self.head, self.weight, self.kind, self.remove]

    def showing(self, part: Part) -> list[Any]:
        """Updates of its widgets for a part."""
        update = gradio().update
        return [
            update(visible=True),
            head_of(part),
            update(value=1.0, label=f"Weight of {part.name}"),
            kinds_of(part),
            update(value=f"Remove {part.name}"),
        ]

    def unchanged(self) -> list[Any]:
        """Updates that change nothing."""
        return [gradio().skip() for _ in self.widgets]
