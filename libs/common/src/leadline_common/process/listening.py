"""The addresses that HTTP is served at, and listening there."""

import errno
import ipaddress
import socket

from leadline_contracts.errors import SettingsError


def is_loopback(host: str) -> bool:
    """Tell whether this is an address or the name of this machine that no other can reach."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address; port 0 takes a free one.

    Raises SettingsError where the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        what = "port" if error.errno in {errno.EADDRINUSE, errno.EACCES} else "address"
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another {what}"
        ) from None
    return listener


def address_of(listener: socket.socket, host: str) -> str:
    """Return the HTTP address under which the listening socket is reached."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
