"""What a person is shown of a job before approving it."""

import json
from hashlib import sha256
from typing import Any

import pytest

from fedvoxel.governance.submission import Submission
from fedvoxel.governance.submission_changes import changes, shown


def job(rate: Any, code: bytes = b"a = 1\n", **meta: Any) -> Submission:
    files = {"config/c.json": json.dumps({"args": {"rate": rate}}).encode(), "custom/a.py": code}
    return Submission({"name": "job", **meta}, files)


def test_a_changed_setting_is_shown_by_its_key_with_both_values() -> None:
    assert changes(job(0.1), job(0.01)) == ["config/c.json: args.rate: 0.1 -> 0.01"]
    assert changes(job(0.1), job(0.1)) == []


def test_new_and_gone_settings_are_shown_and_so_is_a_changed_type() -> None:
    assert changes(job(0.1, scope="a"), job(0.1, extra=None)) == [
        "meta.json: extra = null (new)",
        'meta.json: scope = "a" (gone)',
    ]
    assert changes(job([{"a": 1}]), job({"a": 1})) == [
        "config/c.json: args.rate.a = 1 (new)",
        "config/c.json: args.rate[0].a = 1 (gone)",
    ]
    assert changes(job(1), job(True)) == ["config/c.json: args.rate: 1 -> true"]


def test_all_is_shown_where_nothing_was_approved_before() -> None:
    assert changes(None, job(0.1))[:2] == ["config/c.json: args.rate = 0.1 (new)", 'meta.json: name = "job" (new)']


def test_code_is_shown_line_by_line() -> None:
    lines = changes(job(1), job(1, b"a = 1\nimport os\n"))
    assert "+import os" in lines and " a = 1" in lines
    assert changes(job(1, b"\xff"), job(1, b"\xff\xfe")) == ["custom/a.py: no text, 1 -> 2 bytes"]


def test_a_key_that_looks_like_a_path_hides_nothing() -> None:
    def with_seed(seed: int, **more: int) -> Submission:
        document = {"executors": [{"args": {"seed": seed}}], **more}
        return Submission({}, {"config/c.json": json.dumps(document).encode()})

    decoy = {"executors[0].args.seed": 7, "": 1}
    assert changes(with_seed(7), with_seed(8, **decoy)) == [
        'config/c.json: [""] = 1 (new)',
        'config/c.json: ["executors[0].args.seed"] = 7 (new)',
        "config/c.json: executors[0].args.seed: 7 -> 8",
    ]


def test_a_long_value_that_changes_past_what_is_shown_is_shown_as_changed() -> None:
    before, after = "a" * 3000, "a" * 2999 + "b"
    (line,) = changes(job(before), job(after))
    assert all(sha256(json.dumps(text).encode()).hexdigest() in line for text in (before, after))
    assert len(line) < 5000


def test_settings_that_are_null_and_files_that_are_empty_are_shown_where_they_are_new() -> None:
    before = Submission({"name": "job"}, {})
    after = Submission({"name": "job"}, {"config/c.json": b"null", "custom/__init__.py": b""})
    assert changes(before, after)[0] == "config/c.json:  = null (new)"
    assert any("custom/__init__.py now" in line for line in changes(before, after))


def test_a_file_of_the_app_with_the_metas_name_is_shown() -> None:
    after = Submission({"name": "job"}, {"meta.json": b"echo"})
    assert "+echo" in changes(Submission({"name": "job"}, {"meta.json": b"test"}), after)


@pytest.mark.parametrize("mark", ["\u2028", "\x0c", "\x85", "\r"])
def test_another_mark_in_the_place_of_a_line_feed_is_shown(mark: str) -> None:
    before, after = f"# not run: {mark}steal()\n", "# not run: \nsteal()\n"
    assert "+steal()" in changes(job(1, before.encode()), job(1, after.encode()))


def test_what_would_deceive_a_reader_is_written_out() -> None:
    assert shown("a\x1b[2K\u202eb\r") == "a\\x1b[2K\\u202eb\\r"
    assert "\x1b" not in "".join(changes(None, job("\x1b[31m", b"# \x1b[2K\n")))
