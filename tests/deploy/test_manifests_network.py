"""Who reaches whom, by the network policies as they are applied."""

import ipaddress
import json
import re
from typing import NamedTuple

import pytest
from tests.deploy.manifests import (
    COMPONENT,
    NAME,
    SERVICES,
    Json,
    each_overlay,
    labels_of,
    named,
    objects,
    pod_of,
    selects,
    templates,
)

from leadline_testing.tables import every_row

STORED = {"ingest", "ai", "results"}
"""The services that have a store."""
PRIVATE = (
    *("169.254.169.254", "10.0.0.1", "172.20.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1"),
    *("fd00:ec2::254", "fe80::1", "::1"),
)


class Way(NamedTuple):
    """One thing a policy allows: to or from a peer, at a port."""

    peer: Json
    port: str | int


@each_overlay
def test_what_nothing_allows_is_denied(overlay: str) -> None:
    """A policy that selects every pod denies both ways, and no other policy allows everything."""
    deny = named(overlay, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for each in objects(overlay, "NetworkPolicy"):
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in each["spec"].get(direction, []):
                assert rule[peers]
                assert rule["ports"]
                assert {} not in rule[peers]
            given = direction.capitalize() in each["spec"]["policyTypes"]
            assert given or direction not in each["spec"], "a rule without its type is not read as meant"


@each_overlay
def test_every_pod_finds_names(overlay: str) -> None:
    """The cluster's DNS is open to all, by both protocols."""
    for template in templates(overlay):
        ports = [way.port for way in out_of(overlay, template) if is_dns(way)]
        assert ports == [53, 53]


def test_in_dev_a_service_reaches_the_servers_it_uses() -> None:
    """Each the broker at its port, those with a store the store at its, and nothing else in the cluster."""
    for service in SERVICES:
        reached = {
            (labels_of(target)[NAME], way.port)
            for way in out_of("dev", pod_of("dev", service))
            if "podSelector" in way.peer and not is_dns(way)
            for target in templates("dev")
            if selects(way.peer["podSelector"], labels_of(target))
        }
        store = {("mongodb", 27017)} if service in STORED else set()
        assert reached == {("rabbitmq", 5672)} | store


def test_in_dev_the_servers_let_in_who_uses_them() -> None:
    """MongoDB asks for no password there, so that only the services that store come near it."""
    for server, port, users in (("rabbitmq", "amqp", set(SERVICES)), ("mongodb", "mongodb", STORED)):
        (template,) = [each for each in templates("dev") if labels_of(each)[NAME] == server]
        let_in = {
            labels_of(source).get(COMPONENT)
            for way in into("dev", template)
            for source in templates("dev")
            if way.port == port and selects(way.peer["podSelector"], labels_of(source))
        }
        assert let_in == users
        assert {way.port for way in into("dev", template)} == {port}


def test_in_production_rules_reaches_no_store() -> None:
    """The store's addresses are open to the services that have one; the broker's to all."""
    broker = named("production", "NetworkPolicy", "leadline-to-broker")["spec"]["egress"]
    store = named("production", "NetworkPolicy", "leadline-to-store")["spec"]["egress"]
    for service in SERVICES:
        allowed = [way.peer for way in out_of("production", pod_of("production", service))]
        assert all(peer in allowed for rule in broker for peer in rule["to"])
        assert all(peer in allowed for rule in store for peer in rule["to"]) == (service in STORED)
        assert any(peer in allowed for rule in store for peer in rule["to"]) == (service in STORED)
    assert not [peer for rule in (*broker, *store) for peer in rule["to"] if "podSelector" in peer]


@each_overlay
@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_ai_alone_reaches_outside(overlay: str, address: str) -> None:
    """HTTPS to public addresses is open to ai, and to no other pod."""
    for template in templates(overlay):
        ports = [way.port for way in out_of(overlay, template) if has(way, address)]
        assert ports == ([443] if labels_of(template).get(COMPONENT) == "ai" else [])


@each_overlay
@every_row("address", PRIVATE)
def test_nobody_reaches_what_is_private(overlay: str, address: str) -> None:
    """Neither a cloud's metadata nor any network behind the cluster is open to anybody by address."""
    for template in templates(overlay):
        assert not [way for way in out_of(overlay, template) if has(way, address)]


@pytest.mark.parametrize("overlay", ["dev-operators", "production"])
def test_who_comes_in(overlay: str) -> None:
    """The Gateway's namespace reaches the two services with an API, Prometheus's reaches all four."""
    (parent,) = named(overlay, "HTTPRoute", "leadline")["spec"]["parentRefs"]
    for service in SERVICES:
        ways = into(overlay, pod_of(overlay, service))
        namespaces = {namespace_of(way.peer) for way in ways}
        gateway = {parent["namespace"]} if service in {"ingest", "results"} else set()
        assert namespaces == {"monitoring"} | gateway
        assert {way.port for way in ways} == {"http"}


def test_without_operators_nobody_comes_in() -> None:
    """The plain dev overlay is reached through `kubectl port-forward`, which no policy governs."""
    for service in SERVICES:
        assert not into("dev", pod_of("dev", service))


def out_of(overlay: str, template: Json) -> list[Way]:
    """Return what the pods of a template may reach."""
    return [way for policy in policies_of(overlay, template) for way in ways(policy, "egress", "to")]


def into(overlay: str, template: Json) -> list[Way]:
    """Return what may reach the pods of a template."""
    return [way for policy in policies_of(overlay, template) for way in ways(policy, "ingress", "from")]


def policies_of(overlay: str, template: Json) -> list[Json]:
    """Return the policies that select the pods of a template."""
    specs = [each["spec"] for each in objects(overlay, "NetworkPolicy")]
    return [spec for spec in specs if selects(spec["podSelector"], labels_of(template))]


def ways(policy: Json, direction: str, peers: str) -> list[Way]:
    """Return what a policy allows in one direction."""
    return [
        Way(peer, port["port"])
        for rule in policy.get(direction, [])
        for peer in rule[peers]
        for port in rule["ports"]
    ]


def is_dns(way: Way) -> bool:
    """Tell whether the way leads to the cluster's DNS."""
    return namespace_of(way.peer) == "kube-system" and way.peer["podSelector"]["matchLabels"] == {
        "k8s-app": "kube-dns"
    }


def namespace_of(peer: Json) -> str | None:
    """Return the one namespace that a peer is in, by the label that Kubernetes itself sets."""
    labels: dict[str, str] = peer.get("namespaceSelector", {}).get("matchLabels", {})
    return labels.get("kubernetes.io/metadata.name")


def has(way: Way, address: str) -> bool:
    """Tell whether the peer is a block of addresses with this one in it."""
    block = way.peer.get("ipBlock")
    if block is None:
        return False
    sought = ipaddress.ip_address(address)
    out = any(sought in ipaddress.ip_network(each) for each in block.get("except", []))
    return sought in ipaddress.ip_network(block["cidr"]) and not out


@each_overlay
def test_no_range_is_one_that_the_cluster_refuses(overlay: str) -> None:
    """Kubernetes takes an IPv4 address in IPv6 form for IPv4, so that no range of IPv6 contains it."""
    text = json.dumps(list(objects(overlay, "NetworkPolicy")))
    networks = [ipaddress.ip_network(block) for block in re.findall(r'"([0-9a-f:.]+/[0-9]+)"', text)]
    assert any(network.version == 6 for network in networks)
    assert not [network for network in networks if getattr(network.network_address, "ipv4_mapped", None)]
