"""A pack says what artefacts say, finds every change, counts only what was verified, and never fills in a blank."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.package import open_package
from fedvoxel.export.signature import sign
from fedvoxel.export.trust import Trust, read_trust
from fedvoxel.federation.outcome import load_outcome
from fedvoxel.governance.approvals import Approvals
from fedvoxel.governance.audit_report import log_file, verify_log
from fedvoxel.governance.consortium import load_consortium
from fedvoxel.governance.evidence import subject as subject_module
from fedvoxel.governance.evidence.artefact import KINDS, Artefact, Entry
from fedvoxel.governance.evidence.checking import PackReport, check_pack
from fedvoxel.governance.evidence.checklist import AUTHORS, Known
from fedvoxel.governance.evidence.claim_page import claim_draft
from fedvoxel.governance.evidence.collecting import collect
from fedvoxel.governance.evidence.form import FORM, QUESTIONS, blank_form, read_form
from fedvoxel.governance.evidence.future_ai_page import future_ai_draft
from fedvoxel.governance.evidence.logs import Logs
from fedvoxel.governance.evidence.outcome_facts import outcome_facts, score_facts
from fedvoxel.governance.evidence.pack import write_pack
from fedvoxel.governance.evidence.package_artefacts import MEMBERS, PackageFacts
from fedvoxel.governance.evidence.page_words import HUMAN
from fedvoxel.governance.evidence.risk_map import RiskMap, _data
from fedvoxel.governance.evidence.site_artefacts import site_artefacts
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.evidence.vouching import PURPOSE, REPORTS, vouch
from fedvoxel.governance.incidents.incident_log import RECORD, IncidentLog
from fedvoxel.governance.incidents.statement import IncidentStatement, new_incident
from fedvoxel.governance.kit import open_kit
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.identity import load_identity
from tests.approval_kits import Hospital, blob_submission
from tests.consortium_kits import small_consortium
from tests.export.throwaway_root import Root
from tests.flare.test_controller import run_sites, well_behaved
from tests.sample_run import CASES, private_outcome, site_score
from tests.signed_log import sign_log

from .audited_logs import rewrite, sha
from .evidence_sample import COHORT, JOB, LEAD, OFFICER, RUN, A, B, Sample, evidence_sample

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)*(?!\w)")
"""A number by itself: a hash or a name has digits too, and is none."""

WORDS = re.compile(
    r"Articles? \d+(\(\d+\))?( and \d+)?|SHA-256|^## \d"
    r"|^\| [a-z]+ \d+ \||Kahn 2020|BMJ, 2025|^Items: \d+; of these, open for people: \d+",
    re.MULTILINE,
)
"""Words with numbers that no artefact says: those of the law, a hash's name, and of a heading."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return evidence_sample(tmp_path_factory.mktemp("evidence"))


@pytest.fixture
def own(sample: Sample, tmp_path: Path) -> Sample:
    """A copy of everything, to be changed."""
    before = sample.run.parents[1]
    after = Path(shutil.copytree(before, tmp_path / "all"))
    moved = [after / path.relative_to(before) for path in (sample.run, sample.package, sample.index, sample.results)]
    workspace = after / sample.consortium.workspace.relative_to(before)
    return Sample(load_consortium(workspace), *moved)


def subject_of(sample: Sample, *sites: str) -> Subject:
    workspace = sample.run / "workspace"
    outcome, server = load_outcome(workspace / "outcome.json"), open_kit(sample.server)
    kits = {name: open_kit(sample.kit(name)) for name in sites}
    return Subject(sample.run, workspace, outcome, server, kits, read_trust(sample.server), datetime.now(UTC))


def package_of(sample: Sample, **changes: Any) -> PackageFacts:
    opened = open_package(sample.package, read_trust(sample.server))
    members = {kind: opened.member(name) for kind, name in MEMBERS.items()}
    facts = PackageFacts(opened.sha256, "hippocampus 1.0.0", str(opened.signed_by), "2026-03-02T09:30:00Z", members)
    return replace(facts, **changes)


def found(sample: Sample, *sites: str, package: PackageFacts | None = None) -> list[Artefact]:
    return collect(subject_of(sample, *sites), package, [sample.results])


def packed(sample: Sample, out: Path, artefacts: list[Artefact] | None = None) -> RiskMap:
    artefacts = found(sample, A, B, package=package_of(sample)) if artefacts is None else artefacts
    signer = load_identity(sample.kit(OFFICER) / "startup")
    return write_pack(subject_of(sample), artefacts, signer, out).risks


@pytest.fixture(scope="module")
def made(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packs") / "pack"
    packed(sample, out)
    return out


@pytest.fixture
def pack(made: Path, tmp_path: Path) -> Path:
    """A copy of the pack, to be tampered with."""
    return Path(shutil.copytree(made, tmp_path / "pack"))


def checked(sample: Sample, pack: Path) -> PackReport:
    return check_pack(pack, read_trust(sample.server), datetime.now(UTC))


def files_in(pack: Path) -> list[Path]:
    return sorted(path for path in pack.rglob("*") if path.is_file())


def one(artefacts: list[Artefact], kind: str, site: str = "") -> Artefact:
    return next(each for each in artefacts if each.entry.kind == kind and site in ("", each.entry.site))


def by(risks: RiskMap, kind: str) -> set[str]:
    return {cell.id for cell in risks.subcategories if kind in {each.kind for each in cell.by}}


# ------------------------------------------------------------------ what is in it


def test_every_kind_is_found_or_listed_as_missing_with_a_reason(made: Path) -> None:
    entries = json.loads((made / "artefacts.json").read_text())["artefacts"]
    assert {entry["kind"] for entry in entries} == set(KINDS)
    assert all(entry["said"] for entry in entries)
    for entry in entries:
        missing = entry["check"] == "missing"
        assert (entry["sha256"] is None, entry["file"] is None) == (missing, missing)
    checks = {entry["kind"]: entry["check"] for entry in entries if entry["site"] in ("", "site-1")}
    unfound = {"server_ledger", "approvals", "cross_site", "reader_study", "results_report", "privacy_audit"}
    assert {kind for kind, check in checks.items() if check == "missing"} >= unfound
    assert checks["outcome"] == checks["job"] == checks["model_card"] == checks["cohort_statistics"] == "verified"


def test_the_hash_of_every_entry_is_that_of_the_artefact(sample: Sample, made: Path) -> None:
    artefacts, workspace = found(sample, A, B, package=package_of(sample)), sample.run / "workspace"
    ledger = sample.kit(A) / "state" / "privacy" / COHORT / "ledger.jsonl"
    site = subject_of(sample).pseudonyms[A]
    assert one(artefacts, "outcome").entry.sha256 == sha256_of_file(workspace / "outcome.json")
    assert one(artefacts, "model").entry.sha256 == sha256_of_file(workspace / "global_model.npz")
    assert one(artefacts, "server_audit_log").entry.sha256 == sha256_of_file(log_file(sample.server))
    assert one(artefacts, "site_audit_log", site).entry.sha256 == sha256_of_file(log_file(sample.kit(A)))
    assert one(artefacts, "privacy_ledger", site).entry.sha256 == sha256_of_file(ledger)
    for kind in MEMBERS:
        entry = one(artefacts, kind).entry
        assert entry.file and entry.sha256 == sha256_of_file(made / entry.file)


def test_every_file_is_in_the_manifest_with_its_hash_and_the_signature_counts(sample: Sample, made: Path) -> None:
    report = checked(sample, made)
    assert report.holds and not report.turned and report.signed_by.name == OFFICER
    for path in files_in(made):
        name = path.relative_to(made).as_posix()
        if name not in ("manifest.json", "signature.json"):
            assert report.manifest.files[name].sha256 == sha256_of_file(path)


def test_no_hospitals_name_and_no_path_of_the_machine_is_in_it(sample: Sample, made: Path) -> None:
    for path in files_in(made):
        content = path.read_text()
        for word in (A, B, "hospital_a", str(sample.run.parents[1]), str(Path.home()), "physician"):
            assert word not in content, (path.name, word)


def numbers_in(pack: Path, *names: str) -> set[str]:
    """Returns the numbers in files of a pack."""
    return {number for name in names for number in NUMBER.findall((pack / name).read_text())}


def numbers_on(page: Path) -> set[str]:
    """Returns the numbers on a page, without those of the law."""
    return set(NUMBER.findall(WORDS.sub("", page.read_text().replace("\\", ""))))


def test_the_pages_say_no_number_that_their_artefacts_do_not_say(made: Path) -> None:
    statements = [path.relative_to(made).as_posix() for path in files_in(made) if path.parent.name == "artefacts"]
    common = {f"artefacts/{kind}.json" for kind in ("outcome", "job", "cohort_statistics")}
    sources = {"nist_ai_rmf.md": ["nist_ai_rmf.json"], "gdpr_record.md": [*common], "pccp_draft.md": [*common]}
    sources |= {"claim_draft.md": [*common], "future_ai_draft.md": [*common]}
    for site in ("site-1", "site-2"):
        sources[f"datasheet_{site}.md"] = [*common, *(name for name in statements if site in name)]
    assert {path.name for path in files_in(made) if path.suffix == ".md"} - {"model_card.md"} == set(sources)
    for page, names in sources.items():
        assert numbers_on(made / page) <= numbers_in(made, "artefacts.json", *names), page


def test_checklists_say_what_counts_and_leave_the_rest_to_people(sample: Sample, made: Path, tmp_path: Path) -> None:
    claim, future = (row_of(made / name) for name in ("claim_draft.md", "future_ai_draft.md"))
    assert (list(claim)[-1], len(claim), len(future)) == ("item 42", 42, 30)
    assert "cord at site-1: Dice 0.8712" in claim["item 36"] and "cord" in claim["item 11"]
    assert claim["item 2"] == future["usability 2"] == AUTHORS and claim["item 42"] == HUMAN
    statistics = one(found(sample, A, B), "cohort_statistics").entry.sha256
    assert str(statistics) in claim["item 34"] and str(statistics) in future["fairness 2"]


def test_what_does_not_count_answers_no_item(own: Sample) -> None:
    doubted = [replace(one, entry=one.entry.model_copy(update={"check": "unverified"})) for one in found(own, A, B)]
    known = Known(doubted, {"funding": "a grant"})
    rows = [line.rpartition(" | ")[2] for line in claim_draft(known).splitlines() if line.startswith("| item ")]
    assert set(rows[1:]) == {f"{AUTHORS} |", f"{HUMAN} |", "a grant |"}


def row_of(page: Path) -> dict[str, str]:
    """Returns what a checklist says by its item."""
    rows = [line.strip("| ").split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    return {item: said for item, _, said in rows[2:]}


def test_a_number_that_no_artefact_says_would_be_seen(pack: Path) -> None:
    page = pack / "datasheet_site-1.md"
    page.write_text(page.read_text() + "\nDice 0.9137 in 3 of 71 cases.\n")
    known = numbers_in(pack, "artefacts.json", "artefacts/outcome.json", "artefacts/cohort_statistics.json")
    assert numbers_on(page) - known >= {"0.9137", "71"}


def test_no_page_tells_a_number_about_a_few_cases(sample: Sample, made: Path) -> None:
    small = subject_of(sample).pseudonyms[B]
    page = (made / f"datasheet_{small}.md").read_text()
    assert "too few cases" in page and "could not use: not told" in page and "fewer cases than its own minimum" in page
    large = (made / f"datasheet_{subject_of(sample).pseudonyms[A]}.md").read_text()
    assert f"hash of cohort {COHORT} in the hospital's log: `{sha(77)}`" in large
    assert "14 test cases" in large and "validation not told" in large and "| cord | 14 | 0.8712 |" in large


def test_statistics_with_a_smaller_minimum_are_not_repeated(own: Sample, tmp_path: Path) -> None:
    path = own.results / "workspace" / "cohort_statistics.json"
    values = json.loads(path.read_text())
    values["sites"][A]["minimum_cases"] = 2
    write_json(path, values)
    artefacts = found(own, A, B)
    site = subject_of(own).pseudonyms[A]
    assert one(artefacts, "cohort_statistics").facts["not_repeated"] == [site]
    packed(own, tmp_path / "out", artefacts)
    assert "none is repeated here" in (tmp_path / "out" / f"datasheet_{site}.md").read_text()
    assert "61" not in numbers_in(tmp_path / "out", "artefacts/cohort_statistics.json")


@pytest.mark.parametrize(("of_class", "told"), [(14, True), (4, False), (10, False), (9, True)])
def test_a_class_that_few_cases_have_or_lack_is_not_told(of_class: int, told: bool) -> None:
    score = site_score(14)
    some = score.classes["cord"].model_copy(update={"cases": of_class})
    facts = score_facts(score.model_copy(update={"classes": {"cord": some}}))
    assert facts and ("cord" in facts["classes"]) is told


def test_a_run_under_a_guarantee_says_it_whole_and_tells_no_scores() -> None:
    run = private_outcome()
    facts = outcome_facts(run, {site: f"site-{place}" for place, site in enumerate(CASES, start=1)})
    assert run.guarantee and facts["guarantee"]["epsilon"] == run.guarantee.epsilon and facts["channels"]
    assert all(site["test"] is None and site["training_cases"] is None for site in facts["sites"].values())


# ------------------------------------------------------------------ what is found


def test_one_byte_changed_in_any_file_is_found(sample: Sample, pack: Path) -> None:
    for path in files_in(pack):
        before = path.read_bytes()
        place = len(before) // 2
        path.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
        if path.name in ("manifest.json", "signature.json"):
            with pytest.raises(PackageError):
                checked(sample, pack)
        else:
            assert checked(sample, pack).changed == (path.relative_to(pack).as_posix(),)
        path.write_bytes(before)
    assert checked(sample, pack).holds


def test_each_artefact_that_is_removed_turns_exactly_its_cells(sample: Sample, pack: Path) -> None:
    cells = json.loads((pack / "nist_ai_rmf.json").read_text())["subcategories"]
    turned = 0
    for entry in json.loads((pack / "artefacts.json").read_text())["artefacts"]:
        if entry["file"] is None:
            continue
        before = (pack / entry["file"]).read_bytes()
        (pack / entry["file"]).unlink()
        report = checked(sample, pack)
        own = {
            cell["id"] for cell in cells if cell["by"] and {each["sha256"] for each in cell["by"]} == {entry["sha256"]}
        }
        expected = {cell["id"] for cell in cells if cell["id"] in own and cell["status"] == "evidenced"}
        assert report.missing == (entry["file"],)
        assert {each.id for each in report.turned} == expected, entry["kind"]
        assert {each.now for each in report.turned} <= {"not evidenced"}
        turned += len(expected)
        (pack / entry["file"]).write_bytes(before)
    assert turned > 10


def test_a_file_that_was_added_is_found_and_a_pack_without_inventory_evidences_nothing(
    sample: Sample, pack: Path
) -> None:
    (pack / "artefacts" / "more.json").write_text("{}")
    assert checked(sample, pack).strange == ("artefacts/more.json",)
    (pack / "artefacts.json").unlink()
    assert checked(sample, pack).risks is None


def test_another_consortiums_root_and_a_missing_manifest_are_refused(sample: Sample, pack: Path) -> None:
    with pytest.raises(PackageError, match="another consortium"):
        check_pack(pack, Trust(Root(around=datetime.now(UTC)).certificate), datetime.now(UTC))
    (pack / "manifest.json").unlink()
    with pytest.raises(PackageError, match=r"manifest\.json cannot be read"):
        checked(sample, pack)


# ------------------------------------------------------------------ what counts


def test_what_the_controller_itself_records_is_what_is_looked_for(tmp_path: Path) -> None:
    consortium = small_consortium(tmp_path)
    kit = consortium.server_kit
    outcome = run_sites(kit, {A: well_behaved, B: well_behaved})
    trust, now = read_trust(kit), datetime.now(UTC)
    sign_log(kit / "state", {A: load_identity(consortium.kit(A) / "startup")}, trust, now, tmp_path / "own")
    artefacts = collect(Subject(kit / "job-1", kit / "job-1", outcome, open_kit(kit), {}, trust, now), None, [])
    checks = [one(artefacts, kind).entry.check for kind in ("outcome", "model", "server_audit_log", "job")]
    assert checks == ["verified", "verified", "verified", "missing"]


def test_the_catalogue_is_nists_and_the_map_fits_it() -> None:
    catalogue, support = _data("nist_ai_rmf_1_0.json"), _data("nist_ai_rmf_support.json")
    known = catalogue["subcategories"]
    functions = [identifier.split()[0] for identifier in known]
    counts = {name: functions.count(name) for name in ("GOVERN", "MAP", "MEASURE", "MANAGE")}
    assert counts == {"GOVERN": 19, "MAP": 18, "MEASURE": 22, "MANAGE": 13} and len(known) == 72
    assert known["GOVERN 1.2"] == (
        "The characteristics of trustworthy AI are integrated into organizational policies, processes, and procedures."
    )
    shown = set(KINDS) | {"privacy_channels", "privacy_guarantee", "privacy_budget", "start_model", "test_scores"}
    shown |= {"released", "gains", "attacks", "accounting_tested", "subgroups"}
    shown |= {"incidents_handled", "job_without_a_site", "judged_at_a_hospital", "watched_in_use"}
    assert set(support["supports"]) <= shown
    assert all(set(why) <= set(known) and all(why.values()) for why in support["supports"].values())
    supported, asking = {one for why in support["supports"].values() for one in why}, set(support["asks"])
    assert asking <= set(known) and not supported & asking
    page = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()
    assert f"{len(known) - len(supported) - len(asking)} of the {len(known)} have neither" in page
    assert f"{len(supported)} can be evidenced by artefacts, and {len(asking)} ask for people" in page
    assert f"has {len(QUESTIONS)} questions" in page
    assert all(set(fields) <= set(QUESTIONS) for fields in support["asks"].values())


def test_the_coverage_counts_what_the_cells_say(made: Path) -> None:
    found_map = json.loads((made / "nist_ai_rmf.json").read_text())
    states = [cell["status"] for cell in found_map["subcategories"]]
    counts = found_map["coverage"]
    assert counts["subcategories"] == len(states) == 72
    assert counts["evidenced"] == counts["evidenced_by_artefacts"] == states.count("evidenced") > 20
    assert counts["human_input_needed"] == states.count("human input needed") == 21
    assert counts["not_evidenced"] == states.count("not evidenced")
    assert "Evidence for these subcategories" in found_map["note"] and "no statement of conformity" in found_map["note"]


def test_without_package_kits_and_results_their_cells_are_not_evidenced(sample: Sample, tmp_path: Path) -> None:
    whole = packed(sample, tmp_path / "whole")
    bare = packed(sample, tmp_path / "bare", collect(subject_of(sample), None, []))
    gone = {"model_card", "sbom", "provenance", "calibration", "site_policy", "privacy_policy", "privacy_ledger"}
    gone |= {"site_audit_log", "cohort_statistics"}
    lost = {cell.id for cell in whole.subcategories if cell.by and {each.kind for each in cell.by} <= gone}
    now = {cell.id: cell.status for cell in bare.subcategories}
    assert lost and {now[identifier] for identifier in lost} == {"not evidenced"}
    kept = {cell.id for cell in whole.subcategories if cell.status == "evidenced"} - lost
    assert {now[identifier] for identifier in kept} == {"evidenced"}
    assert not any(by(bare, kind) for kind in gone)


def test_without_a_log_that_can_be_trusted_the_run_is_found_and_counts_for_nothing(own: Sample) -> None:
    rewrite(log_file(own.server), lambda bodies: [body for body in bodies if body["kind"] != "round"])
    artefacts = found(own, A, B, package=package_of(own))
    for kind in ("server_audit_log", "outcome", "model", "job", "site_audit_log", "cohort_statistics"):
        assert one(artefacts, kind).entry.check == "unverified", kind
    shutil.rmtree(own.server / "state" / "audit")
    artefacts = found(own, package=package_of(own))
    assert one(artefacts, "server_audit_log").entry.check == "missing"
    assert "no server's audit log" in one(artefacts, "outcome").entry.said


def test_an_entry_that_no_hospital_has_signed_for_proves_nothing(own: Sample) -> None:
    changed = own.run / "workspace" / "outcome.json"
    values = json.loads(changed.read_text())
    write_json(changed, values | {"job_name": "another_name"})
    sha256 = sha256_of_file(changed)
    late = AuditEvent(kind="run", outcome="finished", run_key="evidence_run", job_id=JOB, hashes={"outcome": sha256})
    AuditLog(own.server / "state").record([late])
    entry = one(found(own, A, B), "outcome").entry
    assert entry.check == "unverified" and "as far as hospitals have signed for it" in entry.said


@pytest.mark.parametrize(
    ("name", "kind"), [("global_model.npz", "model"), ("app_server/config/config_fed_client.json", "job")]
)
def test_a_file_of_the_run_that_was_changed_counts_for_nothing(own: Sample, name: str, kind: str) -> None:
    path = own.run / "workspace" / name
    path.write_bytes(path.read_bytes() + b" ")
    assert one(found(own), kind).entry.check == "unverified"
    shutil.rmtree(path.parent if kind == "job" else own.run / "workspace" / "app_server")


def test_a_policy_that_has_changed_since_is_not_the_one_that_was_in_force(own: Sample, tmp_path: Path) -> None:
    site = subject_of(own).pseudonyms[A]
    write_json(own.kit(A) / "local" / "more.json", {"later": True})
    artefacts = found(own, A, B)
    assert "changed since" in one(artefacts, "site_policy", site).entry.said
    assert one(artefacts, "privacy_policy", site).entry.check == "unverified"
    risks = packed(own, tmp_path / "out", artefacts)
    assert not by(risks, "site_policy") & {"GOVERN 1.3"} and "GOVERN 1.3" not in by(risks, "privacy_policy")
    assert next(cell for cell in risks.subcategories if cell.id == "GOVERN 1.3").found_unverified == ("privacy_policy",)


def test_a_cohort_without_a_budget_is_no_evidence_of_one(sample: Sample) -> None:
    artefacts, names = found(sample, A, B), subject_of(sample).pseudonyms
    assert "privacy_budget" in one(artefacts, "privacy_policy", names[A]).entry.shows
    assert "privacy_budget" not in one(artefacts, "privacy_policy", names[B]).entry.shows
    assert one(artefacts, "privacy_ledger", names[B]).entry.check == "missing"


def test_a_ledger_that_was_cut_or_that_no_log_names_is_not_verified(own: Sample) -> None:
    site, ledger = subject_of(own).pseudonyms[A], own.kit(A) / "state" / "privacy" / COHORT / "ledger.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
    entry = one(found(own, A, B), "privacy_ledger", site).entry
    assert entry.check == "unverified" and "privacy verify" in entry.said


@pytest.mark.parametrize("change", [{"members": {}}, {"members": {"provenance": b"{}"}}])
def test_a_package_that_does_not_say_which_run_counts_for_nothing(sample: Sample, change: dict[str, Any]) -> None:
    artefacts = found(sample, package=package_of(sample, **change))
    assert one(artefacts, "package").entry.said == "the package does not say which run it is of"


def test_a_package_of_another_run_counts_for_nothing(sample: Sample, own: Sample) -> None:
    outcome = own.run / "workspace" / "outcome.json"
    write_json(outcome, json.loads(outcome.read_text()) | {"job_name": "another"})
    artefacts = found(own, package=package_of(sample))
    assert {one(artefacts, kind).entry.check for kind in ("package", *MEMBERS)} == {"unverified"}
    assert "another run" in one(artefacts, "sbom").entry.said


def test_a_member_that_says_too_little_supports_nothing(sample: Sample, tmp_path: Path) -> None:
    members = dict(package_of(sample).members) | {"model_card": b"# Bright\n", "sbom": b'{"components": []}'}
    risks = packed(sample, tmp_path / "out", found(sample, package=package_of(sample, members=members)))
    assert not by(risks, "model_card") and not by(risks, "sbom") and by(risks, "provenance")


def test_a_job_that_names_no_task_supports_nothing(own: Sample, tmp_path: Path) -> None:
    write_json(own.run / "workspace" / "app_server" / "config" / "config_fed_client.json", {"executors": []})
    job = one(found(own, A, B), "job")
    assert job.entry.shows == ("files",) and "network" not in job.facts and job.facts["files"]


def test_what_becomes_of_a_hospital_that_fails_is_read_from_the_job(own: Sample, tmp_path: Path) -> None:
    assert not by(packed(own, tmp_path / "before", found(own, A, B)), "job") & {"GOVERN 6.2"}
    rounds = {"num_rounds": 3, "min_sites": 2, "round_timeout_s": 600}
    app = own.run / "workspace" / "app_server"
    write_json(app / "config" / "config_fed_server.json", {"workflows": [{"args": {"rounds": rounds}}]})
    job = one(found(own, A, B), "job")
    assert job.facts["without_a_site"] == {"min_sites": 2, "round_timeout_s": 600}
    assert "job_without_a_site" in job.entry.shows and not job.counts, "the log names other files"


def declared(kit: Path, person: Path, *words: str) -> None:
    log, incident = IncidentLog(open_kit(kit)), new_incident(datetime.now(UTC))
    for word in words:
        said = {"kind": "outage", "severity": "low"} if word == "declared" else {}
        statement = IncidentStatement.model_validate(
            {"incident": incident, "keeper": open_kit(kit).name, "word": word, "text": "power in room 7", **said}
        )
        log.say(load_identity(person / "startup"), statement, datetime.now(UTC))


def test_an_incident_that_was_dealt_with_is_evidence_and_an_open_one_is_none(own: Sample, tmp_path: Path) -> None:
    assert one(found(own), "incidents").entry.check == "missing"
    declared(own.server, own.kit(OFFICER), "declared")
    assert not by(packed(own, tmp_path / "open", found(own)), "incidents")
    declared(own.server, own.kit(OFFICER), "declared", "halted", "lifted", "closed")
    record = one(found(own), "incidents")
    assert by(packed(own, tmp_path / "closed", found(own)), "incidents") == {"MANAGE 2.3"}
    assert (record.facts["open"], record.facts["closed"], record.facts["by_kind"]) == (1, 1, {"outage": 2})
    assert "room 7" not in json.dumps(record.statement)


def test_a_record_of_incidents_that_was_changed_does_not_count(own: Sample) -> None:
    declared(own.server, own.kit(OFFICER), "declared", "closed")
    path = own.server / "state" / RECORD
    path.write_text(path.read_text().replace("room 7", "room 8"))
    entry = one(found(own), "incidents").entry
    assert entry.check == "unverified" and "cannot be trusted" in entry.said


OF_REPORTS = {
    "results_report": {"MAP 3.1", "MEASURE 2.1"},
    "privacy_audit": {"MEASURE 1.2", "MEASURE 2.7", "MEASURE 2.10", "MEASURE 2.13"},
    "evaluation": {"MAP 3.1", "MEASURE 1.1", "MEASURE 2.1", "MEASURE 2.3", "MEASURE 2.5", "MEASURE 2.11"},
    "drift": {"MEASURE 2.4", "MANAGE 2.2"},
}


PROVED = {"epsilon_claimed": 8.0, "epsilon_proved": 1.5}


def reports_of(sample: Sample, folder: Path, **changes: str) -> Path:
    """Writes the reports that commands write about the run and its package."""
    run = {"run_key": RUN, "job_id": JOB} | changes
    gains = [{"site": A, "against": "local", "class_name": None, "verdict": "gained"}]
    write_json(folder / "report.json", {"run": run, "gains": gains})
    write_json(folder / "audit.json", {**run, "site": A, "membership": {}, "canaries": PROVED, "inversion": None})
    package = {"package_sha256": open_package(sample.package, read_trust(sample.server)).sha256} | changes
    dice = {"value": 0.81234567, "low": 0.8, "high": 0.82, "patients": 20}
    judged = {
        **{"model": package, "below_minimum": False, "data": {"hospitals": ["elsewhere"]}},
        **{"structures": [{"name": "cord", "dice": dice}], "groups": [{"kind": "sex"}]},
    }
    write_json(folder / "to_share.json", judged)
    watched = {"package": package["package_sha256"], "images": 40, "verdict": "drift", "alarms": [{"of": "images"}]}
    write_json(folder / "drift.json", watched)
    return folder


def vouched(sample: Sample, reports: Path) -> Path:
    for name in REPORTS:
        vouch(reports / name, load_identity(sample.kit(LEAD) / "startup"), datetime.now(UTC))
    return reports


def collected(sample: Sample, reports: Path) -> list[Artefact]:
    return collect(subject_of(sample), package_of(sample), [reports])


def test_reports_that_nobody_signs_are_listed_and_do_not_count(sample: Sample, tmp_path: Path) -> None:
    artefacts = collected(sample, reports_of(sample, tmp_path / "reports"))
    risks = packed(sample, tmp_path / "out", artefacts)
    for kind in OF_REPORTS:
        assert "signed by nobody" in one(artefacts, kind).entry.said and not by(risks, kind)


def test_a_report_counts_where_a_person_stands_for_it(sample: Sample, tmp_path: Path) -> None:
    artefacts = collected(sample, vouched(sample, reports_of(sample, tmp_path / "reports")))
    risks = packed(sample, tmp_path / "out", artefacts)
    for kind, identifiers in OF_REPORTS.items():
        entry = one(artefacts, kind).entry
        assert entry.check == "verified" and "role lead" in entry.said and by(risks, kind) == identifiers
    told = json.dumps([[dict(one(artefacts, kind).facts), one(artefacts, kind).entry.said] for kind in OF_REPORTS])
    assert A not in told and LEAD not in told, "a name beside a pseudonym says whose it is"


@pytest.mark.parametrize(
    ("name", "changes", "lost"),
    [
        ("audit.json", {"canaries": PROVED | {"epsilon_proved": 9.0}}, {"MEASURE 2.13"}),
        ("audit.json", {"canaries": PROVED | {"epsilon_claimed": None}}, {"MEASURE 2.13"}),
        ("audit.json", {"membership": None, "inversion": {}}, {"MEASURE 1.2", "MEASURE 2.7", "MEASURE 2.10"}),
        ("report.json", {"verdict": "too few cases to say"}, OF_REPORTS["results_report"]),
        ("to_share.json", {"groups": [{"kind": "hospital"}]}, {"MEASURE 2.11"}),
        ("to_share.json", {"structures": []}, OF_REPORTS["evaluation"] - {"MEASURE 2.11"}),
        ("to_share.json", {"below_minimum": True}, OF_REPORTS["evaluation"]),
        ("drift.json", {"verdict": "too few", "images": 3}, OF_REPORTS["drift"]),
    ],
)
def test_a_report_is_evidence_of_what_it_found_alone(
    name: str, changes: dict[str, Any], lost: set[str], sample: Sample, tmp_path: Path
) -> None:
    reports = reports_of(sample, tmp_path / "reports")
    values = json.loads((reports / name).read_text())
    if name == "report.json":
        values["gains"][0] |= changes
    write_json(reports / name, {**values, **({} if name == "report.json" else changes)})
    risks = packed(sample, tmp_path / "out", collected(sample, vouched(sample, reports)))
    kind = dict(zip(REPORTS, OF_REPORTS, strict=True))[name]
    assert by(risks, kind) == OF_REPORTS[kind] - lost


@pytest.mark.parametrize(("hospital", "external"), [("elsewhere", True), (B, False)])
def test_an_evaluation_is_external_only_where_its_hospital_has_no_part_in_the_run(
    hospital: str, external: bool, sample: Sample, tmp_path: Path
) -> None:
    path = reports_of(sample, tmp_path / "reports") / "to_share.json"
    write_json(path, json.loads(path.read_text()) | {"data": {"hospitals": [hospital]}, "groups": []})
    artefacts = collected(sample, vouched(sample, tmp_path / "reports"))
    pages = claim_draft(Known(artefacts, {})), future_ai_draft(Known(artefacts, {}))
    claim, future = ({row.split(" | ")[0]: row for row in page.splitlines()} for page in pages)
    assert ("an evaluation" in claim["| item 32"]) is external
    assert ("an evaluation" in future["| universality 3"]) is external and AUTHORS in future["| fairness 3"]
    assert "cord in an evaluation at a hospital: Dice 0.8123 (0.8 to 0.82), patients 20" in claim["| item 36"]


def test_no_order_tells_whose_a_pseudonym_is(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject_module, "pseudonyms_of", lambda *_: {B: "site-1", A: "site-2"})
    artefacts = found(sample)
    assert list(one(artefacts, "outcome").facts["sites"]) == ["site-1", "site-2"]
    assert list(one(artefacts, "server_audit_log").facts["signed_for_by_site"]) == ["site-1", "site-2"]


def test_each_report_of_a_name_is_listed(sample: Sample, tmp_path: Path) -> None:
    vouched(sample, reports_of(sample, tmp_path / "one"))
    reports_of(sample, tmp_path / "two", job_id="another")
    artefacts = collect(subject_of(sample), package_of(sample), [tmp_path / "one", tmp_path / "two"])
    checks = [each.entry.check for each in artefacts if each.entry.kind == "privacy_audit"]
    assert sorted(checks) == ["unverified", "verified"]


def test_a_site_that_has_signed_a_report_stands_for_nothing(sample: Sample, tmp_path: Path) -> None:
    reports = reports_of(sample, tmp_path / "reports")
    signature = sign(
        load_identity(sample.kit(A) / "startup"), PURPOSE, (reports / "audit.json").read_bytes(), datetime.now(UTC)
    )
    write_json(reports / "audit.json.signature", signature.model_dump(mode="json"))
    entry = one(collected(sample, reports), "privacy_audit").entry
    assert entry.check == "unverified" and "a site has signed" in entry.said


def test_a_report_that_was_changed_after_it_was_signed_does_not_count(sample: Sample, tmp_path: Path) -> None:
    reports = vouched(sample, reports_of(sample, tmp_path / "reports"))
    for name in REPORTS:
        (reports / name).write_text((reports / name).read_text() + "\n")
    (reports / "audit.json.signature").write_text("{}")
    for kind in OF_REPORTS:
        entry = one(collected(sample, reports), kind).entry
        assert entry.check == "unverified" and "does not count" in entry.said


def test_a_report_about_something_else_does_not_count(sample: Sample, tmp_path: Path) -> None:
    other = {"job_id": "another", "package_sha256": "0" * 64}
    reports = vouched(sample, reports_of(sample, tmp_path / "reports", **other))
    for kind in OF_REPORTS:
        entry = one(collected(sample, reports), kind).entry
        assert entry.check == "unverified" and "about another run" in entry.said


def test_sites_and_other_files_are_not_vouched_for(sample: Sample, tmp_path: Path) -> None:
    reports, site = reports_of(sample, tmp_path), load_identity(sample.kit(A) / "startup")
    with pytest.raises(PackageError, match="a person stands"):
        vouch(reports / "report.json", site, datetime.now(UTC))
    write_json(tmp_path / "other.json", {})
    (tmp_path / "audit.json").write_text("no JSON")
    for name in ("other.json", "audit.json"):
        with pytest.raises(ConfigError):
            vouch(tmp_path / name, load_identity(sample.kit(LEAD) / "startup"), datetime.now(UTC))


def test_statistics_of_another_cohort_do_not_count(own: Sample) -> None:
    assert one(found(own, A, B), "cohort_statistics").entry.check == "verified"
    assert "about which cohort" in one(found(own), "cohort_statistics").entry.said
    for site in (A, B):
        other = AuditEvent(kind="job", outcome="done", job_id="job-2", site=site, cohort="another")
        AuditLog(own.kit(site) / "state").record([other])
    assert "another cohort" in one(found(own, A, B), "cohort_statistics").entry.said


def test_what_people_of_the_hospital_approved_counts_and_a_refusal_takes_it_back(
    sample: Sample, tmp_path: Path
) -> None:
    hospital, job = Hospital(tmp_path), blob_submission()
    person, kit = hospital.person(), hospital.kit
    AuditLog(kit.state).record(
        [AuditEvent(kind="job", outcome="done", job_id=JOB, site=A, hashes={"content": job.sha256})]
    )
    Approvals(kit).decide(person, job, "approved", "", datetime.now(UTC))
    subject = replace(subject_of(sample), sites={A: kit})

    def record() -> Artefact:
        report = verify_log(log_file(kit.folder), None, None, datetime.now(UTC))
        return one(site_artefacts(subject, Logs(None, {A: report})), "approvals", subject.pseudonyms[A])

    assert record().entry.check == "verified" and record().facts["approved_by_people"] == 1
    assert "physician" not in json.dumps(record().statement)
    Approvals(kit).decide(person, job, "refused", "no", datetime.now(UTC))
    assert record().entry.check == "unverified"


# ------------------------------------------------------------------ what only people can say


def test_a_blank_form_is_no_evidence(made: Path) -> None:
    assert (made / FORM).read_text() == blank_form() and read_form(blank_form().encode()) == {}
    cells = json.loads((made / "nist_ai_rmf.json").read_text())["subcategories"]
    assert {cell["status"] for cell in cells if cell["asks"]} == {"human input needed"}
    assert "human input needed" in (made / "gdpr_record.md").read_text()


def test_an_answer_evidences_what_asks_for_it_alone_and_is_counted_apart(sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = packed(sample, out)
    answered = blank_form().replace("\nlegal_basis:\n", "\nlegal_basis: Article 9(2)(j) with a national law\n")
    answered = answered.replace("\nreview_plan:\n", "\nreview_plan:   \n")
    (out / FORM).write_text(answered)
    after = packed(sample, out)
    pairs = zip(before.subcategories, after.subcategories, strict=True)
    assert {cell.id for old, cell in pairs if old.status != cell.status} == {"GOVERN 1.1"}
    assert after.coverage.evidenced_by_statement_only == 1
    assert after.coverage.evidenced_by_artefacts == before.coverage.evidenced_by_artefacts
    assert (out / FORM).read_text() == answered and checked(sample, out).holds
    assert "Article 9(2)(j) with a national law" in (out / "gdpr_record.md").read_text()
    assert "stated by a person, checked by nobody" in (out / "nist_ai_rmf.md").read_text()
    (out / FORM).unlink()
    assert [(each.id, each.now) for each in checked(sample, out).turned] == [("GOVERN 1.1", "human input needed")]


@pytest.mark.parametrize(
    "text", ["intended: x\n", "- a\n", "team: [a, b]\n", "team: true\n", "team: a: b\n", 'team: "' + "x" * 4001 + '"\n']
)
def test_a_form_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"human_input\.yml"):
        read_form(text.encode())


# ------------------------------------------------------------------ where it goes


def test_a_pack_is_renewed_in_place_and_leaves_nothing_old(sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "out"
    packed(sample, out)
    packed(sample, out, collect(subject_of(sample), None, []))
    assert checked(sample, out).holds and not (out / "package" / "sbom.cdx.json").exists()


@pytest.mark.parametrize(
    "spoil", [lambda out: (out / "mine.txt").write_text("x"), lambda out: (out / "manifest.json").unlink()]
)
def test_a_folder_with_anything_else_is_left_alone(
    sample: Sample, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    out = tmp_path / "out"
    packed(sample, out)
    spoil(out)
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in files_in(out)}
    with pytest.raises(ConfigError, match="--out holds"):
        packed(sample, out)
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in files_in(out)} == before


def test_copies_of_kits_without_keys_are_enough(own: Sample) -> None:
    def entries() -> list[Entry]:
        return [each.entry for each in found(own, A, B, package=package_of(own))]

    before = entries()
    for kit, key in ((own.server, "server.key"), (own.kit(A), "client.key"), (own.kit(B), "client.key")):
        (kit / "startup" / key).unlink()
        (kit / "local" / "fedvoxel_site.json").unlink(missing_ok=True)
    assert entries() == before and "unverified" not in {entry.check for entry in before}


def test_kits_of_others_are_refused(sample: Sample) -> None:
    subject, admin = subject_of(sample), open_kit(sample.kit(OFFICER))
    with pytest.raises(ConfigError, match="expected the server's kit"):
        replace(subject, server=admin)
    with pytest.raises(ConfigError, match="expected a hospital's kit"):
        replace(subject, sites={A: admin})
    with pytest.raises(ConfigError, match="no part in run"):
        replace(subject, sites={"hospital-z": open_kit(sample.kit(A))})
