"""The hashes of a job and of a policy change with what they are of, and with nothing else."""

from pathlib import Path

from fedvoxel.governance.audited_files import job_hash, policy_hash


def test_a_jobs_hash_is_of_all_files_but_signatures(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a.json").write_text("{}")
    before = job_hash(tmp_path)
    (tmp_path / ".__nvfl_sig.json").write_text("{}")
    (tmp_path / "config" / ".__nvfl_submitter.crt").write_text("x")
    assert job_hash(tmp_path) == before
    (tmp_path / "config" / "b.json").write_text("{}")
    assert job_hash(tmp_path) != before


def test_a_policys_hash_is_of_the_policy_and_not_of_the_sites_description(tmp_path: Path) -> None:
    (tmp_path / "privacy.json").write_text("{}")
    (tmp_path / "authorization.json.default").write_text("{}")
    before = policy_hash(tmp_path)
    (tmp_path / "fedvoxel_site.json").write_text("{}")
    (tmp_path / "table.csv").write_text("case")
    assert policy_hash(tmp_path) == before
    (tmp_path / "privacy.json").write_text('{"scopes": []}')
    changed = policy_hash(tmp_path)
    (tmp_path / "authorization.json").write_text("{}")
    assert len({before, changed, policy_hash(tmp_path)}) == 3
