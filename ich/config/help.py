"""What --help prints: examples, every group with its choices, and the other keys. Reads conf/ alone: no torch, no Hydra."""

from pathlib import Path

from ich.config import files

EXAMPLES = {
    "train": (
        "python train.py model=resnet50 window=brain3                    one run",
        "python train.py experiment=demo                                 a minute on a laptop",
        "python train.py data=rsna data.root=/data/rsna                  on RSNA 2019",
        "python train.py -m optimizer.lr=1e-4,3e-4,1e-3                  a sweep: a parent run with three children",
        "python train.py fit=false checkpoint=runs:/ID                   validate only",
    ),
    "predict": ("python predict.py checkpoint=runs:/ID input=FOLDER output=out",),
}
WORDS = """\
-m, --multirun    run every combination of key=a,b,…
--cfg job         print the composed configuration and stop (--resolve: with its references filled in)
--help            this page"""


def text(name: str, conf: Path) -> str:
    """The page of one door."""
    file = conf / f"{name}.yaml"
    defaults = {group: choice for group, choice, _ in files.defaults(file)}
    lines = [f"{files.Choice(name=name, file=file).description.split(':')[0]}.", "", *EXAMPLES.get(name, ()), "", WORDS]
    for group, choices in files.groups(conf).items():
        if group in defaults:
            lines += ["", f"{group}="]
            lines += [f"  {_star(choice.name, defaults[group])}{choice.name:<22}{choice.description}" for choice in choices.values()]
    lines += ["", "* the default; its keys stand in the file conf/GROUP/CHOICE.yaml and are set as group.key=value", "", "keys"]
    own = dict(files.keys(file))
    said = file.read_text().splitlines()
    lines += [f"  {said[line - 1]}" for key, line in own.items() if key not in ("defaults", "hydra")]
    return "\n".join(lines)


def _star(choice: str, default: str | None) -> str:
    return "* " if choice == default else "  "
