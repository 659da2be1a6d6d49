"""The routes of workflows: list, show, watch, and retry failed ones."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, get_args

import structlog
from litestar import Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage
from litestar.types import ControllerRouterHandler

from leadline_common.http.pagination import bad_cursor, next_link
from leadline_common.ids import is_id
from leadline_contracts.errors import Unavailable
from leadline_contracts.inbound import Category, Priority, RouteQueue
from leadline_results.web.polling import poll
from leadline_results.workflows.change_stream import stream_changes
from leadline_results.workflows.machine import Workflow, WorkflowStatus
from leadline_results.workflows.retry import WorkflowRetry
from leadline_results.workflows.store import WorkflowQuery, WorkflowStore
from leadline_results.workflows.views import (
    WorkflowSummary,
    WorkflowView,
    workflow_progress,
    workflow_summary,
    workflow_view,
)

log = structlog.get_logger()

# Texts, of which the choices are checked, whatever their case, before a route is called.
OfStatus = Annotated[
    str | None, QueryParameter(description="only this status", schema_extra={"enum": list(WorkflowStatus)})
]
OfCategory = Annotated[
    str | None,
    QueryParameter(description="only this category", schema_extra={"enum": list(get_args(Category))}),
]
OfQueue = Annotated[
    str | None,
    QueryParameter(description="only this queue", schema_extra={"enum": list(get_args(RouteQueue))}),
]
OfPriority = Annotated[
    str | None,
    QueryParameter(description="only this priority", schema_extra={"enum": list(get_args(Priority))}),
]
Since = Annotated[
    str | None,
    QueryParameter(description="only what was received then or later", schema_extra={"format": "date-time"}),
]


def workflow_routes(
    store: WorkflowStore, retries: WorkflowRetry, stopping: Callable[[], bool]
) -> list[ControllerRouterHandler]:
    """Return the routes over the store; streams end soon after `stopping` says so."""

    @get(
        "/leads", summary="Messages' workflows", tags=["messages"], dependencies={"wanted": Provide(_wanted)}
    )
    async def list_workflows(
        *,
        request: Request[Any, Any, Any],
        wanted: NamedDependency[WorkflowQuery],
        limit: Annotated[int, QueryParameter(ge=1, le=500, description="workflows on a page")] = 100,
        cursor: Annotated[str | None, QueryParameter(description="from the Link header")] = None,
    ) -> Response[list[WorkflowSummary]]:
        """The newest first; the next page is in the Link header."""
        if cursor is not None and not is_id(cursor):
            raise bad_cursor()
        found, total = await asyncio.gather(store.page(wanted, cursor, limit + 1), store.count(wanted))
        headers = {"X-Total-Count": str(total)}
        if len(found) > limit:
            query = request.query_params.multi_items()
            headers["Link"] = next_link(request.url.path, query, found[limit - 1].workflow_id)
        return Response([workflow_summary(workflow) for workflow in found[:limit]], headers=headers)

    @get("/leads/{workflow_id:str}", summary="One message's workflow", tags=["messages"])
    async def show_workflow(*, owner: NamedDependency[str], workflow_id: FromPath[str]) -> WorkflowView:
        """All of it: what was sent in, and each step's state, timings, output or error."""
        return workflow_view(await _known(store, owner, workflow_id))

    @get(
        "/leads/{workflow_id:str}/events",
        summary="Watch a workflow",
        tags=["messages"],
        media_type="text/event-stream",
    )
    async def watch_workflow(
        *, request: Request[Any, Any, Any], owner: NamedDependency[str], workflow_id: FromPath[str]
    ) -> Response[Any]:
        """Server-sent events `workflow`, one for each change, until it is completed or failed.

        Data is the workflow without `input` and `history`. A client that comes back with Last-Event-ID gets
        what is newer; where the end was seen the answer is 204, on which browsers stop to ask.
        """
        workflow = await _known(store, owner, workflow_id)
        seen = _seen(request)
        if workflow.ended and workflow.revision <= seen:
            return Response(None, status_code=204)
        return ServerSentEvent(_events(stream_changes(store, workflow, seen, stopping)))

    @post(
        "/leads/{workflow_id:str}/retry",
        summary="Try a failed workflow again",
        tags=["messages"],
        status_code=202,
    )
    async def retry_workflow(*, owner: NamedDependency[str], workflow_id: FromPath[str]) -> WorkflowView:
        """Starts again from the failed step and keeps what was done; 409 where nothing failed."""
        return workflow_view(await retries.retry(await _known(store, owner, workflow_id)))

    return [list_workflows, show_workflow, watch_workflow, retry_workflow]


async def _wanted(
    *,
    owner: NamedDependency[str],
    status: OfStatus = None,
    category: OfCategory = None,
    queue: OfQueue = None,
    priority: OfPriority = None,
    since: Since = None,
) -> WorkflowQuery:
    return WorkflowQuery.model_validate(
        {
            "owner": owner,
            "status": status,
            "category": category,
            "queue": queue,
            "priority": priority,
            "since": since,
        }
    )


async def _known(store: WorkflowStore, owner: str, workflow_id: str) -> Workflow:
    async def find() -> Workflow | None:
        found = (await store.load([workflow_id])).get(workflow_id)
        return found if found and found.owner == owner else None

    return await poll(find, "workflow", workflow_id, "POST /leads answers the id of each")


def _seen(request: Request[Any, Any, Any]) -> int:
    """Return the revision that the client has, 0 where it has none or names none of ours."""
    last = request.headers.get("last-event-id", "")
    return int(last) if last.isascii() and last.isdigit() else 0


async def _events(changes: AsyncIterator[Workflow | None]) -> AsyncIterator[ServerSentEventMessage]:
    try:
        async for workflow in changes:
            if workflow is None:
                yield ServerSentEventMessage(data=None, comment="still there")
            else:
                data = workflow_progress(workflow).model_dump_json()
                yield ServerSentEventMessage(data=data, event="workflow", id=workflow.revision)
    except Unavailable as error:  # the response has begun: its client reconnects and gets the error then
        log.warning("watching_ended", error=str(error))
