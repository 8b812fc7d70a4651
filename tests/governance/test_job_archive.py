"""A job's archive, refused before anything of it is unpacked or parsed."""

import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nvflare.fuel.utils.config import ConfigFormat
from nvflare.fuel.utils.zip_utils import zip_directory_to_file

from fedvoxel.errors import JobError
from fedvoxel.governance.job_archive import LARGEST_BYTES, check_formats, check_job_archive
from tests.approval_kits import blob_job
from tests.bad_archives import BAD_ARCHIVES, archive_of


def test_what_the_console_makes_of_a_job_is_taken(tmp_path: Path) -> None:
    job = blob_job(tmp_path / "job", {"app/custom/net.py": "a = 1\n"})
    zip_directory_to_file(str(tmp_path), "job", str(tmp_path / "console.zip"))
    check_job_archive(tmp_path / "console.zip")
    (tmp_path / "ours.zip").write_bytes(archive_of(job))
    check_job_archive(tmp_path / "ours.zip")


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_what_no_console_makes_is_refused(tmp_path: Path, name: str) -> None:
    spoil, why = BAD_ARCHIVES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's, of a name that is there already
        (tmp_path / "job.zip").write_bytes(archive_of(blob_job(tmp_path / "job"), spoil))
    with pytest.raises(JobError, match=why) as refused:
        check_job_archive(tmp_path / "job.zip")
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


@contextmanager
def _memory_below(most_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most_bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [name for name in BAD_ARCHIVES if "bomb" in name])
def test_no_bomb_takes_memory(tmp_path: Path, name: str) -> None:
    (tmp_path / "job.zip").write_bytes(archive_of(blob_job(tmp_path / "job"), BAD_ARCHIVES[name][0]))
    assert (tmp_path / "job.zip").stat().st_size < 2**20
    with _memory_below(2**20), pytest.raises(JobError):
        check_job_archive(tmp_path / "job.zip")


def test_a_large_job_is_looked_at_a_piece_at_a_time(tmp_path: Path) -> None:
    def large(archive: zipfile.ZipFile) -> None:
        archive.writestr("job/app/model.bin", bytes(LARGEST_BYTES * 9 // 10), zipfile.ZIP_DEFLATED)

    (tmp_path / "job.zip").write_bytes(archive_of(blob_job(tmp_path / "job"), large))
    with _memory_below(LARGEST_BYTES // 2):
        check_job_archive(tmp_path / "job.zip")


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all" * 100])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "job.zip").write_bytes(content)
    with pytest.raises(JobError, match="no plain ZIP"):
        check_job_archive(tmp_path / "job.zip")


@pytest.mark.parametrize("ending", [ending for ending in ConfigFormat.config_ext_formats() if ending != ".json"])
def test_each_further_language_of_flare_is_refused(ending: str) -> None:
    with pytest.raises(JobError, match="no JSON"):
        check_formats(["config/config_fed_client.json", f"config/deep/config_fed_client{ending}"])
