"""timm backbones by name, behind an explicit signature. The only importer of timm."""

import difflib
import functools
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import huggingface_hub
import timm
import torch
from annotated_types import Ge, Lt
from jaxtyping import Float
from timm.models import load_state_dict
from torch import Tensor, nn

from ich.errors import InputError
from ich.findings import FINDINGS

PRIOR_WEIGHT = 0.1
"""Times the head's first weights where it starts at the prevalence, so that the first loss is near the floor."""
MOST = 0.9
"""Of a network's tensors must stand in a file of its weights; the head and the statistics of some norms need not."""
ANSWER_SECONDS = 10
"""How long the hub may take to answer at all before weights are fetched from it."""


class BadWeights(InputError):
    """A file that holds no weights of this network."""


class NoPretrained(InputError):
    """timm's own weights, which could not be fetched."""


class UnknownHead(InputError):
    """A network whose last layer is of another kind than is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A timm network with six logits, not yet made: its input channels depend on window and context.

    `pretrained=True` downloads timm's weights; `weights` names a local file of them instead (.safetensors, or .pth read
    with `weights_only`). `prior_bias` lets the head start at the training fold's prevalence.
    """

    name: str
    pretrained: bool = False
    weights: Path | None = None
    drop_rate: Annotated[float, Ge(0), Lt(1)] = 0.0
    prior_bias: bool = True

    def __post_init__(self) -> None:
        if not timm.is_model(self.name.split(".")[0]):
            near = difflib.get_close_matches(self.name, timm.list_models(), n=3)
            raise ValueError(f"timm has no network {self.name!r}" + (f"; near: {', '.join(near)}" if near else ""))
        if "." in self.name:
            timm.get_pretrained_cfg(self.name, allow_unregistered=False)  # refuses a tag that there is not
        if self.pretrained and not timm.is_model_pretrained(self.name):
            raise ValueError(
                f"pretrained=true, but timm has no weights of {self.name}; give weights=FILE or another name"
            )
        if self.weights is not None and not self.weights.is_file():
            raise ValueError(f"there is no weights file {self.weights}")

    def check_size(self, size: int) -> None:
        """Raises ValueError where the network takes no images of `size` pixels a side."""
        what = _refuse_size(self.name, size)
        if what:
            raise ValueError(what)

    def create(self, in_chans: int) -> nn.Module:
        """The network: [B, in_chans, S, S] to logits [B, 6]; pretrained stems are adapted to `in_chans` by timm."""
        return self._create(in_chans, num_classes=len(FINDINGS))

    def create_encoder(self, in_chans: int) -> tuple[nn.Module, int]:
        """The network without its head: [B, in_chans, S, S] to pooled features [B, F]; and F."""
        encoder = self._create(in_chans, num_classes=0)
        return encoder, int(encoder.head_hidden_size)  # type: ignore[arg-type]  # of every timm network

    def _create(self, in_chans: int, *, num_classes: int) -> nn.Module:
        held = _read_weights(self.weights) if self.weights else None
        with _named_where_it_cannot_be_fetched(self.name) if self.pretrained and held is None else nullcontext():
            network = timm.create_model(
                self.name,
                pretrained=self.pretrained or self.weights is not None,
                pretrained_cfg_overlay={"file": str(self.weights)} if self.weights else None,
                in_chans=in_chans,
                num_classes=num_classes,
                drop_rate=self.drop_rate,
            )
        if held is not None:
            _refuse_other_weights(self.weights, held, network)
        return network.to(memory_format=torch.channels_last)

    def normalization(self, in_chans: int) -> tuple[Float[Tensor, "in_chans 1 1"], Float[Tensor, "in_chans 1 1"]]:
        """Mean and standard deviation that the weights expect, repeated over the channels; 0 and 1 from scratch."""
        if not (self.pretrained or self.weights):
            return torch.zeros(in_chans, 1, 1), torch.ones(in_chans, 1, 1)
        config = timm.get_pretrained_cfg(self.name)
        mean, std = (torch.tensor(values, dtype=torch.float32) for values in (config.mean, config.std))
        which = torch.arange(in_chans) % len(mean)
        return mean[which].view(-1, 1, 1), std[which].view(-1, 1, 1)


@contextmanager
def _named_where_it_cannot_be_fetched(name: str) -> Iterator[None]:
    """Whatever timm, its hub or its network library raise becomes NoPretrained, which says the way out."""
    hub_id = timm.get_pretrained_cfg(name).hf_hub_id
    try:
        if hub_id and not _is_cached(hub_id):
            _ask_hub()
        yield
    except Exception as error:  # httpx's own are no OSError
        what = str(error).partition("\n")[0] or type(error).__name__
        raise NoPretrained(
            f"the weights {hub_id or name} could not be fetched ({what}); fetch them where there is a network, and "
            "give model.weights=FILE (.safetensors or .pth), or train from scratch with model.pretrained=false"
        ) from error


def _is_cached(hub_id: str) -> bool:
    names = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(huggingface_hub.try_to_load_from_cache(hub_id, name), str) for name in names)


def _ask_hub() -> None:
    """Raises OSError where the hub does not answer: its own library would try twelve times, for minutes."""
    with suppress(urllib.error.HTTPError):  # any answer will do
        urllib.request.urlopen(huggingface_hub.constants.ENDPOINT, timeout=ANSWER_SECONDS).close()


@functools.lru_cache
def _refuse_size(name: str, size: int) -> str:
    """What a network says of images of this size, or nothing. Tried with shapes alone: nothing is computed."""
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=len(FINDINGS)).eval()
    config = timm.get_pretrained_cfg(name)
    own = config.input_size[-1] if config else size
    objection = _objection(network, size)
    if not objection or _objection(network, own):  # at its own size, too: the trial says nothing
        return ""
    return f"size={size}: {name} takes images of {own} x {own} pixels ({objection}); give geometry.size={own}"


def _objection(network: nn.Module, size: int) -> str:
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size, device="meta"))
    except (AssertionError, RuntimeError, ValueError) as error:
        return str(error).partition("\n")[0].rstrip(".") or "another size fails inside of it"
    return ""


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        held: dict[str, Tensor] = load_state_dict(path, weights_only=True)
    except Exception as error:  # a damaged file makes torch and safetensors raise anything, and nothing of it was run
        raise BadWeights(f"{path}: no weights that can be read safely") from error
    return held


def _refuse_other_weights(path: Path | None, held: Collection[str], network: nn.Module) -> None:
    """timm passes over whatever does not fit: weights of another network would leave this one as it was born."""
    own = network.state_dict()
    fitting = sum(name in held for name in own)
    if fitting < MOST * len(own):
        named = type(network).__name__
        raise BadWeights(f"{path}: it holds {fitting} of the {len(own)} tensors of {named}; it is of another network")


def start_at(network: nn.Module, prevalence: Float[Tensor, " 6"]) -> None:
    """Let an untrained head answer the prevalence: its bias becomes the log odds, its weights a tenth."""
    head = network.get_classifier()  # type: ignore[operator]  # a method of every timm network
    if not isinstance(head, nn.Linear) or head.bias is None:
        raise UnknownHead(
            f"the head of {type(network).__name__} is a {type(head).__name__} and no linear layer with a bias, so it "
            "cannot start at the prevalence; give model.prior_bias=false"
        )
    with torch.no_grad():
        head.weight.mul_(PRIOR_WEIGHT)
        head.bias.copy_(torch.logit(prevalence))
