"""The page: what there is to see and to fill in, and what asks the desk for an answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagebind.modality import MediaKind
from imagebind.search.app import results
from imagebind.search.app.desk import MAX_HITS, Asked, Desk, Filters
from imagebind.search.app.inputs import Part
from imagebind.search.app.widgets import (
    PRIVATE,
    Slot,
    Update,
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

HERE = Path(__file__).parent
MAX_PARTS = 6  # uploads in one query
AT_ONCE = 4  # searches, or uploads that are embedded; more wait
LEFT_OVERS = (60, 600)  # uploads that nobody took in: looked for each so many seconds, those so many old
EXAMPLE_LABELS = "dog | puppy\ncat\nrain"


def css() -> str:
    """The page's own looks."""
    return CARDS_CSS.read_text(encoding="utf-8") + (HERE / "page.css").read_text(encoding="utf-8")


def theme() -> Any:
    """Looks of Gradio's parts, with fonts that the machine has and enough contrast."""
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


def build_page(desk: Desk) -> Any:
    """The page of one index, as Gradio's Blocks."""
    gr = gradio()
    title = f"{results.short_name(desk.index.uri)} · imagebind"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=LEFT_OVERS, fill_width=True) as page:
        head = html(elem_id="head")
        with gr.Tabs() as tabs:
            with gr.Tab("Search", id="search"):
                search = SearchTab(desk)
            with gr.Tab("Labels", id="labels"):
                _labels_tab(desk)
            with gr.Tab("Map", id="map") as map_tab:
                chart, item = _map_tab(desk)
        page.load(lambda: _opened(desk), None, [head, search.kinds, search.hits], **PRIVATE)
        map_tab.select(desk.map, None, chart, **PRIVATE)

        # Gradio goes by the annotation.
        def like(event: gr.EventData, *filters: Any) -> tuple[str, Any]:  # type: ignore[name-defined]
            return desk.like(event.id, _filters(*filters)), gr.Tabs(selected="search")

        for cards in (search.hits, item):
            cards.select(like, search.filters, [search.hits, tabs], **PRIVATE)
    page.queue(default_concurrency_limit=AT_ONCE)
    return page


def _opened(desk: Desk) -> tuple[str, Update, str]:
    head, kinds = desk.overview()
    choices = [(results.PLURALS[kind], kind.value) for kind in MediaKind if kinds.get(kind)]
    return head, gradio().update(choices=choices, visible=bool(choices)), desk.welcome()


class SearchTab:
    """Words, files and filters on one side, hits on the other."""

    def __init__(self, desk: Desk) -> None:
        gr = gradio()
        self.desk = desk
        with gr.Row():
            with gr.Column(scale=2, min_width=300, elem_classes="query"):
                with gr.Group():
                    words = gr.Textbox(label="Words", placeholder="a red ball that bounces", max_lines=3)
                    words_weight = weight("Weight of the words")
                files = drop("Files of any kind", file_count="multiple", elem_id="drop")
                self.said = html(elem_id="said")
                self.parts = gr.State([None] * MAX_PARTS)
                self.slots = [Slot() for _ in range(MAX_PARTS)]
                go = gr.Button("Search", variant="primary", elem_id="go")
                with gr.Accordion("More words", open=False):
                    more = gr.Textbox(label="More words", placeholder="snow", max_lines=3)
                    more_weight = weight("Weight of more words; below 0 takes away", value=-1.0)
                with gr.Accordion("Record", open=False):
                    cameras = recorders()
                with gr.Accordion("Filters", open=False):
                    self.kinds = gr.CheckboxGroup(label="Kinds; none ticked is all", choices=[])
                    path = gr.Textbox(
                        label="Path",
                        placeholder="holiday/**.jpg",
                        info="One star stays within a folder, two go across folders",
                    )
                    with gr.Row():
                        # Text, since a field for numbers cannot be empty: Gradio makes it 0.
                        first = gr.Textbox(label="From time", placeholder="any", min_width=100, max_lines=1)
                        last = gr.Textbox(label="To time", placeholder="1:30", min_width=100, max_lines=1)
                    top = gr.Slider(1, MAX_HITS, value=24, step=1, label="Number of results")
            with gr.Column(scale=5, min_width=300):
                self.hits = html(elem_id="hits", js_on_load=_script("cards.js"))
        self.filters = [self.kinds, path, first, last, top]
        uploads = [self.parts, *(each for slot in self.slots for each in (slot.kind, slot.weight))]
        asked = [words, words_weight, more, more_weight, *uploads, *self.filters]
        typed = (words, more, path, first, last)
        for event in (go.click, *(each.submit for each in typed)):
            event(self.search, asked, self.hits, **PRIVATE)
        placed = [self.parts, self.said, *(widget for slot in self.slots for widget in slot.widgets)]
        files.upload(self.add, [files, self.parts], [files, *placed], **PRIVATE)
        for camera in cameras:
            camera.change(self.add, [camera, self.parts], [camera, *placed], **PRIVATE)
        for number, slot in enumerate(self.slots):
            slot.remove.click(
                lambda parts, number=number: _without(parts, number),
                self.parts,
                [self.parts, slot.row],
                **PRIVATE,
            )

    def search(
        self,
        words: str,
        words_weight: float,
        more: str,
        more_weight: float,
        parts: list[Part | None],
        *rest: Any,
    ) -> str:
        """Hits for what is filled in."""
        chosen, filters = rest[: 2 * MAX_PARTS], rest[2 * MAX_PARTS :]
        uploads = [
            (part, None if kind is None else MediaKind(kind), weight)
            for part, kind, weight in zip(parts, chosen[::2], chosen[1::2], strict=True)
            if part is not None
        ]
        asked = Asked(words=[(words or "", words_weight), (more or "", more_weight)], parts=uploads)
        return self.desk.search(asked, _filters(*filters))

    def add(self, paths: str | list[str] | None, parts: list[Part | None]) -> list[Any]:
        """Uploads into free slots, and their widget empty again."""
        if not paths:  # a recorder that was emptied
            return [gradio().skip() for _ in range(3 + sum(len(slot.widgets) for slot in self.slots))]
        free = [number for number, part in enumerate(parts) if part is None]
        taken, said = self.desk.take([paths] if isinstance(paths, str) else paths, room=len(free))
        placed = dict(zip(free, taken, strict=False))
        updates = [
            update
            for number, slot in enumerate(self.slots)
            for update in (slot.showing(placed[number]) if number in placed else slot.unchanged())
        ]
        return [None, [placed.get(number, part) for number, part in enumerate(parts)], said, *updates]


def _without(parts: list[Part | None], number: int) -> tuple[list[Part | None], Update]:
    left = [None if place == number else part for place, part in enumerate(parts)]
    return left, gradio().update(visible=False)


def _filters(kinds: Sequence[str], path: str, first: str, last: str, top: float) -> Filters:
    return Filters(kinds=kinds or (), path=path or "", first=first or "", last=last or "", top=int(top))


def _labels_tab(desk: Desk) -> None:
    gr = gradio()
    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            file = drop("A file of any kind", elem_id="label-drop")
            said = html()
            kind = kind_choice()
            labels = gr.Textbox(
                label="Labels, one a line",
                info="Further names of a label after |",
                lines=6,
                placeholder=EXAMPLE_LABELS,
            )
            go = gr.Button("Label", variant="primary", elem_id="label-go")
        with gr.Column(scale=5, min_width=300):
            shown = html(elem_id="label-bars", js_on_load=_script("cards.js"))
    taken = gr.State(None)

    def take(path: str) -> tuple[Any, ...]:
        parts, problem = desk.take([path], room=1)
        if not parts:
            return None, None, problem, gr.update(visible=False)
        return None, parts[0], head_of(parts[0]), kinds_of(parts[0])

    def label(part: Part | None, kind: str | None, lines: str) -> str:
        return desk.label(part, MediaKind(kind) if kind else None, lines or "")

    file.upload(take, file, [file, taken, said, kind], **PRIVATE)
    go.click(label, [taken, kind, labels], shown, **PRIVATE)


def _map_tab(desk: Desk) -> tuple[Any, Any]:
    gr = gradio()
    with gr.Row():
        with gr.Column(scale=5, min_width=300):
            chart = html(elem_id="map", js_on_load=_script("map.js"))
        with gr.Column(scale=2, min_width=240):
            item = html(elem_id="item", js_on_load=_script("cards.js"))

    def chosen(event: gr.EventData) -> str:  # type: ignore[name-defined]
        return desk.item(event.id)

    chart.select(chosen, None, item, **PRIVATE)
    return chart, item


def _script(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
