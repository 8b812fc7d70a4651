"""What `fedvoxel quickstart` says at its end: where everything lies, and how the consortium is started again."""

import shlex
from pathlib import Path

import pytest

from fedvoxel.cli.quickstart import how_to_go_on
from fedvoxel.governance.consortium import Consortium, ConsortiumRecord, load_consortium, save_consortium

LEAD = "scientist@consortium.example"


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    record = ConsortiumRecord(
        project="fedvoxel",
        file_sha256="0" * 64,
        folder="fedvoxel/prod_00",
        server="server.consortium.example",
        sites=("hospital-a", "hospital-b"),
        people={"admin@consortium.example": "project_admin", LEAD: "lead"},
    )
    made = Consortium(tmp_path / "brain_demo", record)
    for name in ("hospital-a", "hospital-b", LEAD):
        made.kit(name).mkdir(parents=True)
    save_consortium(made)
    return made


def test_it_ends_with_the_paths_of_what_it_made(consortium: Consortium) -> None:
    result = consortium.workspace / "results" / "3c5c62d1"
    said = "\n".join(how_to_go_on(consortium, result))
    for path in (result, consortium.folder):
        assert str(path) in said
    for name in ("hospital-a", "hospital-b", LEAD):
        assert name in said and (consortium.folder / name).is_dir()


@pytest.mark.parametrize("command", ["start", "stop"])
def test_it_ends_with_the_commands_that_start_and_stop_its_consortium(consortium: Consortium, command: str) -> None:
    (line,) = (line for line in how_to_go_on(consortium, Path("x")) if f"consortium {command}" in line)
    words = shlex.split(line.split(": ", 1)[1])
    assert words[:3] == ["fedvoxel", "consortium", command]
    assert load_consortium(Path(words[3])).record == consortium.record
