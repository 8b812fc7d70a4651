"""The models that a server keeps of a run so that it can be begun again without a site: those from before it joined.

Before each round in which something of a site is taken for the first time, the global model as it stood is kept: every
site had been sent that one already, so nothing is kept that was not released. There are at most as many as sites. The
arrays are written first, then the record that names them, both before the round is committed. A round that is begun
again writes the same again, or, if no new site answers this time, leaves nothing: what is of a round that was not
committed never counts.
"""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.absences import SiteName
from fedvoxel.plain_file import MOST_ARRAYS_BYTES, read_plain
from fedvoxel.records.atomic import write_bytes, write_json
from fedvoxel.records.names import RunKey, Sha256
from fedvoxel.updates.update import Arrays, check_values
from fedvoxel.updates.weights_file import from_bytes, to_bytes

BEFORE_JOINING = "before_joining"
"""The folder of the kept models in a run's state."""


_FILE = re.compile(r"round-(\d+)\.(?:json|npz)")
_REPAIR = "put the run's files back from a backup"


class BeforeSite(FrozenModel):
    """Names the model that an earlier run had before a site joined it.

    Attributes:
        run_key: The earlier run.
        before_site: The site, which takes no part in what begins with that model.
    """

    run_key: RunKey
    before_site: SiteName


class KeptModel(FrozenModel):
    """Is the record beside a kept model.

    Attributes:
        round: The round before which the model stood; 0 for the model that the run began with.
        joined: The sites of which something was taken in that round for the first time.
        before: The sites of which something was taken in the rounds before.
        sha256: Of the model file's bytes.
    """

    schema_version: Literal[1] = 1
    run_key: RunKey
    round: NonNegativeInt
    joined: Annotated[tuple[SiteName, ...], Field(min_length=1)]
    before: tuple[SiteName, ...]
    sha256: Sha256

    @model_validator(mode="after")
    def _joins_once(self) -> Self:
        both = sorted(set(self.joined) & set(self.before))
        if both:
            raise ValueError(f"{', '.join(both)} cannot join after having joined")
        return self


class KeptModels:
    """Is the folder with the kept models of one run."""

    def __init__(self, run: Path) -> None:
        """Touches no file; `run` is the run's folder in the server's state."""
        self._folder = run / BEFORE_JOINING

    def keep(self, run_key: str, index: int, sites: tuple[tuple[str, ...], tuple[str, ...]], model: Arrays) -> None:
        """Writes the model from before a round.

        Args:
            run_key: The run.
            index: The round.
            sites: Who joins in it, at least one, and who had before.
            model: The global model before it.

        Raises:
            OSError: It cannot be written.
        """
        content = to_bytes(model)
        sha256 = hashlib.sha256(content).hexdigest()
        record = KeptModel(run_key=run_key, round=index, joined=sites[0], before=sites[1], sha256=sha256)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_bytes(self._model_file(index), content, mode=0o600)
        write_json(self._record_file(index), record.model_dump(mode="json"), mode=0o600)

    def drop_from(self, index: int) -> None:
        """Removes what is of this round or a later one, and what a write that was cut short has left.

        Raises:
            OSError: It cannot be removed.
        """
        # Sorted, so that a record goes before its model: a model without a record does not count.
        for path in sorted(self._folder.glob("*")):
            found = _FILE.fullmatch(path.name)
            if path.name.startswith(".") or (found and int(found[1]) >= index):
                path.unlink()

    def read(self, committed: int) -> tuple[KeptModel, ...]:
        """Returns the records of a run of which so many rounds are committed, by round; their models are not read.

        Raises:
            ConfigError: A record is damaged.
        """
        files = sorted(self._folder.glob("round-*.json"))
        records = [load_json_config(KeptModel, path, f"the record {path.name} of a kept model") for path in files]
        for path, record in zip(files, records, strict=True):
            if path != self._record_file(record.round):
                raise ConfigError(f"the record {path.name} of a kept model is of round {record.round}; {_REPAIR}")
        return tuple(record for record in records if record.round < committed)

    def content(self, record: KeptModel) -> bytes:
        """Returns the bytes of a kept model.

        Raises:
            ConfigError: It is missing, or not the one that its record names.
        """
        try:
            content = read_plain(self._model_file(record.round), MOST_ARRAYS_BYTES)
            if hashlib.sha256(content).hexdigest() != record.sha256:
                raise UpdateError("other bytes")
            check_values(from_bytes(content))
        except (OSError, UpdateError):
            raise ConfigError(
                f"the model of run {record.run_key} from before round {record.round} is missing, or not the one that "
                f"its record names; {_REPAIR}"
            ) from None
        return content

    def _model_file(self, index: int) -> Path:
        return self._folder / f"round-{index:04d}.npz"

    def _record_file(self, index: int) -> Path:
        return self._folder / f"round-{index:04d}.json"
