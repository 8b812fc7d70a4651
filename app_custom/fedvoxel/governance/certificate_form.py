"""How a consortium's certificates and revocation lists are made up: X.509 as RFC 5280 and FLARE 2.9 want it."""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

from fedvoxel.governance.certificate_register import Revoked

BACKDATED = timedelta(hours=1)
"""By how much certificates and lists are dated back, for machines whose clocks are behind."""

_REASONS = {
    "left": x509.ReasonFlags.cessation_of_operation,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "superseded": x509.ReasonFlags.superseded,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "unspecified": x509.ReasonFlags.unspecified,
}


def builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: CertificateIssuerPublicKeyTypes,
    issuer_key: rsa.RSAPrivateKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    """Returns a certificate to be signed, with the names of both keys in it.

    Args:
        subject: Whose.
        issuer: Who signs.
        public_key: The subject's key.
        issuer_key: The issuer's key.
        now: The present (aware).
        ends: When it ends (aware).
    """
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public_key)
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - BACKDATED).not_valid_after(ends)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    made = made.add_extension(authority, critical=False)
    return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def as_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    """Returns a certificate to be signed, made one of an authority."""
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.add_extension(key_usage(authority=True), critical=True)


def key_usage(authority: bool) -> x509.KeyUsage:
    """Returns what a key is for: an authority's signs certificates and lists, everyone else's connects and signs."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def list_entry(serial_number: int, revoked: Revoked) -> x509.RevokedCertificate:
    """Returns the entry of a revocation list for one certificate."""
    builder = x509.RevokedCertificateBuilder().serial_number(serial_number)
    builder = builder.revocation_date(revoked.at)
    builder = builder.add_extension(x509.CRLReason(_REASONS[revoked.reason]), critical=False)
    if revoked.since:
        builder = builder.add_extension(x509.InvalidityDate(revoked.since), critical=False)
    return builder.build()
