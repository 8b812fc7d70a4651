"""Opens certificates of others: whatever is none is a ValueError, also one of a version that nobody knows."""

from cryptography import x509


def certificate_in(content: bytes) -> x509.Certificate:
    """Returns the first certificate of a PEM.

    Raises:
        ValueError: There is none.
    """
    try:
        return x509.load_pem_x509_certificate(content)
    except x509.InvalidVersion as error:  # which is none of Python's own errors
        raise ValueError(str(error)) from None


def certificates_in(content: bytes) -> list[x509.Certificate]:
    """Returns all certificates of a PEM, at least one.

    Raises:
        ValueError: There is none, or one is damaged.
    """
    try:
        return x509.load_pem_x509_certificates(content)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None
