"""What a person is shown of a job before approving it."""

import json
from typing import Any

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


def test_what_would_deceive_a_reader_is_written_out() -> None:
    assert shown("a\x1b[2K\u202eb\r") == "a\\x1b[2K\\u202eb\\r"
    assert "\x1b" not in "".join(changes(None, job("\x1b[31m", b"# \x1b[2K\n")))
