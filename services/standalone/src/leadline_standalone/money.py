"""Tokens and money in words."""

from leadline_contracts.scoring import AiSpend

_CENT = 10_000_000


def dollars(nano_usd: int, *, up: bool = False) -> str:
    """Return an amount of 10^-9 US dollars in cents, one below a cent in hundredths of it.

    `up` rounds up, for bounds. What costs anything is never shown as nothing.
    """
    places = 4 if 0 < nano_usd < _CENT else 2
    unit = 10 ** (9 - places)
    units = -(-nano_usd // unit) if up else max(round(nano_usd / unit), int(nano_usd > 0))
    return f"${units / 10**places:,.{places}f}"


def spent_text(spend: AiSpend) -> str:
    """Say what the AI answers of a run, or of several, have cost with one model."""
    leads = counted(spend.cached, "lead")
    cached = f"; {leads} answered from what was paid for before" if spend.cached else ""
    if not spend.calls:
        return f"{spend.assessor}: nothing was spent{cached}."
    read = spend.input_tokens + spend.cache_read_tokens + spend.cache_write_tokens
    failed = f" ({spend.failed_calls:,} brought nothing usable)" if spend.failed_calls else ""
    return (
        f"{spend.assessor}: {counted(spend.calls, 'request')}{failed}, {read:,} input and "
        f"{spend.output_tokens:,} output tokens, {dollars(spend.nano_usd)}{cached}."
    )


def counted(number: int, thing: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
