"""The way back: one command ends a release and brings the one before it back, for every reader, or changes nothing."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from fedvoxel.errors import PackageError
from fedvoxel.export.package import Package
from fedvoxel.export.promotion import PromotionEvidence
from fedvoxel.export.publishing import Publisher, fetch
from fedvoxel.export.reader_gate import ReaderStudyGate
from fedvoxel.export.release import State
from fedvoxel.export.releases import INDEX, Releases
from fedvoxel.export.succession import promote, roll_back
from fedvoxel.records.chain import OpenChain
from fedvoxel.records.chain_entry import Body, Entry
from tests.export.package_sample import sample_package, sample_root, sample_signer, sample_trust
from tests.export.test_reader_gate import ASKED, write_result
from tests.export.throwaway_root import DAY, NOW

NAME = "hippocampus"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def lead(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "releases", sample_signer(), sample_trust(), tmp_path / "lead.json")


@pytest.fixture
def packages(tmp_path: Path) -> list[Package]:
    """Versions 1.0.0, 1.1.0 and 1.2.0."""
    return [sample_package(tmp_path / str(minor), version=f"1.{minor}.0", title=f"No. {minor}") for minor in range(3)]


def evidence(against: Package | None = None) -> PromotionEvidence:
    return PromotionEvidence(
        policy="a" * 64, against=against.sha256 if against else None, hospitals=1, reports=("b" * 64,)
    )


def succeed(lead: Publisher, packages: Sequence[Package]) -> None:
    """Promotes one after the other."""
    lead.publish(packages[0].path, "released", "first", NOW)
    for before, package in pairwise(packages):
        promote(lead, package, evidence(before), "better", NOW)


def states(lead: Publisher) -> dict[str, State]:
    found = Releases(lead.folder, sample_trust(), lead.folder.parent / "reader.json", NOW + DAY)
    return {one.version: one.state for one in found.all}


def reader(lead: Publisher) -> Releases:
    return Releases(lead.folder, sample_trust(), lead.folder.parent / "reader.json", NOW + DAY)


def refused(lead: Publisher, words: str) -> None:
    before = (lead.folder / INDEX).read_bytes()
    with pytest.raises(PackageError, match=words):
        roll_back(lead, NAME, "bad", NOW)
    assert (lead.folder / INDEX).read_bytes() == before


def test_readers_follow_a_promotion_and_the_way_back(lead: Publisher, packages: list[Package], tmp_path: Path) -> None:
    old, new, _ = packages
    succeed(lead, [old, new])
    assert reader(lead).admit(new.sha256, "x") is None
    assert "is superseded" in str(reader(lead).admit(old.sha256, "x"))
    assert fetch(reader(lead), NAME, None, tmp_path / "here", sample_trust()).sha256 == new.sha256
    done = roll_back(lead, NAME, "misses small ones", NOW + MINUTE)
    assert (done.ended.version, done.ended.state, done.released.version) == ("1.1.0", "withdrawn", "1.0.0")
    assert done.ended.reason == done.released.reason == "misses small ones"
    assert reader(lead).admit(old.sha256, "x") is None
    with pytest.raises(PackageError, match="was withdrawn"):
        reader(lead).admit(new.sha256, "x", allow_unknown=True)
    assert fetch(reader(lead), NAME, None, tmp_path / "here", sample_trust()).sha256 == old.sha256


def test_one_step_after_the_other_until_there_is_none(lead: Publisher, packages: list[Package]) -> None:
    succeed(lead, packages)
    roll_back(lead, NAME, "bad", NOW)
    assert states(lead) == {"1.0.0": "superseded", "1.1.0": "released", "1.2.0": "withdrawn"}
    roll_back(lead, NAME, "bad", NOW)
    assert states(lead) == {"1.0.0": "released", "1.1.0": "withdrawn", "1.2.0": "withdrawn"}
    refused(lead, r"no version of hippocampus that was released before 1\.0\.0 and not withdrawn; stop the present")


def test_a_withdrawn_one_is_passed_over(lead: Publisher, packages: list[Package]) -> None:
    succeed(lead, packages)
    lead.set_state(NAME, "1.1.0", "withdrawn", "bad too", NOW)
    roll_back(lead, NAME, "bad", NOW)
    assert states(lead) == {"1.0.0": "released", "1.1.0": "withdrawn", "1.2.0": "withdrawn"}


def test_what_was_rolled_back_from_does_not_come_again(lead: Publisher, packages: list[Package]) -> None:
    succeed(lead, packages[:2])
    roll_back(lead, NAME, "slow", NOW, "superseded")
    assert states(lead) == {"1.0.0": "released", "1.1.0": "superseded"}
    refused(lead, "released before 1\\.0\\.0")


def test_where_a_hospital_has_stopped_it_the_one_before_comes_back(lead: Publisher, packages: list[Package]) -> None:
    succeed(lead, packages)
    officer = replace(lead, identity=sample_root().issue("o@a.example", "org_admin"))
    officer.set_state(NAME, "1.2.0", "withdrawn", "harms", NOW)
    done = roll_back(lead, NAME, "harms", NOW)
    assert (done.ended.version, done.released.version) == ("1.2.0", "1.1.0")
    assert states(lead) == {"1.0.0": "superseded", "1.1.0": "released", "1.2.0": "withdrawn"}


def test_where_two_are_released_the_other_one_is_left(lead: Publisher, packages: list[Package]) -> None:
    for package in packages[:2]:
        lead.publish(package.path, "released", "good", NOW)
    done = roll_back(lead, NAME, "bad", NOW)
    assert (done.released.version, len(reader(lead).statements)) == ("1.0.0", 3)
    assert states(lead) == {"1.0.0": "released", "1.1.0": "withdrawn"}


def test_all_that_is_released_is_superseded(lead: Publisher, packages: list[Package]) -> None:
    for package in packages[:2]:
        lead.publish(package.path, "released", "good", NOW)
    done = promote(lead, packages[2], evidence(packages[1]), "better", NOW)
    assert [(one.version, one.state) for one in done] == [
        ("1.2.0", "released"),
        ("1.0.0", "superseded"),
        ("1.1.0", "superseded"),
    ]


def test_nothing_to_go_back_to_is_one_line(lead: Publisher, packages: list[Package]) -> None:
    lead.publish(packages[0].path, "candidate", "x", NOW)
    refused(lead, "no version of hippocampus was ever released here")
    lead.set_state(NAME, "1.0.0", "released", "x", NOW)
    refused(lead, "released before 1\\.0\\.0")


def test_where_there_is_no_index_none_is_made(lead: Publisher) -> None:
    with pytest.raises(PackageError, match="expected an index of releases"):
        roll_back(lead, NAME, "bad", NOW)
    assert not lead.folder.exists()


@pytest.mark.parametrize("role", ["member", "org_admin", None])
def test_who_may_not_release_does_not_even_withdraw(lead: Publisher, packages: list[Package], role: str | None) -> None:
    succeed(lead, packages[:2])
    who = sample_root().issue("somebody@b.example" if role else "hospital-a", role)
    refused(replace(lead, identity=who), "may not make a package")


def test_a_package_that_is_gone_changes_nothing(lead: Publisher, packages: list[Package]) -> None:
    succeed(lead, packages[:2])
    (lead.folder / "packages" / packages[0].path.name).unlink()
    refused(lead, r"1\.0\.0 cannot be released again .*stop the present one alone")


def test_a_crash_between_the_entries_never_leaves_the_bad_one_and_can_be_ended(
    lead: Publisher, packages: list[Package], monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed(lead, packages[:2])
    append, written = OpenChain.append, list[Body]()

    def once(self: OpenChain, body: Body, *more: Body) -> Entry:
        if written:
            raise KeyboardInterrupt
        written.append(body)
        return append(self, body, *more)

    with monkeypatch.context() as patched:
        patched.setattr(OpenChain, "append", once)
        with pytest.raises(KeyboardInterrupt):
            roll_back(lead, NAME, "bad", NOW)
    assert states(lead) == {"1.0.0": "superseded", "1.1.0": "withdrawn"}
    roll_back(lead, NAME, "bad", NOW)
    assert states(lead) == {"1.0.0": "released", "1.1.0": "withdrawn"}


def test_the_reader_study_of_the_earlier_release_still_counts(
    lead: Publisher, packages: list[Package], tmp_path: Path
) -> None:
    """An index that asks a reader study of every release has one of each: the way back needs no new one."""

    def gate(package: Package) -> ReaderStudyGate:
        return ReaderStudyGate(write_result(tmp_path / f"{package.manifest.version}.json", package.sha256))

    first = replace(gate(packages[0]), of_every_release=ASKED)
    replace(lead, gate=first).publish(packages[0].path, "released", "read", NOW)
    promote(replace(lead, gate=gate(packages[1])), packages[1], evidence(packages[0]), "read", NOW)
    done = roll_back(lead, NAME, "bad", NOW)
    assert done.released.reader_study is not None and reader(lead).newest(NAME).version == "1.0.0"
