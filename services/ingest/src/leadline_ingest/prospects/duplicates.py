"""Tells prospects that are in this file or in an earlier upload already."""

from collections.abc import Sequence

from leadline_common.storage.temporary_numbers import SeenNumbers
from leadline_ingest.prospects.report import DuplicateRow
from leadline_ingest.prospects.store import Known, Prospect, ProspectStore


class Duplicates:
    """The identities in one file, compared with each other and with those of earlier uploads.

    The file's own are held in a temporary database, so that memory stays flat however long the file is.
    Close it in the end.
    """

    def __init__(self, store: ProspectStore, upload_id: str) -> None:
        self._store = store
        self._upload_id = upload_id
        self._seen = SeenNumbers()

    def close(self) -> None:
        """Give up what is held; doing it again changes nothing."""
        self._seen.close()

    async def sorted_out(self, prospects: Sequence[Prospect]) -> tuple[list[Prospect], list[DuplicateRow]]:
        """Return those that are new, and where the others stand that were there first."""
        numbers = [number for one in prospects for number in one.identity or () if number is not None]
        seen_before = self._seen.seen(numbers)
        known = {number: Known(self._upload_id, row) for number, row in seen_before.items()}
        known |= await self._store.known(numbers)
        new: list[Prospect] = []
        duplicates: list[DuplicateRow] = []
        seen: list[tuple[int, int]] = []
        for prospect in prospects:
            duplicate = _duplicate(prospect, known)
            if duplicate is not None:
                duplicates.append(duplicate)
                continue
            new.append(prospect)
            here = Known(self._upload_id, prospect.row)
            for number in prospect.identity or ():
                if number is not None:
                    known[number] = here
                    seen.append((number, prospect.row))
        self._seen.see(seen)
        return new, duplicates


def _duplicate(prospect: Prospect, known: dict[int, Known]) -> DuplicateRow | None:
    """Return what the prospect repeats, None where it is new."""
    if prospect.identity is None:
        return None
    first = known.get(prospect.identity.fields) if prospect.identity.fields is not None else None
    if first is not None:
        return DuplicateRow(row=prospect.row, of_row=first.row, of_upload_id=first.upload_id, by="fields")
    first = known.get(prospect.identity.mark) if prospect.identity.mark is not None else None
    if first is not None:
        return DuplicateRow(row=prospect.row, of_row=first.row, of_upload_id=first.upload_id, by="mark")
    return None
