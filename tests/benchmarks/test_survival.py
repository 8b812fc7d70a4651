"""The one table says no where a bound is not kept, and a part that has ended is not run again."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.sabotage import GUARDS
from benchmarks.survival import __main__ as survival
from benchmarks.survival.parts import Part, Row, chaos_rows, input_rows, soak_rows, stranger_rows

FINE = {"violations": [], "needed_person": ""}
FAULT = FINE | {"kind": "power", "machine": "server", "survived": True, "next_round_s": 9.0}
SEEN = {guard: [FINE | {"needed_person": "the job did not end"}] for guard in GUARDS}


def _not_held(rows: list[Row]) -> list[str]:
    return [row.what for row in rows if not row.holds]


def _chaos(folder: Path, faults: list[dict[str, Any]], jobs: int = 20, guards: Any = SEEN) -> list[str]:
    path = folder / "chaos.json"
    path.write_text(json.dumps({"results": faults + [FINE] * jobs, "guards": guards}))
    return _not_held(chaos_rows(path))


def test_each_bound_on_faults_is_looked_at(tmp_path: Path) -> None:
    assert _chaos(tmp_path, [FAULT] * 100) == []
    assert _chaos(tmp_path, [FAULT] * 99) == ["faults struck"]
    assert _chaos(tmp_path, [FAULT] * 100, jobs=19) == ["jobs struck"]
    for changed, what in (
        ({"violations": ["round 1 was lost"]}, "rounds lost"),
        ({"needed_person": "x"}, "faults that needed a person"),
        ({"next_round_s": 30.5}, "next round after a server's restart"),
        ({"next_round_s": 20.5, "machine": "hospital-a"}, "next round after a site's restart"),
    ):
        (found,) = _chaos(tmp_path, [FAULT] * 99 + [FAULT | changed])
        assert found.startswith(what)
    unseen = SEEN | {"audit": [FINE]}
    assert _chaos(tmp_path, [FAULT] * 100, guards=unseen) == ["guards that are missed when taken away"]


def test_each_bound_on_growth_and_inputs_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    for sites, flat, held in ((8, True, True), (8, False, False), (3, True, False)):
        path.write_text(json.dumps({"sites": sites, "rounds": 200, "rows": [{"flat": True}, {"flat": flat}]}))
        assert bool(_not_held(soak_rows(path))) is not held
    for inputs, hangs, held in ((10_000, 0, True), (9_999, 0, False), (10_000, 1, False)):
        path.write_text(json.dumps({"inputs": inputs, "faults": {"crash": 0, "hang": hangs}}))
        assert bool(_not_held(input_rows(path))) is not held


def test_a_stranger_that_was_not_tried_counts_as_let_in(tmp_path: Path) -> None:
    path = tmp_path / "strangers.xml"
    suite = '<testsuites><testsuite><testcase name="test_no_certificate"/>{}</testsuite></testsuites>'
    path.write_text(suite.format(""))
    assert [row.what for row in stranger_rows(path)] == ["no certificate"] and not _not_held(stranger_rows(path))
    path.write_text(suite.format('<testcase name="test_plain_text"><skipped/></testcase>'))
    assert _not_held(stranger_rows(path)) == ["plain text"]
    path.write_text("<testsuites/>")
    assert _not_held(stranger_rows(path)) == ["strangers"]


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    """A part that counts in its result how often it was run, and ends with the code in a file beside it."""
    (tmp_path / "code").write_text("0")
    script = (
        "import sys; from pathlib import Path; out = Path(sys.argv[1]); told = out / 'told.txt';"
        "told.write_text((told.read_text() if told.is_file() else '') + '.'); sys.exit(int((out / 'code').read_text()))"
    )
    monkeypatch.setattr(survival, "_WORK", tmp_path)
    return Part(lambda out: [sys.executable, "-c", script, str(out)], [], "told.txt", "told.md", lambda result: [])


def test_a_part_that_has_ended_is_not_run_again(counted: Part, tmp_path: Path) -> None:
    survival._run("part", counted, fresh=False)
    survival._run("part", counted, fresh=False)
    assert (tmp_path / "told.txt").read_text() == "."
    survival._run("part", counted, fresh=True)
    assert (tmp_path / "told.txt").read_text() == ".."


def test_a_part_that_was_cut_is_run_again(counted: Part, tmp_path: Path) -> None:
    (tmp_path / "code").write_text("-9")
    with pytest.raises(SystemExit, match="it goes on"):
        survival._run("part", counted, fresh=False)
    (tmp_path / "code").write_text("1")
    survival._run("part", counted, fresh=False)
    assert (tmp_path / "told.txt").read_text() == ".."


def test_the_page_names_what_does_not_hold_and_what_was_not_run() -> None:
    said = survival.table({"long runs": [Row("memory", "flat", "3 of 4", False)]})
    assert "| memory | flat | 3 of 4 | **no** |" in said and said.count("Not run yet.") == 3
