"""A release behind a gate: without a reader study that suffices, nothing is released, and every reader can see it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, FedVoxelError, PackageError, ReleaseGateError
from fedvoxel.export.package import Package
from fedvoxel.export.publishing import Publisher
from fedvoxel.export.reader_gate import ReaderStudyGate
from fedvoxel.export.release import PURPOSE
from fedvoxel.export.releases import INDEX, Releases
from fedvoxel.export.signature import sign
from fedvoxel.federation.reader_study.answers import StudyAnswer
from fedvoxel.federation.reader_study.requirement import ReaderStudyRequirement, seen_in
from fedvoxel.federation.reader_study.result import make_result
from fedvoxel.records.atomic import write_json
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import FIRST
from fedvoxel.records.identity import Identity
from tests.export.package_sample import sample_package, sample_root, sample_signer, sample_trust
from tests.export.throwaway_root import DAY, NOW
from tests.federation.reader_study.test_answers import answer_values
from tests.federation.reader_study.test_result import MET

ASKED = ReaderStudyRequirement.model_validate(MET)
MORE = ReaderStudyRequirement.model_validate(MET | {"minimum_hospitals": 3})
LESS = ReaderStudyRequirement.model_validate(MET | {"minimum_hospitals": 1})


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return sample_package(tmp_path)


@pytest.fixture
def result(tmp_path: Path, package: Package) -> Path:
    return write_result(tmp_path / "reader_study.json", package.sha256)


def write_result(path: Path, package: str, **changes: Any) -> Path:
    answer = StudyAnswer.model_validate(answer_values(package=package, **changes))
    write_json(path, make_result("spring", package, {"a": answer, "b": answer}, {}).model_dump(mode="json"))
    return path


def publisher(tmp_path: Path, gate: ReaderStudyGate) -> Publisher:
    return Publisher(tmp_path / "releases", sample_signer(), sample_trust(), tmp_path / "lead.json", gate)


def reader(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "releases", sample_trust(), tmp_path / "reader.json", NOW + DAY)


def test_what_was_required_and_seen_is_in_the_signed_entry(tmp_path: Path, package: Package, result: Path) -> None:
    done = publisher(tmp_path, ReaderStudyGate(result, ASKED)).publish(package.path, "released", "read", NOW)
    (found,) = reader(tmp_path).all
    assert found.state == "released" and found.reader_study == done.reader_study
    assert found.reader_study is not None and found.reader_study.required == ASKED
    seen = found.reader_study.seen
    assert (seen.study, seen.hospitals, seen.cases) == ("spring", 2, 60)
    assert "2 hospitals, 60 cases: usable at least 0.7" in found.reader_study.words
    line = json.loads((tmp_path / "releases" / INDEX).read_text())["body"]["statement"]
    assert line["schema_version"] == 2 and line["reader_study"]["seen"]["result"] == seen.result


def test_an_entry_without_a_study_is_as_it_always_was(tmp_path: Path, package: Package) -> None:
    publisher(tmp_path, ReaderStudyGate()).publish(package.path, "released", "good", NOW)
    line = json.loads((tmp_path / "releases" / INDEX).read_text())["body"]["statement"]
    assert line["schema_version"] == 1 and not {"reader_study", "requires"} & set(line)
    assert reader(tmp_path).all[0].reader_study is None


def _other_package(path: Path) -> None:
    write_result(path, "cd" * 32)


def _better_figures(path: Path) -> None:
    values = json.loads(path.read_text())
    values["pooled"]["rejected"]["high"] = 0.0
    path.write_text(json.dumps(values))


def _many_rejected(path: Path) -> None:
    values = {"accepted": 18, "touched_up": 0, "corrected": 0, "rejected": 12}
    hidden = {"edit_dice": None, "agreement": None}
    write_result(path, json.loads(path.read_text())["package"], verdicts=values, **hidden)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (_other_package, ReleaseGateError, "about another package"),
        (_many_rejected, ReleaseGateError, "falls short, nothing was released: usable at least .*; rejected at most"),
        (_better_figures, ConfigError, "not what the hospitals told"),
        (Path.unlink, ConfigError, "is missing"),
        (lambda path: path.write_text("{}"), ConfigError, "is not valid"),
    ],
)
def test_a_study_that_does_not_suffice_releases_nothing(
    tmp_path: Path,
    package: Package,
    result: Path,
    spoil: Callable[[Path], object],
    error: type[FedVoxelError],
    words: str,
) -> None:
    spoil(result)
    with pytest.raises(error, match=words):
        publisher(tmp_path, ReaderStudyGate(result, ASKED)).publish(package.path, "released", "read", NOW)
    assert not (tmp_path / "releases" / INDEX).exists()


def test_what_is_asked_must_be_said(tmp_path: Path, package: Package, result: Path) -> None:
    with pytest.raises(ConfigError, match="--reader-policy"):
        publisher(tmp_path, ReaderStudyGate(result)).publish(package.path, "released", "read", NOW)


# ------------------------------------------------------------------ an index that requires it of every release


@pytest.fixture
def begun(tmp_path: Path, package: Package) -> Path:
    gate = ReaderStudyGate(of_every_release=ASKED)
    publisher(tmp_path, gate).publish(package.path, "candidate", "to be read", NOW)
    return tmp_path


def test_an_index_can_require_a_study_of_every_release(begun: Path, result: Path) -> None:
    def release(gate: ReaderStudyGate) -> None:
        publisher(begun, gate).set_state("hippocampus", "1.0.0", "released", "read", NOW)

    for gate, words in (
        (ReaderStudyGate(), "this index requires a reader study"),
        (ReaderStudyGate(result, LESS), "requires something else"),
    ):
        with pytest.raises(ReleaseGateError, match=words):
            release(gate)
    with pytest.raises(PackageError, match="when an index is begun"):
        release(ReaderStudyGate(result, of_every_release=LESS))
    assert reader(begun).all[0].state == "candidate"
    release(ReaderStudyGate(result))
    found = reader(begun).all[0]
    assert found.state == "released" and found.reader_study is not None and found.reader_study.required == ASKED
    publisher(begun, ReaderStudyGate()).set_state("hippocampus", "1.0.0", "withdrawn", "bad", NOW)


def test_the_first_entry_may_be_the_release(tmp_path: Path, package: Package, result: Path) -> None:
    with pytest.raises(ReleaseGateError, match="requires a reader study"):
        publisher(tmp_path, ReaderStudyGate(of_every_release=ASKED)).publish(package.path, "released", "read", NOW)
    gate = ReaderStudyGate(result, of_every_release=ASKED)
    assert publisher(tmp_path, gate).publish(package.path, "released", "read", NOW).reader_study is not None
    assert reader(tmp_path).all[0].state == "released"


def test_who_may_not_release_may_not_say_what_releases_require(tmp_path: Path, package: Package) -> None:
    gate = ReaderStudyGate(of_every_release=ASKED)
    member = replace(publisher(tmp_path, gate), identity=sample_root().issue("m@b.example", "member"))
    with pytest.raises(PackageError, match="may not say what releases require"):
        member.publish(package.path, "candidate", "mine", NOW)
    assert not (tmp_path / "releases" / INDEX).exists()
    forge(tmp_path, package, "candidate", {"requires": ASKED.model_dump()}, member.identity)
    with pytest.raises(PackageError, match=r"line 1 .* may not say what releases require"):
        reader(tmp_path)


def forge(folder: Path, package: Package, state: str, added: dict[str, Any], identity: Identity) -> None:
    """Signs and appends an entry as another program would, without a look at what may stand."""
    with Chain(folder / "releases" / INDEX).writing() as chain:
        said = {
            "schema_version": 2 if added else 1, "index": len(chain.entries),
            "previous": chain.entries[-1].hash if chain.entries else FIRST, "package": package.sha256,
            "name": "hippocampus", "version": "1.0.0", "state": state, "reason": "x", **added,
        }  # fmt: skip
        signature = sign(identity, PURPOSE, canonical_json(said), NOW)
        chain.append({"statement": said, "signature": signature.model_dump(mode="json")})


@pytest.mark.parametrize("how", ["none", "less", "unmet", "requires"])
def test_an_entry_that_goes_round_the_gate_is_refused_by_every_reader(
    begun: Path, package: Package, result: Path, how: str
) -> None:
    """A lead with another program signs what this one would not."""
    found = seen_in(make_result("spring", package.sha256, {}, {}))
    enough = json.loads(result.read_text())
    good = seen_in(make_result("spring", package.sha256, {n: StudyAnswer(**a) for n, a in enough["sites"].items()}, {}))
    added: dict[str, dict[str, Any]] = {
        "none": {},
        "less": {"reader_study": {"required": LESS.model_dump(), "seen": good.model_dump()}},
        "unmet": {"reader_study": {"required": ASKED.model_dump(), "seen": found.model_dump()}},
        "requires": {"requires": LESS.model_dump()},
    }
    forge(begun, package, "withdrawn" if how == "requires" else "released", added[how], sample_signer())
    with pytest.raises(PackageError, match="line 2 of the index of releases does not hold"):
        reader(begun)


def test_a_requirement_in_an_index_is_bound_by_its_signature(begun: Path) -> None:
    folder = begun / "releases"
    entry = json.loads((folder / INDEX).read_text())
    body = entry["body"]
    body["statement"]["requires"] = LESS.model_dump()
    (folder / INDEX).unlink()
    (folder / "head.json").unlink()
    Chain(folder / INDEX).append(body)
    with pytest.raises(PackageError, match="it was changed, or another signed"):
        reader(begun)
