"""Reading results and runs over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Any, TypeVar, get_args

from litestar import Request, Response, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from leadline_common.clock import Clock
from leadline_common.http.pagination import bad_cursor, next_link
from leadline_common.ids import is_id
from leadline_contracts.errors import NotFound, Problem
from leadline_contracts.scoring import Intent
from leadline_results.runs.export import ExportColumns, ExportFormat, export
from leadline_results.runs.history import ProspectView, prospect_view
from leadline_results.runs.pagination import read_page, read_position, write_position
from leadline_results.runs.record import Status
from leadline_results.runs.spend import RunSpend
from leadline_results.runs.store import Query, ResultStore, Run, RunQuery, RunStatus, position_of
from leadline_results.runs.views import ResultView, RunView, result_view, run_view
from leadline_results.web.polling import poll

Choice = TypeVar("Choice", bound=StrEnum)

OfferId = Annotated[str | None, QueryParameter(min_length=1, description="only results for this offer")]
RunId = Annotated[
    str | None, QueryParameter(min_length=1, description="the results of this run instead of the newest ones")
]
UploadId = Annotated[str | None, QueryParameter(min_length=1, description="only prospects of this upload")]
# Texts, of which the choices are checked, whatever their case, before a route is called.
OfIntent = Annotated[
    str | None, QueryParameter(description="only this intent", schema_extra={"enum": list(get_args(Intent))})
]
MinScore = Annotated[int | None, QueryParameter(ge=0, le=100, description="only this score or more")]
OfStatus = Annotated[
    str | None, QueryParameter(description="only this status", schema_extra={"enum": list(Status)})
]
OfRunStatus = Annotated[
    str | None,
    QueryParameter(description="only this status", schema_extra={"enum": list(get_args(RunStatus))}),
]
RunOfferId = Annotated[str | None, QueryParameter(min_length=1, description="only runs for this offer")]
Format = Annotated[
    str | None,
    QueryParameter(name="format", description="kind of file", schema_extra={"enum": list(ExportFormat)}),
]
Columns = Annotated[
    str | None,
    QueryParameter(
        name="columns",
        description="of CSV: the file's own and then Leadline's (own, the default), or Leadline's alone",
        schema_extra={"enum": list(ExportColumns)},
    ),
]
Bom = Annotated[bool, QueryParameter(description="begin CSV with a byte order mark, as Excel needs it")]

_PAGES_AT_ONCE = 4
_BYTE_ORDER_MARK = "\ufeff"


def results_routes(store: ResultStore, clock: Clock) -> list[ControllerRouterHandler]:
    """Return the routes that read from the store."""
    pages_at_once = asyncio.Semaphore(_PAGES_AT_ONCE)

    @get("/results", summary="Ranked results", tags=["results"], dependencies={"wanted": Provide(_wanted)})
    async def list_results(
        *,
        request: Request[Any, Any, Any],
        wanted: NamedDependency[Query],
        limit: Annotated[int, QueryParameter(ge=1, le=1000, description="results on a page")] = 100,
        cursor: Annotated[str | None, QueryParameter(description="from the Link header")] = None,
    ) -> Response[list[ResultView]]:
        """Newest result of each prospect per offer, best first; the next page is in the Link header.

        A page of very long texts ends early.
        """
        after = None if cursor is None else read_position(cursor)
        async with pages_at_once:
            (records, more), total = await asyncio.gather(
                read_page(store, wanted, after, limit), store.count(wanted)
            )
            headers = {"X-Total-Count": str(total)}
            if more:
                query = request.query_params.multi_items()
                headers["Link"] = next_link(request.url.path, query, write_position(position_of(records[-1])))
            return Response([result_view(record) for record in records], headers=headers)

    @get(
        "/results/export",
        summary="Results as a file",
        tags=["results"],
        dependencies={"wanted": Provide(_wanted)},
    )
    async def export_results(
        *,
        request: Request[Any, Any, Any],
        wanted: NamedDependency[Query],
        named: Format = None,
        columns: Columns = None,
        bom: Bom = False,
    ) -> Stream:
        """All results the filters leave, best first; the format also by the Accept header, else CSV.

        CSV has the columns of the file that was uploaded, as they were, and beside them Leadline's.
        """
        kind = _accepted_format(request) if named is None else ExportFormat(named)
        chosen = ExportColumns.OWN if columns is None else ExportColumns(columns)
        pieces = export(store, wanted, kind, chosen)
        first = await anext(pieces, "")  # before the status is sent, so that an outage can still be told
        if bom and kind is ExportFormat.CSV:
            first = _BYTE_ORDER_MARK + first
        return Stream(
            _resumed(first, pieces),
            media_type=kind.media_type,
            headers={"Content-Disposition": f'attachment; filename="results.{kind.value}"'},
        )

    @get("/results/{lead_id:str}", summary="One prospect's result and history", tags=["results"])
    async def show_prospect(*, owner: NamedDependency[str], lead_id: FromPath[str]) -> ProspectView:
        """Its newest result, and all scorings of it, each with what changed against the one before."""
        async with pages_at_once:
            found = await prospect_view(store.scorings(owner, lead_id))
        if found is None:
            raise NotFound(
                f"There is no result of a prospect {lead_id[:64]!r}; GET /results lists each one's lead_id."
            )
        return found

    return [list_results, export_results, show_prospect, *_run_routes(store, clock)]


def _run_routes(store: ResultStore, clock: Clock) -> list[ControllerRouterHandler]:
    @get("/runs", summary="Runs", tags=["runs"], dependencies={"wanted": Provide(_wanted_runs)})
    async def list_runs(
        *,
        request: Request[Any, Any, Any],
        wanted: NamedDependency[RunQuery],
        limit: Annotated[int, QueryParameter(ge=1, le=500, description="runs on a page")] = 100,
        cursor: Annotated[str | None, QueryParameter(description="from the Link header")] = None,
    ) -> Response[list[RunView]]:
        """The newest first; the next page is in the Link header."""
        if cursor is not None and not is_id(cursor):
            raise bad_cursor()
        found, total = await asyncio.gather(store.runs(wanted, cursor, limit + 1), store.count_runs(wanted))
        shown = found[:limit]
        headers = {"X-Total-Count": str(total)}
        if len(found) > limit:
            query = request.query_params.multi_items()
            headers["Link"] = next_link(request.url.path, query, shown[-1].run_id)
        spent: dict[str, list[RunSpend]] = {run.run_id: [] for run in shown}
        for spend in await store.spend(*spent):
            spent[spend.run_id].append(spend)
        return Response([run_view(run, spent[run.run_id], clock()) for run in shown], headers=headers)

    @get("/runs/{run_id:str}", summary="How far a run is", tags=["runs"])
    async def show_run(
        *,
        owner: NamedDependency[str],
        run_id: FromPath[str],
        wait: Annotated[float, QueryParameter(ge=0, le=60, description="seconds to wait for its end")] = 0.0,
    ) -> RunView:
        """A run's counts and AI costs; with `wait`, when the run ends, at the latest after that time."""
        run = await _await_run(store, owner, run_id, wait)
        return run_view(run, await store.spend(run_id), clock())

    return [list_runs, show_run]


async def _wanted(
    *,
    owner: NamedDependency[str],
    offer_id: OfferId = None,
    run_id: RunId = None,
    upload_id: UploadId = None,
    intent: OfIntent = None,
    min_score: MinScore = None,
    status: OfStatus = None,
) -> Query:
    return Query.model_validate(
        {
            "owner": owner,
            "offer_id": offer_id,
            "run_id": run_id,
            "upload_id": upload_id,
            "intent": intent,
            "min_score": min_score,
            "status": status,
        }
    )


async def _wanted_runs(
    *, owner: NamedDependency[str], status: OfRunStatus = None, offer_id: RunOfferId = None
) -> RunQuery:
    return RunQuery.model_validate({"owner": owner, "status": status, "offer_id": offer_id})


async def _await_run(store: ResultStore, owner: str, run_id: str, wait: float) -> Run:
    async def find() -> Run | None:
        run = await store.run(run_id)
        return run if run and run.owner == owner else None

    return await poll(
        find,
        "run",
        run_id,
        "POST /score answers the id of each run it starts",
        settled=lambda run: run.finished_at is not None,
        wait=wait,
    )


async def _resumed(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for piece in rest:
        yield piece


def _accepted_format(request: Request[Any, Any, Any]) -> ExportFormat:
    offered = {"text/csv": "csv", "application/x-ndjson": "ndjson", "application/json": "json"}
    best = request.accept.best_match(list(offered), default=None)
    if best is None:
        raise Problem(
            406, "Not acceptable", "Exports are text/csv, application/x-ndjson or application/json."
        )
    return ExportFormat(offered[best])
