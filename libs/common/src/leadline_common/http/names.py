"""Names that a request uses and nobody knows: what was meant, and what there is."""

from collections.abc import Collection
from difflib import get_close_matches

from leadline_contracts.errors import FieldError

_SHOWN = 100
"""Characters of a name that an answer quotes."""


def not_known(name: str, known: Collection[str], within: str = "") -> FieldError:
    """Return the error for a name that is none of the known ones, with the one most like it.

    `within` is the dotted path of what it stands in, if anything.
    """
    alike = get_close_matches(name.casefold(), known, n=1)
    guess = f"; did you mean `{alike[0]}`?" if alike else "."
    there_is = f"Known are: {', '.join(sorted(known))}." if known else "None is taken here."
    shown = name[:_SHOWN]
    return FieldError(f"{within}.{shown}" if within else shown, f"is not known{guess} {there_is}")
