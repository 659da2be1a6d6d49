"""The command line of a service: run it, ask how it is, or prepare its store.

What takes time to load is loaded by the command that needs it: a health check comes every few seconds, and a
service can be told to stop before it is loaded.
"""

import argparse
import sys
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from leadline_common import __version__
from leadline_common.process.signals import end_when_told
from leadline_contracts.errors import SettingsError

if TYPE_CHECKING:
    from leadline_common.process.settings import ServiceSettings

_ANSWER_SECONDS = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - asked there, not listened on
_SETTINGS = "Settings are environment variables, LEADLINE_BROKER_URL first; a missing one is named."


def run_service(
    name: str,
    *,
    settings: str,
    compose: str,
    migrate: str | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Do what the arguments (by default the process's) say.

    The service's settings class, its `Compose` and, where it has a store with indexes, its `Main` that
    creates them are named as entry points are, `module:object`. Exit codes are those of `run_until_told`; of
    `run_main` for `migrate`. `health` ends with 0 where the service at this host and port is ready, else
    with 1.
    """
    program = argparse.ArgumentParser(
        f"leadline-{name}", description=f"Leadline's {name} service.", epilog=_SETTINGS
    )
    program.add_argument("--version", action="version", version=f"leadline-{name} {__version__}")
    commands = program.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="run the service until it is told to stop (the default)")
    commands.add_parser("health", help="say whether the running service is ready: exit code 0 or 1")
    if migrate is not None:
        commands.add_parser("migrate", help="create the indexes of the store, as every start does, and end")
    match program.parse_args(arguments).command:
        case "health":
            sys.exit(_health(resolve_name(settings)))
        case "migrate" if migrate is not None:
            from leadline_common.process.main import run_main  # noqa: PLC0415

            run_main(resolve_name(migrate))
        case _:
            end_when_told()
            from leadline_common.process.main import run_until_told  # noqa: PLC0415
            from leadline_common.process.serve import serve  # noqa: PLC0415

            kind, composed = resolve_name(settings), resolve_name(compose)
            run_until_told(lambda stop: serve(stop, name, kind, composed))


def _health(kind: "type[ServiceSettings]") -> int:
    import http.client  # noqa: PLC0415
    import urllib.error  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    from leadline_common.process.settings import load_settings  # noqa: PLC0415

    try:
        settings = load_settings(kind)
    except SettingsError as error:
        sys.stderr.write(f"leadline: {error}\n")
        return 2
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{_EVERYWHERE.get(settings.host, host)}:{settings.port}/health/ready"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWER_SECONDS) as answer:
            said, code = answer.read(), 0
    except urllib.error.HTTPError as refused:
        said, code = refused.read(), 1
    except (OSError, http.client.HTTPException) as error:
        said, code = f"no answer from {url}: {error}".encode(), 1
    sys.stdout.buffer.write(said + b"\n")
    return code
