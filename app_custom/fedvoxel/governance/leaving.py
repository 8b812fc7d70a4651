"""What has to be done when a hospital or a person leaves a consortium, as far as the operator's workspace tells it."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.certificate_register import Register
from fedvoxel.governance.consortium import authority_folder, load_consortium


@dataclass(frozen=True)
class Step:
    """Is one thing to do.

    Attributes:
        what: What.
        how: With which command, or where.
        done: Whether it is done; None where only a person can tell.
    """

    what: str
    how: str
    done: bool | None

    def as_json(self) -> dict[str, Any]:
        """Returns the step as a JSON-like mapping."""
        return asdict(self)


def checklist(workspace: Path, name: str) -> list[Step]:
    """Returns what is to be done when `name`, a site or a person, leaves.

    Raises:
        ConsortiumError: Nobody of that name has ever had a certificate.
    """
    register, now = Register(authority_folder(workspace)), datetime.now(UTC)
    everything = register.issued()
    own = [one for one in everything if one.holder.name == name]
    if not own:
        raise ConsortiumError(f"nobody of the name {name!r} has ever had a certificate; see: fedvoxel consortium list")
    is_site, organisation = own[-1].holder.kind == "site", own[-1].holder.organisation
    good = [one.serial for one in own if one.is_good(now)]
    revoke = f"fedvoxel consortium revoke {name} -w {workspace} --reason left"
    steps = [
        Step(f"Certificates of {name} are revoked", revoke if good else "nothing is left to revoke", not good),
        Step(
            "The server has the new list",
            "copy authority/crl.pem to the server's startup/; its log says shut_out",
            None,
        ),
        Step(
            f"{name} is out of the consortium file",
            "remove its line, so that nothing is renewed",
            _is_out(workspace, name),
        ),
        Step(f"Jobs that {name} has submitted", "abort and delete them in the console: abort_job, delete_job", None),
    ]
    if not is_site:
        return [*steps, *_person_steps(name)]
    people = sorted(
        {
            one.holder.name
            for one in everything
            if one.holder.kind == "person" and one.holder.organisation == organisation and one.is_good(now)
        }
    )
    who = ", ".join(people) or "none"
    steps.insert(1, Step(f"People of {organisation}: {who}", "revoke each of them likewise", not people))
    return [*steps, *_site_steps(name)]


def _person_steps(name: str) -> list[Step]:
    return [
        Step("Releases that they have signed", "good until revoked; for a stolen key: revoke with --since", None),
        Step("Their accounts at the hospital", "the reading page's sign-in (review --oidc) and shell accounts", None),
        Step(f"The authority's passphrase, if {name} knew it", "make a new root: fedvoxel consortium rotate-ca", None),
    ]


def _site_steps(name: str) -> list[Step]:
    return [
        Step("The kit at the hospital", "stop it, delete startup/*.key; keep state/privacy and state/audit", None),
        Step("Its cohorts", "take them out of local/fedvoxel_site.json there", None),
        Step(
            "Policies that count on it",
            f"in_sums.partners of other hospitals that name {name}; mandatory_clients",
            None,
        ),
        Step(
            "Models and releases that were trained with it",
            f"fedvoxel consortium withdraw {name}: lists and withdraws them, and certifies what excludes it",
            None,
        ),
    ]


def _is_out(workspace: Path, name: str) -> bool | None:
    """Says whether kits are made for `name`; None in a workspace without kits."""
    try:
        record = load_consortium(workspace).record
    except ConsortiumError:
        return None
    return name not in (*record.sites, *record.people, *record.relays)
