"""``kvgossip repair`` on directories that are sound, in use, or none."""

from pathlib import Path

import pytest

from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import main
from kvgossip.store.rocks import RocksStore
from kvgossip.store.rocks_records import Family
from tests.store.test_rocks_repair import KEYS, SEED, fill, flip_bit


def test_a_damaged_directory_is_repaired_and_the_rows_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    flip_bit(tmp_path, Family.ENTRIES, 0.3)
    assert main(["repair", "--data-dir", str(tmp_path)]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "1 damaged places" in out
    assert "lost: 'k0" in out
    assert (tmp_path / "DAMAGED" / "CURRENT").exists()


def test_a_sound_directory_keeps_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    assert main(["repair", "--data-dir", str(tmp_path)]) == ExitCode.OK
    assert f"{len(KEYS)} rows kept, 0 lost" in capsys.readouterr().out


def test_a_directory_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    store = RocksStore(tmp_path, SEED)
    assert main(["repair", "--data-dir", str(tmp_path)]) == ExitCode.FAILURE
    assert "in use" in capsys.readouterr().err
    store.close()
