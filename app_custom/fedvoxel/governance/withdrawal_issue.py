"""Issues and verifies certificates of withdrawal; refuses while the site could still come back or a run goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from fedvoxel import __version__
from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, ConsortiumError, PackageError
from fedvoxel.export.signature import moment, sign, verify
from fedvoxel.export.trust import Signer, Trust
from fedvoxel.governance.certificate_register import Register
from fedvoxel.governance.watched_list import good_lists
from fedvoxel.governance.withdrawal import Findings
from fedvoxel.governance.withdrawal_certificate import (
    PURPOSE,
    RevokedCertificate,
    WithdrawalCertificate,
    WithdrawalStatement,
    WithdrawnRelease,
    read_certificate,
)
from fedvoxel.records.identity import Identity, is_issued_by, load_roots
from fedvoxel.records.revocation import LIST_FILE, check_list_is_of_now, revoked_from

NOT_UNDONE = (
    "Copies of the models that were exported, downloaded or handed on cannot be called back from here.",
    "Every hospital that took part holds the models that it was sent, and its own models and trainer states of these "
    "runs, which saw the site's influence.",
    "What the other hospitals sent after the site had joined was computed on models that held its updates.",
    "Privacy that was spent stays charged in every ledger.",
    "Plans, thresholds and choices of people that were made with the help of the site's statistics or scores, and "
    "calibrations and reader studies that it took part in, are not covered: make them anew without it.",
    "What other servers have run is not known here.",
)
"""What no certificate undoes."""

RE_AGGREGATION = (
    "A model computed anew from the other sites' updates is not certified and not offered: the server keeps no single "
    "site's updates, and those of later rounds saw the site's influence. Certified are models from before it joined."
)

_ISSUER = "project_admin"
"""The role of who issues: the consortium's operator, who alone can vouch for what lies on the server."""


@dataclass(frozen=True)
class Releases:
    """Is what became of an index of releases.

    Attributes:
        withdrawn: Those that are withdrawn now and came of a model with updates of the site; None for no index.
        unclear: Name and version of those of which it cannot be said.
    """

    withdrawn: tuple[WithdrawnRelease, ...] | None = None
    unclear: tuple[str, ...] = ()


def check_revoked(site: str, register: Register, startup: Path, now: datetime) -> tuple[RevokedCertificate, ...]:
    """Returns a site's revoked certificates, if none that the server still trusts is left.

    Args:
        site: Who has left.
        register: What the authority has issued.
        startup: The server's, with the roots and the list that it goes by.
        now: The present (aware).

    Raises:
        ConsortiumError: A certificate is not revoked by that list, or the list is damaged or out of date.
    """
    roots = load_roots(startup / "rootCA.pem")
    lists = good_lists(startup / LIST_FILE, roots)
    for one in lists:
        check_list_is_of_now(one, now)
    entries = {entry.serial_number: entry for one in lists for entry in one}
    own = [one for one in register.issued() if one.holder.name == site and one.holder.kind == "site"]
    if not own:
        raise ConsortiumError(f"no site {site!r} has ever had a certificate; see: fedvoxel consortium list")
    for issued in own:
        trusted = any(is_issued_by(issued.certificate, root) for root in roots)
        if (
            trusted
            and issued.certificate.serial_number not in entries
            and now <= issued.certificate.not_valid_after_utc
        ):
            how = (
                "copy authority/crl.pem to the server's startup/"
                if issued.revoked
                else f"revoke it: fedvoxel consortium revoke {site} --reason left, and give the server the new list"
            )
            raise ConsortiumError(
                f"certificate {issued.serial} of {site} is not on the revocation list that the server goes by, so that "
                f"{site} could come back: {how}"
            )
    revoked = [entries[one.certificate.serial_number] for one in own if one.certificate.serial_number in entries]
    return tuple(
        RevokedCertificate(serial=f"{entry.serial_number:X}", revoked=moment(revoked_from(entry))) for entry in revoked
    )


def check_may_issue(findings: Findings, identity: Identity, trust: Trust, now: datetime) -> None:
    """Checks that a certificate can be issued, before anything is changed.

    Raises:
        ConsortiumError: A run of the site has not ended.
        PackageError: The signer is not the consortium's operator.
    """
    if findings.unfinished:
        raise ConsortiumError(
            f"run {', '.join(findings.unfinished)} has not ended, and would make more models after the certificate: "
            "wait until it has, or abort its job in the console"
        )
    # A signature of nothing shows whether one of the certificate would count.
    _check_issuer(verify(sign(identity, PURPOSE, b"", now), PURPOSE, b"", trust, now))


def issue(
    findings: Findings,
    revoked: Sequence[RevokedCertificate],
    releases: Releases,
    identity: Identity,
    trust: Trust,
    now: datetime,
) -> WithdrawalCertificate:
    """Signs a certificate of withdrawal.

    Raises:
        ConsortiumError: A run of the site has not ended.
        PackageError: The signer is not the consortium's operator, or what was found may not be certified.
    """
    check_may_issue(findings, identity, trust, now)
    values = {
        "site": findings.site,
        "revoked": tuple(revoked),
        "runs": findings.runs,
        "lost_runs": findings.lost_runs,
        "releases": releases.withdrawn,
        "unclear_releases": releases.unclear,
        "log": findings.log,
        "not_undone": NOT_UNDONE,
        "re_aggregation": RE_AGGREGATION,
        "fedvoxel": __version__,
    }
    try:
        statement = parse_config(WithdrawalStatement, values, "the certificate of withdrawal")
    except ConfigError as error:
        raise PackageError(str(error)) from None
    signature = sign(identity, PURPOSE, statement.content, now)
    return WithdrawalCertificate(statement=statement, signature=signature)


def verify_certificate(content: bytes, trust: Trust, now: datetime) -> tuple[WithdrawalCertificate, Signer]:
    """Returns a certificate and who issued it, verified as of the time of signing.

    Raises:
        PackageError: It is none, was changed, or was not signed by an operator of this consortium.
        ConsortiumError: The revocation list is out of date.
    """
    certificate = read_certificate(content)
    signer = verify(certificate.signature, PURPOSE, certificate.statement.content, trust, now)
    _check_issuer(signer)
    return certificate, signer


def _check_issuer(signer: Signer) -> None:
    if signer.role != _ISSUER:
        raise PackageError(f"{signer} may not issue a certificate of withdrawal; the consortium's {_ISSUER} does")


ModelVerdict = Literal["excludes", "holds", "may_hold", "unknown"]
"""What a certificate says of a model: it excludes the site; it holds updates of it, or may; or nothing is said."""


def verdict_on_model(statement: WithdrawalStatement, sha256: str) -> tuple[ModelVerdict, str]:
    """Returns what a certificate says of a model file, and in words."""
    site = statement.site
    for run in statement.runs:
        for model in run.excluding:
            if model.sha256 == sha256:
                return "excludes", f"certified to exclude {site}: run {run.run_key}, before round {model.round}"
    for run in statement.runs:
        if sha256 in run.contaminated:
            return "holds", f"holds updates of {site}: run {run.run_key}"
    if sha256 in statement.contaminated:
        return "holds", f"holds updates of {site}: a run of which the log alone is left"
    if sha256 in statement.may_hold:
        return "may_hold", f"may hold updates of {site}: its run goes back to a model of which that cannot be said"
    return "unknown", f"not certified: the certificate does not name this model, and says nothing of {site} in it"
