"""Gradio widgets that the page uses more than once."""

from typing import Any

from imagebind.errors import import_extra
from imagebind.search.app import results
from imagebind.search.app.inputs import Upload
from imagebind.search.html import KIND_NAMES

PRIVATE_EVENT: dict[str, Any] = {"api_visibility": "private"}  # only the page can trigger the event
DROP_HEIGHT, CAMERA_HEIGHT = 140, 240  # pixels

Update = dict[str, Any]


def gradio() -> Any:
    """Import Gradio, which takes seconds.

    Raises:
        MissingExtraError: Gradio is not installed.
    """
    return import_extra("gradio", extra="app", purpose="the web page")


def html(**options: Any) -> Any:
    """Return a widget for HTML."""
    # With no initial value, scripts would not be notified of the first one.
    return gradio().HTML(value="", apply_default_css=False, **options)


def drop(label: str, **options: Any) -> Any:
    """Return a widget for dropping files."""
    return gradio().File(label=label, height=DROP_HEIGHT, **options)


def weight(label: str, *, value: float = 1.0) -> Any:
    """Return a slider for the weight of a term of the query; negative weights subtract."""
    return gradio().Slider(-1.0, 1.0, value=value, step=0.05, label=label)


def recorders() -> list[Any]:
    """Return widgets that record audio, images and videos."""
    gr = gradio()
    # Gradio would re-encode a mirrored video, or one without audio, with ffmpeg, which may not be installed.
    plain = gr.WebcamOptions(mirror=False)
    camera: dict[str, Any] = {"sources": ["webcam"], "webcam_options": plain, "height": CAMERA_HEIGHT}
    return [
        gr.Audio(label="Microphone", sources=["microphone"], type="filepath"),
        gr.Image(label="Camera: image", type="filepath", image_mode=None, **camera),
        gr.Video(label="Camera: video", include_audio=True, **camera),
    ]


def kind_choice() -> Any:
    """Return a choice of an upload's media type, shown if there are several."""
    return gradio().Dropdown(label="Media type", choices=[], visible=False, interactive=True)


def kinds_of(upload: Upload) -> Update:
    """Return the update of the choice for an upload."""
    return gradio().update(
        choices=[(KIND_NAMES[kind], kind.value) for kind in upload.vectors],
        value=None if upload.kind is None else upload.kind.value,
        label="Media type" if upload.kind else "Choose the media type",
        visible=len(upload.vectors) > 1,
    )


def head_of(upload: Upload) -> str:
    """Return the thumbnail and name of an upload as HTML."""
    return results.upload_head(upload.name, upload.kind, upload.thumbnail)


class UploadSlot:
    """The widgets of one upload in the query: its thumbnail, media type and weight."""

    def __init__(self) -> None:
        with gradio().Group(visible=False) as self.row:
            self.head = html()
            self.weight = weight("Weight")
            self.kind = kind_choice()
            self.remove = gradio().Button("Remove", size="sm")
        self.widgets = [self.row, self.head, self.weight, self.kind, self.remove]

    def showing(self, upload: Upload) -> list[Any]:
        """Return the updates of the widgets that show an upload."""
        update = gradio().update
        return [
            update(visible=True),
            head_of(upload),
            update(value=1.0, label=f"Weight of {upload.name}"),
            kinds_of(upload),
            update(value=f"Remove {upload.name}"),
        ]

    def unchanged(self) -> list[Any]:
        """Return updates that change nothing."""
        return [gradio().skip() for _ in self.widgets]
