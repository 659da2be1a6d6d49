"""The OpenAPI document, and its page. The services behind a gateway show the one of all of them."""

import json
from importlib.resources import files
from typing import Any

from litestar import Request
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, SwaggerRenderPlugin

ASSETS = "/schema/assets"
"""Where the page's own files are served."""
Document = dict[str, Any]


def whole_document() -> Document:
    """Return the document of the whole API, which no service can make alone; `make manifests` writes it."""
    document: Document = json.loads((files("leadline_common") / "http" / "openapi.json").read_bytes())
    return document


def pages(document: Document | None) -> list[OpenAPIRenderPlugin]:
    """Return the pages that show a document, by default that of the application's own routes."""
    return [_Page(document), _Json(document)]


class _Page(SwaggerRenderPlugin):
    def __init__(self, document: Document | None) -> None:
        super().__init__(
            path="/",
            favicon=f'<link rel="icon" type="image/png" href="{ASSETS}/favicon-32x32.png">',
            js_url=f"{ASSETS}/swagger-ui-bundle.js",
            css_url=f"{ASSETS}/swagger-ui.css",
            standalone_preset_js_url=f"{ASSETS}/swagger-ui-standalone-preset.js",
        )
        self._document = document

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        return super().render(request, self._document or openapi_schema)


class _Json(JsonRenderPlugin):
    def __init__(self, document: Document | None) -> None:
        super().__init__()
        self._document = document

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        return super().render(request, self._document or openapi_schema)
