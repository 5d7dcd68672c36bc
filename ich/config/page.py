"""The page of --help: examples, every group with its choices, and the other keys. Reads conf/ alone, without Hydra."""

from pathlib import Path

from ich.config import files

WORDS = """\
-m, --multirun    run a job for every combination of key=a,b,…
--cfg job         print the composed configuration and stop (--resolve: with its references filled in)
--help            this page"""


def text(name: str, conf: Path) -> str:
    """The page of one door: its file's opening comments first."""
    file = conf / f"{name}.yaml"
    own = files.keys(file)
    lines = [*files.opening_comments(file), "", WORDS]
    for default in files.defaults(file):
        lines += ["", f"{default.group}=", *_choices(files.groups(conf).get(default.group, {}), default.choice)]
    lines += ["", "keys"]
    said = file.read_text(encoding="utf-8").splitlines()
    lines += [f"  {said[line - 1]}" for key, line in own.items() if key not in ("defaults", "hydra")]
    if len(own) and files.defaults(file):
        lines += [
            "",
            "* is the default. The keys of a choice stand in conf/GROUP/CHOICE.yaml: GROUP.KEY=VALUE sets one.",
        ]
    return "\n".join(lines)


def _choices(choices: dict[str, files.Choice], default: str | None) -> list[str]:
    width = max((len(name) for name in choices), default=0) + 2
    return [
        f"  {'*' if name == default else ' '} {name:<{width}}{choice.description}" for name, choice in choices.items()
    ]
