"""Cells that say in some way that there is nothing: "N/A", "-", "unknown", "#REF!"."""

from leadline_text.visible import visible

_PLACEHOLDERS = frozenset(
    {
        *(
            "n/a",
            "na",
            "n.a.",
            "n.a",
            "n/d",
            "#n/a",
            "n/v",
            "k.a.",
            "k. a.",
            "s/o",
            "s/d",
            "nan",
            "nil",
            "null",
        ),
        *("none", "undefined", "unknown", "unspecified", "not available", "not applicable", "not provided"),
        *("not specified", "not set", "no data", "no value", "no answer", "missing", "empty", "blank", "tbd"),
        *("tba", "(null)", "[null]", "<null>", "(none)", "(blank)", "(empty)", "(unknown)", "\\n", "&nbsp;"),
        *(
            "#ref!",
            "#value!",
            "#name?",
            "#div/0!",
            "#null!",
            "#num!",
            "#error!",
            "#spill!",
            "#calc!",
            "#field!",
        ),
        *("unbekannt", "keine angabe", "keine angaben", "nicht angegeben", "entfällt", "leer", "inconnu"),
        *("non renseigné", "non renseignée", "non communiqué", "aucun", "aucune", "desconocido", "sin datos"),
        *("ninguno", "no aplica", "desconhecido", "sem dados", "nenhum", "não informado", "sconosciuto"),
        *("nessuno", "non disponibile", "onbekend", "geen", "niet bekend", "nieznany", "brak", "brak danych"),
        *(
            "неизвестно",
            "нет",
            "нет данных",
            "не указано",
            "не указан",
            "不明",
            "なし",
            "該当なし",
            "未知",
            "无",
            "無",
        ),
    }
)
_LONGEST = max(map(len, _PLACEHOLDERS))


def is_missing(text: str) -> bool:
    """Whether a cell says nothing: it is blank as it is seen, has no letter or digit, or is a placeholder."""
    if len(text) > 2 * _LONGEST:
        return not visible(text).strip()
    seen = visible(text).strip()
    if not any(character.isalnum() for character in seen):
        return True
    return seen.casefold() in _PLACEHOLDERS
