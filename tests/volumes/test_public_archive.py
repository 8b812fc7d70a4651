import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fedvoxel.errors import DownloadError
from fedvoxel.volumes.decathlon_download import HIPPOCAMPUS, download_hippocampus
from fedvoxel.volumes.public_archive import PublicArchive, fetch_archive

FOLDER = "Task04_Hippocampus"
CONTENT = {f"{FOLDER}/dataset.json": b"{}", f"{FOLDER}/imagesTr/one.nii.gz": os.urandom(300_000)}


def tar_of(members: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return stream.getvalue()


@dataclass
class Publisher:
    """A web server on this machine that can drop connections and forget ranges."""

    content: bytes
    ranges: bool = True
    drop_after: list[int] = field(default_factory=list)  # bytes to send before the connection drops, per request
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    address: str = ""

    def archive(self, md5: str | None = None) -> PublicArchive:
        return PublicArchive(self.address, md5 or hashlib.md5(self.content).hexdigest(), FOLDER)  # noqa: S324


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher(tar_of(CONTENT))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            publisher.asked.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and publisher.ranges else 0
            whole = len(publisher.content)
            body = publisher.content[start:]
            status = publisher.status if publisher.status != 200 else 206 if start else 200
            if start >= whole:
                status, body = 416, b""
            self.send_response(status)
            if status == 416:
                self.send_header("Content-Range", f"bytes */{whole}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            sent = publisher.drop_after.pop(0) if publisher.drop_after else len(body)
            self.wfile.write(body[:sent])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher.address = f"http://127.0.0.1:{server.server_address[1]}/{FOLDER}.tar"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield publisher
    server.shutdown()
    server.server_close()
    thread.join()


def assert_unpacked(into: Path) -> None:
    for name, content in CONTENT.items():
        assert (into / name).read_bytes() == content
    assert [path.name for path in into.iterdir()] == [FOLDER]


def test_archive_is_fetched_once(publisher: Publisher, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    into = tmp_path / "new" / "folder"
    assert fetch_archive(publisher.archive(), into, lambda *at: seen.append(at)) == into / FOLDER
    assert_unpacked(into)
    assert seen[-1] == (len(publisher.content), len(publisher.content))
    fetch_archive(publisher.archive(), into)
    assert publisher.asked == [None]


def test_dropped_connection_is_resumed(publisher: Publisher, tmp_path: Path) -> None:
    publisher.drop_after = [100_000, 50_000]
    fetch_archive(publisher.archive(), tmp_path)
    assert publisher.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert_unpacked(tmp_path)


def test_interrupted_run_goes_on_where_it_stopped(publisher: Publisher, tmp_path: Path) -> None:
    publisher.drop_after = [100_000, 0, 0]
    with pytest.raises(DownloadError, match=r"ended early.*goes on where it stopped"):
        fetch_archive(publisher.archive(), tmp_path)
    assert (tmp_path / f"{FOLDER}.tar.part").stat().st_size == 100_000
    fetch_archive(publisher.archive(), tmp_path)
    assert publisher.asked[-1] == "bytes=100000-"
    assert_unpacked(tmp_path)


def test_server_without_ranges_starts_again(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ranges, publisher.drop_after = False, [100_000]
    fetch_archive(publisher.archive(), tmp_path)
    assert_unpacked(tmp_path)


@pytest.mark.parametrize("surplus", [b"", b"x"])
def test_whole_or_too_long_part_file_is_dealt_with(publisher: Publisher, tmp_path: Path, surplus: bytes) -> None:
    (tmp_path / f"{FOLDER}.tar.part").write_bytes(publisher.content + surplus)
    fetch_archive(publisher.archive(), tmp_path)
    assert_unpacked(tmp_path)
    assert len(publisher.asked) == 1 + len(surplus)


def test_wrong_checksum_leaves_nothing(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"expected md5 0{32}.*run again"):
        fetch_archive(publisher.archive(md5="0" * 32), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_server_error_is_one_clear_line(publisher: Publisher, tmp_path: Path) -> None:
    publisher.status = 503
    with pytest.raises(DownloadError, match=r"503.*network or proxy"):
        fetch_archive(publisher.archive(), tmp_path)
    assert len(publisher.asked) == 3


def test_no_server_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="could not be downloaded"):
        fetch_archive(PublicArchive("http://127.0.0.1:9/x.tar", "0" * 32, FOLDER), tmp_path)


def test_only_web_addresses_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="http or https"):
        fetch_archive(PublicArchive("file:///etc/hostname", "0" * 32, FOLDER), tmp_path)


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    "content",
    [
        tar_of({**CONTENT, f"{FOLDER}/../../evil": b"x"}),
        tar_of({**CONTENT, "/evil": b"x"}),
        tar_of({**CONTENT, "elsewhere/evil": b"x"}),
        tar_of(CONTENT, (link(f"{FOLDER}/evil", "/etc/hostname"),)),
        tar_of({"other/file": b"x"}),
        b"no archive at all" * 100,
    ],
)
def test_hostile_archive_is_not_unpacked(publisher: Publisher, tmp_path: Path, content: bytes) -> None:
    publisher.content = content
    into = tmp_path / "into"
    with pytest.raises(DownloadError):
        fetch_archive(publisher.archive(), into)
    assert list(tmp_path.rglob("*")) == [into]


def test_mac_os_leftovers_are_not_unpacked(publisher: Publisher, tmp_path: Path) -> None:
    publisher.content = tar_of({**CONTENT, f"._{FOLDER}": b"x", f"{FOLDER}/imagesTr/._one.nii.gz": b"x"})
    fetch_archive(publisher.archive(), tmp_path)
    assert_unpacked(tmp_path)


def test_unwritable_folder_is_one_clear_line(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be stored"):
        fetch_archive(publisher.archive(), tmp_path / "file" / "folder")


def test_hippocampus_is_where_monai_says(publisher: Publisher, tmp_path: Path) -> None:
    from importlib.util import find_spec

    found = find_spec("monai")
    if found is None or found.origin is None:
        pytest.skip("MONAI is not installed")
    source = (Path(found.origin).parent / "apps" / "datasets.py").read_text()
    assert f'"{HIPPOCAMPUS.folder}": "{HIPPOCAMPUS.address}"' in source
    assert f'"{HIPPOCAMPUS.folder}": "{HIPPOCAMPUS.md5}"' in source
    assert download_hippocampus(tmp_path, archive=publisher.archive()) == tmp_path / FOLDER
