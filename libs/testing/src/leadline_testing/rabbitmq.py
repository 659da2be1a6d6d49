"""RabbitMQ for tests: a private node or a container, and a fresh virtual host for each test."""

import base64
import http.client
import json
import os
import shutil
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from leadline_testing.containers import ContainerServer, start_container
from leadline_testing.processes import PrivateServer
from leadline_testing.running_server import LOOPBACK, ServersMissing, free_port, port_answers, remembered_port

IMAGE = "rabbitmq:4-management"
# 5672 and 15672 by default; kept for every node, so that the one address leads to the other.
_MANAGEMENT = 10_000
_DISTRIBUTION = 1
_NAMES = 2
_PORTS = (0, _DISTRIBUTION, _NAMES, _MANAGEMENT)

# The package's /usr/sbin/rabbitmq-server drops to a user who cannot write a private folder.
_PACKAGED = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_ELSEWHERE = ("/opt/homebrew/sbin", "/usr/local/sbin", "/opt/rabbitmq/sbin")
_MISSING = (
    "no RabbitMQ: set LEADLINE_BROKER_URL, start a Docker engine, "
    "or run `apt-get install -y --no-install-recommends rabbitmq-server`"
)

_CONFIG = """\
listeners.tcp.1 = {host}:{port}
management.tcp.ip = {host}
management.tcp.port = {management}
management_agent.disable_metrics_collector = true
disk_free_limit.absolute = 50MB
log.file = false
log.console = true
log.console.level = warning
"""


def start_private(folder: Path) -> PrivateServer:
    """Start a node whose data, log and ports are kept in `folder`.

    Raises ServersMissing where no installation is found and ServerFailed where it does not boot.
    """
    server, names = _find_server(), shutil.which("epmd")
    if server is None or names is None:
        raise ServersMissing(_MISSING)
    folder = folder.resolve()
    port = remembered_port(folder, _PORTS)
    url = f"amqp://guest:guest@{LOOPBACK}:{port}/"
    _write_configuration(folder, port)
    return PrivateServer(
        url=url,
        how=f"private RabbitMQ ({server})",
        port=port,
        # A name service of our own, in the foreground: the node would leave a daemon behind.
        command=[
            "/bin/sh",
            "-c",
            '"$1" -port "$2" & exec "$3"',
            "node",
            names,
            str(port + _NAMES),
            str(server),
        ],
        environment=_environment(folder, port),
        log=folder / "rabbitmq.log",
        ready=lambda: is_ready(url),
    )


def start_in_container() -> ContainerServer:
    """Start a throw-away node by the Docker engine."""
    port = free_port(_PORTS)
    url = f"amqp://guest:guest@{LOOPBACK}:{port}/"
    return start_container(
        IMAGE, url=url, ports={5672: port, 15672: port + _MANAGEMENT}, ready=lambda: is_ready(url)
    )


def is_ready(broker_url: str) -> bool:
    """Say whether the node takes AMQP connections and management calls."""
    port = urlsplit(broker_url).port or 5672
    try:
        _manage(broker_url, "GET", "vhosts")
    except (OSError, http.client.HTTPException):
        return False
    return port_answers(port)


def create_vhost(broker_url: str, name: str) -> str:
    """Create the virtual host `name`, open to the URL's user, and return its URL (about 12 ms).

    Raises OSError where the node has no management API at its AMQP port + 10000.
    """
    path = quote(name, safe="")
    user = quote(unquote(urlsplit(broker_url).username or "guest"), safe="")
    _manage(broker_url, "PUT", f"vhosts/{path}")
    _manage(broker_url, "PUT", f"permissions/{path}/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
    return urlsplit(broker_url)._replace(path=f"/{path}").geturl()


def delete_vhost(broker_url: str, name: str) -> None:
    """Delete the virtual host with all its queues and connections (about 16 ms)."""
    _manage(broker_url, "DELETE", f"vhosts/{quote(name, safe='')}")


def _manage(broker_url: str, method: str, path: str, body: dict[str, str] | None = None) -> None:
    """Call the management API (https://www.rabbitmq.com/docs/http-api-reference)."""
    broker = urlsplit(broker_url)
    port = (broker.port or 5672) + _MANAGEMENT
    credentials = f"{unquote(broker.username or 'guest')}:{unquote(broker.password or 'guest')}"
    headers = {
        "Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}",
        "Content-Type": "application/json",
    }
    connection = http.client.HTTPConnection(broker.hostname or LOOPBACK, port, timeout=10)
    try:
        connection.request(method, f"/api/{path}", json.dumps(body or {}), headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status >= 300:
        raise OSError(
            f"RabbitMQ's management API on port {port} answered {method} {path} "
            f"with {response.status}: {answer.decode(errors='replace')}"
        )


def _find_server() -> Path | None:
    if _PACKAGED.exists():
        return _PACKAGED
    found = shutil.which("rabbitmq-server", path=os.pathsep.join((os.environ.get("PATH", ""), *_ELSEWHERE)))
    return Path(found) if found else None


def _write_configuration(folder: Path, port: int) -> None:
    settings = _CONFIG.format(host=LOOPBACK, port=port, management=port + _MANAGEMENT)
    (folder / "rabbitmq.conf").write_text(settings)
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (folder / "environment.conf").touch()


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Everything a node would otherwise look for in system folders, and no busy waiting on few cores."""
    erlang_host = LOOPBACK.replace(".", ",")
    return {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(port + _NAMES),
        "RABBITMQ_NODENAME": "leadline@localhost",
        "RABBITMQ_DIST_PORT": str(port + _DISTRIBUTION),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "environment.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            f"+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {{{erlang_host}}}"
        ),
    }
