"""Whether server and site work under the same privacy section of one job.

A job's folder holds the section twice, for the server and for the sites, and the tool that submits it looks whether
both are equal; FLARE's own submit does not. A server with less noise than its sites are charged for, or with none,
would make every claim false. So each round says under which section the server works, and a site takes no other.
"""

from typing import Any

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.sections import read_section


def check_same_section(own: Any, servers: Any) -> None:
    """Refuses a round that the server works on under another section than the site, before it is trained or charged.

    Args:
        own: The section of the site's executor, as JSON; None protects nobody.
        servers: The section that came with the round, as JSON; None protects nobody.

    Raises:
        ConfigError: They differ, or what came is no section.
    """
    if _read(own) != _read(servers):
        raise ConfigError(
            "the server works under another privacy section than this site: expected the same section in the job's "
            "server and client configuration (see: fedvoxel job check)"
        )


def _read(section: Any) -> Any:
    return None if section is None else read_section(section)
