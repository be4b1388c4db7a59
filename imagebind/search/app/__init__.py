"""The web page of an index: search, zero-shot labels and a map. It uses Gradio, from the extra `app`.

`server` is the application with its routes, `page` the Gradio page and `service` its logic. `inputs` embeds
uploads; `results`, `labels` and `map` render HTML.
"""
