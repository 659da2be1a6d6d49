"""Reading results and runs over HTTP."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import Parameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from leadline_common.errors import NotFound, Problem
from leadline_common.ids import age_of
from leadline_common.messages import Intent
from leadline_results.cursor import read_cursor, write_cursor
from leadline_results.export import ExportFormat, export
from leadline_results.record import Record, Status
from leadline_results.store import Position, Query, ResultStore, Run
from leadline_results.views import ResultView, RunView, result_view, run_view

_POLL_SECONDS = 0.05
_YOUNG_SECONDS = 60.0
_PATIENCE_SECONDS = 2.0
"""How long a run younger than a minute is waited for, since its first message may still be on its way."""

OfferId = Annotated[str | None, Parameter(description="only results for this offer")]
RunId = Annotated[str | None, Parameter(description="the results of this run instead of the newest ones")]
UploadId = Annotated[str | None, Parameter(description="only prospects of this upload")]
OfIntent = Annotated[Intent | None, Parameter(description="only High, Medium or Low")]
MinScore = Annotated[int | None, Parameter(ge=0, le=100, description="only this score or more")]
OfStatus = Annotated[Status | None, Parameter(description="scored, partial, failed, or pending")]


def results_routes(store: ResultStore, clock: Callable[[], datetime]) -> list[ControllerRouterHandler]:
    """Return the routes that read from the store."""

    @get("/results", summary="Ranked results", tags=["results"], dependencies={"query": Provide(_query)})
    async def list_results(
        *,
        request: Request[Any, Any, Any],
        query: NamedDependency[Query],
        limit: Annotated[int, Parameter(ge=1, le=1000, description="results on a page")] = 100,
        cursor: Annotated[str | None, Parameter(description="from the Link header")] = None,
    ) -> Response[list[ResultView]]:
        """Newest result of each prospect per offer, best first; the next page is in the Link header."""
        after = read_cursor(cursor) if cursor else None
        records, total = await asyncio.gather(store.page(query, after, limit + 1), store.count(query))
        headers = {"X-Total-Count": str(total)}
        if len(records) > limit:
            headers["Link"] = _next_link(request, records[limit - 1])
        return Response([result_view(record) for record in records[:limit]], headers=headers)

    @get(
        "/results/export",
        summary="Results as a file",
        tags=["results"],
        dependencies={"query": Provide(_query)},
    )
    async def export_results(
        *,
        request: Request[Any, Any, Any],
        query: NamedDependency[Query],
        kind: Annotated[
            ExportFormat | None, Parameter(query="format", description="csv, ndjson or json")
        ] = None,
    ) -> Stream:
        """All results the filters leave, best first; the format also by the Accept header, else CSV."""
        kind = kind or _accepted_format(request)
        return Stream(
            export(store.stream(query), kind),
            media_type=kind.media_type,
            headers={"Content-Disposition": f'attachment; filename="results.{kind.value}"'},
        )

    @get("/runs/{run_id:str}", summary="How far a run is", tags=["runs"])
    async def show_run(
        *,
        owner: NamedDependency[str],
        run_id: str,
        wait: Annotated[float, Parameter(ge=0, le=60, description="seconds to wait for its end")] = 0.0,
    ) -> RunView:
        """A run's counts; with `wait` the answer comes when the run ends, at the latest after that time."""
        run = await _await_run(store, owner, run_id, wait)
        return run_view(run, clock())

    return [list_results, export_results, show_run]


async def _query(
    *,
    owner: NamedDependency[str],
    offer_id: OfferId = None,
    run_id: RunId = None,
    upload_id: UploadId = None,
    intent: OfIntent = None,
    min_score: MinScore = None,
    status: OfStatus = None,
) -> Query:
    return Query(
        owner=owner,
        offer_id=offer_id,
        run_id=run_id,
        upload_id=upload_id,
        intent=intent,
        min_score=min_score,
        status=status,
    )


async def _await_run(store: ResultStore, owner: str, run_id: str, wait: float) -> Run:
    started = time.monotonic()
    patience = _PATIENCE_SECONDS if 0 <= age_of(run_id, time.time()) < _YOUNG_SECONDS else 0.0
    while True:
        waited = time.monotonic() - started
        run = await store.run(run_id)
        if run is not None and run.owner != owner:
            run = None
        if run is not None and (run.finished_at is not None or waited >= wait):
            return run
        if run is None and waited >= patience:
            if patience:
                raise Problem(404, "Not found", f"Run {run_id} is not known yet; ask again.", retry_after=1)
            raise NotFound(
                f"There is no run {run_id[:64]!r}; POST /score answers the id of each run it starts."
            )
        await asyncio.sleep(_POLL_SECONDS)


def _next_link(request: Request[Any, Any, Any], last: Record) -> str:
    position = Position(-1 if last.score is None else last.score, last.lead_id, last.run_id)
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    query = urlencode([*kept, ("cursor", write_cursor(position))])
    return f'<{request.url.path}?{query}>; rel="next"'


def _accepted_format(request: Request[Any, Any, Any]) -> ExportFormat:
    offered = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/json": "json"}
    best = request.accept.best_match(list(offered), default=None)
    if best is None:
        raise Problem(
            406, "Not acceptable", "Exports are text/csv, application/x-ndjson or application/json."
        )
    return ExportFormat(offered[best])
