"""Keeping keys and lead text out of errors and logs, whichever SDK is in use."""

import logging
import re

from leadline_contracts.errors import SettingsError

_KEY = re.compile(r"[!-~]+")


def usable_key(api_key: str, variable: str) -> str:
    """Return the key without space around it; raises SettingsError where it cannot be one.

    A stray line end would otherwise fail as if the network did, and quote the key.
    """
    if not _KEY.fullmatch(key := api_key.strip()):
        raise SettingsError(f"{variable}: empty, or holds characters that no key has; copy it again")
    return key


def quieten(sdk_logger: str) -> None:
    """Keep an SDK and the HTTP clients below it from logging at DEBUG, where whole requests are written."""
    for name in (sdk_logger, "httpx2", "httpcore2", "aiohttp"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))
