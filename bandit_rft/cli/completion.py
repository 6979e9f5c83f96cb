"""`bandit-rft completion`: a script that lets bash or zsh complete commands, options and names."""

from __future__ import annotations

import argparse
import re

HELP = "a script by which bash or zsh completes commands, options and names"
DESCRIPTION = "Print a completion script for the shell."
EPILOG = """to use it from now on:
  bash   bandit-rft completion bash >> ~/.bashrc
  zsh    bandit-rft completion zsh >> ~/.zshrc
"""

_SCRIPT = """_bandit_rft() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words
    case "${{COMP_WORDS[1]}}" in
{cases}
        *) words="" ;;
    esac
    [ "$COMP_CWORD" -eq 1 ] && words="{commands} --help --version"
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _bandit_rft bandit-rft
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell that the script is for")


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from bandit_rft.cli import COMMANDS, commands_of, options_of

    cases = []
    for name, parser in commands_of().items():
        words = " ".join([*_names(name), *options_of(parser)])
        assert re.fullmatch(r"[\w ./-]*", words), words  # nothing of it is to act in the shell
        cases.append(f'        {name}) words="{words}" ;;')
    if arguments.shell == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(_SCRIPT.format(cases="\n".join(cases), commands=" ".join(COMMANDS)), end="")
    return 0


def _names(command: str) -> list[str]:
    """What may stand behind a command, where it is one of a list."""
    if command == "theory":
        from bandit_rft import theory

        return list(theory.catalogue())
    if command == "simulate":
        from bandit_rft.presets.named import PRESETS
        from bandit_rft.presets.several import ARM_SETS, learner_names

        return list(dict.fromkeys([*PRESETS, *learner_names(), *ARM_SETS]))
    return {"models": ["list", "fetch"], "completion": ["bash", "zsh"]}.get(command, [])
