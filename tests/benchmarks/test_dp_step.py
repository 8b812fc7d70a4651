"""The report of the step's cost says what was measured, and what failed, of every system."""

from benchmarks.dp_step.__main__ import SYSTEMS, _rows, markdown

MACHINE = {"cores": 2, "machine": "x", "python": "3", "torch": "2", "monai": "1", "opacus": "1", "randomgen": "2"}
CONDITIONS = {"patients": 8, "at_once": 4, "steps": 2, "size": (40, 56, 40)}


def test_ratios_are_of_medians_over_the_plain_step_and_a_failure_is_said() -> None:
    warm_up = {"seconds": 99.0, "wall_s": 99.0, "mib": 1.0}
    answers = {
        system: [warm_up, *({"seconds": value, "wall_s": value, "mib": 100.0} for value in (1.0, 3.0))]
        for system in SYSTEMS
    }
    answers["ours"] = [warm_up, *({"seconds": value, "wall_s": value, "mib": 150.0} for value in (2.0, 4.0))]
    answers["opacus"] = [warm_up, {"failed": "RuntimeError: a view is modified in place"}]
    rows = {row["system"]: row for row in _rows("UNet", answers)}
    assert rows["ours"]["time_ratio"] == 1.5 and rows["ours"]["memory_ratio"] == 1.5
    assert rows["plain"]["time_ratio"] == 1.0 and "time_ratio" not in rows["opacus"]
    text = markdown(list(rows.values()), CONDITIONS, MACHINE)
    assert "modified in place" in text and "1.50" in text
