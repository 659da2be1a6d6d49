"""How the pods run: as nobody, probed where they answer, replaced and stopped without losing work."""

import httpx
from tests.deploy.manifests import (
    COMPONENT,
    NAME,
    SERVICES,
    Json,
    container_of,
    each_overlay,
    each_service,
    labels_of,
    named,
    objects,
    pod_of,
    selects,
    templates,
)

from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.process.health_server import serving_health
from leadline_common.process.service import Health
from leadline_common.telemetry.metrics import Metrics, new_registry

PROBES = {
    "startupProbe": "/health/live",
    "livenessProbe": "/health/live",
    "readinessProbe": "/health/ready",
}


@each_overlay
def test_every_pod_is_restricted(overlay: str) -> None:
    """No pod runs as root, gains privileges, keeps capabilities, or holds a key to the cluster's API."""
    for template in templates(overlay):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["serviceAccountName"] in names(objects(overlay, "ServiceAccount"))
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        user = pod["securityContext"]
        assert user["runAsNonRoot"] is True
        assert user["runAsUser"] > 0
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert not {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & context.keys()
        for volume in pod.get("volumes", []):
            assert "hostPath" not in volume


@each_overlay
def test_uploads_may_wait_on_disk(overlay: str) -> None:
    """ingest can write to /tmp, on the node's disk and within a bound above that of its own."""
    pod = pod_of(overlay, "ingest")
    assert container_of(overlay, "ingest")["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    assert pod["spec"]["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "6Gi"}}]


@each_overlay
def test_the_namespace_enforces_it(overlay: str) -> None:
    """Whatever else is put there later is held to the same, and every object is in this namespace."""
    (namespace,) = objects(overlay, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    placed = {each["metadata"]["namespace"] for each in objects(overlay) if each["kind"] != "Namespace"}
    assert placed == {namespace["metadata"]["name"]} == {"leadline"}


@each_overlay
@each_service
def test_a_service_runs_as_its_image_expects(overlay: str, service: str) -> None:
    """The image's own user, nothing written to its file system, a bound on its memory."""
    user = pod_of(overlay, service)["spec"]["securityContext"]
    assert (user["runAsUser"], user["runAsGroup"]) == (10001, 10001)
    container = container_of(overlay, service)
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["image"].rpartition(":")[0].rpartition("/")[2] == f"leadline-{service}"
    resources = container["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert mebibytes(resources["requests"]["memory"]) < mebibytes(resources["limits"]["memory"])


@each_overlay
@each_service
def test_the_port_is_the_one_the_service_listens_on(overlay: str, service: str) -> None:
    """Container, probes and Service name the default port in code, which no manifest changes."""
    (port,) = container_of(overlay, service)["ports"]
    assert port == {"name": "http", "containerPort": SERVICES[service].model_fields["port"].default}
    for probe in PROBES:
        assert container_of(overlay, service)[probe]["httpGet"]["port"] == "http"
    for each in objects(overlay, "Service"):
        if selects({"matchLabels": each["spec"]["selector"]}, labels_of(pod_of(overlay, service))):
            assert [(p["port"], p["targetPort"]) for p in each["spec"]["ports"]] == [(80, "http")]


@each_overlay
@each_service
async def test_what_the_probes_ask_for_is_served(overlay: str, service: str) -> None:
    """Startup and liveness ask whether the process lives, readiness whether it can work, at paths it has."""
    container = container_of(overlay, service)
    assert {probe: container[probe]["httpGet"]["path"] for probe in PROBES} == PROBES
    health = Health([])
    served = await (api_statuses(health) if service in {"ingest", "results"} else worker_statuses(health))
    assert served == dict.fromkeys(PROBES.values(), 200)


@each_overlay
@each_service
def test_a_start_may_take_minutes_and_a_stall_is_ended(overlay: str, service: str) -> None:
    """A store that builds an index is waited for; a process that stands still is not for long."""
    container = container_of(overlay, service)
    assert patience(container["startupProbe"]) >= 300
    assert 30 <= patience(container["livenessProbe"]) <= 120
    assert patience(container["readinessProbe"]) < patience(container["livenessProbe"])
    # A check of a broker or store may take 3 seconds, a question to the event loop 5.
    assert all(container[probe]["timeoutSeconds"] > 5 for probe in PROBES)


@each_overlay
@each_service
def test_a_stop_leaves_time_to_drain(overlay: str, service: str) -> None:
    """The kubelet kills no process that still finishes what it has."""
    (shared,) = [
        each["data"]
        for each in objects(overlay, "ConfigMap")
        if "LEADLINE_DRAIN_SECONDS" in each.get("data", {})
    ]
    before = container_of(overlay, service)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before >= 3
    grace = pod_of(overlay, service)["spec"]["terminationGracePeriodSeconds"]
    assert grace >= before + 2 * float(shared["LEADLINE_DRAIN_SECONDS"]) + 5


@each_overlay
@each_service
def test_a_rollout_takes_nothing_away(overlay: str, service: str) -> None:
    """A new pod is ready before an old one goes, a drained node takes one, and replicas stand apart."""
    spec = named(overlay, "Deployment", f"leadline-{service}")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert "replicas" not in spec
    labels = labels_of(spec["template"])
    budgets = [each["spec"] for each in objects(overlay, "PodDisruptionBudget")]
    (budget,) = [each for each in budgets if selects(each["selector"], labels)]
    assert budget["maxUnavailable"] == 1
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert {each["topologyKey"] for each in spread} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    for each in spread:
        assert selects(each["labelSelector"], labels)
        assert each["matchLabelKeys"] == [COMPONENT, "pod-template-hash"]
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"


@each_overlay
def test_selectors_select_what_they_are_for(overlay: str) -> None:
    """A Deployment has its own pods; Services, budgets, policies and monitors each have some pod."""
    all_labels = [labels_of(template) for template in templates(overlay)]
    for each in [*objects(overlay, "Deployment"), *objects(overlay, "StatefulSet")]:
        selected = [labels for labels in all_labels if selects(each["spec"]["selector"], labels)]
        assert selected == [labels_of(each["spec"]["template"])]
    selectors = [
        *({"matchLabels": each["spec"]["selector"]} for each in objects(overlay, "Service")),
        *(each["spec"]["selector"] for each in objects(overlay, "PodDisruptionBudget")),
        *(each["spec"]["selector"] for each in objects(overlay, "PodMonitor")),
        *(each["spec"]["podSelector"] for each in objects(overlay, "NetworkPolicy")),
    ]
    for selector in selectors:
        assert any(selects(selector, labels) for labels in all_labels), selector


@each_overlay
def test_the_pods_say_what_they_are(overlay: str) -> None:
    """Metrics, policies and people tell the services by these labels."""
    components = {
        labels[COMPONENT]
        for labels in map(labels_of, templates(overlay))
        if labels[NAME] == labels["app.kubernetes.io/part-of"] == "leadline"
    }
    assert components == set(SERVICES)


async def api_statuses(health: Health) -> dict[str, int]:
    """Ask an application as ingest and results build it."""
    app = build_app(
        "Probed", [], health, Metrics(new_registry()), Authentication(Tokens([]), open_to_all=False)
    )
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the same protocol by other names
    async with httpx.AsyncClient(transport=transport, base_url="http://leadline") as client:
        return {path: (await client.get(path)).status_code for path in PROBES.values()}


async def worker_statuses(health: Health) -> dict[str, int]:
    """Ask the server that rules and ai run."""
    with serving_health(health, new_registry(), "127.0.0.1", 0) as address:
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            return {path: (await client.get(path)).status_code for path in PROBES.values()}


def patience(probe: Json) -> int:
    """Return the seconds until a probe that fails every time has its effect."""
    return int(probe["periodSeconds"] * probe["failureThreshold"])


def mebibytes(quantity: str) -> int:
    """Return a quantity of memory."""
    assert quantity.endswith("Mi")
    return int(quantity.removesuffix("Mi"))


def names(found: list[Json]) -> set[str]:
    """Return the objects' names."""
    return {each["metadata"]["name"] for each in found}
