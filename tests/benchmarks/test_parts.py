"""Finished parts of a benchmark are kept, and measured again only when what was asked for has changed."""

from pathlib import Path

import pytest

from benchmarks.parts import Parts


def counting(values: list[int]):
    def measure() -> dict[str, int]:
        values.append(len(values))
        return {"value": values[-1]}

    return measure


def test_a_finished_part_is_not_measured_again(tmp_path: Path) -> None:
    parts, calls = Parts(tmp_path), []
    first = parts.run("one", {"rounds": 4}, counting(calls))
    assert Parts(tmp_path).run("one", {"rounds": 4}, counting(calls)) == first == {"value": 0}
    assert calls == [0]


def test_another_configuration_is_measured_again(tmp_path: Path) -> None:
    parts, calls = Parts(tmp_path), []
    parts.run("one", {"rounds": 4}, counting(calls))
    assert parts.run("one", {"rounds": 12}, counting(calls)) == {"value": 1}


def test_a_failed_measurement_leaves_no_part(tmp_path: Path) -> None:
    def fail() -> dict[str, int]:
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        Parts(tmp_path).run("one", {}, fail)
    assert not list(tmp_path.iterdir())


def test_a_spoilt_part_is_measured_again_and_forget_removes_all(tmp_path: Path) -> None:
    parts, calls = Parts(tmp_path), []
    (tmp_path / "one.json").write_text("{")
    assert parts.run("one", {}, counting(calls)) == {"value": 0}
    parts.forget()
    assert parts.get("one", {}) is None
