"""A look at RocksDB's write-ahead log before it is opened: zeros where a record should be.

RocksDB takes a record of type and length zero for space that was allocated and never written, and drops what
follows it in the block of 32 KiB without a word, acknowledged batches too. (Tried with RocksDB 9.8: zeros in
the middle of the log lost three synced batches silently.) So zeros are looked for here. Everything else is
told apart by RocksDB: a log that just ends (a torn tail) is tolerated, a wrong checksum is refused.

A log is a sequence of blocks, a block of fragments, a fragment a header (checksum 4 bytes, length 2, type 1,
little-endian) and its payload. What is left of a block and is shorter than a header is filled with zeros.
"""

import struct
from pathlib import Path

BLOCK_BYTES = 32 << 10
_HEADER = struct.Struct("<IHB")


def find_zeros(directory: Path) -> str | None:
    """Where a log of ``directory`` has zeros instead of a record, for people; None if no log has."""
    for path in sorted(directory.glob("*.log")):
        position = _zeros_in(path.read_bytes())
        if position is not None:
            return f"zeros instead of a record at byte {position:,} of {path.name}"
    return None


def _zeros_in(log: bytes) -> int | None:
    position = 0
    while position + _HEADER.size <= len(log):
        left_in_block = BLOCK_BYTES - position % BLOCK_BYTES
        if left_in_block < _HEADER.size:
            position += left_in_block
            continue
        _, length, kind = _HEADER.unpack_from(log, position)
        if length == 0 and kind == 0:
            return position
        position += _HEADER.size + length
    return None
