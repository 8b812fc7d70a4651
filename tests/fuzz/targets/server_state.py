"""What a server keeps on its disk of runs, jobs and sites: journals, models, FLARE's word of a job, who is shut out."""

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from hypothesis import strategies as st
from nvflare.apis.storage import StorageException

from fedvoxel.errors import ConfigError, FedVoxelError, UpdateError
from fedvoxel.federation.attempts import Attempt
from fedvoxel.federation.kept_models import BEFORE_JOINING, KeptModels
from fedvoxel.federation.outcome import OUTCOME_FILE, ModelFile, write_outcome
from fedvoxel.federation.run_state import model_in
from fedvoxel.flare.interrupted_runs import begun_jobs, fail_damaged, interrupted_runs, is_training_job
from fedvoxel.flare.kit_storage import KitStorage
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.run_journal import JOURNAL
from fedvoxel.flare.start_model import load_start
from fedvoxel.governance.shut_out import Arrivals, read_shut_out
from fedvoxel.updates.update import check_values
from fedvoxel.updates.weights_file import from_bytes, to_bytes
from tests.bad_archives import archive_of
from tests.blob_job import job_documents, write_job
from tests.flare.test_round_journal import MODEL, STRATEGIES, entry, play, started
from tests.fuzz.mutation import mutated_bytes, mutated_value, written
from tests.fuzz.npz import odd_arrays
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, put, spoiled
from tests.fuzz.target import Target, UnwantedError
from tests.fuzz.targets.fobs import archives
from tests.sample_run import STARTED, sample_outcome

_RUN = "a_run"
_STRATEGY = STRATEGIES["scaffold, encoded"]


@cache
def _runs() -> Path:
    """A folder of runs: one that goes on, with its journal, models and outcome."""
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "runs"
    run, place = started(_STRATEGY, MODEL), folder / _RUN
    play(run)
    journal = RoundJournal(place / JOURNAL)
    attempts = (Attempt(job_id="job-1", started=STARTED, first_round=0),)
    with journal.writing():
        journal.write(entry(committed=1, attempts=attempts), run.snapshot())
    KeptModels(place).keep(_RUN, 1, (("c",), ("a", "b")), MODEL)
    (place / "global_model.npz").write_bytes(to_bytes(MODEL))
    model = ModelFile(file="global_model.npz", sha256=_sha256(to_bytes(MODEL)))
    write_outcome(sample_outcome().model_copy(update={"model": model, "run_key": _RUN}), place / OUTCOME_FILE)
    return folder


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hashed(content: bytes) -> bytes:
    """Returns some content after a line with its hash."""
    return _sha256(content).encode() + b"\n" + content


# ------------------------------------------------------------------ files of arrays

_ARRAYS = to_bytes({"a": np.ones(4, np.float32), "b": np.zeros((2, 3), np.float32)})


def _arrays(content: bytes, folder: Path) -> None:
    """What is read is arrays of plain numbers."""
    found = from_bytes(content)
    if not all(isinstance(array, np.ndarray) and array.dtype.kind != "O" for array in found.values()):
        raise UnwantedError("something that is no array of numbers")
    check_values(found)


# ------------------------------------------------------------------ a run


@st.composite
def _journals(draw: st.DrawFn) -> tuple[str, Any]:
    """A file of a run that was spoiled, an entry with other words, or arrays of other content, with right hashes."""
    files = files_of(_runs())
    kind = draw(st.sampled_from(("file", "entry", "entry", "values", "arrays")))
    if kind == "file":
        return kind, draw(spoiled(files, tuple(name for name in files if not name.endswith(".lock"))))
    body = json.loads(files[f"{_RUN}/{JOURNAL}/journal.json"].partition(b"\n")[2])
    if kind == "entry":
        return "entry", written(draw(mutated_value((body,))))
    if kind == "values":
        return "entry", written(body | {"values": draw(mutated_value((body["values"],)))})
    group = draw(st.sampled_from(sorted(body["arrays"])))
    content = draw(odd_arrays(files[f"{_RUN}/{JOURNAL}/{body['arrays'][group]['sha256']}.npz"]))
    body["arrays"][group]["sha256"] = _sha256(content)
    return "arrays", (written(body), content)


def _laid_out(case: tuple[str, Any], folder: Path) -> Path:
    kind, change = case
    if kind == "file":
        return lay_out(_runs(), change, folder)
    body, arrays = change if kind == "arrays" else (change, None)
    runs = lay_out(_runs(), (f"{_RUN}/{JOURNAL}/journal.json", hashed(body)), folder)
    (runs / _RUN / JOURNAL / "journal.copy.json").write_bytes(hashed(body))
    if arrays is not None:
        (runs / _RUN / JOURNAL / f"{_sha256(arrays)}.npz").write_bytes(arrays)
    return runs


def _go_on(case: tuple[str, Any], folder: Path) -> None:
    """The server looks for what was interrupted, and a job goes on with it: that, or an error that says why not."""
    runs = _laid_out(case, folder)
    begun_jobs(runs)
    list(interrupted_runs(runs, {}))
    journal = RoundJournal(runs / _RUN / JOURNAL)
    found = journal.read()
    if found is None:
        raise UnwantedError("a journal that is there and is none")
    kept = journal.state(found)
    again = started(_STRATEGY, model_in(kept))
    again.restore(kept)


def _fail(case: tuple[str, Any], folder: Path) -> None:
    fail_damaged(_laid_out(case, folder))


@st.composite
def _models(draw: st.DrawFn) -> tuple[str, bytes | str]:
    """A model, kept or last, or its record; of odd arrays with a right hash in the record or outcome, or spoiled."""
    files = files_of(_runs())
    kept, last = f"{_RUN}/{BEFORE_JOINING}/round-0001", f"{_RUN}/global_model.npz"
    if draw(st.booleans()):
        return draw(spoiled(files, (f"{kept}.npz", f"{kept}.json", last, f"{_RUN}/{OUTCOME_FILE}")))
    name = draw(st.sampled_from((f"{kept}.npz", last)))
    return name, draw(odd_arrays(files[name]))


def _begin(change: tuple[str, bytes | str], folder: Path) -> None:
    """A run begins with an earlier run's last model, and with a kept one."""
    name, content = change
    runs = lay_out(_runs(), change, folder)
    if isinstance(content, bytes) and name.endswith(".npz"):
        record = runs / name.replace("npz", "json") if BEFORE_JOINING in name else runs / _RUN / OUTCOME_FILE
        old = _sha256(files_of(_runs())[name])
        record.write_text(record.read_text().replace(old, _sha256(content)))
    models = KeptModels(runs / _RUN)
    for one in models.read(2):
        from_bytes(models.content(one))
    load_start(runs, _RUN)


# ------------------------------------------------------------------ jobs


def _stored(content: bytes, folder: Path) -> None:
    is_training_job(content)


@cache
def _job() -> bytes:
    return archive_of(write_job(Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "job", job_documents()))


@cache
def _storage() -> Path:
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "storage"
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    made = KitStorage("jobs")
    for job in ("a", "b"):
        made.create_object(f"jobs/{job}", b"zip", {"job_id": job, "status": "SUBMITTED"})
        made.update_meta(f"jobs/{job}", {"status": "RUNNING"}, replace=False)
    os.chdir(before)
    return folder


@st.composite
def _metas(draw: st.DrawFn) -> list[Spoiled]:
    """What is kept of one job, in one file or in both; a copy with a right hash of odd content."""
    files = files_of(_storage())
    names = tuple(name for name in files if "/a/meta" in name)
    if draw(st.booleans()):
        return [draw(spoiled(files, (name,))) for name in draw(st.sampled_from(((names[0],), (names[1],), names)))]
    content = written(draw(mutated_value(({"job_id": "a", "status": "RUNNING"},))))
    (copy,) = (name for name in names if name.endswith(".hashed"))
    return [(copy, hashed(content))]


def _keep(changes: list[Spoiled], folder: Path) -> None:
    """No job's damaged word takes another job from the server."""
    copied = lay_out(_storage(), changes[0], folder)
    for change in changes[1:]:
        put(change, copied)
    os.chdir(copied)
    storage = KitStorage("jobs")
    if not {"b"} <= {Path(uri).name for uri in storage.list_objects("jobs")}:
        raise UnwantedError("a job that was lost with another")
    if not isinstance(storage.get_meta("jobs/a"), dict):
        raise UnwantedError("something else than what is kept of a job")


# ------------------------------------------------------------------ who is shut out


@cache
def _certificates() -> Path:
    folder = Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "state"
    arrivals = Arrivals(folder)
    arrivals.came("hospital-a", 10, [10])
    arrivals.came("hospital-b", 11, [10])
    return folder


def _shut_out(change: Spoiled, folder: Path) -> None:
    state = lay_out(_certificates(), change, folder)
    read_shut_out(state)
    Arrivals(state).judge([10, 11])


_SHUT_OUT = st.deferred(lambda: spoiled(files_of(_certificates()), tuple(files_of(_certificates()))))
_REFUSALS: tuple[type[BaseException], ...] = (ConfigError,)
TARGETS = (
    Target("arrays", "state", odd_arrays(_ARRAYS), _arrays, (UpdateError,), bytes_origins=(_ARRAYS,)),
    Target("journal", "state", st.deferred(_journals), _go_on, _REFUSALS),
    Target("damaged_runs", "state", st.deferred(_journals), _fail, _REFUSALS),
    Target("models", "state", st.deferred(_models), _begin, _REFUSALS),
    Target("stored_jobs", "state", st.deferred(lambda: st.one_of(archives(), mutated_bytes((_job(),)))), _stored),
    Target("words_of_jobs", "state", st.deferred(_metas), _keep, (StorageException,)),
    Target("shut_out", "state", _SHUT_OUT, _shut_out, (FedVoxelError,)),
)
