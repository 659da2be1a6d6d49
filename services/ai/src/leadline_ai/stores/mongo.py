"""The AiStore over MongoDB, shared by every replica of the service.

Everything is found by `_id` alone, so that no query needs another index. An `_id` of several parts is a
document: whatever a part holds, two of them never come out the same, as joined strings could.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import ClassVar

from pymongo import IndexModel, ReplaceOne, ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError

from leadline_ai.budget.store import Budget
from leadline_ai.cache.store import StoredAnswer
from leadline_ai.cancelled.store import KEPT
from leadline_common.storage.mongo import DUPLICATE_KEY, Database, Document, MongoStore, reaching_mongo
from leadline_contracts.scoring import AiSpend


class MongoAiStore(MongoStore):
    """Collections `ai_answers`, `ai_calls` (of a lead in a run), `ai_spend`, `ai_budgets` and
    `ai_cancelled_runs`.
    """

    application = "leadline-ai"
    indexes: ClassVar[Mapping[str, Sequence[IndexModel]]] = {
        **dict.fromkeys(("ai_answers", "ai_calls", "ai_spend", "ai_budgets"), ()),
        "ai_cancelled_runs": [IndexModel(["at"], name="kept", expireAfterSeconds=int(KEPT.total_seconds()))],
    }

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._answers = database["ai_answers"]
        self._calls = database["ai_calls"]
        self._spend = database["ai_spend"]
        self._budgets = database["ai_budgets"]
        self._cancelled = database["ai_cancelled_runs"]
        self._waiting: list[Document] = []
        self._next_write: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    async def answers(self, owner: str, keys: Collection[str]) -> dict[str, StoredAnswer]:
        ids = [_answer_id(owner, key) for key in keys]
        with reaching_mongo():
            documents = await self._answers.find({"_id": {"$in": ids}}).to_list(None)
        return {document["_id"]["key"]: _to_answer(document) for document in documents}

    async def keep_answers(self, owner: str, answers: Sequence[StoredAnswer]) -> None:
        if not answers:
            return
        self._waiting += [_to_document(owner, answer) for answer in answers]
        if self._next_write is None:
            self._next_write = asyncio.create_task(self._write_waiting())
        # Others wait for the same write, so that it outlives a caller that is cancelled.
        await asyncio.shield(self._next_write)

    async def _write_waiting(self) -> None:
        """Write all that arrived during the last write: a round trip costs more than the documents."""
        async with self._writing:
            documents, self._waiting, self._next_write = self._waiting, [], None
            with reaching_mongo():
                if known := await self._insert(documents):
                    writes = [ReplaceOne({"_id": document["_id"]}, document) for document in known]
                    await self._answers.bulk_write(writes, ordered=False)

    async def _insert(self, documents: list[Document]) -> list[Document]:
        """Insert the documents; return those whose `_id` is taken. An insert costs a third of an upsert."""
        try:
            await self._answers.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            return [documents[place] for place in _taken(error)]
        return []

    async def calls(self, run_id: str, lead_ids: Collection[str]) -> dict[str, int]:
        ids = [_lead_id(run_id, lead_id) for lead_id in lead_ids]
        with reaching_mongo():
            documents = await self._calls.find({"_id": {"$in": ids}}).to_list(None)
        return {document["_id"]["lead_id"]: document["calls"] for document in documents}

    async def note_calls(self, run_id: str, calls: Mapping[str, int]) -> None:
        if not calls:
            return
        writes = [
            UpdateOne({"_id": _lead_id(run_id, lead_id)}, {"$max": {"calls": number}}, upsert=True)
            for lead_id, number in calls.items()
        ]
        with reaching_mongo():
            await self._calls.bulk_write(writes, ordered=False)

    async def reserve(self, budgets: Sequence[Budget], amount: int) -> Budget | None:
        with reaching_mongo():
            done = await self._commit(budgets, amount)
            if done == len(budgets):
                return None
            # Until it is given back it may keep others out that would have had room: the safe side.
            await self._give_back(budgets[:done], amount)
            return budgets[done]

    async def _commit(self, budgets: Sequence[Budget], amount: int) -> int:
        """Commit the amount in one budget after the other up to one without room; return in how many."""
        writes = [
            UpdateOne(
                {"_id": budget.name, "committed": {"$lte": budget.limit - amount}},
                {"$inc": {"committed": amount}},
                upsert=True,
            )
            # An upsert would create a budget that nobody has used yet even past its limit.
            for budget in takewhile(lambda budget: amount <= budget.limit, budgets)
        ]
        done = 0
        while done < len(writes):
            try:
                await self._budgets.bulk_write(writes[done:], ordered=True)
                return len(writes)
            except BulkWriteError as error:
                done += _taken(error)[0]
            # Its key was taken: it has no room, or another replica made it in the same moment.
            if await self.committed(budgets[done].name) + amount > budgets[done].limit:
                break
        return done

    async def _give_back(self, budgets: Sequence[Budget], amount: int) -> None:
        if budgets and amount:
            change = {"$inc": {"committed": -amount}}
            await self._budgets.bulk_write(
                [UpdateOne({"_id": budget.name}, change, upsert=True) for budget in budgets], ordered=False
            )

    async def settle(
        self, owner: str, run_id: str, spend: AiSpend, budgets: Sequence[Budget], unused: int
    ) -> AiSpend:
        model = {"source": spend.source, "assessor": spend.assessor}
        figures = {name: value for name, value in vars(spend).items() if name not in model}
        with reaching_mongo():
            total = await self._spend.find_one_and_update(
                {"_id": {"run_id": run_id, **model}},
                {"$inc": figures, "$setOnInsert": {"owner": owner}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
            await self._give_back(budgets, unused)
        return AiSpend.model_validate({**total, **model})

    async def committed(self, budget_name: str) -> int:
        with reaching_mongo():
            document = await self._budgets.find_one({"_id": budget_name})
        return document["committed"] if document else 0

    async def note_cancelled(self, owner: str, run_id: str, at: datetime) -> None:
        with reaching_mongo():
            await self._cancelled.update_one(
                {"_id": _run_id(owner, run_id)}, {"$setOnInsert": {"at": at}}, upsert=True
            )

    async def cancelled(self, owner: str, run_id: str) -> bool:
        with reaching_mongo():
            return await self._cancelled.find_one({"_id": _run_id(owner, run_id)}) is not None


def _taken(error: BulkWriteError) -> list[int]:
    """Return which of the writes met a taken key; raises the error where anything else went wrong."""
    failures = error.details["writeErrors"]
    if error.details["writeConcernErrors"] or any(failure["code"] != DUPLICATE_KEY for failure in failures):
        raise error
    return [failure["index"] for failure in failures]


def _answer_id(owner: str, key: str) -> Document:
    return {"owner": owner, "key": key}


def _lead_id(run_id: str, lead_id: str) -> Document:
    return {"run_id": run_id, "lead_id": lead_id}


def _run_id(owner: str, run_id: str) -> Document:
    return {"owner": owner, "run_id": run_id}


def _to_document(owner: str, answer: StoredAnswer) -> Document:
    document = {"_id": _answer_id(owner, answer.key), **vars(answer)}
    del document["key"]
    return document


def _to_answer(document: Document) -> StoredAnswer:
    return StoredAnswer.model_validate({**document, "key": document["_id"]["key"]})
