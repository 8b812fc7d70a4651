"""`fedvoxel release` as a lead and a hospital call it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from tests.cli.test_export import kit_of
from tests.export.package_sample import sample_package, sample_root
from tests.export.test_reader_gate import write_result
from tests.federation.reader_study.test_result import MET


@pytest.fixture
def kits(tmp_path: Path) -> dict[str, Path]:
    """Kits whose certificates are valid now, since the commands sign now."""
    when = {"begins": datetime.now(UTC) - timedelta(1), "ends": datetime.now(UTC) + timedelta(1)}
    names: dict[str, str | None] = {"lead@b.example": "lead", "member@b.example": "member", "hospital-a": None}
    return {name: kit_of(tmp_path / "kits", sample_root().issue(name, role, **when)) for name, role in names.items()}


def words(tmp_path: Path, *given: str, sign: Path | None = None) -> list[str]:
    memory = ["--seen", str(tmp_path / "seen.json")]
    return ["release", *given, *(["--sign", str(sign), "--reason", "3 seeds"] if sign else []), *memory]


def test_a_package_reaches_a_hospital(
    tmp_path: Path, kits: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    index, package = str(tmp_path / "index"), str(sample_package(tmp_path).path)
    lead, member, site = (kits[name] for name in ("lead@b.example", "member@b.example", "hospital-a"))
    root = ["--root", str(site)]
    assert main(words(tmp_path, "publish", package, index, sign=member)) == 0
    assert "is candidate, signed by member@b.example (member)" in capsys.readouterr().out
    assert main(words(tmp_path, "fetch", index, "hippocampus", *root)) == 17
    assert "no release of hippocampus; the index has 1.0.0 candidate" in capsys.readouterr().err
    assert main(words(tmp_path, "set", "released", index, "hippocampus", "1.0.0", sign=member)) == 17
    assert "may not make a package released" in capsys.readouterr().err
    assert main(words(tmp_path, "set", "released", index, "hippocampus", "1.0.0", sign=lead)) == 0
    assert main(words(tmp_path, "fetch", index, "hippocampus", *root, "--out", str(tmp_path / "here"))) == 0
    assert (tmp_path / "here" / "hippocampus-1.0.0.fvpkg").is_file()
    capsys.readouterr()
    assert main(words(tmp_path, "list", index, *root, "--json")) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["state"], found["by"], found["role"]) == ("released", "lead@b.example", "lead")
    assert main(words(tmp_path, "set", "withdrawn", index, "hippocampus", "1.0.0", sign=lead)) == 0
    assert main(words(tmp_path, "list", index, *root)) == 0
    assert "withdrawn" in capsys.readouterr().out


def test_a_site_publishes_nothing(tmp_path: Path, kits: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    index, package = str(tmp_path / "index"), str(sample_package(tmp_path).path)
    assert main(words(tmp_path, "publish", package, index, sign=kits["hospital-a"])) == 17
    assert "hospital-a (site) may not make a package candidate" in capsys.readouterr().err


def test_a_folder_without_an_index_is_one_line(
    tmp_path: Path, kits: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["list"], ["fetch"]):
        given = [*command, str(tmp_path), *(["hippocampus"] if command == ["fetch"] else [])]
        assert main(words(tmp_path, *given, "--root", str(kits["hospital-a"]))) == 17
        assert "expected an index of releases" in capsys.readouterr().err


def test_a_release_behind_a_reader_study(
    tmp_path: Path, kits: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    package, index, policy = sample_package(tmp_path), str(tmp_path / "index"), tmp_path / "policy.json"
    policy.write_text(json.dumps(MET))
    good, other = (tmp_path / f"{name}.json" for name in ("good", "other"))
    write_result(good, package.sha256)
    write_result(other, "cd" * 32)
    lead, root = kits["lead@b.example"], ["--root", str(kits["hospital-a"])]
    publish = ("publish", str(package.path), index)
    assert main(words(tmp_path, *publish, "--index-requires", str(policy), sign=lead)) == 0
    release = ("set", "released", index, "hippocampus", "1.0.0")
    assert main(words(tmp_path, *release, sign=lead)) == 20
    assert "requires a reader study of every release" in capsys.readouterr().err
    assert main(words(tmp_path, *release, "--require-reader-study", str(other), sign=lead)) == 20
    assert "another package" in capsys.readouterr().err
    assert main(words(tmp_path, *release, "--require-reader-study", str(tmp_path / "no"), sign=lead)) == 3
    assert main(words(tmp_path, *release, "--require-reader-study", str(good), sign=lead)) == 0
    capsys.readouterr()
    assert main(words(tmp_path, "list", index, *root, "--json")) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["reader_study"]["required"]["minimum_cases"] == 60
    assert found["reader_study"]["seen"]["hospitals"] == 2
    assert main(words(tmp_path, "list", index, *root)) == 0
    assert "hospitals" in capsys.readouterr().out
