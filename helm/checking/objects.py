"""Rules that hold between the objects of one render."""

import json
import re
from collections.abc import Iterator

import yaml

POOLS = ("studio", "remote", "gpu", "assemble")
# Telemetry is flushed for so long when a process ends.
FLUSH_S = 5
# What RabbitMQ's scaler of KEDA 2.20 takes as metadata.
RABBITMQ_METADATA = {
    "queueName", "mode", "value", "activationValue", "host", "protocol", "vhostName", "useRegex",
    "excludeUnacknowledged", "pageSize", "operation", "timeout", "unsafeSsl", "queueLength",
}
# Fields of custom resources that the chart may use; the schemas from npm let unknown ones pass.
FIELDS = {
    "ScaledObject": {
        "scaleTargetRef", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount",
        "minReplicaCount", "maxReplicaCount", "fallback", "advanced", "triggers",
    },
    "TriggerAuthentication": {"secretTargetRef"},
    "ServiceMonitor": {"selector", "endpoints", "namespaceSelector", "jobLabel", "targetLabels"},
    "PodMonitor": {"selector", "podMetricsEndpoints", "namespaceSelector", "jobLabel", "podTargetLabels"},
    "PrometheusRule": {"groups"},
}


class Objects:
    """The objects of one render, and ways to find them."""

    def __init__(self, objects: list[dict]) -> None:
        self.all = objects

    def of(self, *kinds: str) -> list[dict]:
        """Objects of these kinds."""
        return [o for o in self.all if o["kind"] in kinds]

    def find(self, kind: str, name: str) -> dict | None:
        """The object of this kind and name."""
        return next((o for o in self.of(kind) if o["metadata"]["name"] == name), None)

    def pods(self) -> list[tuple[str, dict, dict]]:
        """Name, labels and spec of every pod that the render makes."""
        made = [(o["metadata"]["name"], o["spec"]["template"]["metadata"]["labels"], o["spec"]["template"]["spec"]) for o in self.of("Deployment")]
        return made + [(o["metadata"]["name"], o["metadata"]["labels"], o["spec"]) for o in self.of("Pod")]

    def workers(self) -> list[tuple[str, dict, dict]]:
        """Pool, Deployment and settings file of every pool."""
        out = []
        for deployment in self.of("Deployment"):
            pool = deployment["metadata"]["labels"].get("packshot/pool")
            if pool:
                config = self.find("ConfigMap", deployment["metadata"]["name"])
                out.append((pool, deployment, yaml.safe_load(config["data"]["worker.yaml"]) if config else {}))
        return out


def selects(selector: dict, labels: dict) -> bool:
    """Whether a label selector selects these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] != "In":
            raise ValueError(f"operator {rule['operator']} is not known here")
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


def scaling(objects: Objects) -> Iterator[str]:
    """Every pool has exactly what scales it, with the numbers of its own workers."""
    scaled = objects.of("ScaledObject", "HorizontalPodAutoscaler")
    targets = [o["spec"]["scaleTargetRef"]["name"] for o in scaled]
    for pool, deployment, settings in objects.workers():
        name = deployment["metadata"]["name"]
        if targets.count(name) > 1:
            yield f"{name} is scaled by {targets.count(name)} objects"
        if (name in targets) == ("replicas" in deployment["spec"]):
            yield f"{name} has replicas and a scaler, or neither"
        if settings.get("pools") != {other: settings["pools"][pool] if other == pool else 0 for other in POOLS}:
            yield f"{name} does not consume exactly its own pool: {settings.get('pools')}"
    for o in scaled:
        name, spec = o["metadata"]["name"], o["spec"]
        target = objects.find("Deployment", spec["scaleTargetRef"]["name"])
        if target is None:
            yield f"{name} scales {spec['scaleTargetRef']['name']}, which does not exist"
            continue
        pool, settings = next((pool, s) for pool, d, s in objects.workers() if d is target)
        longest_s, jobs = settings["stop"]["drain_s"], settings["pools"][pool]
        keda = o["kind"] == "ScaledObject"
        least, most = ("minReplicaCount", "maxReplicaCount") if keda else ("minReplicas", "maxReplicas")
        if spec[least] > spec[most]:
            yield f"{name}: {least} is more than {most}"
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] if keda else spec["behavior"]
        if behavior["scaleDown"]["stabilizationWindowSeconds"] < longest_s:
            yield f"{name} shrinks sooner than the longest job ends"
        if keda:
            yield from keda_trigger(objects, o, pool, jobs, longest_s, settings["rabbitmq"]["prefix"])


def keda_trigger(objects: Objects, o: dict, pool: str, jobs: int, longest_s: int, prefix: str) -> Iterator[str]:
    """One trigger: by HTTP, all messages, as many per pod as a pod has in flight."""
    name, spec = o["metadata"]["name"], o["spec"]
    trigger = spec["triggers"][0]
    data = trigger["metadata"]
    wanted = {
        "protocol": "http", "mode": "QueueLength", "excludeUnacknowledged": "false",
        "value": str(jobs), "queueName": f"{prefix}.jobs.{pool}",
    }
    for key, value in wanted.items():
        if data.get(key) != value:
            yield f"{name}: {key} is {data.get(key)!r}, not {value!r}"
    for key, value in data.items():
        if key not in RABBITMQ_METADATA:
            yield f"{name}: the scaler knows no {key}"
        if not isinstance(value, str):
            yield f"{name}: {key} is no text"
    if not re.fullmatch(r"https?://[^/@]+(/[^/@]+)*/[^/@]+", data["host"]):
        yield f"{name}: host {data['host']!r} does not end with a virtual host, or holds a password"
    if not objects.find("TriggerAuthentication", trigger["authenticationRef"]["name"]):
        yield f"{name}: its TriggerAuthentication does not exist"
    if spec["cooldownPeriod"] < longest_s:
        yield f"{name}: the last pod may go before the longest job ends"
    fallback = spec["fallback"]
    if fallback["behavior"] != "currentReplicasIfHigher" or fallback["replicas"] < 1:
        yield f"{name}: a broker that does not answer would shrink the fleet"
    if trigger["metricType"] != "AverageValue":
        yield f"{name}: the fallback needs AverageValue"


def stopping(objects: Objects) -> Iterator[str]:
    """Pods are given longer than they may take to stop."""
    for _, deployment, settings in objects.workers():
        grace_s = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        needs_s = settings["stop"]["drain_s"] + settings["stop"]["give_back_s"] + FLUSH_S
        if grace_s < needs_s:
            yield f"{deployment['metadata']['name']}: {grace_s} s of grace, {needs_s} s are needed"
        if settings.get("rabbitmq", {}).get("consumer_timeout_s", 86400) <= settings["stop"]["drain_s"]:
            yield f"{deployment['metadata']['name']}: the broker takes running jobs back"


def selectors(objects: Objects) -> Iterator[str]:
    """Every selector selects something, and none holds what changes."""
    pods = [labels for _, labels, _ in objects.pods()]
    services = [o["metadata"]["labels"] for o in objects.of("Service")]
    for o in objects.all:
        name, spec = f"{o['kind']} {o['metadata']['name']}", o.get("spec", {})
        chosen = {"Service": {"matchLabels": spec.get("selector", {})}, "NetworkPolicy": spec.get("podSelector")}.get(o["kind"], spec.get("selector"))
        if not isinstance(chosen, dict):
            continue
        among = services if o["kind"] == "ServiceMonitor" else pods
        hits = sum(selects(chosen, labels) for labels in among)
        if hits == 0:
            yield f"{name} selects nothing"
        if o["kind"] in ("Service", "Deployment") and hits != 1:
            yield f"{name} selects {hits} kinds of pods"
        if any("version" in key or "chart" in key for key in chosen.get("matchLabels", {})):
            yield f"{name} selects by a version"
    for o in objects.of("Deployment"):
        template = o["spec"]["template"]
        for spread in template["spec"]["topologySpreadConstraints"]:
            if not selects(spread["labelSelector"], template["metadata"]["labels"]):
                yield f"{o['metadata']['name']} is spread over pods that are not its own"
    for pool, _, _ in objects.workers():
        if not any(o["spec"]["selector"]["matchLabels"].get("packshot/pool") == pool for o in objects.of("PodDisruptionBudget")):
            yield f"pool {pool} has no PodDisruptionBudget"


def references(objects: Objects) -> Iterator[str]:
    """Whatever is named exists, and names are unique and short."""
    seen = set()
    for o in objects.all:
        name = (o["kind"], o["metadata"]["name"])
        if name in seen:
            yield f"{name} twice"
        seen.add(name)
        if len(name[1]) > 63:
            yield f"{name} is longer than 63"
    for name, _, spec in objects.pods():
        account = spec["serviceAccountName"]
        if account != "default" and not objects.find("ServiceAccount", account):
            yield f"{name}: ServiceAccount {account} does not exist"
        volumes = {volume["name"] for volume in spec["volumes"]}
        for volume in spec["volumes"]:
            if "configMap" in volume and not objects.find("ConfigMap", volume["configMap"]["name"]):
                yield f"{name}: ConfigMap {volume['configMap']['name']} does not exist"
        for container in spec["containers"]:
            yield from container_references(name, container, volumes)


def container_references(pod: str, container: dict, volumes: set[str]) -> Iterator[str]:
    """Mounts have volumes, probes have ports, variables come before they are used."""
    for mount in container["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"{pod}: no volume {mount['name']}"
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        wanted = "/readyz" if probe == "readinessProbe" else "/livez"
        if ports and (container[probe]["httpGet"]["port"] not in ports or container[probe]["httpGet"]["path"] != wanted):
            yield f"{pod}: {probe} does not ask {wanted} on a port of its own"
    known: set[str] = set()
    for variable in container["env"]:
        if variable["name"] in known:
            yield f"{pod}: {variable['name']} twice"
        for used in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
            if used not in known:
                yield f"{pod}: {variable['name']} uses {used} before it is set"
        known.add(variable["name"])


def restricted(objects: Objects) -> Iterator[str]:
    """The restricted profile of Kubernetes' pod security standards, and more."""
    for name, _, spec in objects.pods():
        pod = spec["securityContext"]
        if pod.get("runAsNonRoot") is not True or pod.get("runAsUser") != 65532 or pod["seccompProfile"]["type"] != "RuntimeDefault":
            yield f"{name}: its pod's security context is not restricted"
        if spec.get("automountServiceAccountToken") is not False or spec.get("enableServiceLinks") is not False:
            yield f"{name}: it gets a token or service links that it does not need"
        if any(key in spec for key in ("hostNetwork", "hostPID", "hostIPC")) or any("hostPath" in volume for volume in spec["volumes"]):
            yield f"{name}: it shares something of the node"
        for container in spec["containers"]:
            own = container["securityContext"]
            wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}}
            if own != wanted:
                yield f"{name}: its container's security context is {own}"
            resources = container["resources"]
            if "memory" not in resources.get("limits", {}) or "cpu" not in resources.get("requests", {}) or "memory" not in resources.get("requests", {}):
                yield f"{name}: requests or the memory limit are missing"
            for variable in container["env"]:
                if re.search(r"://[^/\s]*:[^/\s]*@", str(variable.get("value", ""))):
                    yield f"{name}: {variable['name']} holds a password"


def known_fields(objects: Objects) -> Iterator[str]:
    """Custom resources have no fields beyond those known here."""
    for o in objects.all:
        for field in o.get("spec", {}):
            if o["kind"] in FIELDS and field not in FIELDS[o["kind"]]:
                yield f"{o['kind']} {o['metadata']['name']}: spec.{field} is not known"


def secrets(objects: Objects) -> set[tuple[str, str]]:
    """Variable or file, and key, of everything that comes from Secrets."""
    found = set()
    for _, _, spec in objects.pods():
        for container in spec["containers"]:
            for variable in container["env"]:
                key = variable.get("valueFrom", {}).get("secretKeyRef")
                if key:
                    found.add((variable["name"], key["key"]))
    for o in objects.of("TriggerAuthentication"):
        found |= {(f"KEDA {target['parameter']}", target["key"]) for target in o["spec"]["secretTargetRef"]}
    return found


def settings_files(objects: Objects) -> list[tuple[str, str, dict]]:
    """Name, program and content of every settings file."""
    out = []
    for o in objects.of("ConfigMap"):
        for file, text in o["data"].items():
            if file in ("scheduler.yaml", "worker.yaml"):
                out.append((o["metadata"]["name"], file.removesuffix(".yaml"), yaml.safe_load(text)))
    return out


def unique(objects: list[dict]) -> dict[str, dict]:
    """Objects by their content, so that what several variants share is looked at once."""
    return {json.dumps(o, sort_keys=True): o for o in objects}


RULES = [scaling, stopping, selectors, references, restricted, known_fields]
