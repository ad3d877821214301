"""Bytes on the wire, held still: nodes of two versions talk. Changing one means raising the wire version."""

import pytest

from kvgossip.model.aggregate import Mass
from kvgossip.model.dot import Dot
from kvgossip.model.ids import Address, Generation, Key, ReplicaId, StartNumber
from kvgossip.model.member import Load, Member, MemberState, Standing
from kvgossip.wire import codec
from kvgossip.wire import messages as m

R1, R2 = ReplicaId(0x0102030405060708), ReplicaId(7)
KNOWN = m.Known(R1, Generation(2), StartNumber(3), 4)
SUSPECT = Standing(Generation(2), 300, MemberState.SUSPECT)
DIGEST = m.MemberDigest(R2, 5, SUSPECT)
CLAIM = m.Claim(R2, SUSPECT, R1)
RECORD = m.Record(
    Member(
        R2,
        Generation(2),
        5,
        "n1",
        Address("10.0.0.1:7701"),
        "10.0.0.1:7700",
        "0.1.0",
        "paris",
        1,
        (("rack", "7"),),
        ("disk-full",),
        Load(1_000, 2, 300, 40_000_000, 1 << 40),
        0x0123456789ABCDEF0123456789ABCDEF,
    ),
    SUSPECT,
)
CARRIED = m.Carried(Key(b"\x01key"), b"entry")
OFFER = m.Offer(Key(b"\x02big"), 0xFEDC, 70_000, (Dot(R1, 9), Dot(R2, 1)))
ROOT = 0x0123456789ABCDEF0123456789ABCDEF
CHILDREN = m.RangeChildren(0xAB, 8, bytes(range(16)))
ROWS = m.RangeRows(0xABC, 12, bytes(range(24)))
EIGHT, NINE, SIXTEEN = bytes(range(8)), bytes(range(9)), bytes(range(16))
MASS = Mass(0.5, 1.25, (10.0, 0.0, 1.5, 1e9, 5e12), (8, 0, 1, 1 << 29, 1 << 41), (9, 0, 2, 1 << 30, 1 << 42))

MESSAGES: dict[str, m.Message] = {
    "Hello": m.Hello(KNOWN, KNOWN, True, KNOWN.start_number),
    "Hello to a stranger": m.Hello(KNOWN, None, False, m.NO_START),
    "Ping": m.Ping(7, R2, 1_700_000_000_000),
    "Ack": m.Ack(7, 0xFEDC, 1_700_000_000_000),
    "PingReq": m.PingReq(7, R2),
    "Nack": m.Nack(7),
    "MemberSyn": m.MemberSyn((DIGEST,), True),
    "MemberAck": m.MemberAck((DIGEST,), (RECORD,), (CLAIM,), (R1,), True),
    "MemberAck2": m.MemberAck2((RECORD,), (CLAIM,)),
    "MemberNews": m.MemberNews((RECORD,), (CLAIM,)),
    "RumorPush": m.RumorPush(7, (CARRIED,), (OFFER,)),
    "RumorAnswer": m.RumorAnswer(7, b"\x01\x00"),
    "RumorPull": m.RumorPull(),
    "ChunkAsk": m.ChunkAsk(OFFER.key, OFFER.digest, 65_536),
    "Chunk": m.Chunk(OFFER.key, OFFER.digest, 65_536, b"chunk"),
    "ExchangeOpen": m.ExchangeOpen(11, 12, ROOT, 1_000, 13),
    "ExchangeOpened": m.ExchangeOpened(11, ROOT, 1_000, 13, EIGHT),
    "Compare": m.Compare(11, 1, (CHILDREN,), (ROWS,)),
    "Compared": m.Compared(11, 1, (CHILDREN,), (ROWS,), (CARRIED,), (OFFER,), EIGHT, NINE),
    "Fetch": m.Fetch(11, 2, SIXTEEN, b"\x01key"),
    "Fetched": m.Fetched(11, 2, (CARRIED,), (OFFER,), 1, 99, b"\x01key"),
    "Give": m.Give(11, 3, (CARRIED,), (OFFER,)),
    "Given": m.Given(11, 3, 2),
    "ClockShare": m.ClockShare(11, 4, 0, b"clock", ROOT),
    "ClockShared": m.ClockShared(11, 4, 1, b"clock", ROOT),
    "ExchangeOver": m.ExchangeOver(11, is_busy=False),
    "RootAsk": m.RootAsk(5),
    "RootAnswer": m.RootAnswer(5, ROOT, 1_000, 13),
    "AggregatePush": m.AggregatePush(17, R1, 70_000, 6_250, MASS),
    "AggregateAnswer": m.AggregateAnswer(17, R1, 70_000),
}

GOLDEN: dict[str, str] = {
    "Hello": "01950194cf010203040506070802030494cf0102030405060708020304c303",
    "Hello to a stranger": "01950194cf010203040506070802030490c200",
    "Ping": "0194020707cf0000018bcfe56800",
    "Ack": "01940307cdfedccf0000018bcfe56800",
    "PingReq": "0193040707",
    "Nack": "01920507",
    "MemberSyn": "01930a919307059302cd012c01c3",
    "MemberAck": (
        "01960b919307059302cd012c01919f070205a26e31ad31302e302e302e313a37373031ad31302e302e302e313a373730"
        "30a5302e312e30a57061726973019192a47261636ba13791a96469736b2d66756c6c95cd03e802cd012cce02625a00cf"
        "0000010000000000c4100123456789abcdef0123456789abcdefcd012c019193079302cd012c01cf0102030405060708"
        "91cf0102030405060708c3"
    ),
    "MemberAck2": (
        "01930c919f070205a26e31ad31302e302e302e313a37373031ad31302e302e302e313a37373030a5302e312e30a57061"
        "726973019192a47261636ba13791a96469736b2d66756c6c95cd03e802cd012cce02625a00cf0000010000000000c410"
        "0123456789abcdef0123456789abcdefcd012c019193079302cd012c01cf0102030405060708"
    ),
    "MemberNews": (
        "01930d919f070205a26e31ad31302e302e302e313a37373031ad31302e302e302e313a37373030a5302e312e30a57061"
        "726973019192a47261636ba13791a96469736b2d66756c6c95cd03e802cd012cce02625a00cf0000010000000000c410"
        "0123456789abcdef0123456789abcdefcd012c019193079302cd012c01cf0102030405060708"
    ),
    "RumorPush": (
        "019414079192c404016b6579c405656e7472799194c40402626967c4100000000000000000000000000000fedcce0001"
        "11709292cf010203040506070809920701"
    ),
    "RumorAnswer": "01931507c4020100",
    "RumorPull": "019116",
    "ChunkAsk": "01941ec40402626967c4100000000000000000000000000000fedcce00010000",
    "Chunk": "01951fc40402626967c4100000000000000000000000000000fedcce00010000c4056368756e6b",
    "ExchangeOpen": (
        "0196280b0cc4100123456789abcdef0123456789abcdefcd03e8c4100000000000000000000000000000000d"
    ),
    "ExchangeOpened": (
        "0196290bc4100123456789abcdef0123456789abcdefcd03e8c4100000000000000000000000000000000dc408000102"
        "0304050607"
    ),
    "Compare": (
        "01952a0b019193ccab08c410000102030405060708090a0b0c0d0e0f9193cd0abc0cc418000102030405060708090a0b"
        "0c0d0e0f1011121314151617"
    ),
    "Compared": (
        "01992b0b019193ccab08c410000102030405060708090a0b0c0d0e0f9193cd0abc0cc418000102030405060708090a0b"
        "0c0d0e0f10111213141516179192c404016b6579c405656e7472799194c40402626967c4100000000000000000000000"
        "000000fedcce000111709292cf010203040506070809920701c4080001020304050607c409000102030405060708"
    ),
    "Fetch": ("01952c0b02c410000102030405060708090a0b0c0d0e0fc404016b6579"),
    "Fetched": (
        "01982d0b029192c404016b6579c405656e7472799194c40402626967c4100000000000000000000000000000fedcce00"
        "0111709292cf0102030405060708099207010163c404016b6579"
    ),
    "Give": (
        "01952e0b039192c404016b6579c405656e7472799194c40402626967c4100000000000000000000000000000fedcce00"
        "0111709292cf010203040506070809920701"
    ),
    "Given": "01942f0b0302",
    "ClockShare": "0196300b0400c405636c6f636bc4100123456789abcdef0123456789abcdef",
    "ClockShared": "0196310b0401c405636c6f636bc4100123456789abcdef0123456789abcdef",
    "ExchangeOver": "0193320bc2",
    "RootAsk": "01923c05",
    "RootAnswer": ("01953d05c4100123456789abcdef0123456789abcdefcd03e8c4100000000000000000000000000000000d"),
    "AggregatePush": (
        "01964611cf0102030405060708ce00011170cd186a95cb3fe0000000000000cb3ff400000000000095cb402400000000"
        "0000cb0000000000000000cb3ff8000000000000cb41cdcd6500000000cb4292309ce540000095080001ce20000000cf"
        "000002000000000095090002ce40000000cf0000040000000000"
    ),
    "AggregateAnswer": "01944711cf0102030405060708ce00011170",
}


def test_every_message_type_has_golden_bytes() -> None:
    assert {type(message) for message in MESSAGES.values()} == {cls for _, cls, _, _ in codec._TABLE}
    assert set(GOLDEN) == set(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_the_bytes_of_messages_stand_still(name: str) -> None:
    assert codec.encode(MESSAGES[name]).hex() == GOLDEN[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_golden_bytes_are_read(name: str) -> None:
    assert codec.decode(bytes.fromhex(GOLDEN[name])) == MESSAGES[name]


def test_the_bytes_of_news_behind_a_message_stand_still() -> None:
    message, news = MESSAGES["Nack"], MESSAGES["MemberNews"]
    assert isinstance(news, m.MemberNews)
    frame = bytes.fromhex(GOLDEN["Nack"] + GOLDEN["MemberNews"][2:])
    assert codec.encode(message, news) == frame
    assert codec.decode_frame(frame) == (message, news)
