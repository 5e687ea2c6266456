"""A real Apache Kafka that requires a password or a certificate, with a certificate authority of its own."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.servers import ServerFailed, ServerUnavailable, free_port
from tests.servers.kafka import KafkaServer

USER: Final = "dancer"
PASSWORD: Final = "sesame-of-the-broker"
KEY_PASSWORD: Final = "sesame-of-the-key"

_LISTENERS: Final = ("SASL_PLAINTEXT", "SSL", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PROPERTIES: Final = """
sasl.enabled.mechanisms={mechanisms}
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/authority.crt
listener.name.ssl.ssl.client.auth=required
"""
_PLAIN: Final = (
    "listener.name.{listener}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
    'user_{user}="{password}";\n'
    "listener.name.{listener}.scram-sha-256.sasl.jaas.config="
    "org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
    "listener.name.{listener}.scram-sha-512.sasl.jaas.config="
    "org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
)


class SecureKafkaServer(KafkaServer):
    """Listens on three ports more than ``KafkaServer``: passwords in the clear, certificates, passwords within TLS."""

    def __init__(self) -> None:
        super().__init__()
        make_certificates(self._folder)
        self._ports: dict[str, int] = {}

    @property
    def folder(self) -> Path:
        """Where ``authority.crt``, ``client.crt``, ``client.key`` and another authority's ``other.crt`` lie."""
        return self._folder

    def address_of(self, protocol: str) -> str:
        return f"127.0.0.1:{self._ports[protocol]}"

    def security(self, protocol: str, mechanism: str | None = None) -> Mapping[str, str]:
        """What a client needs, secrets included."""
        given = {"security_protocol": protocol}
        if "SASL" in protocol:
            given |= {
                "sasl_mechanism": mechanism or "PLAIN",
                "sasl_plain_username": USER,
                "sasl_plain_password": PASSWORD,
            }
        if "SSL" in protocol:
            given["ssl_cafile"] = str(self._folder / "authority.crt")
        if protocol == "SSL":
            given |= {
                "ssl_certfile": str(self._folder / "client.crt"),
                "ssl_keyfile": str(self._folder / "client.key"),
                "ssl_password": KEY_PASSWORD,
            }
        return given

    def _properties(self) -> str:
        self._ports = {listener: free_port() for listener in _LISTENERS}
        more = "".join(f",{listener}://127.0.0.1:{port}" for listener, port in self._ports.items())
        protocols = "".join(f",{listener}:{listener}" for listener in _LISTENERS)
        lines = []
        for line in super()._properties().splitlines():
            begins = line.startswith(("listeners=", "advertised.listeners="))
            lines.append(line + (more if begins else protocols if ".protocol.map=" in line else ""))
        own = _PROPERTIES.format(folder=self._folder, mechanisms=",".join(_MECHANISMS))
        plain = [
            _PLAIN.format(listener=name.lower(), user=USER, password=PASSWORD) for name in _LISTENERS if "SASL" in name
        ]
        return "\n".join(lines) + own + "".join(plain)

    def _storage_options(self) -> list[str]:
        users = (f"{mechanism}=[name={USER},password={PASSWORD}]" for mechanism in _MECHANISMS[1:])
        return [*super()._storage_options(), *(option for user in users for option in ("--add-scram", user))]


def make_certificates(folder: Path) -> None:
    """An authority, another one, and what the first vouches for: a server at 127.0.0.1 and a client.

    Raises ``ServerUnavailable`` without openssl.
    """
    if shutil.which("openssl") is None:
        raise ServerUnavailable("Apache Kafka with TLS: no openssl to make certificates; install it")
    for name in ("authority", "other"):
        _openssl(
            folder,
            f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -keyout {name}.key -out {name}.crt "
            f"-days 2 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
        )
    for name in ("server", "client"):
        _openssl(
            folder,
            f"req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -keyout {name}.plain -out {name}.csr "
            f"-subj /CN={name} -addext subjectAltName=IP:127.0.0.1",
        )
        _openssl(
            folder,
            f"x509 -req -in {name}.csr -CA authority.crt -CAkey authority.key -CAcreateserial -days 2 -copy_extensions "
            f"copy -out {name}.crt",
        )
    _openssl(folder, f"pkcs8 -topk8 -in client.plain -out client.key -v2 aes-256-cbc -passout pass:{KEY_PASSWORD}")
    (folder / "server.pem").write_text((folder / "server.plain").read_text() + (folder / "server.crt").read_text())


def _openssl(folder: Path, arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments.split()], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        raise ServerFailed(f"openssl {arguments}: {done.stderr}")
