"""The web page of an index: search, zero-shot labels, detection and a map. It needs the extra `app`.

`server` is the application with its routes, `guard` its limits on requests, `media` the files that it serves,
and `service` the page's logic. `inputs` embeds uploads, `labels` classifies them, `detector` finds boxes in
them, `map` draws the map, `results` renders `templates`, and `static` has the scripts and styles of the page.
"""

from imagebind.errors import import_extra

for package in ("fastapi", "jinja2", "uvicorn"):
    import_extra(package, extra="app", purpose="the web page")
