"""The columns of the files and submissions that leads came in, as chunks of leads tell them."""

import hashlib
import json
from collections.abc import Collection, Iterable

from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import LeadsAccepted, SourceColumn
from leadline_results.runs.record import PartMessage


class UploadColumns(Wire):
    """The columns of one upload, in its order; they never change."""

    upload_id: str
    owner: str
    columns: list[SourceColumn]

    @property
    def layout(self) -> str:
        """Text that is the same for uploads with the same columns in the same order."""
        told = json.dumps([[column.title, column.field, column.header] for column in self.columns])
        return hashlib.sha256(told.encode()).hexdigest()


def columns_of(messages: Iterable[PartMessage], known: Collection[str]) -> list[UploadColumns]:
    """Return the columns that the messages tell, without those of the uploads in `known`."""
    told: dict[str, UploadColumns] = {}
    for message in messages:
        if isinstance(message, LeadsAccepted) and message.columns and message.upload_id not in known:
            told[message.upload_id] = UploadColumns(
                upload_id=message.upload_id, owner=message.owner, columns=message.columns
            )
    return list(told.values())
