"""An index of releases says what may be used, by whom that was said, and never goes backwards unseen."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from fedvoxel.errors import ConsortiumError, PackageError
from fedvoxel.export import release as rules
from fedvoxel.export.package import Package
from fedvoxel.export.publishing import Publisher, fetch
from fedvoxel.export.release import MAY_FOLLOW, MAY_SET, PURPOSE, SignedStatement, State, Statement
from fedvoxel.export.releases import Releases
from fedvoxel.export.signature import sign
from fedvoxel.export.trust import Role, Trust
from fedvoxel.records.chain import Chain
from fedvoxel.records.identity import Identity
from tests.export.package_sample import sample_package, sample_root, sample_signer, sample_trust
from tests.export.throwaway_root import DAY, NOW, Root, serial_of

MINUTE = timedelta(minutes=1)
NAME = "hippocampus"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "releases"


@pytest.fixture
def lead(folder: Path, tmp_path: Path) -> Publisher:
    return Publisher(folder, sample_signer(), sample_trust(), tmp_path / "lead.json")


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return sample_package(tmp_path)


def reader(folder: Path, name: str = "reader.json", trust: Trust | None = None) -> Releases:
    return Releases(folder, trust or sample_trust(), folder.parent / name, NOW + DAY)


def refused(folder: Path, words: str) -> None:
    with pytest.raises(PackageError, match=words) as caught:
        reader(folder)
    assert "\n" not in str(caught.value) and str(folder) not in str(caught.value)


def with_role(lead: Publisher, role: Role | None) -> Publisher:
    name = "somebody@b.example" if role else "hospital-a"
    return Publisher(lead.folder, sample_root().issue(name, role), lead.trust, lead.seen)


# ------------------------------------------------------------------ what it says


def test_a_package_goes_from_candidate_to_withdrawn(lead: Publisher, package: Package, folder: Path) -> None:
    states: list[State] = ["released", "superseded", "released", "withdrawn"]
    assert lead.publish(package.path, "candidate", "try it", NOW).state == "candidate"
    assert reader(folder).state_of(package.sha256) == "candidate"
    for number, state in enumerate(states, start=1):
        lead.set_state(NAME, "1.0.0", state, f"step {number}", NOW + number * MINUTE)
        found = reader(folder).all[0]
        assert (found.state, found.reason, found.at, found.by.role) == (
            state,
            f"step {number}",
            NOW + number * MINUTE,
            "lead",
        )
    assert reader(folder).state_of("0" * 64) is None


@pytest.mark.usefixtures("owners_umask")
def test_readers_with_other_accounts_can_read_the_index_and_its_packages(
    lead: Publisher, package: Package, folder: Path
) -> None:
    lead.publish(package.path, "released", "good", NOW)
    lead.set_state(NAME, "1.0.0", "withdrawn", "misses small ones", NOW + MINUTE)
    modes = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    shared = {"packages": 0o755, f"packages/{package.path.name}": 0o644, "index.jsonl": 0o644, "head.json": 0o644}
    assert modes == shared | {"lock": 0o600} and folder.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_is_there_keeps_its_mode(lead: Publisher, package: Package, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o2770)
    lead.publish(package.path, "released", "good", NOW)
    assert folder.stat().st_mode & 0o7777 == 0o2770
    found = reader(folder).all[0]
    assert found.state == "released"


def test_what_may_be_used_is_said_in_one_place(lead: Publisher, package: Package, folder: Path) -> None:
    lead.publish(package.path, "candidate", "try it", NOW)
    assert "is candidate, says lead@consortium.example (lead)" in str(reader(folder).admit(package.sha256, "x.fvpkg"))
    lead.set_state(NAME, "1.0.0", "released", "good", NOW)
    assert reader(folder).admit(package.sha256, "x.fvpkg") is None
    lead.set_state(NAME, "1.0.0", "superseded", "a better one", NOW)
    assert "a better one" in str(reader(folder).admit(package.sha256, "x.fvpkg"))
    lead.set_state(NAME, "1.0.0", "withdrawn", "misses small ones", NOW)
    with pytest.raises(PackageError, match=r"was withdrawn by lead@.* 2026-03-02: misses small ones"):
        reader(folder).admit(package.sha256, "x.fvpkg", allow_unknown=True)
    with pytest.raises(PackageError, match="not in the index"):
        reader(folder).admit("0" * 64, "x.fvpkg")
    assert "nobody has said" in str(reader(folder).admit("0" * 64, "x.fvpkg", allow_unknown=True))


def test_the_newest_released_version_is_fetched(lead: Publisher, folder: Path, tmp_path: Path) -> None:
    for version in ("1.9.0", "1.10.0", "2.0.0"):
        lead.publish(sample_package(tmp_path / version, version=version).path, "released", "good", NOW)
    lead.set_state(NAME, "2.0.0", "withdrawn", "bad", NOW)
    got = fetch(reader(folder), NAME, None, tmp_path / "here", sample_trust())
    assert got.path == tmp_path / "here" / "hippocampus-1.10.0.fvpkg" and got.manifest.version == "1.10.0"
    assert fetch(reader(folder), NAME, "1.9.0", tmp_path / "here", sample_trust()).manifest.version == "1.9.0"
    for name, version in ((NAME, "2.0.0"), (NAME, "3.0.0"), ("spleen", None)):
        with pytest.raises(PackageError, match="no release of"):
            fetch(reader(folder), name, version, tmp_path / "here", sample_trust())


def test_a_package_that_was_exchanged_in_the_folder_is_not_fetched(
    lead: Publisher, package: Package, folder: Path, tmp_path: Path
) -> None:
    lead.publish(package.path, "released", "good", NOW)
    other = sample_package(tmp_path / "other", title="Other").path
    shutil.copy(other, folder / "packages" / other.name)
    with pytest.raises(PackageError, match="not the package of which the index speaks"):
        fetch(reader(folder), NAME, None, tmp_path / "here", sample_trust())
    assert not (tmp_path / "here").exists()


def test_reading_needs_neither_torch_nor_flare_and_no_right_to_write(
    lead: Publisher, package: Package, folder: Path
) -> None:
    lead.publish(package.path, "released", "good", NOW)
    (folder / "lock").unlink()
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    reader(folder)
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == before
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in folder.rglob("*") if path.is_file())
    code = "import sys, fedvoxel.export.releases\nprint([n for n in ('torch', 'monai', 'nvflare') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# ------------------------------------------------------------------ who may say what


@pytest.mark.parametrize("role", [*get_args(Role), None])
@pytest.mark.parametrize("state", get_args(State))
def test_who_may_set_which_state(
    lead: Publisher, package: Package, folder: Path, role: Role | None, state: State
) -> None:
    somebody = with_role(lead, role)
    if state == "candidate":
        act: Callable[[], Any] = lambda: somebody.publish(package.path, "candidate", "try it", NOW)  # noqa: E731
    else:
        lead.publish(package.path, "candidate" if state == "released" else "released", "good", NOW)
        act = lambda: somebody.set_state(NAME, "1.0.0", state, "why", NOW)  # noqa: E731
    if role in MAY_SET[state]:
        act()
        assert reader(folder).state_of(package.sha256) == state
    else:
        with pytest.raises(PackageError, match="may not make a package"):
            act()
        assert not (folder / "index.jsonl").exists() or reader(folder).state_of(package.sha256) != state


def test_everybody_may_do_what_the_document_says() -> None:
    assert MAY_SET["released"] == MAY_SET["superseded"] == {"project_admin", "lead"}
    assert MAY_SET["withdrawn"] == {"project_admin", "lead", "org_admin"}
    assert MAY_FOLLOW["withdrawn"] == frozenset()


def test_a_state_that_may_not_follow_is_refused(lead: Publisher, package: Package) -> None:
    lead.publish(package.path, "candidate", "try it", NOW)
    with pytest.raises(PackageError, match="candidate cannot become superseded"):
        lead.set_state(NAME, "1.0.0", "superseded", "why", NOW)
    with pytest.raises(PackageError, match="candidate cannot become candidate"):
        lead.publish(package.path, "candidate", "again", NOW)
    lead.set_state(NAME, "1.0.0", "withdrawn", "bad", NOW)
    with pytest.raises(PackageError, match="withdrawn cannot become released"):
        lead.set_state(NAME, "1.0.0", "released", "after all", NOW)


def test_a_version_is_one_package(lead: Publisher, package: Package, tmp_path: Path) -> None:
    lead.publish(package.path, "released", "good", NOW)
    other = sample_package(tmp_path / "other", title="Other")
    with pytest.raises(PackageError, match="is another package; give this one a new version"):
        lead.publish(other.path, "candidate", "why", NOW)
    with pytest.raises(PackageError, match=r"has no hippocampus 9\.0\.0"):
        lead.set_state(NAME, "9.0.0", "withdrawn", "why", NOW)


def test_a_package_that_cannot_be_trusted_is_not_published(lead: Publisher, package: Package, folder: Path) -> None:
    package.path.write_bytes(package.path.read_bytes()[:-1])
    with pytest.raises(PackageError):
        lead.publish(package.path, "candidate", "why", NOW)
    assert not folder.exists()


def test_a_package_that_is_gone_is_not_released(lead: Publisher, package: Package, folder: Path) -> None:
    lead.publish(package.path, "candidate", "why", NOW)
    next((folder / "packages").iterdir()).unlink()
    with pytest.raises(PackageError, match="cannot be read"):
        lead.set_state(NAME, "1.0.0", "released", "good", NOW)
    lead.set_state(NAME, "1.0.0", "withdrawn", "lost", NOW)


def test_a_folder_that_cannot_be_made_is_one_line(lead: Publisher, package: Package, folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(PackageError, match="cannot be made"):
        lead.publish(package.path, "candidate", "why", NOW)


@pytest.mark.parametrize("reason", ["", "two\nlines", "x" * 501])
def test_a_reason_is_one_line(lead: Publisher, package: Package, reason: str) -> None:
    with pytest.raises(PackageError, match="reason"):
        lead.publish(package.path, "candidate", reason, NOW)


# ------------------------------------------------------------------ forgery


def forge(folder: Path, identity: Identity, purpose: str = PURPOSE, **changes: Any) -> None:
    """Writes a next entry as one with access to the folder can, signed by `identity`."""
    with Chain(folder / "index.jsonl", public=True).writing() as chain:
        last = chain.entries[-1]
        values = {"package": "ab" * 32, "name": "spleen", "version": "1.0.0", "state": "released", "reason": "forged"}
        place = {"index": last.index + 1, "previous": last.hash}
        statement = Statement(**(values | place | changes))
        signature = sign(identity, purpose, statement.content, NOW)
        chain.append(SignedStatement(statement=statement, signature=signature).model_dump(mode="json"))


@pytest.fixture
def published(lead: Publisher, package: Package, folder: Path) -> Path:
    """An index with three entries: candidate, released, withdrawn."""
    lead.publish(package.path, "candidate", "try it", NOW)
    lead.set_state(NAME, "1.0.0", "released", "good", NOW + MINUTE)
    lead.set_state(NAME, "1.0.0", "withdrawn", "bad", NOW + 2 * MINUTE)
    return folder


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (lambda: Root().issue(), "another consortium"),
        (lambda: sample_root().issue("a@b.example", "member"), "may not make a package released"),
        (lambda: sample_root().issue("hospital-a", None), "may not make a package released"),
        (lambda: sample_root().issue("server.example", None), "of a server"),
        (lambda: sample_root().issue(ends=NOW - DAY), "was not valid"),
    ],
)
def test_an_entry_of_one_who_may_not_is_refused(published: Path, identity: Callable[[], Identity], words: str) -> None:
    forge(published, identity())
    refused(published, f"line 4 of the index of releases does not hold: .*{words}")


@pytest.mark.parametrize(
    "changes", [{"index": 2}, {"previous": "0" * 64}, {"name": NAME}, {"state": "superseded"}, {"purpose": "package"}]
)
def test_an_entry_for_another_place_or_that_cannot_follow_is_refused(published: Path, changes: dict[str, Any]) -> None:
    forge(published, sample_signer(), **changes)
    refused(published, "line 4 of the index of releases does not hold")


def test_an_entry_of_a_revoked_person_is_refused(published: Path) -> None:
    for date, fine in ((NOW + 3 * MINUTE, True), (NOW, False)):
        crl = sample_root().revocations({serial_of(sample_signer()): date}, ends=NOW + 30 * DAY)
        trust = Trust(sample_root().certificate, crl)
        if fine:
            assert reader(published, trust=trust).all
        else:
            with pytest.raises(PackageError, match="already revoked"):
                reader(published, trust=trust)
    old = Trust(sample_root().certificate, sample_root().revocations({}, ends=NOW))
    with pytest.raises(ConsortiumError, match="newest"):
        reader(published, trust=old)


def rebuild(folder: Path, keep: Callable[[int], bool]) -> None:
    """Chains some of the signed statements anew, as one who can write to the folder but has no key would."""
    entries = Chain(folder / "index.jsonl").read()
    for name in ("index.jsonl", "head.json"):
        (folder / name).unlink()
    for entry in entries:
        if keep(entry.index):
            written = datetime.fromisoformat(entry.at)
            Chain(folder / "index.jsonl", lambda written=written: written, public=True).append(entry.body)


def test_an_index_without_one_of_its_entries_is_refused(published: Path) -> None:
    forge(published, sample_signer())
    rebuild(published, lambda index: index != 2)
    refused(published, "signed for another place")


def test_a_newer_entry_says_to_update(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Chain(published / "index.jsonl").writing() as chain:
        body = json.loads(json.dumps(chain.entries[-1].body))
        body["statement"]["schema_version"] = 4
        chain.append(body)
    refused(published, "update fedvoxel")
    assert rules.SCHEMA_VERSION == 3


# ------------------------------------------------------------------ going backwards


def test_an_index_that_lost_its_withdrawal_is_refused_by_who_saw_it(published: Path) -> None:
    reader(published)
    rebuild(published, lambda index: index < 2)
    refused(published, "went backwards: entry 3 was seen and is gone")
    fresh = reader(published, "nobody.json")
    assert fresh.all[0].state == "released", "who never saw the withdrawal cannot know"


def test_it_is_refused_in_another_folder_too(published: Path) -> None:
    reader(published)
    copy = published.parent / "copy"
    shutil.copytree(published, copy)
    assert reader(copy).all
    rebuild(copy, lambda index: index < 2)
    refused(copy, "went backwards")


def test_another_index_in_its_place_is_refused(published: Path, tmp_path: Path) -> None:
    reader(published)
    other = Publisher(tmp_path / "other", sample_signer(), sample_trust(), tmp_path / "x.json")
    other.publish(sample_package(tmp_path / "p", name="spleen").path, "released", "good", NOW)
    shutil.rmtree(published)
    shutil.copytree(tmp_path / "other", published)
    refused(published, "another index of releases lies where one was seen")


def test_a_publisher_who_saw_more_does_not_build_on_less(published: Path, lead: Publisher, tmp_path: Path) -> None:
    rebuild(published, lambda index: index < 2)
    more = sample_package(tmp_path / "p", version="1.1.0").path
    with pytest.raises(PackageError, match="went backwards"):
        lead.publish(more, "candidate", "why", NOW)
    shutil.rmtree(published)
    with pytest.raises(PackageError, match="is gone"):
        lead.publish(more, "candidate", "why", NOW)


def test_an_index_that_grew_is_fine_and_remembered(published: Path, lead: Publisher, tmp_path: Path) -> None:
    reader(published)
    lead.publish(sample_package(tmp_path / "p", version="1.1.0").path, "candidate", "why", NOW)
    assert len(reader(published).all) == 2
    rebuild(published, lambda index: index < 3)
    refused(published, "went backwards")


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 2}', "{"])
def test_a_memory_that_cannot_be_read_is_not_ignored(published: Path, content: str) -> None:
    (published.parent / "reader.json").write_text(content)
    refused(published, "memory of indexes")


def test_what_cannot_be_remembered_is_refused(published: Path) -> None:
    (published.parent / "file").write_text("")
    with pytest.raises(PackageError, match="cannot be remembered"):
        Releases(published, sample_trust(), published.parent / "file" / "seen.json", NOW + DAY)


# ------------------------------------------------------------------ damage


def test_a_changed_line_is_refused(published: Path) -> None:
    path = published / "index.jsonl"
    path.write_bytes(path.read_bytes().replace(b"try it", b"use it"))
    refused(published, "cannot be trusted")


def test_lines_cut_off_are_refused_even_by_who_saw_nothing(published: Path) -> None:
    path = published / "index.jsonl"
    path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:2]) + b"\n")
    refused(published, "older or cut")


@pytest.mark.parametrize("name", ["index.jsonl", "head.json"])
def test_a_missing_file_is_refused(published: Path, name: str) -> None:
    (published / name).unlink()
    refused(published, f"its {name} cannot be read")


def test_an_empty_or_endless_index_is_refused(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedvoxel.export.releases._LARGEST_INDEX_BYTES", 100)
    refused(published, "more than 100 bytes")
