"""Settings: flags over environment over file over defaults; no unknown name goes unnoticed."""

import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from kvgossip.cli.configuration import PREFIX, Setting, _is_service_link, commands_of
from kvgossip.cli.exit_code import ExitCode
from kvgossip.cli.main import build_parser, main
from kvgossip.config import Tuning
from kvgossip.runtime.settings import Settings

Captured = pytest.CaptureFixture[str]
Write = Callable[[str], str]

TABLES: dict[str, tuple[Setting, ...]] = {
    " ".join(path): command.get_default("table") for path, command in commands_of(build_parser())
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> str:
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return str(path)

    return write


def printed(capfd: Captured, *argv: str) -> dict[str, str]:
    """Of each line of ``--print-config`` that sets a key: the value and its source."""
    capfd.readouterr()
    assert main([*argv, "--print-config"]) == ExitCode.OK
    lines = capfd.readouterr().out.splitlines()
    return dict(line.split(" = ", 1) for line in lines if " = " in line)


def refusal(capfd: Captured, *argv: str) -> str:
    capfd.readouterr()
    assert main([*argv, "--print-config"]) == ExitCode.USAGE
    return capfd.readouterr().err


def test_flags_win_over_the_environment_over_the_file_over_the_default(
    capfd: Captured, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('url = "http://file"\n')
    assert printed(capfd, "get")["url"] == '"http://127.0.0.1:7700"  # default'
    assert printed(capfd, "get", "--config", file)["url"] == f'"http://file"  # file {file}'
    monkeypatch.setenv("KVGOSSIP_URL", "http://variable")
    assert printed(capfd, "get", "--config", file)["url"] == '"http://variable"  # environment KVGOSSIP_URL'
    given = printed(capfd, "get", "--config", file, "--url", "http://flag")
    assert given["url"] == '"http://flag"  # flag --url'


def test_the_file_can_be_named_by_the_environment_and_only_a_named_one_is_read(
    capfd: Captured, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write("mv = true\n")
    Path(file).rename(tmp_path / "kvgossip.toml")
    monkeypatch.chdir(tmp_path)
    assert printed(capfd, "get")["mv"] == "false  # default"
    monkeypatch.setenv("KVGOSSIP_CONFIG", "kvgossip.toml")
    assert printed(capfd, "get")["mv"] == "true  # file kvgossip.toml"


def test_a_flag_that_is_needed_may_come_from_the_environment(
    capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["repair"]) == ExitCode.USAGE
    assert "--data-dir is needed, or KVGOSSIP_DATA_DIR, or data_dir in a file" in capfd.readouterr().err
    monkeypatch.setenv("KVGOSSIP_DATA_DIR", "/nowhere")
    assert main(["repair"]) == ExitCode.FAILURE


def test_an_empty_variable_counts_as_not_set(capfd: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVGOSSIP_URL", "")
    assert printed(capfd, "get")["url"].endswith("# default")


def test_every_setting_of_serve_can_come_from_each_source(capfd: Captured, write: Write) -> None:
    names = {field.name for field in fields(Settings)} - {"tuning"} | {"profile"}
    assert {setting.key for setting in TABLES["serve"]} == names
    shown = printed(capfd, "serve")
    assert {field.name for field in fields(Tuning)} <= shown.keys()


def test_tuning_is_a_table_of_the_file_and_variables_of_serve(
    capfd: Captured, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("[tuning]\nfanout = 3\nrumor_k = 5\n")
    monkeypatch.setenv("KVGOSSIP_TUNING_FANOUT", "7")
    shown = printed(capfd, "serve", "--config", file)
    assert shown["fanout"] == "7  # environment KVGOSSIP_TUNING_FANOUT"
    assert shown["rumor_k"] == f"5  # file {file}"


def test_a_tunable_with_a_flag_has_the_names_of_the_others_too(
    capfd: Captured, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("[tuning]\nphi_threshold = 12.5\nforget_after_ms = 60000\n")
    shown = printed(capfd, "serve", "--config", file, "--forget-after", "36h", "--cross-zone-share", "0.5")
    assert shown["phi_threshold"] == f"12.5  # file {file}"
    assert shown["forget_after_ms"] == "129600000  # flag --forget-after"
    assert shown["cross_zone_share"] == "0.5  # flag --cross-zone-share"
    monkeypatch.setenv("KVGOSSIP_TUNING_PHI_THRESHOLD", "9")
    assert printed(capfd, "serve")["phi_threshold"] == "9.0  # environment KVGOSSIP_TUNING_PHI_THRESHOLD"


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("90", 90_000), ("1.5s", 1_500), ("15m", 900_000), ("7d", 604_800_000)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(capfd: Captured, text: str, milliseconds: int) -> None:
    shown = printed(capfd, "serve", "--forget-after", text)
    assert shown["forget_after_ms"] == f"{milliseconds}  # flag --forget-after"


@pytest.mark.parametrize("text", ["", "d", "7w", "soon", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["serve", "--print-config", "--forget-after", text])
    assert end.value.code == ExitCode.USAGE


def test_a_profile_changes_the_defaults_of_the_tuning_and_nothing_that_was_said(
    capfd: Captured, write: Write
) -> None:
    lan, wan = printed(capfd, "serve"), printed(capfd, "serve", "--profile", "wan")
    assert lan["probe_interval_ms"] == "1000  # default"
    assert wan["probe_interval_ms"] == "5000  # default"
    assert wan["fanout"] == lan["fanout"]
    file = write('profile = "wan"\n[tuning]\nprobe_interval_ms = 2000\n')
    said = printed(capfd, "serve", "--config", file)
    assert said["probe_interval_ms"] == f"2000  # file {file}"
    assert said["probe_timeout_ms"] == "3000  # default"


def test_tags_are_given_again_and_again_or_parted_by_commas(
    capfd: Captured, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = printed(capfd, "serve", "--tag", "rack=a", "--tag", "disk=ssd,row=7")
    assert given["tag"] == '["rack=a", "disk=ssd", "row=7"]  # flag --tag'
    monkeypatch.setenv("KVGOSSIP_TAG", "rack=b,disk=hdd")
    assert printed(capfd, "serve")["tag"].startswith('["rack=b", "disk=hdd"]')
    monkeypatch.delenv("KVGOSSIP_TAG")
    file = write('tag = ["rack=c"]\n')
    assert printed(capfd, "serve", "--config", file)["tag"].startswith('["rack=c"]')


def test_what_is_printed_is_a_file_that_says_the_same(capfd: Captured, write: Write) -> None:
    file = write('seeds = ["a:1", "b:2"]\ndata_dir = "d ü"\nallow_faults = true\n[tuning]\nfanout = 3\n')
    shown = printed(capfd, "serve", "--config", file)
    main(["serve", "--config", file, "--print-config"])
    again = printed(capfd, "serve", "--config", write(capfd.readouterr().out))
    assert [value.partition("  # ")[0] for value in again.values()] == [
        value.partition("  # ")[0] for value in shown.values()
    ]
    assert shown["seeds"].startswith('["a:1", "b:2"]')


def test_settings_of_sim_do_not_meet_those_of_serve(
    capfd: Captured, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('seeds = ["a:1"]\n[sim.check]\nseeds = 3\n')
    assert printed(capfd, "sim", "check", "--config", file)["seeds"].startswith("3 ")
    monkeypatch.setenv("KVGOSSIP_SIM_CHECK_SEEDS", "4")
    assert printed(capfd, "sim", "check")["seeds"] == "4  # environment KVGOSSIP_SIM_CHECK_SEEDS"
    assert printed(capfd, "serve", "--config", file)["seeds"].startswith('["a:1"]')


def test_arguments_that_are_no_settings_need_not_be_given_to_see_the_settings(capfd: Captured) -> None:
    for path in TABLES:
        assert main([*path.split(), "--print-config"]) == ExitCode.OK


def test_an_unknown_variable_is_refused_with_a_suggestion(
    capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVGOSSIP_LISEN", "x")
    assert "KVGOSSIP_LISEN is no setting: did you mean KVGOSSIP_LISTEN?" in refusal(capfd, "get")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lisen = 'x'", "lisen is no setting: did you mean listen?"),
        ("peer-listen = 'x'", "peer-listen is no setting: did you mean peer_listen?"),
        ("fanout = 3", "fanout is no setting: did you mean tuning.fanout?"),
        ("[tuning]\nfanuot = 3", "tuning.fanuot is no setting: did you mean tuning.fanout?"),
        ("zzz = 3", "zzz is no setting: see docs/CLI.md"),
        ("tuning = 3", "tuning is no setting"),
        ("allow_faults = 'true'", 'allow_faults: "true" is not of the kind that is wanted here'),
        ("seeds = [1]", "seeds: [1] is not of the kind"),
        ("node = ['a']", 'node: ["a"] is not of the kind'),
        ("node = true", "node: true is not of the kind"),
        ("[tuning]\nfanout = 'x'", "tuning.fanout: 'x' is not a whole number"),
        ("output = 'xml'", "is no setting"),
        ("= 1", "is no TOML"),
        ("a = '\udcff'", "is no TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    capfd: Captured, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    if text.startswith("output"):
        assert "'xml' is none of table, json, plain" in refusal(capfd, "get", "--config", str(file))
        return
    err = refusal(capfd, "serve", "--config", str(file))
    assert message in err
    assert err.count("\n") == 1 or "TOML" in err


def test_a_missing_file_is_refused(capfd: Captured) -> None:
    assert "/nowhere cannot be read: No such file" in refusal(capfd, "get", "--config", "/nowhere")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KVGOSSIP_MV", "yes", "'yes' is neither true nor false"),
        ("KVGOSSIP_OUTPUT", "xml", "'xml' is none of table, json, plain"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused(
    capfd: Captured, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    assert f"{name}: {message}" in refusal(capfd, "get")


def test_tuning_that_a_node_could_not_work_with_ends_serve_with_2(
    capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVGOSSIP_TUNING_FANOUT", "0")
    assert main(["serve"]) == ExitCode.USAGE
    assert "tuning fanout: 0 is not above 0" in capfd.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "KVGOSSIP_SERVICE_HOST",
        "KVGOSSIP_API_SERVICE_PORT",
        "KVGOSSIP_SERVICE_PORT_HTTP",
        "KVGOSSIP_PORT",
        "KVGOSSIP_PORT_7700_TCP",
        "KVGOSSIP_PORT_7700_TCP_ADDR",
    ],
)
def test_variables_that_kubernetes_sets_are_left_alone(
    capfd: Captured, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:7700")
    assert printed(capfd, "get")


def test_a_name_means_one_thing_and_none_looks_like_a_service_link() -> None:
    meanings: dict[str, set[object]] = {}
    for setting in (setting for table in TABLES.values() for setting in table):
        assert setting.variable.startswith(PREFIX)
        assert not _is_service_link(setting.variable)
        meanings.setdefault(setting.variable, set()).add(
            (setting.path, setting.flag, setting.parse, setting.is_switch)
        )
    assert all(len(meaning) == 1 for meaning in meanings.values()), meanings


def test_the_printed_tuning_is_valid_toml(capfd: Captured) -> None:
    main(["serve", "--print-config"])
    assert tomllib.loads(capfd.readouterr().out)["tuning"]["fanout"] == Tuning().fanout
