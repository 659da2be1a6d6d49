"""The routes of all services together, and the document that describes them."""

from litestar.types import ControllerRouterHandler

from leadline_ai.settings import AssessorSettings
from leadline_common.clock import now
from leadline_common.http.api import describe
from leadline_common.http.auth import Tokens
from leadline_common.http.openapi import Document
from leadline_ingest.accounts.routes import account_routes
from leadline_ingest.accounts.service import Accounts
from leadline_ingest.app import build_accounts
from leadline_ingest.inbound.routes import message_routes
from leadline_ingest.prospects.offer_routes import offer_routes
from leadline_ingest.prospects.upload_routes import upload_routes
from leadline_ingest.runs.routes import run_routes
from leadline_results.runs.routes import results_routes
from leadline_results.workflows.routes import workflow_routes
from leadline_standalone.runtime import Runtime, data_dir_or_temporary, embedded

TITLE = "Leadline"


def all_routes(runtime: Runtime, accounts: Accounts, trusted_proxies: int) -> list[ControllerRouterHandler]:
    """Return the routes of all services."""
    return [
        *account_routes(accounts, trusted_proxies),
        *offer_routes(runtime.ingest_store),
        *upload_routes(runtime.ingest_store, now, runtime.ingest_metrics),
        *run_routes(runtime.runs),
        *message_routes(runtime.messages),
        *results_routes(runtime.result_store, now),
        *workflow_routes(runtime.workflow_store, runtime.workflow_retries, lambda: runtime.health.stopping),
    ]


async def whole_document() -> Document:
    """Return the OpenAPI document of all services together."""
    assessor = AssessorSettings.model_construct(ai="offline")
    async with data_dir_or_temporary(None) as folder, embedded(folder, assessor, drain_seconds=1) as runtime:
        accounts = build_accounts(runtime.ingest_store, Tokens([]), token_hours=1)
        return describe(TITLE, all_routes(runtime, accounts, trusted_proxies=0))
