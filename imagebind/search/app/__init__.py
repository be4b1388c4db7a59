"""The web page of an index: search by anything, zero-shot labels, a map. Gradio, the extra `app`.

`server` is the application with its routes, `page` what is seen of it; `inputs` takes uploads in, `results`,
`labels` and `map` are what comes out, as HTML.
"""
