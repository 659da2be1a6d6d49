"""Who a request comes from, and whom of those who say so to believe."""

import pytest

from leadline_ingest.accounts.client_address import client_address

PEER = "10.0.0.9"


@pytest.mark.parametrize(
    ("forwarded", "proxies", "client"),
    [
        ([], 0, PEER),
        (["1.2.3.4"], 0, PEER),
        (["1.2.3.4"], 1, "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], 1, "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4"], 1, "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.0.0.1"], 2, "1.2.3.4"),
        (["6.6.6.6", " 1.2.3.4 , 10.0.0.1"], 2, "1.2.3.4"),
        ([], 1, PEER),
        (["1.2.3.4"], 2, PEER),
        (["unknown"], 1, PEER),
        ([""], 1, PEER),
        (["x" * 10_000], 1, PEER),
    ],
)
def test_so_many_proxies_are_believed(forwarded: list[str], proxies: int, client: str) -> None:
    """Only what trusted proxies wrote counts, from the end on; what a client makes up never does."""
    assert client_address(PEER, forwarded, proxies) == client


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("", ""),
    ],
)
def test_an_ipv6_client_is_its_network(address: str, client: str) -> None:
    """Who has 2^64 addresses is counted as one, and an IPv4 address is the same in both notations."""
    assert client_address(address, [], 0) == client
