"""The steps that make a candidate of a finished run: report, gate, signed package, index of releases, registry."""

import json
from pathlib import Path
from typing import Any

from fedvoxel.config import load_json_config
from fedvoxel.errors import GateError, PackageError
from fedvoxel.evaluation.comparison.parts import Values
from fedvoxel.evaluation.report import Report
from fedvoxel.evaluation.run_gate import objections
from fedvoxel.export.releases import INDEX
from fedvoxel.ops.pipelines.command import run_command
from fedvoxel.ops.pipelines.job_steps import result_of
from fedvoxel.ops.pipelines.run import PipelineRun, Step, hash_of
from fedvoxel.records.canonical import sha256_of_file

PASS, STOP = "pass", "stop"
"""What the gate says."""

_REPORT, _PACKAGE = "report", "package"


def _evaluate(run: PipelineRun) -> Values:
    run_command("results", result_of(run), "--out", run.record.fresh(_REPORT), "--json", holding=run.record.lock)
    return {"report": hash_of(run.record.folder / _REPORT / "report.json", "the report")}


def _has_report(run: PipelineRun, values: Values) -> bool:
    path = run.record.folder / _REPORT / "report.json"
    return path.is_file() and sha256_of_file(path) == str(values["report"])


def _gate(run: PipelineRun) -> Values:
    report = load_json_config(Report, run.record.folder / _REPORT / "report.json", "the report")
    found = objections(report, run.settings.gate)
    return {"verdict": STOP if found else PASS, "objections": list(found)}


def _export(run: PipelineRun) -> Values:
    """Signs the model that the gate has judged: the reported scores are those of the best validated one."""
    gate = run.needed("gate")
    if gate["verdict"] != PASS:
        raise GateError(f"the gate lets the model go no further: {'; '.join(gate['objections'])}")
    settings, folder = run.settings, run.record.fresh(_PACKAGE)
    words = ["--describe", settings.describe, "--sign", settings.kit, "--model", "best", "--out", folder]
    run_command("export", result_of(run), *words, holding=run.record.lock)
    (package,) = folder.glob("*.fvpkg")
    show = ["export", "show", package, "--root", settings.kit, "--json"]
    facts = json.loads(run_command(*show, holding=run.record.lock))
    return {"file": package.name, "content": sha256_of_file(package), "identity": facts["sha256"]}


def _has_package(run: PipelineRun, values: Values) -> bool:
    path = run.record.folder / _PACKAGE / values["file"]
    return path.is_file() and sha256_of_file(path) == str(values["content"])


def _register(run: PipelineRun) -> Values:
    """Makes the package a candidate; whether it is released, people say."""
    settings, exported = run.settings, run.needed("export")
    package = run.record.folder / _PACKAGE / exported["file"]
    if (known := _known(run, exported["identity"])) is None:
        words = ["--sign", settings.kit, "--reason", settings.reason, *_seen(run)]
        run_command("release", "publish", package, settings.releases, *words, holding=run.record.lock)
        known = _known(run, exported["identity"])
    if known is None or known["state"] == "withdrawn":
        raise PackageError(
            f"{package.name} is {known['state'] if known else 'not in the index'}: nothing is registered"
        )
    found: Values = {name: known[name] for name in ("name", "version", "state")}
    return found | {"mlflow": _mirror(run, package)}


def _is_registered(run: PipelineRun, values: Values) -> bool:
    """Says whether the index still says of the package what it did: somebody may have withdrawn it since."""
    known = _known(run, run.needed("export")["identity"])
    return known is not None and known["state"] == values["state"]


def _seen(run: PipelineRun) -> list[Any]:
    return [] if run.settings.seen is None else ["--seen", run.settings.seen]


def _known(run: PipelineRun, identity: str) -> dict[str, Any] | None:
    """Returns what the index says of a package; None where it does not know it, or there is no index."""
    index = run.settings.releases
    if not (index / INDEX).is_file():
        return None
    words = ["release", "list", index, "--root", run.settings.kit, "--json", *_seen(run)]
    said = json.loads(run_command(*words, holding=run.record.lock))
    return next((one for one in said if one["sha256"] == identity), None)


def _mirror(run: PipelineRun, package: Path) -> dict[str, Any] | None:
    registry, settings = run.settings.mlflow, run.settings
    if registry is None:
        return None
    words = ["--releases", settings.releases, "--root", settings.kit, "--url", registry.url]
    words += ["--project", registry.project, *_seen(run), "--json"]
    said: dict[str, Any] = json.loads(run_command("track", "register", package, *words, holding=run.record.lock))
    return {"model": said["model"], "version": said["version"]}


def _what_is_exported(run: PipelineRun) -> dict[str, Any]:
    described = hash_of(run.settings.describe, "the model's description")
    return {"outcome": run.needed("wait")["outcome"], "describe": described}


def _where_it_goes(run: PipelineRun) -> dict[str, Any]:
    registry = run.settings.mlflow
    mirror = None if registry is None else registry.model_dump(mode="json")
    return {"releases": str(run.settings.releases), "mlflow": mirror}


EVALUATE = Step(needs=lambda run: {}, work=_evaluate, is_whole=_has_report)
GATE = Step(needs=lambda run: run.settings.gate.model_dump(mode="json"), work=_gate)
EXPORT = Step(needs=_what_is_exported, work=_export, is_whole=_has_package)
REGISTER = Step(needs=_where_it_goes, work=_register, is_whole=_is_registered)
