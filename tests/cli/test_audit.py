"""`fedvoxel audit`: says what a log holds, ends with 12 at one that was changed, and exports in a documented form."""

import json
from pathlib import Path

import jsonschema
import pytest

from fedvoxel.cli.main import main
from fedvoxel.governance import article12
from fedvoxel.governance.article12 import SCHEMA_FILE, Article12Log
from fedvoxel.records.audit import AUDIT_FILE
from tests.governance.audited_logs import MadeUpRun, copied, made_up_run, rewrite, said

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> MadeUpRun:
    """Logs of server and sites in kits, of which each has the root."""
    from cryptography.hazmat.primitives.serialization import Encoding

    folder = tmp_path_factory.mktemp("kits")
    made = made_up_run(folder)
    (folder / "rootCA.pem").write_bytes(made.root.certificate.public_bytes(Encoding.PEM))
    return made


def root(run: MadeUpRun) -> str:
    return f"--root={run.folder / 'rootCA.pem'}"


def test_a_whole_log_is_counted_and_said_to_be_signed(run: MadeUpRun, capsys: Captured) -> None:
    file = str(run.file("server"))
    assert main(["audit", "verify", file]) == 0
    said = capsys.readouterr().out
    assert "server: 17 entries, unbroken" in said and "a_run: hospital-a answer done 3 times" in said
    assert "signatures were not checked" in said and "--against" in said
    assert main(["audit", "verify", file, root(run)]) == 0
    assert "hospital-b has signed for entries 1 to 15" in capsys.readouterr().out
    assert main(["audit", "verify", file, root(run), "--json", f"--against={run.file('hospital-a')}"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["entries"], told["covered"], told["flaws"], told["keeper"]) == (17, 15, [], "server")
    assert told["against"][0]["keeper"] == "hospital-a" and told["head"] in said
    assert main(["audit", "verify", file, "--noted", told["head"]]) == 0


def test_a_log_that_was_changed_or_put_back_is_found(run: MadeUpRun, tmp_path: Path, capsys: Captured) -> None:
    assert main(["audit", "verify", str(run.file("server")), "--noted", "0" * 64]) == 12
    assert "older copy" in capsys.readouterr().err
    file = copied(run, "server", tmp_path)
    file.write_bytes(file.read_bytes().replace(b"hospital-a", b"hospital-c"))
    assert main(["audit", "verify", str(file)]) == 12
    told = capsys.readouterr()
    assert "WRONG chain" in told.out and "line 3" in told.err
    assert main(["audit", "export", str(file)]) == 12 and main(["audit", "show", str(file)]) == 12


def test_a_rewritten_log_is_found_with_the_root_alone_and_a_cut_one_with_a_sites(
    run: MadeUpRun, tmp_path: Path, capsys: Captured
) -> None:
    file = copied(run, "server", tmp_path)
    rewrite(file, lambda bodies: [bodies[0] | {"run_key": "other"}, *bodies[1:]])
    assert main(["audit", "verify", str(file), root(run)]) == 12
    assert "WRONG rewritten" in capsys.readouterr().out
    rewrite(file, lambda bodies: bodies[:4])
    assert main(["audit", "verify", str(file), root(run)]) == 0
    assert main(["audit", "verify", str(file), root(run), "--against", str(run.file("hospital-a"))]) == 12
    assert main(["audit", "verify", str(file), "--json", "--against", str(run.file("hospital-a"))]) == 12


def test_a_forged_gap_that_nobody_has_signed_excuses_nothing(run: MadeUpRun, tmp_path: Path, capsys: Captured) -> None:
    site = run.file("hospital-a")
    signed = [event for _, event in run.sites["hospital-a"].read() if event.kind == "countersignature"]
    heads = [event.hashes["log_head"] for event in signed]
    gap = said("gap", heads=heads, kept_entries=5, log_entries=signed[-1].log_entries, reason="a disk").body()
    file = copied(run, "server", tmp_path)
    # What the head of a cut log is, its keeper can work out, and put in who accepted that it was cut.
    rewrite(file, lambda bodies: [*bodies[:7], gap])
    assert main(["audit", "verify", str(file), "--against", str(site)]) == 12
    told = capsys.readouterr()
    assert "WRONG unchecked (line 8): an accepted gap counts only with --root" in told.out
    assert "WRONG truncated" in told.out and "a gap was accepted" not in told.out
    assert main(["audit", "verify", str(file), root(run), "--against", str(site)]) == 12
    told = capsys.readouterr()
    assert "WRONG unsigned (line 8)" in told.out and "WRONG truncated" in told.out
    assert "a gap was accepted" not in told.out
    assert main(["audit", "verify", str(file), "--noted", heads[-1], "--json"]) == 12
    assert {flaw["code"] for flaw in json.loads(capsys.readouterr().out)["flaws"]} == {"unchecked", "truncated"}
    assert main(["audit", "export", str(file)]) == 12


def test_another_file_is_no_log_and_nothing_is_made(tmp_path: Path, capsys: Captured) -> None:
    assert main(["audit", "verify", str(tmp_path / "audit" / AUDIT_FILE)]) == 3
    assert "expected an audit log" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_a_log_is_shown_by_run_site_kind_and_time(run: MadeUpRun, capsys: Captured) -> None:
    file = str(run.file("server"))
    assert main(["audit", "show", file, "--site", "hospital-a", "--kind", "answer", "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["line"], each["round"], each["site"]) for each in shown] == [
        (3, 0, "hospital-a"), (8, 1, "hospital-a"), (13, 2, "hospital-a"),
    ]  # fmt: skip
    assert main(["audit", "show", file, "--run", "another"]) == 0 and capsys.readouterr().out == ""
    assert main(["audit", "show", file, "--until", "2020-01-01"]) == 0 and capsys.readouterr().out == ""
    assert main(["audit", "show", file, "--since", "2020-01-01T00:00Z", "--kind", "run"]) == 0
    assert "run started: a_run; model=" in capsys.readouterr().out
    assert (
        main(["audit", "show", file, "--kind", "joke"]) == 3 and main(["audit", "show", file, "--since", "soon"]) == 3
    )


def test_the_export_fits_its_schema_and_the_schema_is_the_packages(
    run: MadeUpRun, tmp_path: Path, capsys: Captured
) -> None:
    out = tmp_path / "audit.json"
    assert main(["audit", "export", str(run.file("server")), root(run), "--out", str(out)]) == 0
    made = json.loads(out.read_text())
    schema = json.loads(Path(article12.__file__).with_name(SCHEMA_FILE).read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(made, schema)
    assert len(made["records"]) == made["log_entries"] == 17 and made["covered"] == 15
    assert {key: schema[key] for key in schema if not key.startswith("$")} | {"$defs": schema["$defs"]} == (
        Article12Log.model_json_schema(mode="serialization")
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(made | {"records": [made["records"][0] | {"patient": "a name"}]}, schema)
    capsys.readouterr()
    assert main(["audit", "export", str(run.file("hospital-a")), "--kind", "job"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["keeper"] == "hospital-a" and [record["event"] for record in told["records"]] == ["job"]
    assert main(["audit", "export", str(run.file("server")), "--format", "pdf"]) == 3
