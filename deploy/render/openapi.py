"""The one OpenAPI document, from the routes of all services."""

import asyncio
import json
from pathlib import Path

from leadline_standalone.all_routes import whole_document

TARGET = Path(__file__).parents[2] / "libs/common/src/leadline_common/http/openapi.json"


def render() -> str:
    """Return the document, which `leadline openapi` prints too."""
    return json.dumps(asyncio.run(whole_document()), indent=2) + "\n"
