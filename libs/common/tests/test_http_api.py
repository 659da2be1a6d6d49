"""What every service's HTTP side does beside its own routes: problems, aliases, health, metrics, schema."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from typing import Annotated, Any

import httpx
import pytest
import structlog
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.types import ASGIApp

from leadline_common import __version__
from leadline_common.http.api import MAX_BODY, build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.server import serving
from leadline_common.process.service import Health, Service
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.errors import Conflict, FieldError, NotFound, Problem, SettingsError, Unavailable
from leadline_contracts.scoring import OfferSpec
from leadline_testing.tables import every_row

SECRET = "mongodb://admin:hunter2@db"
OPEN_TO_ALL = Authentication(Tokens([]), open_to_all=True)
RAISED = {
    "problem": Problem(409, "No offer", "Call POST /offer first.", errors=[FieldError("id", "unknown")]),
    "early": Problem(404, "Not found", "Not known yet; ask again.", retry_after=1),
    "missing": NotFound("There is no run 'x'."),
    "conflict": Conflict("Nothing failed", "The workflow is completed."),
    "away": Unavailable(SECRET),
    "bug": RuntimeError(SECRET),
    "refused": HTTPException("Not for you", status_code=403),
    "litestar_bug": HTTPException(SECRET, status_code=500),
}


def ready_body(status: str, store: str) -> dict[str, object]:
    """What /health/ready answers, the version of what runs among it."""
    return {"status": status, "version": __version__, "checks": {"store": store}}


@post("/things")
async def make_thing(data: JSONBody[OfferSpec]) -> OfferSpec:
    return data


@get("/things/{number:int}", summary="One thing")
async def show_thing(
    number: FromPath[int], limit: Annotated[int, QueryParameter(ge=1, le=10, description="how many")] = 5
) -> dict[str, int]:
    return {"number": number, "limit": limit}


@get("/needs", summary="A parameter that must be there")
async def needs(wanted: FromQuery[int]) -> dict[str, int]:
    return {"wanted": wanted}


@get("/flags")
async def flags(
    on: FromQuery[bool], share: Annotated[float, QueryParameter(ge=0, le=1)] = 0.0
) -> dict[str, float]:
    return {"on": on, "share": share}


@get("/raise/{name:str}")
async def fail(name: FromPath[str]) -> None:
    raise RAISED[name]


@get("/results/export")
async def export() -> Response[str]:
    return Response("lead_id\n", media_type="text/csv")


@get("/slow")
async def slow() -> Stream:
    async def lines() -> AsyncIterator[str]:
        for number in range(4):
            await asyncio.sleep(0.1)
            yield f"{number}\n"

    return Stream(lines(), media_type="text/plain")


@get("/forever")
async def forever() -> None:
    await asyncio.sleep(3600)


class Store:
    """Something a service stands on, which can be away."""

    away = False

    async def ping(self) -> None:
        if self.away:
            raise Unavailable("the store does not answer")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def health(store: Store) -> Health:
    return Health([Service("things", checks={"store": store.ping})])


@pytest.fixture
def app(health: Health) -> ASGIApp:
    routes = [make_thing, show_thing, needs, flags, fail, export, slow, forever]
    return build_app("Things", routes, health, Metrics(new_registry()), OPEN_TO_ALL)


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check that the response is a complete problem of this status and return it."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["type"] == f"urn:leadline:problem:{body['code']}"
    assert body["code"] == body["title"].lower().replace(" ", "_").replace("-", "_")
    assert body["detail"]
    return body


async def test_a_good_request_is_answered(client: httpx.AsyncClient) -> None:
    """Bodies and parameters reach the route, and a comma-separated string is read as a list."""
    answer = await client.post("/things", json={"name": "x", "value_props": "a, b"})
    assert answer.status_code == 201
    assert answer.json()["value_props"] == ["a", "b"]
    assert (await client.get("/things/7?limit=10")).json() == {"number": 7, "limit": 10}


@pytest.mark.parametrize("path", ["/nothing", "/things/seven", "/api", "/schema/no", "/schema/assets/no.js"])
async def test_an_unknown_path_says_where_to_look(client: httpx.AsyncClient, path: str) -> None:
    """404 names the schema page, which lists what there is."""
    assert "GET /schema" in problem(await client.get(path), 404)["detail"]


@pytest.mark.parametrize("method", ["DELETE", "PUT", "GET", "BREW"])
async def test_a_wrong_method_says_which_there_are(client: httpx.AsyncClient, method: str) -> None:
    """405 names the methods the path takes, in the Allow header and in words."""
    answer = await client.request(method, "/things")
    assert "POST" in answer.headers["allow"]
    assert re.search(rf"{method} .* /things.*POST", problem(answer, 405)["detail"])


async def test_head_and_options_are_answered(client: httpx.AsyncClient) -> None:
    """OPTIONS says what a path takes; HEAD is refused where GET is, without a body."""
    options = await client.options("/things")
    assert (options.status_code, options.content) == (204, b"")
    assert "POST" in options.headers["allow"]
    assert (await client.head("/things/7")).status_code == 200
    head = await client.head("/things")
    assert (head.status_code, head.content) == (405, b"")
    assert head.headers["allow"] == options.headers["allow"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"name": nope}', "malformed"),
        (b'{"name": "x"', "truncated"),
        (b"name=x", "malformed"),
        (b'{"name": "x"}}', "trailing"),
        (b'{"name": "Gr\xfc\xdfe"}', "UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"name": 1e999}', "out of range"),
    ],
)
async def test_a_body_that_is_no_json_says_what_to_send(
    client: httpx.AsyncClient, body: bytes, reason: str
) -> None:
    """400 with where it broke and what would be right."""
    answer = await client.post("/things", content=body, headers={"content-type": "application/json"})
    detail = problem(answer, 400)["detail"]
    assert reason in detail
    assert "Send JSON" in detail


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", "application/json; charset=utf-8", "APPLICATION/JSON;charset=UTF-8"),
        *("application/merge-patch+json", "application/vnd.leadline.offer+json; v=1"),
    ],
)
async def test_json_may_be_called_json_in_more_ways_than_one(client: httpx.AsyncClient, kind: str) -> None:
    """Parameters, case and the names of kinds of JSON make no difference."""
    answer = await client.post("/things", content=b'{"name": "x"}', headers={"content-type": kind})
    assert answer.status_code == 201


@every_row(
    "kind",
    [
        *(None, "", "text/plain", "text/plain; application/json", "text/plain,application/json", "text/json"),
        *("application/x-www-form-urlencoded", "multipart/form-data; boundary=application/json"),
        *("application/jsonp", "application/x+jsonx", "application/", "json", "*/*", "x" * 10_000),
    ],
)
async def test_what_is_not_called_json_is_not_read(client: httpx.AsyncClient, kind: str | None) -> None:
    """415 with the header to send, whether or not it would be JSON: only that a page may not send unasked."""
    headers = {} if kind is None else {"content-type": kind}
    answer = await client.post("/things", content=b'{"name": "x"}', headers=headers)
    detail = problem(answer, 415)["detail"]
    assert "curl -H 'Content-Type: application/json'" in detail
    assert ("without a Content-Type" if not kind else repr(kind.partition(";")[0][:100])) in detail
    assert len(detail) < 300


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "name", "required"),
        ({"name": ""}, "name", "at least 1 character"),
        ({"name": "x", "icp": {"roles": 3}}, "icp.roles", "list"),
        ({"name": "x", "value_props": [3]}, "value_props.0", "string"),
        ({"name": "x", "ideal_use_case": ["SaaS"]}, "ideal_use_case", "did you mean `ideal_use_cases`?"),
        ({"name": "x", "icp": {"Roles": []}}, "icp.Roles", "did you mean `roles`? Known are: industries,"),
        ({"name": "x", "y" * 9_000: 1}, "y" * 100, "Known are: icp, ideal_use_cases, name, value_props"),
        ({"name": "x", "icp": []}, "icp", "must be an object ({...}) with the fields industries, roles"),
        ([1], "body", "must be an object ({...}) with the fields name, value_props"),
        ("x", "body", "must be an object ({...}) with the fields name, value_props"),
    ],
)
async def test_wrong_fields_are_named(
    client: httpx.AsyncClient, body: object, field: str, message: str
) -> None:
    """422 with the dotted path of each wrong field of a body and what it should be."""
    (error,) = problem(await client.post("/things", json=body), 422)["errors"]
    assert error["field"] == field
    assert message in error["message"]


async def test_every_wrong_field_is_named_and_no_value_quoted(client: httpx.AsyncClient) -> None:
    """All faults come at once, and what was sent does not come back."""
    answer = await client.post("/things", json={"name": 3141592, "value_props": [2718281], "icp": 1})
    errors = problem(answer, 422)["errors"]
    assert {error["field"] for error in errors} == {"name", "value_props.0", "icp"}
    assert "3141592" not in answer.text
    assert "2718281" not in answer.text


async def test_a_missing_body_is_named(client: httpx.AsyncClient) -> None:
    """A POST without a body says that the body is missing, in the words for a missing field."""
    assert problem(await client.post("/things"), 422)["errors"] == [
        {"field": "body", "message": "Field required"}
    ]


@pytest.mark.parametrize("limit", ["0", "11", "ten", ""])
async def test_wrong_query_parameters_are_named(client: httpx.AsyncClient, limit: str) -> None:
    """422 with the parameter's name and what it should be."""
    (error,) = problem(await client.get("/things/7", params={"limit": limit}), 422)["errors"]
    assert error == {"field": "limit", "message": "must be a whole number from 1 to 10"}


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        ("/things/7?limits=3", "limits", "is not known; did you mean `limit`? Known are: limit."),
        ("/things/7?number=3", "number", "is not known. Known are: limit."),
        ("/needs?wanted=1&owner=me", "owner", "is not known. Known are: wanted."),
        ("/health?verbose=1", "verbose", "is not known. None is taken here."),
        ("/schema?page=2", "page", "is not known. None is taken here."),
        ("/flags?on=yes", "on", "must be true or false"),
        ("/flags?share=lots", "share", "must be a number from 0 to 1"),
        ("/flags?share=1.5", "share", "must be a number from 0 to 1"),
        ("/flags?share=nan", "share", "must be a number from 0 to 1"),
    ],
)
async def test_a_query_is_checked_on_every_route(
    client: httpx.AsyncClient, path: str, name: str, said: str
) -> None:
    """What a route's signature does not take is refused with a guess, and types are said in words."""
    assert problem(await client.get(path), 422)["errors"] == [{"field": name, "message": said}]


async def test_every_fault_of_a_query_is_named(client: httpx.AsyncClient) -> None:
    """Who writes a query learns all that is wrong with it at once."""
    answer = await client.get("/things/7?limit=0&sort=up&page=2")
    assert [error["field"] for error in problem(answer, 422)["errors"]] == ["limit", "sort", "page"]


async def test_a_query_that_is_right_reaches_the_route(client: httpx.AsyncClient) -> None:
    """Booleans and numbers may be written as people write them; a body's route takes no query."""
    answer = await client.get("/flags?on=TRUE&share=0.5")
    assert answer.json() == {"on": True, "share": 0.5}
    assert (
        problem(await client.post("/things?name=x", json={"name": "x"}), 422)["errors"][0]["field"] == "name"
    )


async def test_a_missing_query_parameter_is_named(client: httpx.AsyncClient) -> None:
    """A parameter that must be there is named where it is not."""
    assert "wanted" in str(problem(await client.get("/needs"), 422))


async def test_a_large_body_is_refused_with_the_limit(client: httpx.AsyncClient) -> None:
    """413 says how much would be taken, for announced and for streamed bodies."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 100_000 + 1):
            yield b"x" * 100_000

    for content in (b"x" * (MAX_BODY + 1), pieces()):
        assert str(MAX_BODY) in problem(await client.post("/things", content=content), 413)["detail"]


async def test_a_problem_keeps_all_it_says(client: httpx.AsyncClient) -> None:
    """What a route raises as a problem, or as an error with a status of its own, arrives whole."""
    told = problem(await client.get("/raise/problem"), 409)
    assert re.fullmatch("[0-9a-f]{32}", told.pop("trace_id"))
    assert told == {
        "type": "urn:leadline:problem:no_offer",
        "title": "No offer",
        "status": 409,
        "code": "no_offer",
        "detail": "Call POST /offer first.",
        "errors": [{"field": "id", "message": "unknown"}],
    }
    assert problem(await client.get("/raise/missing"), 404)["detail"] == "There is no run 'x'."
    conflict = problem(await client.get("/raise/conflict"), 409)
    assert (conflict["title"], conflict["detail"]) == ("Nothing failed", "The workflow is completed.")
    early = await client.get("/raise/early")
    assert (problem(early, 404)["detail"], early.headers["retry-after"]) == ("Not known yet; ask again.", "1")


async def test_an_outage_asks_to_come_again(client: httpx.AsyncClient, logs: list[Any]) -> None:
    """503 with Retry-After; the reason is in the log and not in the answer."""
    answer = await client.get("/raise/away")
    problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert SECRET not in answer.text
    [entry] = [entry for entry in logs if entry["event"] == "dependency_unavailable"]
    assert entry["error"] == SECRET


@pytest.mark.parametrize("name", ["bug", "litestar_bug"])
async def test_a_bug_shows_nothing_of_itself(client: httpx.AsyncClient, logs: list[Any], name: str) -> None:
    """500 without trace or error text; the log has both, under the route's template."""
    answer = await client.get(f"/raise/{name}")
    problem(answer, 500)
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    [entry] = [entry for entry in logs if entry["event"] == "request_failed"]
    assert entry["route"] == "/raise/{name}"
    assert entry["exc_info"] is RAISED[name]


async def test_the_frameworks_own_refusals_are_problems(client: httpx.AsyncClient) -> None:
    """An HTTP error that Litestar or a plugin raises takes the same form."""
    assert problem(await client.get("/raise/refused"), 403)["title"] == "Request refused"


@pytest.mark.parametrize("path", ["/things/7/", "/api/things/7", "/api/things/7/", "/api//things/7"])
async def test_api_paths_and_trailing_slashes_are_aliases(client: httpx.AsyncClient, path: str) -> None:
    """The paths of one family of clients reach the same routes, query included."""
    assert (await client.get(path, params={"limit": 3})).json() == {"number": 7, "limit": 3}


@pytest.mark.parametrize("path", ["/api/export", "/api/export/", "/api/results/export/"])
async def test_the_export_has_an_alias_of_its_own(client: httpx.AsyncClient, path: str) -> None:
    """/api/export/ is what those clients call /results/export."""
    answer = await client.get(path)
    assert (answer.status_code, answer.text) == (200, "lead_id\n")


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_readiness_follows_what_the_service_stands_on(
    client: httpx.AsyncClient, store: Store, health: Health, path: str
) -> None:
    """Ready while each check answers; unready with the reason while one does not, and while stopping."""
    assert (await client.get(path)).json() == {
        "status": "ok",
        "version": __version__,
        "checks": {"store": "ok"},
    }
    store.away = True
    answer = await client.get(path)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unready",
        "version": __version__,
        "checks": {"store": "the store does not answer"},
    }
    store.away, health.stopping = False, True
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["checks"]) == (503, {"process": "is stopping"})


async def test_liveness_follows_the_loops(client: httpx.AsyncClient, store: Store, health: Health) -> None:
    """A process is alive while its dependencies are away, and not once a background loop has ended."""
    store.away = True
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    health.watch([asyncio.create_task(asyncio.sleep(0))])
    await health.until_ending()
    answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()) == (503, {"status": "stalled"})


async def test_metrics_count_requests_by_template(client: httpx.AsyncClient) -> None:
    """Requests are counted by method, route template and status; nothing a client makes up is a label."""
    for path in ("/things/7", "/things/8", "/api/things/9", "/raise/bug", "/nothing/31415"):
        await client.get(path)
    await client.request("BREW", "/things/7")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    counts = dict(re.findall(r"leadline_http_request_duration_seconds_count\{(.*)\} (\S+)", answer.text))
    assert counts == {
        'method="GET",route="/things/{number}",status="200"': "3.0",
        'method="GET",route="/raise/{name}",status="500"': "1.0",
        'method="GET",route="unknown",status="404"': "1.0",
        'method="other",route="unknown",status="405"': "1.0",
    }


class Links(HTMLParser):
    """Collects every address a page loads something from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"src", "href"} and value]


async def test_the_schema_page_needs_no_internet(client: httpx.AsyncClient) -> None:
    """The page loads scripts, styles and icon from this service alone, and they are there."""
    page = await client.get("/schema")
    assert page.status_code == 200
    assert not re.findall(r"https?://", page.text)
    links = Links()
    links.feed(page.text)
    assert len(links.found) == 4
    for link in links.found:
        asset = await client.get(link)
        assert (link, asset.status_code) == (link, 200)
        if link.endswith(".css"):
            assert not re.findall(r"@import|url\(['\"]?(?!['\"]?data:)", asset.text)


async def test_the_schema_describes_routes_and_problems(client: httpx.AsyncClient) -> None:
    """The OpenAPI document is complete in itself and says that errors are problem details."""
    answer = await client.get("/schema/openapi.json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert {"/things", "/things/{number}", "/health/ready", "/metrics"} <= document["paths"].keys()
    references = re.findall(r'"\$ref":\s*"#/components/schemas/([^"]+)"', answer.text)
    assert set(references) <= document["components"]["schemas"].keys()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
        assert "400" not in operation["responses"]
    (number, limit) = document["paths"]["/things/{number}"]["get"]["parameters"]
    assert (number["in"], number["required"], limit["in"], limit["required"]) == (
        "path",
        True,
        "query",
        False,
    )


async def test_open_requests_finish_when_the_server_stops(app: ASGIApp) -> None:
    """A response under way arrives whole though serving ends; new connections are refused."""
    async with httpx.AsyncClient() as client:
        async with serving(app, "127.0.0.1", 0, 10) as address:
            request = asyncio.create_task(client.get(f"{address}/slow"))
            await asyncio.sleep(0.15)
        assert (await request).text == "0\n1\n2\n3\n"
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{address}/slow")


async def test_a_request_without_end_does_not_keep_the_server(app: ASGIApp) -> None:
    """What is still open after the drain time is cut off."""
    async with httpx.AsyncClient() as client, asyncio.timeout(60):
        async with serving(app, "127.0.0.1", 0, 1) as address:
            request = asyncio.create_task(client.get(f"{address}/forever"))
            await asyncio.sleep(0.1)
        assert (await request).status_code == 500


async def test_an_idle_connection_does_not_keep_the_server(app: ASGIApp) -> None:
    """A client that keeps its connection open and sends nothing does not delay the stop."""
    async with httpx.AsyncClient() as client:
        async with serving(app, "127.0.0.1", 0, 30) as address:
            assert (await client.get(f"{address}/health")).status_code == 200
            stopping = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - stopping < 20


async def test_a_taken_port_is_a_settings_error(app: ASGIApp) -> None:
    """The one line says which address it is and what to do."""
    async with serving(app, "127.0.0.1", 0, 1) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{port}: .*in use; choose another port"):
            async with serving(app, "127.0.0.1", port, 1):
                pass


async def test_the_server_listens_on_ipv6(app: ASGIApp) -> None:
    """The other loopback address works as well, and is shown so that it can be called."""
    async with serving(app, "::1", 0, 1) as address, httpx.AsyncClient() as client:
        assert (await client.get(f"{address}/health/live")).status_code == 200


async def test_a_client_that_goes_away_is_no_fault_of_ours(app: ASGIApp, logs: list[Any]) -> None:
    """A body that breaks off is counted as the client's error and logs no failure."""
    async with serving(app, "127.0.0.1", 0, 5) as address, httpx.AsyncClient() as client:
        host, port = address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n" + b'{"name":')
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.1)
        metrics = (await client.get(f"{address}/metrics")).text
    assert (
        'leadline_http_request_duration_seconds_count{method="POST",route="/things",status="400"} 1.0'
        in metrics
    )
    assert [(entry["event"], entry.get("status")) for entry in logs] == [("serving", None), ("request", 400)]


async def test_a_problem_is_in_utf8(client: httpx.AsyncClient) -> None:
    """What a problem quotes of the request comes back as it was sent."""
    answer = await client.get("/nothing/größe")
    assert "größe" in json.loads(answer.content.decode("utf-8"))["detail"]
