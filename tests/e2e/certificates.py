"""Certificates of the tests' own: an authority, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path
    serial: int

    def tables(self) -> str:
        return f'cert_file = "{self.cert}"\nkey_file = "{self.key}"\n'

    def replace(self, other: "Signed") -> None:
        """Puts another certificate into these files, each as a whole."""
        for here, there in ((self.key, other.key), (self.cert, other.cert)):
            new = here.with_suffix(".new")
            new.write_bytes(there.read_bytes())
            os.replace(new, here)


class Authority:
    """A certificate authority; `file` is its own certificate."""

    def __init__(self, directory: Path, name: str = "authority"):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.name = directory, x509.Name(
            [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = directory / f"{name}.pem"
        own = self._builder(self.name, self.key, DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file.write_bytes(_pem(own.sign(self.key, hashes.SHA256())))

    def _builder(self, subject: x509.Name, key, lasts: datetime.timedelta):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - 2 * DAY).not_valid_after(now + lasts))

    def sign(self, name: str, dns: tuple[str, ...] = ("localhost",),
             ips: tuple[str, ...] = ("127.0.0.1",), uris: tuple[str, ...] = (),
             lasts: datetime.timedelta = 90 * DAY, kind: str = "ec") -> Signed:
        key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) if kind == "rsa"
               else ec.generate_private_key(ec.SECP256R1()))
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = [*map(x509.DNSName, dns), *map(x509.UniformResourceIdentifier, uris),
                 *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips)]
        made = self._builder(subject, key, lasts).add_extension(
            x509.SubjectAlternativeName(names), critical=False).sign(self.key, hashes.SHA256())
        signed = Signed(self.directory / f"{name}.pem", self.directory / f"{name}.key",
                        made.serial_number)
        signed.cert.write_bytes(_pem(made))
        signed.key.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return signed


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
