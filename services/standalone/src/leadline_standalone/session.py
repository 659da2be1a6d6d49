"""A command's session: the services are started for it, and its run is followed to the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress
from rich.text import Text

from leadline_ai.app import KEYS
from leadline_ai.providers.probe import ProviderProbe
from leadline_ai.settings import AssessorSettings
from leadline_common.ids import new_id
from leadline_common.process.settings import load_settings
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import Offer, OfferSpec
from leadline_ingest.runs.service import ScoreRequest
from leadline_ingest.runs.store import RunRequest
from leadline_results.runs.store import Run
from leadline_standalone.money import counted, dollars
from leadline_standalone.runtime import Runtime, data_dir_or_temporary, embedded, read_stopped
from leadline_standalone.unfinished import advice, notices, scored_text

_DRAIN_SECONDS = 5.0
"""Seconds for paid answers that are under way when the command is stopped: they arrive and are kept."""
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class Session:
    """The running services; `run_id` is the run that was last followed, `total` how many leads it has."""

    runtime: Runtime
    run_id: str | None = None
    total: int = 0

    async def keep_offer(self, spec: OfferSpec) -> Offer:
        """Store the command's offer and return it. Raises Unavailable."""
        offer = Offer(id=new_id(), **spec.model_dump())
        await self.runtime.ingest_store.add_offer(LOCAL_OWNER, offer, inline=True)
        return offer

    async def start(self, request: ScoreRequest) -> RunRequest:
        """Start a run that belongs to this command. Raises Unavailable."""
        return await self.runtime.runs.start(LOCAL_OWNER, request, foreground=True)

    async def follow(self, run_id: str, total: int, progress: Progress) -> Run:
        """Show the progress of a run until it is finished, then return it. Raises TaskDied, Unavailable."""
        self.run_id, self.total = run_id, total
        task = progress.add_task("Scoring", total=total)
        while True:
            if not self.runtime.health.alive():
                raise self.runtime.health.death or Unavailable("a part of Leadline has stopped working")
            run = await self.runtime.result_store.run(run_id)
            if run is not None:
                progress.update(task, completed=run.scored + run.failed)
                if run.finished_at is not None:
                    return run
            await asyncio.sleep(_POLL_SECONDS)


@asynccontextmanager
async def session(
    data_dir: Path | None, progress: Progress, *, resume: str | None = None
) -> AsyncIterator[Session]:
    """Run the services over the data directory, over a temporary one where none is named.

    Lines on the progress's console say why another assessor than expected will answer and what to set, which
    unfinished runs are left alone, and, when the command is cancelled, what was scored, what it cost and how
    to go on. Raises SettingsError; NotFound where there is no such run to resume.
    """
    assessor = load_settings(AssessorSettings)
    drain_seconds = _DRAIN_SECONDS if data_dir else 0.0  # there is nobody to keep the answers for
    current: Session | None = None
    async with data_dir_or_temporary(data_dir) as folder:
        try:
            async with embedded(folder, assessor, drain_seconds, resume=resume) as runtime:
                said = (
                    await _misconfigured(runtime.ai_probe, assessor)
                    if runtime.ai_probe
                    else _no_key(assessor)
                )
                for line in [*([said] if said else []), *notices(runtime.left_alone, folder)]:
                    _say(progress, line)
                current = Session(runtime)
                try:
                    yield current
                except asyncio.CancelledError:
                    runtime.stop_asking()
                    # At once: what is under way takes some seconds to end, and a second Ctrl-C cuts that off.
                    if current.run_id and data_dir:
                        _say(progress, _stopping(current.run_id, data_dir))
                    raise
        except asyncio.CancelledError:
            if current is not None:
                _say(progress, await _what_became_of(current, folder, data_dir))
            raise


def _stopping(run_id: str, data_dir: Path) -> str:
    return (
        "stopping; nothing more is asked, and answers under way are waited for, "
        f"{_DRAIN_SECONDS:.0f} seconds at most. Run {run_id} is kept in {data_dir}."
    )


async def _what_became_of(current: Session, folder: Path, data_dir: Path | None) -> str:
    """Say how far the run came and what it cost, once everything is stopped and stored."""
    if current.run_id is None:
        return "stopped; no results were written. No run had begun, so nothing was asked or paid for."
    run = await read_stopped(folder, current.run_id)
    cost = f"{counted(run.bought, 'answer')} bought for {dollars(run.nano_usd)}"
    paid = cost if run.nano_usd else "nothing was paid for"
    so_far = f"stopped: {scored_text(run.scored, current.total)}, {paid}"
    if data_dir is None:
        return f"{so_far}; no results were written, and nothing is kept, since no --data-dir was named."
    if run.finished:
        return f"{so_far}; it is finished and kept in {data_dir}; not all of it may have been written."
    return (
        f"{so_far}; no results were written. It is kept in {data_dir} with every answer that was paid for, "
        f"and no other command pays for it. To finish it: {advice(current.run_id, data_dir)}"
    )


def _say(progress: Progress, text: str) -> None:
    progress.console.print(Text(f"leadline: {text}", style="yellow"), soft_wrap=True)


async def _misconfigured(probe: ProviderProbe, assessor: AssessorSettings) -> str | None:
    await probe.check()
    try:
        await probe.ready()
    except Unavailable as error:
        if assessor.ai_on_failure == "fallback":
            return f"{error}; until then the offline assessor answers"
        return f"{error}; until then leads are scored by rules alone, as LEADLINE_AI_ON_FAILURE=fail says"
    return None


def _no_key(assessor: AssessorSettings) -> str | None:
    if assessor.ai == "offline":
        return None
    return f"the offline assessor answers, since none of {', '.join(KEYS.values())} is set"
