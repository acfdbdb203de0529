"""Alerts, dashboard and collector: they use names that exist, and hang together."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

# Metrics of others that alerts and dashboard may use: RabbitMQ's /metrics/detailed, KEDA 2.20,
# kube-state-metrics 2, the collector's span_metrics, Prometheus itself.
FOREIGN = {
    "rabbitmq_detailed_queue_messages": {"queue", "vhost"},
    "rabbitmq_detailed_queue_messages_ready": {"queue", "vhost"},
    "rabbitmq_detailed_queue_messages_unacked": {"queue", "vhost"},
    "rabbitmq_detailed_queue_consumers": {"queue", "vhost"},
    "keda_scaler_metrics_value": {"namespace", "scaledObject", "scaler"},
    "keda_scaler_detail_errors_total": {"namespace", "scaledObject", "scaler"},
    "kube_horizontalpodautoscaler_status_current_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_status_desired_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_horizontalpodautoscaler_spec_max_replicas": {"namespace", "horizontalpodautoscaler"},
    "kube_pod_container_status_restarts_total": {"namespace", "pod", "container"},
    "kube_pod_container_status_last_terminated_reason": {"namespace", "pod", "container", "reason"},
    "target_info": {"service_name", "service_namespace"},
    "ALERTS": {"alertname", "alertstate", "severity"},
}
SPAN_METRICS = ("traces_span_metrics_calls_total", "traces_span_metrics_duration_seconds")
# Words of PromQL that look like metrics.
WORDS = {
    "by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "offset",
    "bool", "sum", "max", "min", "avg", "count", "inf", "nan",
}


class Names:
    """The program's own names: deploy/TELEMETRY.md, which a test keeps equal to the module."""

    def __init__(self, root: Path) -> None:
        self.metrics: dict[str, tuple[str, str, set[str]]] = {}
        self.spans: set[str] = set()
        self.attributes: set[str] = set()
        page = root / "deploy/TELEMETRY.md"
        rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", page.read_text() if page.is_file() else "", re.M)
        for name, rest in rows:
            cells = rest.split(" | ")
            if cells[0] in ("counter", "gauge", "histogram"):
                self.metrics[name] = (cells[0], cells[1], set(re.findall(r"`([^`]+)`", cells[2])))
            elif cells[0] in ("internal", "producer", "consumer", "client", "server"):
                self.spans.add(name)
            elif len(cells) == 1:
                self.attributes.add(name)
        if not self.metrics:
            self.read_module(root / "shared/service/src/names")

    def read_module(self, module: Path) -> None:
        """The module itself, where the page has no tables yet."""
        if not module.is_dir():
            return
        attributes = dict(re.findall(r'pub const (\w+): &str\s*=\s*"([^"]+)"', (module / "attributes.rs").read_text()))
        self.attributes = set(attributes.values())
        pattern = r'(counter|amount|gauge|histogram)\(\s*"([^"]+)",\s*"([^"]+)",\s*&\[([^\]]*)\]'
        for kind, name, unit, labels in re.findall(pattern, (module / "metrics.rs").read_text()):
            words = {attributes[label.strip()] for label in labels.split(",") if label.strip()}
            self.metrics[name] = ("counter" if kind == "amount" else kind, unit, words)
        self.spans = set(re.findall(r'pub const \w+: &str\s*=\s*"([^"]+)"', (module / "spans.rs").read_text()))

    def series(self) -> dict[str, set[str]]:
        """Names as Prometheus has them, with their labels."""
        out: dict[str, set[str]] = {}
        for name, (kind, unit, labels) in self.metrics.items():
            plain = re.sub(r"[^A-Za-z0-9]", "_", name)
            suffix = {"s": "_seconds", "By": "_bytes", "USD": "_usd"}.get(unit, "")
            plain += "" if plain.endswith(suffix) else suffix
            words = {re.sub(r"[^A-Za-z0-9]", "_", label) for label in labels}
            if kind == "histogram":
                out |= {plain + end: words for end in ("_sum", "_count")} | {plain + "_bucket": words | {"le"}}
            else:
                out[plain + ("_total" if kind == "counter" else "")] = words
        return out


def span_series(collector: dict) -> dict[str, set[str]]:
    """What the collector makes of spans, with its labels."""
    dimensions = {re.sub(r"[^A-Za-z0-9]", "_", d["name"]) for d in collector["connectors"]["span_metrics"]["dimensions"]}
    words = dimensions | {"span_name", "span_kind", "status_code", "service_name"}
    calls, duration = SPAN_METRICS
    return {calls: words, duration + "_count": words, duration + "_sum": words, duration + "_bucket": words | {"le"}}


def used(expr: str) -> tuple[list[tuple[str, str]], set[str]]:
    """Selectors (metric and matchers) of an expression, and labels it is joined or summed by."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)
    labels = set()
    for names in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", bare):
        labels |= {name.strip() for name in names.split(",") if name.strip()}
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    selectors = []
    for match in re.finditer(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\(|\w)", bare):
        name, matchers = match.group(1), match.group(2) or ""
        if name not in WORDS and not bare[match.end() :].lstrip().startswith("("):
            selectors.append((name, matchers))
    return selectors, labels


def expr_problems(where: str, expr: str, known: dict[str, set[str]], spans: set[str]) -> Iterator[str]:
    """Metrics and labels of one expression that nobody has."""
    selectors, joined = used(re.sub(r"\{[^{}]*\}", lambda m: re.sub(r"\s+", "", m.group()), expr))
    if not selectors:
        yield f"{where}: no metric found in {expr!r}"
    have: set[str] = set()
    for name, matchers in selectors:
        if name not in known:
            yield f"{where}: no metric {name}"
            continue
        have |= known[name]
        for label in re.findall(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)", matchers):
            if label not in known[name]:
                yield f"{where}: {name} has no label {label}"
    for label in joined - have:
        yield f"{where}: nothing there has the label {label}"
    for span in re.findall(r'span_name="([^"]+)"', expr):
        if span not in spans:
            yield f"{where}: no span {span}"


def rules(path: Path) -> list[dict]:
    """Every alert."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def panels(path: Path) -> list[dict]:
    """Every panel that is no row."""
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def dashboard_exprs(path: Path) -> list[tuple[str, str]]:
    """Title and expression of everything the dashboard asks."""
    board = json.loads(path.read_text())
    asked = [(panel["title"], target["expr"]) for panel in panels(path) for target in panel["targets"]]
    return asked + [(note["name"], note["expr"]) for note in board["annotations"]["list"] if "expr" in note]


def alerts_hang_together(alerts: list[dict], tests: dict, runbook: str) -> Iterator[str]:
    """An alert has a paragraph, a test that fires it and one that does not, and the like."""
    headings = set(re.findall(r"^### (\w+)$", runbook, re.M))
    names = {alert["alert"] for alert in alerts}
    yield from (f"{name} has no paragraph in RUNBOOK.md" for name in names - headings)
    yield from (f"RUNBOOK.md speaks of {name}, which is no alert" for name in headings - names)
    cases = [case for test in tests["tests"] for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    yield from (f"no test fires {name}" for name in names - fired)
    yield from (f"no test keeps {name} quiet" for name in names - quiet)
    for alert in alerts:
        name = alert["alert"]
        if alert["labels"].get("severity") not in ("info", "warning", "critical"):
            yield f"{name}: its severity is none of info, warning, critical"
        if alert["annotations"].get("runbook") != f"deploy/RUNBOOK.md#{name.lower()}":
            yield f"{name}: its runbook is {alert['annotations'].get('runbook')}"


def dashboard_shape(path: Path) -> Iterator[str]:
    """Panels have unique ids and do not lie upon each other."""
    board = json.loads(path.read_text())
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        yield "two panels share an id"
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        if at["x"] + at["w"] > 24 or cells & own:
            yield f"{panel['title']} lies upon another panel or outside"
        cells |= own
        for target in panel.get("targets", []):
            if target["datasource"]["uid"] != "${datasource}":
                yield f"{panel['title']} asks a fixed data source"


def promtool(*arguments: str) -> Iterator[str]:
    """What promtool says against something."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=600)
    if done.returncode:
        yield (done.stdout + done.stderr).strip()


def exprs_parse(asked: list[tuple[str, str]]) -> Iterator[str]:
    """The dashboard's expressions, as recording rules for promtool."""
    made = []
    for number, (_, expr) in enumerate(asked):
        plain = expr.replace("$__rate_interval", "5m").replace("$__range", "1h")
        made.append({"record": f"panel:{number}", "expr": plain})
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        yaml.safe_dump({"groups": [{"name": "panels", "rules": made}]}, file)
        file.flush()
        yield from promtool("check", "rules", file.name)


def collector_problems(config: dict, names: Names, longest_s: int) -> Iterator[str]:
    """The collector's parts are wired, and sampling comes after counting and waits long enough."""
    kinds = ("receivers", "processors", "exporters", "connectors", "extensions")
    parts = {kind: set(config.get(kind, {})) for kind in kinds}
    pipelines = config["service"]["pipelines"]
    sides = {
        "receivers": parts["receivers"] | parts["connectors"],
        "processors": parts["processors"],
        "exporters": parts["exporters"] | parts["connectors"],
    }
    wired: set[str] = set(config["service"]["extensions"])
    for name, pipeline in pipelines.items():
        for side, allowed in sides.items():
            for part in pipeline[side]:
                wired.add(part)
                if part not in allowed:
                    yield f"pipeline {name}: {side} has no {part}"
    for kind in kinds:
        yield from (f"{part} is defined and used nowhere" for part in parts[kind] - wired)
    for connector in parts["connectors"]:
        ends = [any(connector in p[side] for p in pipelines.values()) for side in ("exporters", "receivers")]
        if ends != [True, True]:
            yield f"connector {connector} has one end only"
    counting = [p for p in pipelines.values() if "span_metrics" in p["exporters"]]
    if not counting or any("tail_sampling" in p["processors"] for p in counting):
        yield "spans are counted after sampling"
    sampling = config["processors"]["tail_sampling"]
    if int(sampling["decision_wait"].removesuffix("s")) <= longest_s:
        yield f"decision_wait is not more than the longest job, {longest_s} s"
    if "decision_wait_after_root_received" in sampling:
        yield "the root of a SKU's trace comes hours before its end"
    cache = sampling["decision_cache"]
    if cache["non_sampled_cache_size"] * 100 > cache["sampled_cache_size"]:
        yield "what was dropped must be forgotten sooner than what was kept"
    for policy in sampling["policies"]:
        body = policy[policy["type"]]
        if "key" in body and body["key"] not in names.attributes:
            yield f"policy {policy['name']}: no attribute {body['key']}"
        for span in re.findall(r'name == "([^"]+)"', str(body)):
            if span not in names.spans:
                yield f"policy {policy['name']}: no span {span}"
    for dimension in config["connectors"]["span_metrics"]["dimensions"]:
        if dimension["name"] not in names.attributes:
            yield f"span_metrics: no attribute {dimension['name']}"
        if dimension["name"] in ("sku", "batch.id"):
            yield f"span_metrics: {dimension['name']} has no end"
