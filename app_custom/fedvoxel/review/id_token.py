"""What the hospital's provider says of a person: believed only if it is signed, for us, and of now.

Signature and claims are checked by joserfc. Only signatures that need the provider's private key are taken: an unsigned
token, or one signed with a shared secret (which a public key could be passed off as), is refused before any key is
looked at.

Source: OpenID Connect Core 1.0, section 3.1.3.7.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from fedvoxel.review.refused_sign_in import RefusedSignIn

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
LEEWAY_S = 60
"""How far the provider's clock may be off."""

OLDEST_S = 600
"""A token is made when we ask for it: an older one was made for something else."""


@dataclass(frozen=True)
class ExpectedToken:
    """Is what an ID token must say.

    Attributes:
        issuer: Who made it.
        client_id: For whom.
        nonce: For which sign-in.
    """

    issuer: str
    client_id: str
    nonce: str


def claims_of(token: str, keys: Any, expected: ExpectedToken, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """Returns a token's claims.

    Args:
        token: The ID token, a signed JWT.
        keys: The provider's public keys, as its JWK Set says them.
        expected: What it must say.
        clock: Seconds since 1970.

    Raises:
        RefusedSignIn: A signature or a claim is not as it must be.
    """
    # Members of a token's header that are not known are ignored, unless it says that they are critical.
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        claims = jwt.decode(token, KeySet.import_key_set(keys), registry=registry).claims
        _check(claims, expected, int(clock()))
    except (InvalidClaimError, MissingClaimError) as error:
        raise RefusedSignIn("not_valid", f"{error.error}:{error.claim}") from None
    except JoseError as error:
        raise RefusedSignIn("not_valid", error.error) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RefusedSignIn("not_valid", "malformed") from None
    return claims


def _check(claims: Mapping[str, Any], expected: ExpectedToken, now: int) -> None:
    several = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
    rules = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY_S,
        iss={"essential": True, "value": expected.issuer},
        aud={"essential": True, "value": expected.client_id},
        # Who else may use the token is said by azp, and must be nobody else.
        azp={"essential": several, "value": expected.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": expected.nonce},
    )
    rules.validate(dict(claims))
    for name in ("azp", "nonce"):
        if not isinstance(claims.get(name, ""), str):
            raise InvalidClaimError(name)
    if claims["iat"] < now - OLDEST_S - LEEWAY_S:
        raise InvalidClaimError("iat")
