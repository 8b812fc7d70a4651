"""A consortium's root that lives as long as a test, and certificates as FLARE writes them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from fedvoxel.records.identity import Identity

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Root:
    """Issues certificates and revocation lists; valid from 100 days before `around` to 1000 days after."""

    def __init__(self, name: str = "small", *, authority: bool = True, around: datetime = NOW) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self.name, self.name, self.key, around - 100 * DAY, around + 1000 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def issue(
        self,
        name: str = "lead@consortium.example",
        role: str | None = "lead",
        begins: datetime = NOW - 10 * DAY,
        ends: datetime = NOW + 300 * DAY,
        hosts: Sequence[str] | None = None,
        key: Key | None = None,
        organisation: str = "org",
    ) -> Identity:
        """A person's identity; a site's where `role` is None; a server's where there are other `hosts`."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        parts = [
            (NameOID.COMMON_NAME, name),
            (NameOID.ORGANIZATION_NAME, organisation),
            (NameOID.UNSTRUCTURED_NAME, role),
        ]
        subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in (hosts or [name or "nobody"])])
        builder = _builder(subject, self.name, key, begins, ends).add_extension(names, critical=False)
        return Identity(name, _pem(builder.sign(self.key, hashes.SHA256())), key, self.certificate)

    def itself(self) -> Identity:
        """The root as one who signs."""
        return Identity("small", _pem(self.certificate), self.key, self.certificate)

    def revocations(
        self,
        revoked: Mapping[int, datetime],
        begins: datetime = NOW - DAY,
        ends: datetime | None = NOW + 30 * DAY,
        invalid: datetime | None = None,
        whole: bool = True,
    ) -> x509.CertificateRevocationList:
        """A revocation list: serial numbers with their dates."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(begins)
        builder = builder.next_update(ends or NOW)
        for serial_number, date in revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial_number).revocation_date(date)
            if invalid:
                entry = entry.add_extension(x509.InvalidityDate(invalid), critical=False)
            builder = builder.add_revoked_certificate(entry.build())
        if not whole:
            builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
        return builder.sign(self.key, hashes.SHA256())


def serial_of(identity: Identity) -> int:
    """The serial number of an identity's certificate."""
    return x509.load_pem_x509_certificate(identity.certificate.encode()).serial_number


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(begins).not_valid_after(ends)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
