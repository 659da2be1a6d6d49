"""The one OpenAPI document of all services."""

import json
import re
from pathlib import Path

import httpx
import pytest
from deploy.render import openapi
from tests.support import Leadline

from leadline_common.http.service_map import ROUTES


def test_the_committed_document_is_that_of_the_code() -> None:
    """A route that changes is in the document of the services after `make manifests`, and not before."""
    assert openapi.TARGET.read_text(encoding="utf-8") == openapi.render()


def test_it_names_every_route_once_and_no_metrics() -> None:
    """Who makes a client from it gets the whole API that a gateway lets through."""
    paths = json.loads(openapi.TARGET.read_text(encoding="utf-8"))["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(ids) == len(set(ids)) >= len(ROUTES)
    assert "/metrics" not in paths


@pytest.mark.parametrize("path", ["/results", "/leads", "/runs/{run_id}"])
def test_the_page_on_the_api_names_the_limits_that_hold(path: str) -> None:
    """Who asks for as much as the page allows is not refused."""
    pages = (Path(__file__).parents[1] / "docs/api.md").read_text(encoding="utf-8").split("\n## ")
    [page] = [page for page in pages if page.startswith(f"GET {path}\n")]
    told = {
        name: int(most.replace(",", ""))
        for name, most in re.findall(r"`(\w+)`.*?(?:\d to|at most) ([\d,]+)", page)
    }
    operation = json.loads(openapi.TARGET.read_text(encoding="utf-8"))["paths"][path]["get"]
    holding = {
        parameter["name"]: schema["maximum"]
        for parameter in operation["parameters"]
        for schema in [parameter["schema"], *parameter["schema"].get("oneOf", ())]
        if "maximum" in schema
    }
    assert holding
    assert {name: told.get(name) for name in holding} == holding


@pytest.mark.servers
def test_each_service_shows_all_of_it(services: Leadline) -> None:
    """Behind a gateway there is one page, whichever service it comes from."""
    whole = json.loads(openapi.TARGET.read_text(encoding="utf-8"))
    asked = [str(services.client.http.base_url), services.addresses["ingest"], services.addresses["results"]]
    for address in asked:
        shown = httpx.get(f"{address}/schema/openapi.json", trust_env=False).raise_for_status().json()
        assert shown == whole
        assert "/results/export" in httpx.get(f"{address}/schema", trust_env=False).raise_for_status().text
