#!/usr/bin/env python3
"""Checks chart, images, compose stack and monitoring without a cluster or a container engine.

    deploy/check-deploy            installs what is needed, then runs this
    helm/check.py                  all checks; ends with the line "N passed, M failed"
    helm/check.py --write          makes the table of values and the golden renders anew, first
    helm/check.py --program DIR    takes the program's names and settings from another checkout
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from checking import chart as charts
from checking import generated, images, monitoring, objects
from checking.report import Report

ROOT = Path(__file__).parents[1]
OLDEST = (1, 30)
CUSTOM = ("keda.sh/", "monitoring.coreos.com/")


def kube_versions() -> list[str]:
    """Every Kubernetes version from the oldest supported to the newest there are schemas for."""
    versions = kubernetes_validate.utils.all_versions()
    known = sorted({tuple(int(part) for part in v.split("-")[0].split(".")[:2]) for v in versions})
    return [f"{major}.{minor}" for major, minor in known if (major, minor) >= OLDEST]


def core_schemas(found: list[dict], version: str) -> Iterator[str]:
    """Kubernetes' own kinds against its own schemas, strictly."""
    for o in found:
        if not o["apiVersion"].startswith(CUSTOM):
            try:
                kubernetes_validate.validate(o, version, strict=True)
            except (kubernetes_validate.ValidationError, kubernetes_validate.utils.SchemaNotFoundError) as error:
                yield f"{o['kind']} {o['metadata']['name']}: {getattr(error, 'message', error)}"


def custom_schemas(found: list[dict]) -> Iterator[str]:
    """Custom resources against their makers' schemas."""
    custom = [o for o in found if o["apiVersion"].startswith(CUSTOM)]
    modules = os.environ.get("PACKSHOT_NODE_MODULES", "")
    node = shutil.which("node")
    if not node or not (Path(modules) / "@kubernetes-models").is_dir():
        yield "node or the schemas are missing: run deploy/check-deploy"
        return
    # Modules are looked for beside the script, so it is read where they are.
    script = Path(modules).parent / "crds.mjs"
    shutil.copyfile(Path(__file__).parent / "checking/crds.mjs", script)
    done = subprocess.run([node, str(script)], input=json.dumps(custom), capture_output=True, text=True, timeout=600)
    if done.returncode:
        yield done.stderr
    yield from done.stdout.splitlines()


def known_settings(program: Path) -> dict[str, set[str]]:
    """Settings by program: the sample files list them all, and tests of the programs parse them."""
    out = {}
    for name in ("scheduler", "worker"):
        file = program / f"deploy/{name}.toml"
        tree = tomllib.loads(file.read_text()) if file.is_file() else {}
        out[name] = {f"{section}.{key}" for section, fields in tree.items() for key in dotted(fields)}
    return out


def dotted(tree: dict, before: str = "") -> Iterator[str]:
    """Paths of all values."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from dotted(value, f"{before}{key}.")
        else:
            yield before + key


def settings_problems(renders: dict[str, objects.Objects], program: Path) -> Iterator[str]:
    """Chart and compose write only settings that the programs know."""
    known = known_settings(program)
    for name, settings in known.items():
        if not settings:
            yield f"deploy/{name}.toml is missing or empty: it lists every setting"
            return
    # Secrets and what has no default stand commented in the samples.
    secret = {"rabbitmq.url", "rabbitmq.vhost", "rabbitmq.ca_file", "rabbitmq.management_url", "redis.url", "s3.access_key_id", "s3.secret_access_key"}
    for variant, found in renders.items():
        for name, which, settings in objects.settings_files(found):
            for path in dotted(settings):
                if path not in known[which] | secret:
                    yield f"{variant}: {name}: the {which} knows no setting {path}"
    for service, which, path in images.compose_settings(ROOT):
        if path not in known[which] | secret:
            yield f"compose {service}: the {which} knows no setting {path}"


def secrets_documented(renders: dict[str, objects.Objects]) -> Iterator[str]:
    """The chart's README lists every key that is read from a Secret."""
    text = (charts.CHART / "README.md").read_text()
    for variable, key in sorted(objects.secrets(renders["minimal"]) | objects.secrets(renders["full"])):
        if variable != "PROVIDER_KEY" and f"`{key}`" not in text.split("## Secrets")[1].split("\n## ")[0]:
            yield f"README.md, Secrets: {key} (for {variable}) is not there"


def chart_checks(report: Report, chart: charts.Chart, program: Path) -> None:
    """Everything about the chart."""
    versions = kube_versions()
    renders = {}
    for name, values in charts.variants().items():
        report.check(f"lint {name}", charts.lint(values, f"v{versions[0]}.0"))
        said = chart.refusal(values)
        report.check(f"render {name}", [said] if said else [])
        renders[name] = objects.Objects([] if said else chart.objects(values))
    for what, problems in charts.refused(chart):
        report.check(f"refuses {what}", problems)
    report.check("tells contradictions all at once", charts.all_at_once(chart))
    report.check("README.md installs as written", charts.installs_as_written(chart, (ROOT / "README.md").read_text()))
    report.check("schema and values have the same keys", charts.schema_covers_values())
    report.check("changed settings restart their pods", charts.checksum_follows_config(chart))
    for name, found in renders.items():
        for rule in objects.RULES:
            report.check(f"{name}: {rule.__name__.replace('_', ' ')}", rule(found))
    distinct = list(objects.unique([o for found in renders.values() for o in found.all]).values())
    for version in versions:
        report.check(f"{len(distinct)} objects against Kubernetes {version}", core_schemas(distinct, version))
    report.check("custom resources against their schemas", custom_schemas(distinct))
    report.check("every Secret's key is documented", secrets_documented(renders))
    report.check("chart and compose write settings that exist", settings_problems(renders, program))
    report.check("table of values", generated.readme_problems())
    report.check("golden renders", generated.golden_problems(chart))


def monitoring_checks(report: Report, program: Path) -> None:
    """Everything about alerts, dashboard and collector."""
    deploy = ROOT / "deploy"
    names = monitoring.Names(program)
    collector = yaml.safe_load((deploy / "otel-collector.yaml").read_text())
    alerts = monitoring.rules(deploy / "prometheus/rules.yml")
    tests = yaml.safe_load((deploy / "prometheus/rules_test.yml").read_text())
    board = deploy / "grafana/packshot.json"
    asked = monitoring.dashboard_exprs(board)
    known = names.series() | monitoring.FOREIGN | monitoring.span_series(collector)
    report.check("the program's names are found", [] if names.metrics and names.spans else ["no table in deploy/TELEMETRY.md"])
    for what, exprs in (("alerts", [(a["alert"], a["expr"]) for a in alerts]), ("dashboard", asked)):
        problems = (p for where, expr in exprs for p in monitoring.expr_problems(where, expr, known, names.spans))
        report.check(f"names in the {what} exist", problems)
    report.check("alerts have paragraphs and tests", monitoring.alerts_hang_together(alerts, tests, (deploy / "RUNBOOK.md").read_text()))
    report.check("promtool: rules", monitoring.promtool("check", "rules", str(deploy / "prometheus/rules.yml")))
    report.check("promtool: tests of the rules", monitoring.promtool("test", "rules", str(deploy / "prometheus/rules_test.yml")))
    report.check("promtool: configuration", monitoring.promtool("check", "config", "--syntax-only", str(deploy / "prometheus/prometheus.yml")))
    report.check("promtool: expressions of the dashboard", monitoring.exprs_parse(asked))
    report.check("dashboard's panels", monitoring.dashboard_shape(board))
    report.check("collector", monitoring.collector_problems(collector, names, images.longest_drain(ROOT)))


def image_checks(report: Report) -> None:
    """Everything about images and the local stack."""
    deploy = ROOT / "deploy"
    report.check("hadolint", images.tool("hadolint", str(deploy / "Dockerfile")))
    report.check("Dockerfile", images.dockerfile(ROOT))
    report.check("compose schema", images.compose_schema(ROOT))
    report.check("compose", images.compose(ROOT))
    for file in sorted((deploy / "examples").glob("*.yaml")):
        report.check(f"example {file.name}", [] if all(o.get("kind") for o in yaml.safe_load_all(file.read_text())) else ["an object has no kind"])


def main() -> int:
    """All checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make generated files anew, first")
    parser.add_argument("--program", type=Path, default=ROOT, metavar="DIR", help="where the program's names and settings are")
    arguments = parser.parse_args()
    # Tools of the same virtual environment come first.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    chart = charts.Chart()
    if arguments.write:
        generated.write(chart)
    report = Report()
    chart_checks(report, chart, arguments.program)
    monitoring_checks(report, arguments.program)
    image_checks(report)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
