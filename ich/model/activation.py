"""Where on a slice a logit comes from: class activation maps. The only importer of captum."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from captum.attr import LayerGradientXActivation
from jaxtyping import Float32, Num
from torch import Tensor, nn
from torch.nn import functional

from ich.errors import InputError
from ich.model.classifier import HemorrhageClassifier
from ich.model.context import LateFusion

FINEST = 4
"""Pixels of the square to one of a stage's: finer ones are the stem's, which sees edges and no blood."""
FLOOR = 0.01
"""No stage alone can make a place nothing: a coarse one has few pixels, and may have no positive ones."""


class NoMaps(InputError):
    """A network none of whose stages has an image of what it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationMaps:
    """Maps of a classifier in evaluation mode: LayerCAM (Jiang et al., IEEE TIP 2021), of all its stages together.

    A stage's map is the sum over its channels of gradient times activation where that is positive, at most 1. The map
    is the stages' geometric mean: as sharp as the finest, and only where all of them look. On the last stage alone, as
    Grad-CAM, it has 3 x 3 pixels for a slice of 96 x 96, and hits no bleeding but by chance.
    """

    classifier: HemorrhageClassifier
    stages: tuple[nn.Module, ...]
    channel_axis: int

    @classmethod
    def of(cls, classifier: HemorrhageClassifier, *, depth: int, size: int) -> "ActivationMaps":
        """The stages are those that timm names in `feature_info`; raises NoMaps where they have no images."""
        encoder = _encoder(classifier)
        axis = 3 if getattr(encoder, "output_fmt", "NCHW") == "NHWC" else 1
        stages = _image_stages(classifier, encoder, axis, depth=depth, size=size)
        if not stages:
            raise NoMaps(
                f"{type(encoder).__name__} has no stage with an image of what it sees, as convolutional networks have, "
                "so nothing can be mapped back to the slice; predict without explain=true"
            )
        return cls(classifier=classifier, stages=stages, channel_axis=axis)

    def maps(self, hu: Num[Tensor, "batch depth size size"], finding: int) -> Float32[Tensor, "batch size size"]:
        """Of one finding, 0 to 1 (the strongest place of each slice), or all 0 where nothing speaks for it.

        Of several slices seen together it is the middle one's.
        """
        method = LayerGradientXActivation(self.classifier, list(self.stages))
        parts = method.attribute(hu.to(self.classifier.mean).requires_grad_(), target=finding)
        branches = [
            branch for part in parts for branch in ((part,) if isinstance(part, Tensor) else part)
        ]  # as HRNet's
        maps = [self._stage_map(branch.detach(), size=hu.shape[-1]) for branch in branches]
        logs = torch.stack([(FLOOR + (1 - FLOOR) * one).log() for one in maps])
        together = logs.mean(0).exp()
        return _to_one(together - together.amin((1, 2), keepdim=True))

    def _stage_map(self, part: Float32[Tensor, "..."], *, size: int) -> Float32[Tensor, "batch size size"]:
        image = part.clamp(min=0).sum(self.channel_axis)
        network = self.classifier.network
        if isinstance(network, LateFusion):
            image = image.unflatten(0, (-1, network.depth))[:, network.depth // 2]
        fine = functional.interpolate(image[:, None].float(), size=(size, size), mode="bilinear", align_corners=False)
        return _to_one(fine[:, 0])


def _encoder(classifier: HemorrhageClassifier) -> nn.Module:
    return classifier.network.encoder if isinstance(classifier.network, LateFusion) else classifier.network


def _to_one(maps: Float32[Tensor, "batch height width"]) -> Float32[Tensor, "batch height width"]:
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)


def _image_stages(
    classifier: HemorrhageClassifier, encoder: nn.Module, axis: int, *, depth: int, size: int
) -> tuple[nn.Module, ...]:
    """Those of timm's stages that give images, none too fine, and reach the logits; tried once on a blank slice."""
    named = dict(encoder.named_modules())
    channels = {
        named[info["module"]]: info["num_chs"]
        for info in getattr(encoder, "feature_info", ())
        if info.get("module") in named
    }
    seen: dict[nn.Module, tuple[Tensor, ...]] = {}

    def look(module: nn.Module, _: object, out: Tensor | Sequence[Tensor]) -> Tensor | list[Tensor]:
        seen[module] = (out,) if isinstance(out, Tensor) else tuple(out)
        return (
            out.clone() if isinstance(out, Tensor) else [one.clone() for one in out]
        )  # what follows may write over it

    hooks = [module.register_forward_hook(look) for module in channels]
    try:
        with torch.enable_grad():
            logits = classifier(torch.zeros(1, depth, size, size).to(classifier.mean).requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    images = {
        module: outs
        for module, outs in seen.items()
        if all(_is_image(one, axis, size) for one in outs)
        and (len(outs) > 1 or outs[0].shape[axis] == channels[module])
    }
    return tuple(module for module, outs in images.items() if _reach(logits, outs))


def _is_image(out: Tensor, axis: int, size: int) -> bool:
    """[B, C, H, W] or [B, H, W, C], and neither as fine as the stem's nor tokens."""
    sides = [side for place, side in enumerate(out.shape) if place not in (0, axis)]
    return out.ndim == 4 and FINEST * max(sides) <= size


def _reach(logits: Tensor, outs: tuple[Tensor, ...]) -> bool:
    gradients = torch.autograd.grad(logits.sum(), outs, retain_graph=True, allow_unused=True)
    return all(gradient is not None for gradient in gradients)
