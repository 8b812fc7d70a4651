"""Names a case to the outside without its name.

The key is random, stays in the site's own file, and never leaves; without it a pseudonym cannot be turned back
by trying likely names. The same case has the same pseudonym in every run of one site.
"""

import hashlib
import hmac

_CHECKED_TEXT = "\0the key of a site"
"""No case's name: it begins with a character that no name has."""


def pseudonym(key: str, case: str) -> str:
    """Returns "case-" and the first 12 hexadecimal digits of HMAC-SHA256(key, case).

    With 48 bits, two of 10,000 cases share a name with a probability of about 2e-7.

    Args:
        key: The site's key, 64 hexadecimal digits.
        case: The site's own name of the case.

    Source: RFC 2104.
    """
    digest = hmac.new(bytes.fromhex(key), case.encode("utf-8"), hashlib.sha256).hexdigest()
    return f"case-{digest[:12]}"


def key_check(key: str) -> str:
    """Returns 16 hexadecimal digits by which two keys are told apart and from which none can be computed.

    Args:
        key: The site's key, 64 hexadecimal digits.

    Source: RFC 2104.
    """
    return hmac.new(bytes.fromhex(key), _CHECKED_TEXT.encode("utf-8"), hashlib.sha256).hexdigest()[:16]
