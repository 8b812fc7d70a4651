"""The account adds up, and its page says what it holds and nothing that could run."""

import pytest

from fedvoxel.errors import JobError
from fedvoxel.evaluation.credit.account import account_of, shares_of
from fedvoxel.evaluation.credit.page import draw_account, render_account

from .records import SITES, changed, outcome_of, records


def test_values_shares_and_costs_add_up() -> None:
    account = account_of(outcome_of(records({"hospital-a": 0.03, "hospital-b": -0.01})))
    assert (account.sites[0].site, account.sites[-1].site) == ("hospital-a", "hospital-b")
    assert sum(credit.share or 0 for credit in account.sites) == pytest.approx(1.0)
    assert account.sites[-1].share == 0.0 and account.sites[-1].value < 0
    for credit in account.sites:
        assert credit.value == pytest.approx(sum(credit.by_round)) and len(credit.by_round) == 8
        assert credit.low is not None and credit.high is not None and credit.low < credit.value < credit.high
    assert (account.cost.models, account.cost.seconds, account.cost.round_seconds) == (48, 16.0, 80.0)
    assert account.cost.bytes_down == 48_000_000 and account.rounds_looked_at == account.rounds == 8


def test_a_round_that_was_not_committed_counts_for_nothing() -> None:
    outcome = outcome_of(records()).model_copy(update={"rounds_committed": 5})
    assert account_of(outcome).rounds_looked_at == 5


def test_where_nobody_has_a_positive_value_nobody_has_a_share() -> None:
    assert shares_of({"a": -1.0, "b": 0.0}) == {"a": None, "b": None}


def test_agreement_is_a_mean_and_says_what_it_cannot_tell() -> None:
    run = changed(records(), method="agreement", values=dict.fromkeys(SITES, 0.8), without={})
    account = account_of(outcome_of(run))
    assert [credit.value for credit in account.sites] == pytest.approx([0.8] * len(SITES))
    assert "Agreement is no score" in account.caveats[0]


def test_what_an_older_outcome_does_not_say_is_said() -> None:
    old = changed(records(rounds=3), resemblance=None, without={}, method="shapley")
    said = " ".join(account_of(outcome_of(old)).caveats)
    assert "Fewer than 4 rounds" in said and "without each site" in said and "how the updates resemble" in said


def test_a_run_that_did_not_ask_is_refused_with_what_to_write() -> None:
    plain = tuple(record.model_copy(update={"contribution": None}) for record in records())
    with pytest.raises(JobError, match=r"rounds\.contribution, such as jobs/hippocampus_contribution"):
        account_of(outcome_of(plain))


def test_whose_updates_were_refused_is_named_though_it_has_no_value() -> None:
    run = list(records(rounds=5))
    for index in (1, 3):
        run[index] = run[index].model_copy(update={"refused": {"hospital-z": f"the global model of round {index}"}})
    account = account_of(outcome_of(tuple(run)))
    assert "hospital-z" not in {credit.site for credit in account.sites}
    (flag,) = account.flags
    assert (flag.kind, flag.sites) == ("refused", ("hospital-z",))
    assert flag.reason == "in 2 of 5 rounds what it sent was refused, at last as the global model of round 3"
    page = render_account(account)
    assert "hospital-z: refused." in page and "Nothing looks wrong" not in page


def test_the_page_says_it_all_and_escapes_what_came_from_sites() -> None:
    outcome = outcome_of(records(last_step={"hospital-c": 0.999}))
    page = render_account(account_of(outcome.model_copy(update={"job_name": "<script>job</script>"})))
    assert "&lt;script&gt;job" in page and "<script" not in page
    assert "hospital-c: free rider." in page and "Its updates repeat the step" in page
    assert "48 models scored, 16 s beside the 80 s of the same rounds, 48.0 MB" in page


def test_the_page_says_so_where_nothing_looks_wrong() -> None:
    assert "Nothing looks wrong" in render_account(account_of(outcome_of(records())))


def test_a_picture_of_few_rounds_has_no_intervals() -> None:
    account = account_of(outcome_of(records(rounds=2)))
    assert account.sites[0].low is None and draw_account(account).png.startswith(b"\x89PNG")
