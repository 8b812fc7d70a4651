"""The set-up of a clone, run by the real script against a fake interpreter that notes what it is asked to do."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Answers as Python, venv and pip would. FAKE_FAILS holds words that make a call fail, FAKE_SLOW delays pip.
FAKE_PYTHON = f"""#!/bin/bash
for word in $FAKE_FAILS; do [[ "$*" == *"$word"* ]] && exit 1; done
case "$*" in
    --version) echo "Python 3.11.0" ;;
    *fcntl*) exec {sys.executable} "$@" ;;
    "-m venv --clear "*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; echo "venv" >>"$FAKE_LOG" ;;
    "-m pip install "*)
        sleep "${{FAKE_SLOW:-0}}"
        echo "pip ${{*:4}}" >>"$FAKE_LOG"
        [[ "$*" == *--editable* ]] && touch "${{0%python}}fedvoxel" && chmod +x "${{0%python}}fedvoxel" ;;
    "- "*) exit 1 ;;
esac
exit 0
"""


@dataclass
class Clone:
    """A clone with the real scripts, and a PATH whose Python, pip and nvidia-smi are fakes."""

    folder: Path
    environment: dict[str, str]

    def start(self, kind: str = "run", **changes: str) -> subprocess.Popen[str]:
        command = ["bash", "-c", f'. "{self.folder}/scripts/_setup"; set_up {kind}; echo done']
        environment = self.environment | changes
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
        )

    def set_up(self, kind: str = "run", **changes: str) -> tuple[int, str]:
        process = self.start(kind, **changes)
        out, err = process.communicate(timeout=30)
        assert out == ("done\n" if process.returncode == 0 else "")
        return process.returncode, err

    def calls(self) -> list[str]:
        """What was asked of venv and pip since the last question."""
        log = Path(self.environment["FAKE_LOG"])
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    folder, programs = tmp_path / "a clone", tmp_path / "bin"
    (folder / "scripts").mkdir(parents=True)
    programs.mkdir()
    for name in ("scripts/_setup", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    write_program(programs / "python3", FAKE_PYTHON)
    write_program(programs / "nvidia-smi", "#!/bin/bash\nexit ${FAKE_NO_GPU:-1}\n")
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "FAKE_LOG": str(tmp_path / "log"),
        "FEDVOXEL_PYTHON": "python3",
        "HOME": os.environ["HOME"],
    }
    return Clone(folder, environment)


def test_a_fresh_clone_gets_torch_first_and_then_the_pinned_packages(clone: Clone) -> None:
    code, said = clone.set_up()
    calls = clone.calls()
    assert code == 0, said
    assert calls[0] == "venv"
    assert calls[1].startswith("pip --quiet --no-index --no-deps torch==")
    assert calls[2].endswith(
        f"--constraint {clone.folder}/constraints.txt --editable {clone.folder}[site,dicom,export,clinic,report,demo]"
    )
    assert len(calls) == 3
    assert "making a virtual environment" in said
    assert "ready in" in said


def test_the_second_set_up_does_and_says_nothing(clone: Clone) -> None:
    clone.set_up()
    clone.calls()
    assert clone.set_up() == (0, "")
    assert clone.calls() == []


def test_the_developers_set_up_serves_the_quickstart_but_not_the_reverse(clone: Clone) -> None:
    clone.set_up("run")
    clone.calls()
    clone.set_up("dev")
    assert clone.calls()[-1].endswith("[site,dicom,export,clinic,report,demo,openvino,dev]")
    clone.set_up("run")
    assert clone.calls() == []


def test_changed_pins_are_installed_into_the_same_environment(clone: Clone) -> None:
    clone.set_up()
    clone.calls()
    with (clone.folder / "constraints.txt").open("a") as pins:
        pins.write("another==1.0\n")
    clone.set_up()
    calls = clone.calls()
    assert calls
    assert "venv" not in calls


def test_a_moved_clone_is_set_up_again(clone: Clone) -> None:
    clone.set_up()
    clone.calls()
    clone.folder = clone.folder.rename(clone.folder.with_name("moved"))
    clone.set_up()
    assert clone.calls()


def test_a_set_up_that_failed_is_said_and_started_afresh(clone: Clone) -> None:
    code, said = clone.set_up(FAKE_FAILS="--editable")
    assert code == 1
    assert "error: the packages could not be installed" in said
    clone.calls()
    code, said = clone.set_up()
    assert code == 0
    assert "did not finish; starting afresh" in said
    assert clone.calls()[0] == "venv"


def test_a_killed_set_up_is_started_afresh(clone: Clone) -> None:
    clone.set_up()
    for stamp in clone.folder.glob(".venv/.fedvoxel-setup-run"):
        stamp.rename(stamp.with_name(".fedvoxel-setup-started"))
    clone.calls()
    clone.set_up()
    assert clone.calls()[0] == "venv"


def test_without_a_local_wheel_torch_comes_from_the_cpu_index(clone: Clone) -> None:
    code, said = clone.set_up(FAKE_FAILS="--no-index")
    assert code == 0
    assert clone.calls()[1].startswith("pip --index-url https://download.pytorch.org/whl/cpu --no-deps torch==")
    assert "200 MB" in said


def test_without_any_torch_the_set_up_stops_with_one_error(clone: Clone) -> None:
    code, said = clone.set_up(FAKE_FAILS="torch==")
    assert code == 1
    assert said.splitlines()[-1].startswith("error: torch could not be installed")


def test_with_a_gpu_the_public_build_of_torch_is_taken(clone: Clone) -> None:
    clone.set_up(FAKE_NO_GPU="0")
    assert " torch===" in clone.calls()[1]


def test_an_old_python_is_refused_with_what_to_do(clone: Clone) -> None:
    code, said = clone.set_up(FAKE_FAILS="version_info")
    assert code == 1
    assert said == (
        "error: expected Python 3.11 or newer, found Python 3.11.0;"
        " install it, or name one with FEDVOXEL_PYTHON=/path/to/python3, and run this again\n"
    )
    assert not (clone.folder / ".venv").exists()


def test_a_python_without_venv_names_the_package_to_install(clone: Clone) -> None:
    code, said = clone.set_up(FAKE_FAILS="ensurepip")
    assert code == 1
    assert "apt-get install python3-venv" in said


def test_two_set_ups_at_once_do_the_work_once(clone: Clone) -> None:
    processes = [clone.start(FAKE_SLOW="0.5") for _ in range(2)]
    said = [process.communicate(timeout=30)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert clone.calls().count("venv") == 1
    assert sum("waiting for it" in text for text in said) == 1


@pytest.mark.parametrize(
    "name", ["scripts/_setup", "scripts/quickstart", "scripts/test", "scripts/benchmark", ".ci/run"]
)
def test_every_door_is_valid_bash(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / name], check=True)
