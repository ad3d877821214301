"""``kvgossip completion``: a script that completes commands, flags and files in bash or zsh.

It is made from the parsers of the commands, so it knows what they know. zsh runs the script of bash, through
its own ``bashcompinit``.
"""

import argparse
from collections.abc import Iterator

from kvgossip.cli.arguments import Commands
from kvgossip.cli.configuration import commands_of
from kvgossip.cli.exit_code import ExitCode

SHELLS = ("bash", "zsh")

_ZSH = """\
# Completion of kvgossip for zsh, after compinit: source <(kvgossip completion zsh)
autoload -U +X bashcompinit && bashcompinit
"""
_BASH = """\
# Completion of kvgossip for bash: source <(kvgossip completion bash)
"""
_SCRIPT = """\
_kvgossip() {
    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}" command="" words="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "${command:+$command }${COMP_WORDS[i]}" in
            %(commands)s) command="${command:+$command }${COMP_WORDS[i]}" ;;
        esac
    done
    COMPREPLY=()
    case "$command $previous" in
%(values)s
    esac
    case "$command" in
%(words)s
    esac
    if [[ $current != -* ]]; then
        case "$command" in
%(files)s
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o filenames -F _kvgossip kvgossip
"""


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "completion",
        help="a script that completes commands and flags in a shell",
        description="Prints a script for the shell to read when it starts.",
        epilog="example: kvgossip completion bash",
    )
    parser.add_argument("shell", choices=SHELLS, help="whose script it is")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    from kvgossip.cli.main import build_parser

    print((_ZSH if arguments.shell == "zsh" else _BASH) + _script(build_parser()), end="")
    return ExitCode.OK


def _script(parser: argparse.ArgumentParser) -> str:
    leaves = dict(commands_of(parser))
    paths = sorted({path[:length] for path in leaves for length in range(1, len(path) + 1)})
    words: dict[tuple[str, ...], list[str]] = {(): ["--help", "--version"]}
    for path in paths:
        words.setdefault(path[:-1], ["--help"]).append(path[-1])
    for path, command in leaves.items():
        words[path] = [flag for action in command._actions for flag in action.option_strings]
        words[path] += [word for action in _positionals(command) for word in action.choices or ()]
    return _SCRIPT % {
        "commands": " | ".join(f'"{" ".join(path)}"' for path in paths),
        "values": "\n".join(line for path, command in leaves.items() for line in _value_lines(path, command)),
        "words": "\n".join(
            f'        "{" ".join(path)}") words="{" ".join(known)}" ;;' for path, known in words.items()
        ),
        "files": "\n".join(
            f'            "{" ".join(path)}") {_compgen(action)}; return ;;'
            for path, command in leaves.items()
            for action in _positionals(command)
            if action.metavar in ("FILE", "DIR")
        ),
    }


def _value_lines(path: tuple[str, ...], command: argparse.ArgumentParser) -> Iterator[str]:
    """What follows each flag that takes a value."""
    for action in command._actions:
        if action.option_strings and action.nargs != 0:
            patterns = " | ".join(f'"{" ".join(path)} {flag}"' for flag in action.option_strings)
            yield f"        {patterns}) {_compgen(action)}; return ;;"


def _compgen(action: argparse.Action) -> str:
    if action.choices:
        return f'COMPREPLY=($(compgen -W "{" ".join(action.choices)}" -- "$current"))'
    kind = {"FILE": "-f", "DIR": "-d"}.get(str(action.metavar))
    return f"local IFS=$'\\n'; COMPREPLY=($(compgen {kind} -- \"$current\"))" if kind else ":"


def _positionals(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in command._actions if not action.option_strings]
