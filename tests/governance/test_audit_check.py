"""Every way to tamper with a log is found: by its chain, by the sites' signatures, or by another log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedvoxel.errors import ConfigError
from fedvoxel.governance.audit_report import LogReport, hold_together, log_file, verify_log
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import HEAD_FILE
from tests.export.throwaway_root import NOW, Root

from .audited_logs import SITES, MadeUpRun, copied, made_up_run, rewrite

A = SITES[0]
Bodies = list[dict[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> MadeUpRun:
    return made_up_run(tmp_path_factory.mktemp("run"))


def verified(run: MadeUpRun, file: Path, **options: Any) -> LogReport:
    return verify_log(file, options.get("trust", run.trust), options.get("noted"), NOW)


def codes(report: LogReport) -> set[str]:
    return {flaw.code for flaw in report.flaws}


def together(run: MadeUpRun, server: Path, site: Path) -> tuple[LogReport, LogReport]:
    one, other = verified(run, server), verified(run, site)
    hold_together(one, [other])
    return one, other


def test_whole_logs_have_no_flaw_and_say_how_far_they_are_signed(run: MadeUpRun) -> None:
    server, site = together(run, run.file("server"), run.file(A))
    assert server.flaws == site.flaws == []
    assert (server.checked.keeper, site.checked.keeper) == ("server", A)
    assert server.checked.signatures == 6 and server.checked.signed_by[A] == len(server.entries) - 2
    assert verified(run, run.file("server"), trust=None).checked.signatures == 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_removed_exchanged_repeated_or_cut_off_line_is_found(
    run: MadeUpRun, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    keeper = data.draw(st.sampled_from(["server", A]))
    file = copied(run, keeper, tmp_path_factory.mktemp("copy"))
    lines = file.read_bytes().splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    how = data.draw(st.sampled_from(["change", "remove", "exchange", "repeat", "cut"]))
    if how == "change":
        at = data.draw(st.integers(0, len(lines[place]) - 2))
        lines[place] = lines[place][:at] + bytes([lines[place][at] ^ 1]) + lines[place][at + 1 :]
    elif how == "remove":
        del lines[place]
    elif how == "exchange":
        other = (place + data.draw(st.integers(1, len(lines) - 1))) % len(lines)
        lines[place], lines[other] = lines[other], lines[place]
    elif how == "repeat":
        lines.insert(place, lines[place])
    else:
        del lines[place:]
    file.write_bytes(b"".join(lines))
    assert codes(verified(run, file)) == {"chain"}


def _altered(bodies: Bodies) -> Bodies:
    return [body | ({"outcome": "refused"} if body.get("round") == 0 and "task" in body else {}) for body in bodies]


def _removed(bodies: Bodies) -> Bodies:
    return [body for place, body in enumerate(bodies) if place != 3]


def _exchanged(bodies: Bodies) -> Bodies:
    return [*bodies[:2], bodies[3], bodies[2], *bodies[4:]]


def _put_in(bodies: Bodies) -> Bodies:
    return [*bodies[:2], bodies[2], *bodies[2:]]


@pytest.mark.parametrize("change", [_altered, _removed, _exchanged, _put_in])
def test_a_log_that_was_rewritten_with_new_hashes_is_found_by_the_signatures(
    run: MadeUpRun, tmp_path: Path, change: Callable[[Bodies], Bodies]
) -> None:
    file = copied(run, "server", tmp_path)
    rewrite(file, change)
    assert Chain(file).read(), "the chain alone does not show it"
    assert "rewritten" in codes(verified(run, file))


def test_signatures_that_were_left_out_of_a_rewritten_log_are_missed_by_the_sites_log(
    run: MadeUpRun, tmp_path: Path
) -> None:
    file = copied(run, "server", tmp_path)
    rewrite(file, lambda bodies: [body for body in _altered(bodies) if body["kind"] != "countersignature"])
    assert verified(run, file).flaws == []
    server, _ = together(run, file, run.file(A))
    assert "rewritten" in codes(server) or "truncated" in codes(server)


def test_the_newest_entries_cut_off_with_the_head_are_missed_by_the_sites_log(run: MadeUpRun, tmp_path: Path) -> None:
    file = copied(run, "server", tmp_path)
    rewrite(file, lambda bodies: bodies[:-4])
    assert verified(run, file).flaws == []
    server, _ = together(run, file, run.file(A))
    assert "truncated" in codes(server)
    noted = run.server.read()[-1][0].hash
    assert codes(verified(run, file, noted=noted)) == {"truncated"}


def test_a_sites_log_is_held_by_what_the_site_has_signed(run: MadeUpRun, tmp_path: Path) -> None:
    file = copied(run, A, tmp_path)
    rewrite(file, lambda bodies: [bodies[0] | {"reason": "another"}, *bodies[1:]])
    assert verified(run, file).flaws == []
    _, site = together(run, run.file("server"), file)
    assert "rewritten" in codes(site)
    rewrite(file, lambda bodies: bodies[:2])
    assert "truncated" in codes(together(run, run.file("server"), file)[1])


def test_an_answer_that_one_side_does_not_have_is_found(run: MadeUpRun, tmp_path: Path) -> None:
    def without_a(bodies: Bodies) -> Bodies:
        return [body for body in bodies if not (body.get("site") == A and body["kind"] == "answer")]

    server = copied(run, "server", tmp_path / "1")
    rewrite(server, without_a)
    assert "removed" in codes(together(run, server, run.file(A))[0])
    site = copied(run, A, tmp_path / "2")
    rewrite(site, without_a)
    assert "removed" in codes(together(run, run.file("server"), site)[1])


def test_another_update_than_left_the_site_is_found(run: MadeUpRun, tmp_path: Path) -> None:
    def another(bodies: Bodies) -> Bodies:
        return [
            body | ({"hashes": {"update": "f" * 64}} if "update" in body.get("hashes", {}) else {}) for body in bodies
        ]

    file = copied(run, "server", tmp_path)
    rewrite(file, another)
    assert "differs" in codes(together(run, file, run.file(A))[1])


def test_a_signature_of_nobody_is_found(run: MadeUpRun, tmp_path: Path) -> None:
    assert codes(verified(run, run.file("server"), trust=_other_trust())) == {"unsigned"}
    file = copied(run, "server", tmp_path)

    def last_signature_empty(bodies: Bodies) -> Bodies:
        return [*bodies[:-1], bodies[-1] | {"signature": {"algorithm": "ecdsa-sha256"}}]

    rewrite(file, last_signature_empty)
    assert codes(verified(run, file)) == {"unsigned"}


def _other_trust() -> Any:
    from fedvoxel.export.trust import Trust

    return Trust(Root().certificate)


@pytest.mark.parametrize("key", ["model_before", "round"])
def test_rounds_that_do_not_follow_one_another_are_found_without_any_signature(
    run: MadeUpRun, tmp_path: Path, key: str
) -> None:
    def another(body: dict[str, Any]) -> dict[str, Any]:
        if key == "round":
            return body | {"round": 7}
        return body | {"hashes": body["hashes"] | {"model_before": "f" * 64}}

    def change(bodies: Bodies) -> Bodies:
        kept = [body for body in bodies if body["kind"] != "countersignature"]
        return [another(body) if body["kind"] == "round" and body["round"] == 2 else body for body in kept]

    file = copied(run, "server", tmp_path)
    rewrite(file, change)
    assert "broken_run" in codes(verified(run, file))


def test_what_is_no_log_of_the_other_side_is_refused(run: MadeUpRun) -> None:
    with pytest.raises(ConfigError, match="log of a server and those of sites"):
        together(run, run.file(A), run.file(SITES[1]))


def test_a_log_is_found_where_people_look_for_it(run: MadeUpRun, tmp_path: Path) -> None:
    file = run.file("server")
    assert log_file(file) == log_file(file.parent) == log_file(file.parents[1]) == file
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "state").symlink_to(file.parents[1])
    assert log_file(tmp_path / "kit").samefile(file)
    with pytest.raises(ConfigError, match="expected an audit log"):
        log_file(file.with_name(HEAD_FILE))
