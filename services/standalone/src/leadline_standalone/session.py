"""One command's use of the services: started for it, told who judges, followed to the end of a run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress
from rich.text import Text

from leadline_ai.app import KEYS
from leadline_ai.providers.probe import Watch
from leadline_ai.settings import AssessorSettings
from leadline_common.ids import new_id
from leadline_common.process.settings import load_settings
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import LOCAL_OWNER, Offer, OfferSpec
from leadline_results.runs.store import Run
from leadline_standalone.runtime import Runtime, data_dir_or_temporary, embedded

_DRAIN_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Session:
    """The running services, and the command's offer, which they keep."""

    runtime: Runtime
    offer: Offer

    async def follow(self, run_id: str, total: int, progress: Progress) -> Run:
        """Show the progress of a run until it is finished, and return it. Raises Unavailable."""
        task = progress.add_task("Scoring", total=total)
        while True:
            if not self.runtime.health.alive():
                raise Unavailable("a part of Leadline has stopped;")
            run = await self.runtime.result_store.run(run_id)
            if run is not None:
                progress.update(task, completed=run.scored + run.failed)
                if run.finished_at is not None:
                    return run
            await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def session(data_dir: Path | None, offer: OfferSpec, progress: Progress) -> AsyncIterator[Session]:
    """Run the services over the data directory, over a temporary one where none is named.

    Where another assessor will answer than one may expect, one line on the progress's console says so and
    what to set. Raises SettingsError.
    """
    assessor = load_settings(AssessorSettings)
    async with (
        data_dir_or_temporary(data_dir) as folder,
        embedded(folder, assessor, _DRAIN_SECONDS) as runtime,
    ):
        said = await _misconfigured(runtime.ai_watch, assessor) if runtime.ai_watch else _no_key(assessor)
        if said:
            progress.console.print(Text(f"leadline: {said}", style="yellow"), soft_wrap=True)
        kept = Offer(id=new_id(), **offer.model_dump())
        await runtime.ingest_store.add_offer(LOCAL_OWNER, kept, inline=True)
        yield Session(runtime, kept)


async def _misconfigured(watch: Watch, assessor: AssessorSettings) -> str | None:
    await watch.look()
    try:
        await watch.ready()
    except Unavailable as error:
        if assessor.ai_on_failure == "fallback":
            return f"{error}; until then the offline assessor answers"
        return f"{error}; until then leads are scored by rules alone, as LEADLINE_AI_ON_FAILURE=fail says"
    return None


def _no_key(assessor: AssessorSettings) -> str | None:
    if assessor.ai == "offline":
        return None
    return f"the offline assessor answers, since none of {', '.join(KEYS.values())} is set"
