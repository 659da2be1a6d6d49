"""The client address that attempts are counted by."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

_IPV6_PREFIX = 64
"""The IPv6 network from which one subscriber can choose addresses (RFC 6177)."""


def client_address(peer: str, forwarded: Sequence[str], trusted_proxies: int) -> str:
    """Return the address of a client, for IPv6 its network.

    `forwarded` are the X-Forwarded-For headers. Each proxy on the way appends the address that called it.
    With n trusted proxies the client is the n-th entry from the end; all before it may be made up. The peer
    is the client where no proxy is trusted or the headers have fewer entries.
    """
    hops = [hop.strip() for header in forwarded for hop in header.split(",")]
    if 0 < trusted_proxies <= len(hops):
        return _network(hops[-trusted_proxies]) or _network(peer) or peer
    return _network(peer) or peer


def _network(address: str) -> str | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ip_network((found, _IPV6_PREFIX), strict=False))
