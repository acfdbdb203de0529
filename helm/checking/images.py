"""Dockerfile and compose file."""

import importlib.util
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import yaml


def tool(*command: str) -> Iterator[str]:
    """What a tool says against something."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode:
        yield (done.stdout + done.stderr).strip()


def dockerfile(root: Path) -> Iterator[str]:
    """The images are what the chart and the workspace say."""
    text = (root / "deploy/Dockerfile").read_text()
    cargo = tomllib.loads((root / "Cargo.toml").read_text())
    channel = tomllib.loads((root / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    for wanted in (f"ARG RUST_IMAGE=rust:{channel}-", f"ENV RUSTUP_TOOLCHAIN={channel}", "USER 65532:65532"):
        if wanted not in text:
            yield f"{wanted!r} is missing"
    version = cargo["workspace"]["package"]["version"]
    if f"ARG VERSION={version}" not in text:
        yield f"its version is not {version}"
    for target, program in (("scheduler", "packshot"), ("worker", "packshot-worker")):
        stage = re.search(rf"^FROM runtime AS {target}\n(.*?)(?=^FROM |\Z)", text, re.M | re.S)
        if not stage or f'ENTRYPOINT ["/usr/local/bin/{program}"]' not in stage.group(1):
            yield f"target {target} does not start {program}"
        elif "RUN" in stage.group(1):
            yield f"target {target} needs a shell"
    if cargo["profile"]["release"].get("panic") != "unwind":
        yield "the release profile must say panic = \"unwind\": a broken image must not end the jobs beside it"
    ignored = (root / ".dockerignore").read_text().split("\n")
    for name in (".git", "target"):
        if name not in ignored:
            yield f".dockerignore lets {name} in"


def compose_schema(root: Path) -> Iterator[str]:
    """The compose file against the schema of its specification."""
    # Found, not imported: the package itself would ask for much more.
    package = Path(importlib.util.find_spec("check_jsonschema").origin).parent
    held = package / "builtin_schemas/vendor/compose-spec.json"
    stack = yaml.safe_load((root / "deploy/compose.yaml").read_text())
    schema = json.loads(held.read_text())
    for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(stack):
        yield f"{error.json_path}: {error.message}"


def compose(root: Path) -> Iterator[str]:
    """The local stack is closed to the outside, pinned, and stops in order."""
    folder = root / "deploy"
    stack = yaml.safe_load((folder / "compose.yaml").read_text())
    for name, service in stack["services"].items():
        image = service["image"]
        if ":" not in image or image.endswith(":latest"):
            yield f"{name}: {image} has no version"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: port {port} is open to the network"
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and not (folder / source).exists() and source != "../out":
                yield f"{name}: {source} does not exist"
        for wanted, how in dict_of(service.get("depends_on", {})).items():
            if how.get("condition") == "service_healthy" and "healthcheck" not in stack["services"][wanted]:
                yield f"{name} waits for the health of {wanted}, which has none"
        if name.startswith("worker") or name == "scheduler":
            if not (service.get("read_only") and service.get("cap_drop") == ["ALL"] and service.get("user") == "65532:65532"):
                yield f"{name} is not run as in the chart"
        if name.startswith("worker"):
            grace_s = int(service.get("stop_grace_period", "10s").removesuffix("s"))
            drain_s = int(service["environment"]["PACKSHOT__STOP__DRAIN_S"])
            if grace_s < drain_s + 10:
                yield f"{name}: stop_grace_period {grace_s} s for a drain of {drain_s} s"


def dict_of(depends: object) -> dict:
    """Both forms of depends_on."""
    return depends if isinstance(depends, dict) else {name: {} for name in depends}


def compose_settings(root: Path) -> list[tuple[str, str, str]]:
    """Service, program and setting of every PACKSHOT__ variable."""
    stack = yaml.safe_load((root / "deploy/compose.yaml").read_text())
    out = []
    for name, service in stack["services"].items():
        program = "worker" if name.startswith("worker") else "scheduler"
        for variable in service.get("environment") or {}:
            if variable.startswith("PACKSHOT__"):
                out.append((name, program, variable.removeprefix("PACKSHOT__").lower().replace("__", ".")))
    return out


def longest_drain(root: Path) -> int:
    """The longest drain of the compose workers, in seconds."""
    stack = yaml.safe_load((root / "deploy/compose.yaml").read_text())
    return max(int(s["environment"]["PACKSHOT__STOP__DRAIN_S"]) for n, s in stack["services"].items() if n.startswith("worker"))
