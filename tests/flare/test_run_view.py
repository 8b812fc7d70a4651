"""What show_stats answers about a run is either nothing yet, or something that a watcher can read."""

import re
from pathlib import Path

from fedvoxel.flare.run_view import RunView
from fedvoxel.ops.progress import parse_progress


def test_a_run_shows_nothing_before_it_has_begun_and_then_what_a_watcher_reads() -> None:
    view = RunView()
    assert view.shown() == {}
    view.show(phase="done", status="failed", reason="the job's rounds section is wrong")
    assert view.shown() == {}, "a watcher would refuse a run without rounds"
    view.show(rounds_planned=3, started=1.0, phase="starting")
    view.sites(["hospital-a"], "waiting")
    wait = {"site": "hospital-a", "since": 1.0, "until": 9.0, "reason": "works on it; until the deadline"}
    progress = parse_progress(view.shown([wait]))
    assert progress and progress.rounds_planned == 3
    assert [each.model_dump() for each in progress.waits] == [wait]


def test_a_site_that_is_not_waited_for_is_missing_until_it_is_back() -> None:
    view = RunView()
    view.show(rounds_planned=3, started=1.0, phase="training")
    view.sites(["hospital-a", "hospital-b"], "training")
    gone = parse_progress(view.shown((), {"hospital-b": "lost its connection"}))
    assert gone and (gone.sites["hospital-b"].state, gone.sites["hospital-b"].reason) == (
        "missing",
        "lost its connection",
    )
    back = parse_progress(view.shown())
    assert back and back.sites["hospital-b"].state == "training"


def test_a_watcher_reads_every_phase_that_a_run_shows() -> None:
    flare = Path(__file__).parents[2] / "app_custom" / "fedvoxel" / "flare"
    said = {name for path in flare.glob("*.py") for name in re.findall(r'phase="(.+?)"', path.read_text())}
    assert "contribution" in said
    for phase in said:
        view = RunView()
        view.show(rounds_planned=3, started=1.0, phase=phase)
        shown = parse_progress(view.shown())
        assert shown and shown.phase == phase
