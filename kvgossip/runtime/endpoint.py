"""``host:port``, as people write it and as nodes advertise it.

A host is a DNS name, an IPv4 address, or an IPv6 address in brackets: ``[::1]:7701``. An empty host, like
``0.0.0.0`` and ``[::]``, is a *wildcard*: good to listen on, but nobody can be told to connect to it.
"""

from ipaddress import ip_address
from socket import socket
from typing import NamedTuple

from kvgossip.errors import LocalError
from kvgossip.model.ids import Address
from kvgossip.model.member import ADDRESS_CHARS_MAX

PORT_MAX = 65_535
_WILDCARDS = frozenset(("", "0.0.0.0", "::"))


class EndpointError(LocalError):
    """A text is no ``host:port``. State is unchanged."""


class Endpoint(NamedTuple):
    """``host`` carries no brackets. Port 0 stands for any free port, when listening."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> "Endpoint":
        """Raises ``EndpointError``."""
        host, colon, digits = text.strip().rpartition(":")
        if not colon or not digits.isascii() or not digits.isdigit():
            raise EndpointError(f"{text!r} is no address: write host:port, such as 127.0.0.1:7701")
        if int(digits) > PORT_MAX:
            raise EndpointError(f"{text!r}: the port is above {PORT_MAX}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise EndpointError(f"{text!r}: write an IPv6 address in brackets, such as [::1]:7701")
        if len(text) > ADDRESS_CHARS_MAX:
            raise EndpointError(
                f"the address has {len(text)} characters: at most {ADDRESS_CHARS_MAX} are allowed"
            )
        if not all(char.isprintable() and char not in "[]/@?# " for char in host):
            raise EndpointError(f"{text!r}: the host holds characters that no host name has")
        return Endpoint(host, int(digits))

    @staticmethod
    def of(sock: socket) -> "Endpoint":
        """Where a socket is bound."""
        host, port = sock.getsockname()[:2]
        return Endpoint(host, port)

    @property
    def is_wildcard(self) -> bool:
        return self.host in _WILDCARDS

    @property
    def is_numeric(self) -> bool:
        """True if the host is an IP address, so that nothing has to be resolved."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def address(self) -> Address:
        return Address(str(self))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
