"""The REST entrypoint for inbound messages."""

from typing import Literal

from litestar import Response, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from pydantic import ConfigDict

from leadline_common.http.idempotency import RequestAttempt
from leadline_contracts.envelope import Wire
from leadline_contracts.inbound import MessageSpec
from leadline_ingest.inbound.service import Messages, external_key


class MessageRequest(MessageSpec):
    """An inbound message; a field that is not known is refused, since it may be one that is misspelt."""

    model_config = ConfigDict(extra="forbid")


class MessageTaken(Wire):
    """A message that was taken in; `id` is that of its workflow, of which no step is done yet."""

    id: str
    status: Literal["pending"] = "pending"


def message_routes(messages: Messages) -> list[ControllerRouterHandler]:
    """Return the route that takes messages in."""

    @post(
        "/leads",
        summary="Submit an inbound message",
        tags=["messages"],
        status_code=202,
        response_description="Taken in, and certain to be worked on",
        response_headers=[
            ResponseHeader(
                name="Location",
                description="where to read how far its workflow is",
                value="/leads/{id}",
                documentation_only=True,
            )
        ],
    )
    async def submit_message(
        data: JSONBody[MessageRequest], owner: NamedDependency[str], attempt: NamedDependency[RequestAttempt]
    ) -> Response[MessageTaken]:
        """A text that came in by WhatsApp, web chat or email; it is kept as it came.

        The same `contact_channel` and `external_message_id` again get the same answer, 202 and the first
        message's id, whatever the rest says: a webhook that is delivered twice, or whose sender never saw
        the first answer, needs no case of its own. How far the workflow is by then, GET /leads/{id} tells.
        """
        spec = MessageSpec.model_construct(**vars(data))
        workflow_id = await messages.accept(
            owner, spec, external_key(owner, spec), workflow_id=attempt.object_id
        )
        return Response(
            MessageTaken(id=workflow_id), status_code=202, headers={"Location": f"/leads/{workflow_id}"}
        )

    return [submit_message]
