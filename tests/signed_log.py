"""Has sites countersign a server's log as it stands, for tests whose runs go without FLARE's messages."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from fedvoxel.export.trust import Trust
from fedvoxel.governance.countersigning import countersign, question_for, taken
from fedvoxel.governance.log_notes import ServerNotes, SiteNotes
from fedvoxel.records.audit import AuditLog, FollowedLog
from fedvoxel.records.identity import Identity


def sign_log(state: Path, sites: Mapping[str, Identity], trust: Trust, now: datetime, own: Path) -> None:
    """Records the signatures of sites, whose own logs are begun in `own`, which is empty."""
    log = AuditLog(state)
    question = question_for(FollowedLog(log, ServerNotes).noted(), [], "a_run", 0)
    answers = {
        site: countersign(FollowedLog(AuditLog(own / site), SiteNotes), identity, question, "job-1", lambda: now)
        for site, identity in sites.items()
    }
    log.record([taken(question, answer, site, "job-1", trust, now) for site, answer in answers.items()])
