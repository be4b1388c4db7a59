"""Build the page: its Gradio widgets, and their events, which `PageService` answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagebind.modality import MediaKind
from imagebind.search.app import results
from imagebind.search.app.inputs import Upload
from imagebind.search.app.service import MAX_HITS, Filters, PageQuery, PageService
from imagebind.search.app.widgets import (
    PRIVATE_EVENT,
    Update,
    UploadSlot,
    drop,
    gradio,
    head_of,
    html,
    kind_choice,
    kinds_of,
    recorders,
    weight,
)
from imagebind.search.html import CARDS_CSS

APP_FOLDER = Path(__file__).parent
MAX_UPLOADS = 6  # uploads in one query
MAX_CONCURRENT = 4  # searches or uploads; more wait
UPLOAD_SWEEP = (60, 600)  # seconds between sweeps, and age of the abandoned uploads that a sweep deletes
EXAMPLE_LABELS = "dog | puppy\ncat\nrain"


def css() -> str:
    """Return the page's style sheet."""
    return CARDS_CSS.read_text(encoding="utf-8") + (APP_FOLDER / "page.css").read_text(encoding="utf-8")


def theme() -> Any:
    """Return a Gradio theme with system fonts and sufficient contrast."""
    gr = gradio()
    return gr.themes.Base(
        primary_hue=gr.themes.colors.cyan,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        color_accent="#0b5c74",
        button_primary_background_fill="#0b5c74",
        button_primary_background_fill_dark="#0f6d88",
        button_primary_background_fill_hover="#084a5e",
        button_primary_background_fill_hover_dark="#13809f",
        button_primary_text_color="#ffffff",
        slider_color="#0b5c74",
        slider_color_dark="#7cc7de",
        block_info_text_color="#556070",
        block_info_text_color_dark="#a9b4c2",
        input_placeholder_color="#6b7787",
        input_placeholder_color_dark="#93a0b0",
        block_label_text_color="#475569",
        block_label_text_color_dark="#b6c2d0",
        block_title_text_color="#475569",
        block_title_text_color_dark="#b6c2d0",
    )


def build_page(service: PageService) -> Any:
    """Return the page of one index as Gradio Blocks."""
    gr = gradio()
    title = f"{results.short_name(service.index.uri)} · imagebind"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=UPLOAD_SWEEP, fill_width=True) as page:
        head = html(elem_id="head")
        with gr.Tabs() as tabs:
            with gr.Tab("Search", id="search"):
                search = SearchTab(service)
            with gr.Tab("Labels", id="labels"):
                _labels_tab(service)
            with gr.Tab("Map", id="map") as map_tab:
                chart, item = _map_tab(service)
        page.load(lambda: _on_load(service), None, [head, search.kinds, search.hits], **PRIVATE_EVENT)
        map_tab.select(service.map, None, chart, **PRIVATE_EVENT)

        # Gradio recognises the event by its annotation.
        def like(event: gr.EventData, *filters: Any) -> tuple[str, Any]:  # type: ignore[name-defined]
            return service.like(event.id, _filters(*filters)), gr.Tabs(selected="search")

        for cards in (search.hits, item):
            cards.select(like, search.filters, [search.hits, tabs], **PRIVATE_EVENT)
    page.queue(default_concurrency_limit=MAX_CONCURRENT)
    return page


def _on_load(service: PageService) -> tuple[str, Update, str]:
    head, kinds = service.overview()
    choices = [(results.PLURALS[kind], kind.value) for kind in MediaKind if kinds.get(kind)]
    return head, gradio().update(choices=choices, visible=bool(choices)), service.welcome()


class SearchTab:
    """The tab with texts, files and filters on one side, and hits on the other."""

    def __init__(self, service: PageService) -> None:
        gr = gradio()
        self.service = service
        with gr.Row():
            with gr.Column(scale=2, min_width=300, elem_classes="query"):
                with gr.Group():
                    text = gr.Textbox(label="Text", placeholder="a red ball that bounces", max_lines=3)
                    text_weight = weight("Weight of the text")
                files = drop("Files of any media type", file_count="multiple", elem_id="drop")
                self.notices = html(elem_id="said")
                self.uploads = gr.State([None] * MAX_UPLOADS)
                self.slots = [UploadSlot() for _ in range(MAX_UPLOADS)]
                go = gr.Button("Search", variant="primary", elem_id="go")
                with gr.Accordion("Second text", open=False):
                    more = gr.Textbox(label="Second text", placeholder="snow", max_lines=3)
                    more_weight = weight("Weight of the second text; below 0 subtracts", value=-1.0)
                with gr.Accordion("Record", open=False):
                    cameras = recorders()
                with gr.Accordion("Filters", open=False):
                    self.kinds = gr.CheckboxGroup(label="Media types; none selected means all", choices=[])
                    path = gr.Textbox(
                        label="Path",
                        placeholder="holiday/**.jpg",
                        info="One star stays within a folder, two go across folders",
                    )
                    with gr.Row():
                        # Text, since Gradio turns an empty number field into 0.
                        first = gr.Textbox(label="From time", placeholder="any", min_width=100, max_lines=1)
                        last = gr.Textbox(label="To time", placeholder="1:30", min_width=100, max_lines=1)
                    top = gr.Slider(1, MAX_HITS, value=24, step=1, label="Number of results")
            with gr.Column(scale=5, min_width=300):
                self.hits = html(elem_id="hits", js_on_load=_script("cards.js"))
        self.filters = [self.kinds, path, first, last, top]
        upload_inputs = [self.uploads, *(each for slot in self.slots for each in (slot.kind, slot.weight))]
        inputs = [text, text_weight, more, more_weight, *upload_inputs, *self.filters]
        fields = (text, more, path, first, last)
        for event in (go.click, *(each.submit for each in fields)):
            event(self.search, inputs, self.hits, **PRIVATE_EVENT)
        outputs = [self.uploads, self.notices, *(widget for slot in self.slots for widget in slot.widgets)]
        files.upload(self.add, [files, self.uploads], [files, *outputs], **PRIVATE_EVENT)
        for camera in cameras:
            camera.change(self.add, [camera, self.uploads], [camera, *outputs], **PRIVATE_EVENT)
        for number, slot in enumerate(self.slots):
            slot.remove.click(
                lambda uploads, number=number: _without(uploads, number),
                self.uploads,
                [self.uploads, slot.row],
                **PRIVATE_EVENT,
            )

    def search(
        self,
        text: str,
        text_weight: float,
        more: str,
        more_weight: float,
        uploads: list[Upload | None],
        *rest: Any,
    ) -> str:
        """Return the hits for the form's values."""
        chosen, filters = rest[: 2 * MAX_UPLOADS], rest[2 * MAX_UPLOADS :]
        weighted = [
            (upload, None if kind is None else MediaKind(kind), weight)
            for upload, kind, weight in zip(uploads, chosen[::2], chosen[1::2], strict=True)
            if upload is not None
        ]
        query = PageQuery(texts=[(text or "", text_weight), (more or "", more_weight)], uploads=weighted)
        return self.service.search(query, _filters(*filters))

    def add(self, paths: str | list[str] | None, uploads: list[Upload | None]) -> list[Any]:
        """Embed uploads into free slots, and clear their widget."""
        if not paths:  # a cleared recorder
            return [gradio().skip() for _ in range(3 + sum(len(slot.widgets) for slot in self.slots))]
        free = [number for number, upload in enumerate(uploads) if upload is None]
        new, notices = self.service.take([paths] if isinstance(paths, str) else paths, room=len(free))
        placed = dict(zip(free, new, strict=False))
        updates = [
            update
            for number, slot in enumerate(self.slots)
            for update in (slot.showing(placed[number]) if number in placed else slot.unchanged())
        ]
        filled = [placed.get(number, upload) for number, upload in enumerate(uploads)]
        return [None, filled, notices, *updates]


def _without(uploads: list[Upload | None], number: int) -> tuple[list[Upload | None], Update]:
    remaining = [None if other == number else upload for other, upload in enumerate(uploads)]
    return remaining, gradio().update(visible=False)


def _filters(kinds: Sequence[str], path: str, first: str, last: str, top: float) -> Filters:
    return Filters(kinds=kinds or (), path=path or "", first=first or "", last=last or "", top=int(top))


def _labels_tab(service: PageService) -> None:
    gr = gradio()
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            file = drop("A file of any media type", elem_id="label-drop")
            head = html()
            kind = kind_choice()
            labels = gr.Textbox(
                label="Labels, one per line",
                info="Further names of a label after |",
                lines=6,
                placeholder=EXAMPLE_LABELS,
            )
            go = gr.Button("Label", variant="primary", elem_id="label-go")
        with gr.Column(scale=5, min_width=300):
            table = html(elem_id="label-bars", js_on_load=_script("cards.js"))
    current = gr.State(None)

    def take(path: str) -> tuple[Any, ...]:
        uploads, problem = service.take([path], room=1)
        if not uploads:
            return None, None, problem, gr.update(visible=False)
        return None, uploads[0], head_of(uploads[0]), kinds_of(uploads[0])

    def label(upload: Upload | None, kind: str | None, lines: str) -> str:
        return service.label(upload, MediaKind(kind) if kind else None, lines or "")

    file.upload(take, file, [file, current, head, kind], **PRIVATE_EVENT)
    go.click(label, [current, kind, labels], table, **PRIVATE_EVENT)


def _map_tab(service: PageService) -> tuple[Any, Any]:
    gr = gradio()
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            chart = html(elem_id="map", js_on_load=_script("map.js"))
        with gr.Column(scale=2, min_width=240):
            item = html(elem_id="item", js_on_load=_script("cards.js"))

    def chosen(event: gr.EventData) -> str:  # type: ignore[name-defined]
        return service.item(event.id)

    chart.select(chosen, None, item, **PRIVATE_EVENT)
    return chart, item


def _script(name: str) -> str:
    return (APP_FOLDER / name).read_text(encoding="utf-8")
