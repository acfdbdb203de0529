"""The chart through a real Helm: lint, schema, renders, values that must be refused."""

import copy
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import helm_python as helm
import yaml

CHART = Path(__file__).parents[1] / "packshot"
RELEASE, NAMESPACE = "demo", "prod"


def variants() -> dict[str, dict]:
    """Every `ci/*-values.yaml` by its name."""
    files = sorted((CHART / "ci").glob("*-values.yaml"))
    return {file.name.removesuffix("-values.yaml"): yaml.safe_load(file.read_text()) for file in files}


class Chart:
    """The chart, loaded once."""

    def __init__(self) -> None:
        helm.disable_logging()
        self.loaded = helm.Chart.load(str(CHART))

    def files(self, values: dict) -> dict[str, str]:
        """Rendered files by their path below templates/."""
        out = self.loaded.render(values, name=RELEASE, namespace=NAMESPACE)
        return {path.split("/templates/")[1]: text for path, text in out.items() if text.strip()}

    def objects(self, values: dict) -> list[dict]:
        """Rendered objects."""
        files = self.files(values)
        texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
        return [object for text in texts for object in yaml.safe_load_all(text) if object]

    def refusal(self, values: dict) -> str | None:
        """Why values are refused; nothing when they are not."""
        try:
            self.files(values)
        except helm.HelmError as error:
            return str(error)
        return None


def lint(values: dict, kube_version: str) -> Iterator[str]:
    """Strict lint; a missing icon is no fault of a chart that nobody browses."""
    found = helm.lint(str(CHART), values, strict=True, kube_version=kube_version)
    for message in found["messages"]:
        if "icon is recommended" not in message["error"]:
            yield f"{message['path']}: {message['error']}"
    yield from (error for error in found["errors"])


def merged(values: dict, change: dict) -> dict:
    """`values` with `change` on top, as Helm merges them."""
    out = copy.deepcopy(values)
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


# What is wrong, the change to the minimal values, and words that the refusal must hold.
REFUSED: list[tuple[str, dict, list[str]]] = [
    ("a misspelt section", {"wrker": {}}, ["wrker", "not allowed"]),
    ("a misspelt value", {"worker": {"concurency": 3}}, ["/worker", "concurency"]),
    ("a misspelt value of a pool", {"pools": {"studio": {"replica": {}}}}, ["/pools/studio", "replica"]),
    ("a pool that does not exist", {"pools": {"render": {"enabled": True}}}, ["/pools", "render"]),
    ("a section of settings that does not exist", {"worker": {"settings": {"limit": {}}}}, ["/worker/settings", "limit"]),
    ("what only a submitter can say", {"scheduler": {"settings": {"policy": {}}}}, ["/scheduler/settings", "policy"]),
    ("a number as text", {"worker": {"concurrency": "4"}}, ["/worker/concurrency", "integer"]),
    ("no jobs", {"worker": {"concurrency": 0}}, ["/worker/concurrency", "minimum"]),
    ("no scheduler", {"scheduler": {"replicas": 0}}, ["/scheduler/replicas"]),
    ("a mode that does not exist", {"autoscaling": {"mode": "vpa"}}, ["/autoscaling/mode", "'keda', 'hpa', 'none'"]),
    ("a broken digest", {"worker": {"image": {"digest": "sha256:12"}}}, ["/worker/image/digest"]),
    ("a share above one", {"telemetry": {"samplerArg": "1.5"}}, ["/telemetry/samplerArg"]),
    ("a password in the management address", {"rabbitmq": {"managementUrl": "http://user:secret@rabbitmq:15672"}}, ["/rabbitmq/managementUrl"]),
    ("a broker's address without a scheme", {"rabbitmq": {"managementUrl": "rabbitmq:15672"}}, ["/rabbitmq/managementUrl"]),
    ("a selector's label", {"commonLabels": {"app.kubernetes.io/name": "x"}}, ["app.kubernetes.io/name"]),
    ("a privileged port", {"health": {"port": 80}}, ["/health/port"]),
    ("no Secret for the broker", {"rabbitmq": {"existingSecret": ""}}, ["rabbitmq.existingSecret", "amqp://"]),
    ("no Secret for Redis", {"redis": {"existingSecret": ""}}, ["redis.existingSecret", "redis://"]),
    ("KEDA without an address", {"rabbitmq": {"managementUrl": ""}}, ["management API", "autoscaling.mode is keda"]),
    ("no bucket", {"objectStore": {"s3": {"bucket": ""}}}, ["existing bucket"]),
    ("bucket and volume", {"objectStore": {"volume": {"existingClaim": "pvc"}}}, ["objectStore.type is s3", "one of the two"]),
    ("a volume without a claim", {"objectStore": {"type": "volume", "s3": {"bucket": ""}}}, ["ReadWriteMany"]),
    ("a volume and a bucket", {"objectStore": {"type": "volume", "volume": {"existingClaim": "pvc"}}}, ["objectStore.type is volume"]),
    ("monitors without metrics", {"telemetry": {"metrics": "none"}, "monitoring": {"podMonitor": True}}, ["there is no /metrics"]),
    ("pushed metrics to nowhere", {"telemetry": {"metrics": "otlp"}}, ["the address of a collector"]),
    ("headers for no collector", {"telemetry": {"existingSecret": "x"}}, ["the address of a collector"]),
    ("a ratio without a share", {"telemetry": {"sampler": "parentbased_traceidratio"}}, ["a share from 0 to 1"]),
    ("no pool", {"pools": {"studio": {"enabled": False}, "assemble": {"enabled": False}}}, ["no pool is enabled"]),
    ("more pods at rest than at most", {"pools": {"studio": {"replicas": {"min": 30}}}}, ["pools.studio.replicas.min (30)", "replicas.max (20)"]),
    ("an HPA from nothing", {"autoscaling": {"mode": "hpa"}}, ["an HPA cannot start a pool from nothing"]),
    ("an HPA by CPU for a pool that waits", {"autoscaling": {"mode": "hpa"}, "worker": {"replicas": {"min": 1}}, "pools": {"remote": {"enabled": True}}}, ["pools.remote", "externalMetric"]),
    ("a grace period below the longest job", {"pools": {"studio": {"terminationGracePeriodSeconds": 60}}}, ["(60)", "longestJobSeconds (120)", "at least 130"]),
    ("a broker that takes running jobs back", {"rabbitmq": {"consumerTimeoutSeconds": 100}}, ["consumerTimeoutSeconds (100)", "longestJobSeconds (120)"]),
    ("more processors than jobs", {"pools": {"studio": {"concurrency": 1}}}, ["cpuJobs (2)", "concurrency (1)"]),
    ("a window below one pod", {"pools": {"studio": {"window": 2}}}, ["window (2)"]),
    ("no memory limit", {"worker": {"resources": {"limits": {"memory": None}}}}, ["resources.limits.memory"]),
    ("a cache that does not fit", {"worker": {"cacheMegabytes": 4000}}, ["cacheMegabytes (4000)"]),
    ("settings that the chart writes", {"worker": {"settings": {"stop": {"drain_s": 5}}}}, ["settings.stop.drain_s is written by the chart"]),
    ("queues made otherwise by one process", {"worker": {"settings": {"rabbitmq": {"delivery_limit": 9}}}}, ["rabbitmq.delivery_limit is written by the chart"]),
    ("settings of the scheduler that the chart writes", {"scheduler": {"settings": {"health": {"listen": ""}}}}, ["scheduler.settings.health.listen is written by the chart"]),
    ("a sweep shorter than a lease", {"scheduler": {"settings": {"sweep": {"silent_s": 30}}}}, ["sweep.silent_s (30)", "usually 60"]),
    ("a scheduler that is killed while it stops", {"scheduler": {"terminationGracePeriodSeconds": 10}}, ["at least 30"]),
]


def refused(chart: Chart) -> Iterator[tuple[str, list[str]]]:
    """Each wrong change with what is wrong about its refusal."""
    minimal = variants()["minimal"]
    for what, change, words in REFUSED:
        said = chart.refusal(merged(minimal, change))
        if said is None:
            yield what, ["it was not refused"]
        else:
            yield what, [f"the refusal does not say {word!r}: {said}" for word in words if word not in said]


def all_at_once(chart: Chart) -> Iterator[str]:
    """Several contradictions are told together."""
    minimal = variants()["minimal"]
    said = chart.refusal(merged(minimal, {"redis": {"existingSecret": ""}, "pools": {"studio": {"window": 1, "terminationGracePeriodSeconds": 9}}}))
    for word in ["redis.existingSecret", "window (1)", "terminationGracePeriodSeconds (9)"]:
        if said is None or word not in said:
            yield f"{word!r} is not in: {said}"


def installs_as_written(chart: Chart, readme: str) -> Iterator[str]:
    """The command in the project's README.md installs, whatever its values are called today."""
    command = readme.split("helm install ")[1].split("\n```")[0].replace("\\\n", "")
    values: dict = {}
    for path, value in re.findall(r"--set (\S+?)=(\S+)", command.split("\n")[0]):
        for key in reversed(path.split(".")):
            value = {key: value}
        values = merged(values, value)
    if not values:
        yield "no --set was found"
    elif said := chart.refusal(values):
        yield said


def schema_covers_values() -> Iterator[str]:
    """Every value has its place in the schema and every place a value, so neither goes stale."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def resolve(node: dict) -> dict:
        return schema["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node

    def walk(path: str, value: object, node: dict) -> Iterator[str]:
        node = resolve(node)
        if not isinstance(value, dict) or "properties" not in node:
            return
        for key, below in value.items():
            if key not in node["properties"]:
                yield f"{path}{key} is not in values.schema.json"
            else:
                yield from walk(f"{path}{key}.", below, node["properties"][key])
        if path.startswith("pools.") or path.endswith(("settings.", "resources.")):
            return
        for key in node["properties"]:
            if key not in value and path + key != "global":
                yield f"{path}{key} is in values.schema.json and has no default"

    yield from walk("", values, schema)


def checksum_follows_config(chart: Chart) -> Iterator[str]:
    """Changed settings restart the pods that read them, and no others."""
    minimal = variants()["minimal"]

    def sums(change: dict) -> dict[str, str]:
        objects = chart.objects(merged(minimal, change))
        pods = {o["metadata"]["name"]: o["spec"]["template"] for o in objects if o["kind"] == "Deployment"}
        return {name: pod["metadata"]["annotations"]["checksum/config"] for name, pod in pods.items()}

    before = sums({})
    after = sums({"pools": {"studio": {"settings": {"limits": {"reference_mb_max": 7}}}}})
    changed = {name for name in before if before[name] != after[name]}
    if changed != {"demo-packshot-worker-studio"}:
        yield f"a setting of the studio changed the checksums of {sorted(changed)}"


def digest(text: str) -> str:
    """A short name of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plain(text: str) -> str:
    """A render without trailing blanks, comments that Helm adds, and empty lines."""
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and not re.match(r"^# Source:", line)) + "\n"
