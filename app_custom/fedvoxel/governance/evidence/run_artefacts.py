"""The run's own artefacts: its outcome, its models, and the files of its job, as the server's log names them."""

from pathlib import Path
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.federation.outcome import OUTCOME_FILE, ModelFile
from fedvoxel.governance.audited_files import job_hash
from fedvoxel.governance.evidence.artefact import Artefact, Source, Verdict, found, missing, unverified, verified
from fedvoxel.governance.evidence.logs import Logs
from fedvoxel.governance.evidence.outcome_facts import outcome_facts
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.job_folder import SIGNATURES
from fedvoxel.records.canonical import sha256_of_file

_APP = "app_server"
_CLIENT = Path("config/config_fed_client.json")
_SERVER = Path("config/config_fed_server.json")


def run_artefacts(subject: Subject, logs: Logs) -> list[Artefact]:
    """Returns outcome, models and job."""
    outcome = _outcome(subject, logs)
    run = subject.outcome
    models = {one.file: one for one in (run.model, run.best_model) if one is not None}
    made = [_model(subject, one, outcome.counts) for one in models.values()]
    if not made:
        made = [missing(Source("model", "run: workspace"), "the run left no model")]
    return [outcome, *made, _job(subject, logs)]


def _outcome(subject: Subject, logs: Logs) -> Artefact:
    run, sha256 = subject.outcome, subject.outcome_sha256
    verdict = _named(logs.names("outcome", sha256, job_id=run.job_id), logs)
    shows = ["outcome", "privacy_channels" if run.channels else "", "privacy_guarantee" if run.guarantee else ""]
    facts = outcome_facts(run, subject.pseudonyms)
    shows += ["start_model" if run.start_from else "", "test_scores" if _has_scores(facts) else ""]
    source = Source("outcome", f"run: workspace/{OUTCOME_FILE}")
    return found(source, sha256, verdict, facts, *filter(None, shows))


def _has_scores(facts: dict[str, Any]) -> bool:
    return any(site["test"] for site in facts["sites"].values())


def _named(is_named: bool, logs: Logs) -> Verdict:
    if is_named:
        return verified(
            "the server's audit log names this hash for this job, in an entry that hospitals have signed for"
        )
    if next(logs.events(), None) is None:
        return unverified("there is no server's audit log that can be trusted and could name this hash")
    return unverified("the server's audit log, as far as hospitals have signed for it, does not name this hash")


def _model(subject: Subject, model: ModelFile, outcome_counts: bool) -> Artefact:
    source = Source("model", f"run: workspace/{model.file}", part=model.file)
    path = subject.workspace / model.file
    if not path.is_file():
        return missing(source, "the outcome names it, and it is not in the downloaded job")
    sha256 = sha256_of_file(path)
    if sha256 != model.sha256:
        return found(source, sha256, unverified("it is not the file that the outcome names"))
    if not outcome_counts:
        return found(source, sha256, unverified("the outcome names it, and is not verified itself"))
    return found(source, sha256, verified("the verified outcome names this hash"), {"size_bytes": path.stat().st_size})


def _job(subject: Subject, logs: Logs) -> Artefact:
    source, app = Source("job", f"run: workspace/{_APP}"), subject.workspace / _APP
    if not app.is_dir():
        return missing(source, "the job's files are not in the downloaded job")
    sha256, job_id = job_hash(app), subject.outcome.job_id
    facts = _job_facts(app, job_id, logs)
    shows = ["job" if facts.get("classes") and facts.get("network") else "files"]
    shows += ["job_without_a_site"] if facts.get("without_a_site") else []
    return found(source, sha256, _named(logs.names("job", sha256, job_id=job_id), logs), facts, *shows)


def _job_facts(app: Path, job_id: str, logs: Logs) -> dict[str, Any]:
    """Returns what the job's files say of the task, each file's hash, and who has signed them as the log says."""
    files = [path for path in sorted(app.rglob("*")) if path.is_file() and path.name not in SIGNATURES]
    said = [event for event in logs.events() if event.kind == "job" and event.job_id == job_id and event.actor]
    signers = {f"{event.actor.name} ({event.actor.role})" for event in said if event.actor}
    return {
        "files": {path.relative_to(app).as_posix(): sha256_of_file(path) for path in files},
        "submitted_by": sorted(signers),
        **_task(app / _CLIENT),
        "without_a_site": _terms(app / _SERVER),
    }


def _task(client: Path) -> dict[str, Any]:
    """Returns what sites are asked to train; nothing where the file cannot be read."""
    try:
        values = read_json(client, "the job's client file")
        arguments = values["executors"][0]["executor"]["args"]
        network = arguments.get("training", {}).get("network", {}).get("name")
        return {
            "cohort": arguments.get("cohort"),
            "classes": arguments.get("classes"),
            "network": network,
            "privacy": arguments.get("privacy"),
        }
    except (ConfigError, LookupError, TypeError, AttributeError):
        return {}


def _terms(server: Path) -> dict[str, Any] | None:
    """Returns how many hospitals a round needs, and how long it waits for the others; None where the job has no say."""
    try:
        rounds = read_json(server, "the job's server file")["workflows"][0]["args"]["rounds"]
        return {name: rounds[name] for name in ("min_sites", "round_timeout_s")}
    except (ConfigError, LookupError, TypeError):
        return None
