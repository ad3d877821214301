"""What one node is told at its start, checked as a whole before anything is opened.

Every field has a default that works alone: a node on loopback, without peers, that keeps nothing. Where the
values come from (flags, environment, file) is the command line's business.
"""

from dataclasses import dataclass, field, fields
from pathlib import Path
from socket import gethostname

from kvgossip.config import FRAME_BYTES_MAX, Tuning
from kvgossip.errors import EncodingError, LocalError
from kvgossip.model.ids import Address
from kvgossip.model.member import NODE_NAME_CHARS_MAX, ZONE_CHARS_MAX, check_tags
from kvgossip.model.secret import SECRET_BYTES_MIN
from kvgossip.runtime.endpoint import Endpoint, EndpointError

CLUSTER_NAME_CHARS_MAX = 64
SEEDS_MAX = 256
SECRET_BYTES_MAX = 4_096


class SettingsError(LocalError):
    """A setting cannot be used. Nothing was opened; the message is one line and says what to write."""


def default_node_name() -> str:
    return gethostname()[:NODE_NAME_CHARS_MAX] or "localhost"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one node. Raises ``SettingsError`` if one of them cannot be used."""

    node: str = field(default_factory=default_node_name)
    """For people; the replica id names the node for machines."""
    cluster: str = "kvgossip"
    listen: str = "127.0.0.1:7700"
    peer_listen: str = "127.0.0.1:7701"
    advertise_peer: str | None = None
    """Where other nodes reach the peer listener; None to derive it from ``peer_listen``."""
    advertise_api: str | None = None
    seeds: tuple[str, ...] = ()
    zone: str = ""
    """Where the node is: most choices of a peer fall on one of the same zone."""
    tag: tuple[str, ...] = ()
    """``key=value`` each."""
    data_dir: Path | None = None
    """None to hold everything in memory: nothing is kept."""
    secret_file: Path | None = None
    allow_faults: bool = False
    trace: Path | None = None
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        _check_name("node", self.node, NODE_NAME_CHARS_MAX)
        _check_name("cluster", self.cluster, CLUSTER_NAME_CHARS_MAX)
        _endpoint("listen", self.listen)
        _endpoint("peer-listen", self.peer_listen)
        if self.listen == self.peer_listen and _endpoint("listen", self.listen).port:
            raise SettingsError(
                f"listen and peer-listen are both {self.listen}: clients and peers never share a port"
            )
        for name, text in (("advertise-peer", self.advertise_peer), ("advertise-api", self.advertise_api)):
            if text is not None:
                _check_reachable(name, text)
        if len(self.seeds) > SEEDS_MAX:
            raise SettingsError(f"seeds: {len(self.seeds)} are given, at most {SEEDS_MAX} are allowed")
        for seed in self.seeds:
            _check_reachable("seeds", seed)
        if self.zone:
            _check_name("zone", self.zone, ZONE_CHARS_MAX)
        try:
            check_tags(self.tags)
        except EncodingError as error:
            raise SettingsError(f"tag: {error}") from None
        _check_tuning(self.tuning)

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """Sorted by key. Raises ``SettingsError`` if one is not of the form ``key=value``, or given twice."""
        found: dict[str, str] = {}
        for text in self.tag:
            key, is_parted, value = text.partition("=")
            if not is_parted:
                raise SettingsError(f"tag: {text!r} is no tag: write key=value")
            if found.setdefault(key, value) != value:
                raise SettingsError(f"tag: {key!r} is given twice")
        return tuple(sorted(found.items()))

    def peer_address(self, bound: Endpoint | None = None) -> Address:
        """What this node tells its peers to dial. ``bound`` is where ``peer_listen`` was found to be."""
        return _advertised(self.advertise_peer, self.peer_listen, bound)

    def api_address(self, bound: Endpoint | None = None) -> Address:
        """What this node tells others of its HTTP API."""
        return _advertised(self.advertise_api, self.listen, bound)

    def read_secret(self) -> bytes | None:
        """The shared secret, without surrounding white space; None if no file is set."""
        if self.secret_file is None:
            return None
        try:
            with self.secret_file.open("rb") as file:
                secret = file.read(SECRET_BYTES_MAX + 1)
        except OSError as error:
            raise SettingsError(f"secret-file {self.secret_file} cannot be read: {error.strerror}") from None
        if len(secret) > SECRET_BYTES_MAX:
            raise SettingsError(f"secret-file {self.secret_file} has more than {SECRET_BYTES_MAX} bytes")
        secret = secret.strip()
        if len(secret) < SECRET_BYTES_MIN:
            raise SettingsError(
                f"secret-file {self.secret_file} holds {len(secret)} bytes, not {SECRET_BYTES_MIN} or more"
            )
        return secret


def _check_name(setting: str, text: str, chars_max: int) -> None:
    if not 0 < len(text) <= chars_max or not text.isprintable() or text != text.strip():
        raise SettingsError(
            f"{setting}: {text!r} is no name: 1 to {chars_max} printable characters are allowed"
        )


def _check_tuning(tuning: Tuning) -> None:
    for tunable in fields(Tuning):
        value = getattr(tuning, tunable.name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
            raise SettingsError(f"tuning {tunable.name}: {value} is not above 0")
    if not tuning.cross_zone_share <= 1:
        raise SettingsError(f"tuning cross_zone_share: {tuning.cross_zone_share} is above 1, which is all")
    batch_bytes_max = tuning.batch_bytes_max + tuning.inline_bytes_max
    if batch_bytes_max > FRAME_BYTES_MAX // 2:
        raise SettingsError(
            f"tuning batch_bytes_max and inline_bytes_max are {batch_bytes_max:,} together: a frame of"
            f" {FRAME_BYTES_MAX:,} bytes must hold them and their framing, so at most half of it is allowed"
        )


def _endpoint(setting: str, text: str) -> Endpoint:
    try:
        return Endpoint.parse(text)
    except EndpointError as error:
        raise SettingsError(f"{setting}: {error}") from None


def _check_reachable(setting: str, text: str) -> None:
    endpoint = _endpoint(setting, text)
    if endpoint.is_wildcard or not endpoint.port:
        raise SettingsError(f"{setting}: nobody can connect to {text!r}: name a host and a port")


def _advertised(given: str | None, listen: str, bound: Endpoint | None) -> Address:
    """A name to listen on may be a whole service's: then others are told which address of it is ours."""
    endpoint = Endpoint.parse(given or listen)
    if endpoint.is_wildcard:
        endpoint = endpoint._replace(host=gethostname())
    elif given is None and bound is not None and not endpoint.is_numeric:
        endpoint = endpoint._replace(host=bound.host)
    if not endpoint.port and bound is not None:
        endpoint = endpoint._replace(port=bound.port)
    return endpoint.address
