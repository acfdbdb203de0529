"""What is made from the chart and kept beside it: the table of values, and golden renders."""

import difflib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from .chart import CHART, Chart, plain, variants
from .objects import Objects

GOLDEN = Path(__file__).parents[1] / "golden"
BEGIN, END = "<!-- values -->\n", "<!-- end of values -->"


def documented() -> tuple[list[tuple[str, str, str]], list[str]]:
    """Path, default and description of every value, and values without a description."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    values = yaml.safe_load("\n".join(lines))
    rows, undescribed, above, path = [], [], [], []
    covered = ""
    for line in lines:
        comment = re.match(r"^\s*# -- (.*)$", line)
        key = re.match(r"^( *)([A-Za-z][\w.-]*):(.*)$", line)
        if comment:
            above = [comment.group(1)]
        elif re.match(r"^\s*#", line) and above:
            above.append(line.strip(" #"))
        elif key:
            depth = len(key.group(1)) // 2
            path = path[:depth] + [key.group(2)]
            dotted = ".".join(path)
            if covered and dotted.startswith(covered + "."):
                continue
            covered = ""
            if above:
                rows.append((dotted, json.dumps(at(values, path)), " ".join(above)))
                covered = dotted
            elif key.group(3).strip():
                undescribed.append(dotted)
            above = []
        else:
            above = []
    return rows, undescribed


def at(values: dict, path: list[str]) -> object:
    """The value at a path."""
    for key in path:
        values = values[key]
    return values


def table() -> str:
    """The values as Markdown."""
    rows, _ = documented()
    out = "| value | default | what it is |\n|---|---|---|\n"
    for path, default, text in rows:
        cells = [f"`{path}`", "" if default == '""' else f"`{default}`", text]
        out += "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"
    return out


def readme() -> str:
    """README.md with the table as it should be."""
    text = (CHART / "README.md").read_text()
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


def readme_problems() -> Iterator[str]:
    """Whether the table is as it should be."""
    _, undescribed = documented()
    yield from (f"{path} has no description" for path in undescribed)
    if readme() != (CHART / "README.md").read_text():
        yield "the table in helm/packshot/README.md is old: helm/check.py --write makes it anew"


def render(chart: Chart, values: dict) -> str:
    """One text of all rendered files but dashboards and rules, which are files of their own."""
    out = ""
    for path, text in sorted(chart.files(values).items()):
        body = plain(text)
        body = re.sub(r"^( +)packshot\.json: \|\n(?:\1 +.*\n)+", r"\1packshot.json: (files/packshot.json)\n", body, flags=re.M)
        body = re.sub(r"^  groups:\n(?:    .*\n|  # .*\n)+", "  groups: (files/rules.yml)\n", body, flags=re.M)
        out += f"#### {path}\n{body}"
    return out


def scaling(chart: Chart) -> str:
    """The numbers by which the smallest installation scales and stops, for simulations."""
    objects = Objects(chart.objects(variants()["minimal"]))
    pools = {}
    for pool, deployment, settings in objects.workers():
        spec = objects.find("ScaledObject", deployment["metadata"]["name"])["spec"]
        data = spec["triggers"][0]["metadata"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        pools[pool] = {
            "queue": data["queueName"],
            "value": int(data["value"]),
            "activation_value": int(data["activationValue"]),
            "polling_s": spec["pollingInterval"],
            "cooldown_s": spec["cooldownPeriod"],
            "replicas_min": spec["minReplicaCount"],
            "replicas_max": spec["maxReplicaCount"],
            "fallback": spec["fallback"],
            "scale_up": behavior["scaleUp"],
            "scale_down": behavior["scaleDown"],
            "grace_s": deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
            "settings": {section: settings[section] for section in ("pools", "work", "stop")},
        }
    return json.dumps(pools, indent=2) + "\n"


def goldens(chart: Chart) -> dict[str, str]:
    """The smallest installation whole, every other one as what differs from it."""
    renders = {name: render(chart, values) for name, values in variants().items()}
    base = renders["minimal"].splitlines()
    files = {"minimal.yaml": renders["minimal"], "scaling.json": scaling(chart)}
    for name, text in renders.items():
        if name != "minimal":
            lines = difflib.unified_diff(base, text.splitlines(), "minimal", name, n=1, lineterm="")
            files[f"{name}.diff"] = "\n".join(lines) + "\n"
    return files


def golden_problems(chart: Chart) -> Iterator[str]:
    """How renders differ from what is kept."""
    made = goldens(chart)
    kept = {file.name: file.read_text() for file in GOLDEN.glob("*")}
    yield from (f"helm/golden/{name} belongs to no variant" for name in kept.keys() - made.keys())
    for name, text in made.items():
        if kept.get(name) != text:
            lines = list(difflib.unified_diff(kept.get(name, "").splitlines(), text.splitlines(), "kept", "now", n=0, lineterm=""))
            shown = "\n".join(lines[:12])
            yield f"helm/golden/{name} differs in {len(lines)} lines; look, then helm/check.py --write\n{shown}"


def write(chart: Chart) -> None:
    """Makes all of it anew."""
    (CHART / "README.md").write_text(readme())
    GOLDEN.mkdir(exist_ok=True)
    made = goldens(chart)
    for file in GOLDEN.glob("*"):
        if file.name not in made:
            file.unlink()
    for name, text in made.items():
        (GOLDEN / name).write_text(text)
