"""Job folders: their three files, and what else may lie in them."""

import json
import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from fedvoxel.flare.job_findings import examine
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.governance.job_folder import read_job_folder
from tests.blob_job import job_documents, write_job
from tests.fuzz.mutation import mutated_text
from tests.fuzz.spoiled import Spoiled, files_of, lay_out, spoiled
from tests.fuzz.target import Target

_JOBS = Path(__file__).resolve().parents[3] / "jobs"
_NAMES = (
    "hippocampus_secure",
    "hippocampus_dp_shared",
    "hippocampus_scaffold",
    "cohort_statistics",
    "reader_study",
    "drift_watch",
)
_ORIGINS = (write_job(Path(mkdtemp(prefix="fedvoxel_fuzz_")) / "blobs", job_documents()), *(_JOBS / n for n in _NAMES))


@st.composite
def _jobs(draw: st.DrawFn) -> tuple[Path, Spoiled]:
    origin = draw(st.sampled_from(_ORIGINS))
    files = {name: content for name, content in files_of(origin).items() if name.endswith(".json")}
    return origin, draw(spoiled(files, tuple(files)))


def _read(case: tuple[Path, Spoiled], folder: Path) -> None:
    origin, change = case
    job = lay_out(origin, change, folder)
    examine(job)
    variant(understand(read_job_folder(job)), {"name": "x"})


_WHERE = (
    *(
        "app/custom/x.py",
        "custom/x.json",
        "app/config/../../../escaped.json",
        "app/config/deep" + "/d" * 60 + "/x.json",
    ),
    *("app/config/config_fed_server.json.json", "app/config/é.json", "app/config/a\nb.json", "meta.JSON", ".hidden"),
    *("app/config/\x1b[2J.json", "app2/config/config_fed_server.json", "app/config/con.json", "x" * 200 + ".json"),
)


@st.composite
def _trees(draw: st.DrawFn) -> list[tuple[str, str, bytes]]:
    """Further files, links, pipes and folders."""
    kinds = st.sampled_from(("file", "link", "pipe", "folder", "dangling"))
    return draw(
        st.lists(
            st.tuples(st.sampled_from(_WHERE), kinds, mutated_text(({"a": 1},))),
            min_size=1,
            max_size=4,
        )
    )


def _walk(extras: list[tuple[str, str, bytes]], folder: Path) -> None:
    job = write_job(folder / "inner" / "job", job_documents())
    for name, kind, content in extras:
        path = Path(os.path.normpath(job / name))
        if path.exists() or path.is_symlink():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, kind, content, job)
    examine(job)
    read_job_folder(job)


def _make(path: Path, kind: str, content: bytes, job: Path) -> None:
    if kind == "file":
        path.write_bytes(content)
    elif kind == "link":
        path.symlink_to(job / "meta.json")
    elif kind == "dangling":
        path.symlink_to("/nowhere/at/all")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


def _keys(text: str, folder: Path) -> None:
    from fedvoxel.governance.job_keys import parse_assignment

    key, value = parse_assignment(text)
    made: Any = variant(understand(read_job_folder(_ORIGINS[0])), {key: value})
    json.dumps(made.folder.documents).encode()


_WORDS = ("name", "run_key", "rounds.num_rounds", "training.seed", "plan.spacing_mm", "cohort", "a.b.c", "", ".", "__x")
_KEYS = st.builds(
    lambda key, value: f"{key}={value.decode('utf-8', 'replace')}",
    st.sampled_from(_WORDS),
    mutated_text((1, "a", [1, 2, 3], {"a": {}})),
)

TARGETS = (
    Target("files", "job archives", _jobs(), _read),
    Target("trees", "job archives", _trees(), _walk),
    Target("settings", "job archives", _KEYS, _keys),
)
