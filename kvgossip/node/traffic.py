"""Traffic of one node by kind of message: messages and payload bytes, both ways, since the start.

What goes to and comes from members of other zones is counted once more: lines between sites cost.
"""

from kvgossip.wire import messages as m

KINDS: dict[type, str] = {
    m.Hello: "hello",
    m.Ping: "probe",
    m.Ack: "probe",
    m.PingReq: "probe",
    m.Nack: "probe",
    m.MemberSyn: "member",
    m.MemberAck: "member",
    m.MemberAck2: "member",
    m.MemberNews: "member",
    m.RumorPush: "rumor",
    m.RumorAnswer: "rumor",
    m.RumorPull: "rumor",
    m.ChunkAsk: "transfer",
    m.Chunk: "transfer",
    m.RootAsk: "check",
    m.RootAnswer: "check",
    m.AggregatePush: "aggregate",
    m.AggregateAnswer: "aggregate",
}
"""Every other message belongs to an exchange."""


class Traffic:
    """Counters named ``KIND_bytes_sent``, ``KIND_messages_received`` and so on."""

    def __init__(self) -> None:
        kinds = (*dict.fromkeys(KINDS.values()), "exchange")
        self._sent = {kind: [0, 0] for kind in kinds}
        self._received = {kind: [0, 0] for kind in kinds}
        self._far_bytes_sent = 0
        self._far_bytes_received = 0

    def count_sent(self, message: m.Message, size: int, *, is_far: bool) -> None:
        """``is_far``: the message goes to another zone."""
        _count(self._sent, message, size)
        self._far_bytes_sent += size * is_far

    def count_received(self, message: m.Message, size: int, *, is_far: bool) -> None:
        _count(self._received, message, size)
        self._far_bytes_received += size * is_far

    def counters(self) -> dict[str, int]:
        named = {
            "cross_zone_bytes_sent": self._far_bytes_sent,
            "cross_zone_bytes_received": self._far_bytes_received,
        }
        for direction, table in (("sent", self._sent), ("received", self._received)):
            for kind, (messages, size) in table.items():
                named[f"{kind}_messages_{direction}"] = messages
                named[f"{kind}_bytes_{direction}"] = size
        return named


def _count(table: dict[str, list[int]], message: m.Message, size: int) -> None:
    row = table[KINDS.get(type(message), "exchange")]
    row[0] += 1
    row[1] += size
