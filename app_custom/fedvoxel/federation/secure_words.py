"""What the messages of a round of secure aggregation hold besides models and masked updates.

Made-up messages of the same form are counted, as JSON; FLARE writes the same values in nearly as many bytes. Their
certificates and signatures are as long as those of the kits, with RSA keys of 2048 bits.
"""

import json
from dataclasses import dataclass
from typing import Any

from fedvoxel.config import FrozenModel
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.session import PROTOCOL, Announcement, Confirmation, Revealed, SealedShares
from fedvoxel.updates.update import Layout

CERTIFICATE_BYTES = 1390
"""Of a site's certificate, as PEM."""

_SIGNATURE, _HASH, _SHARE, _SEALED = "0" * 512, "0" * 64, "0" * 32, "0" * 96


@dataclass(frozen=True)
class SecureWords:
    """Is what one site is sent, and sends, in bytes.

    Attributes:
        keys: Down and up when keys are announced.
        shares: Likewise when they are dealt: everybody's keys down, one site's shares up.
        dealt: Down with the model: all shares of all sites, and the width of a step of each array.
        confirmation: Down and up when each signs who is in the sum.
        reveal: Down and up when the masks are taken off.
    """

    keys: tuple[int, int]
    shares: tuple[int, int]
    dealt: int
    confirmation: tuple[int, int]
    reveal: tuple[int, int]


def secure_words(config: SecureConfig, sites: int, layout: Layout) -> SecureWords:
    """Returns what a round holds in which every site stays to the end.

    Args:
        config: The job's setting.
        sites: Sites in the round.
        layout: The model's shapes by name.
    """
    names = [f"hospital-{index:03}" for index in range(sites)]
    announced = _size(_announcement(names[0]))
    shares = _size(
        SealedShares(sealed=dict.fromkeys(names, _SEALED), commitments=dict.fromkeys(names, (_HASH, _HASH)), seed=_HASH)
    )
    steps = _size(dict.fromkeys(layout, 1 / 3))
    revealed = Revealed(own=_SHARE, seeds=dict.fromkeys(names, _SHARE), keys={})
    return SecureWords(
        keys=(_size(config), announced),
        shares=(sites * announced, shares),
        dealt=sites * (shares + len(names[0])) + steps,
        confirmation=(_size(names), _size(Confirmation(signature=_SIGNATURE))),
        reveal=(_size(dict.fromkeys(names, _SIGNATURE)), _size(revealed)),
    )


def _announcement(site: str) -> Announcement:
    return Announcement(
        protocol=PROTOCOL,
        session=f"{site}#0",
        site=site,
        certificate="0" * CERTIFICATE_BYTES,
        task=_HASH,
        seal_key=_HASH,
        mask_key=_HASH,
        signature=_SIGNATURE,
    )


def _size(message: Any) -> int:
    said = message.model_dump(mode="json") if isinstance(message, FrozenModel) else message
    return len(json.dumps(said, separators=(",", ":")))
