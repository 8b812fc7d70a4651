"""The command's frame: help, version, exit codes, and what goes to which stream."""

import subprocess
import sys
from pathlib import Path

import pytest

import fedvoxel.cli
from fedvoxel import __version__
from fedvoxel.cli.main import NOUNS, main

FAULTY = '''
import typer
from fedvoxel.errors import CohortError

app = typer.Typer(no_args_is_help=True)


@app.command()
def act(kind: str) -> None:
    """Fails as asked."""
    if kind == "expected":
        raise CohortError("the cohort [knee] has no usable case")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "exit":
        raise typer.Exit(4)
    if kind == "bug":
        raise ValueError("surprise")
'''


@pytest.fixture
def faulty_noun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sub-command `faulty` that ends in the way that its argument names."""
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.setattr(fedvoxel.cli, "__path__", [*fedvoxel.cli.__path__, str(tmp_path)])
    monkeypatch.setitem(NOUNS, "faulty", "Fails.")
    monkeypatch.delitem(sys.modules, "fedvoxel.cli.faulty", raising=False)


def test_help_names_every_noun(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(noun in shown for noun in NOUNS)


def test_help_loads_no_noun_and_no_heavy_package() -> None:
    code = (
        "import sys; from fedvoxel.cli.main import main; main(['--help']);"
        "heavy = {'numpy', 'torch', 'monai', 'nvflare', 'nibabel', 'matplotlib', 'pydantic'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    path = {"PYTHONPATH": str(Path(fedvoxel.__file__).parents[1])}
    result = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fedvoxel {__version__}\n"


def test_an_unknown_noun_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jbo"]) == 2
    assert "No such command 'jbo'" in capsys.readouterr().err


@pytest.mark.usefixtures("faulty_noun")
class TestFaultyNoun:
    def test_success_is_zero(self) -> None:
        assert main(["faulty", "none"]) == 0

    def test_an_expected_error_is_one_line_and_its_exit_code(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["faulty", "expected"]) == 5
        shown = capsys.readouterr()
        assert shown.err == "error: the cohort [knee] has no usable case\n"
        assert shown.out == ""

    def test_debug_adds_the_traceback(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--debug", "faulty", "expected"]) == 5
        assert "Traceback" in capsys.readouterr().err

    def test_an_interrupt_is_130(self) -> None:
        assert main(["faulty", "interrupt"]) == 130

    def test_a_chosen_exit_code_is_kept(self) -> None:
        assert main(["faulty", "exit"]) == 4

    def test_a_bug_is_one_line_that_quotes_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["faulty", "bug"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: this is a bug in fedvoxel (ValueError at main.py:") and "surprise" not in line

    def test_debug_shows_what_led_to_a_bug(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--debug", "faulty", "bug"]) == 1
        assert "ValueError: surprise" in capsys.readouterr().err
