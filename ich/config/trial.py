"""What parts refuse only when they are used: each is tried on dummies, before data are touched."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any, cast

from ich.config import signature, target, values
from ich.config.mistakes import Mistake

LEARNING = {"optimizer": "torch.optim.optimizer.Optimizer", "scheduler": "torch.optim.lr_scheduler.LRScheduler"}
"""The groups that wait for the weights, and what they make."""
TOTAL_STEPS, DUMMY_STEPS = ("total_steps", "T_max"), 100
"""What schedulers call the length of a training, which is known only when the data are; and a stand-in for it."""
DUMMY_BATCH, DUMMY_LOGITS = (2, 6), 3.0
"""Logits and labels of two slices; the logits go from -3 to 3, so that nobody can take them for probabilities."""


def try_parts(built: Mapping[str, Any], mistakes: list[Mistake]) -> None:
    """Try the groups that were built; None stands for one that is mistaken itself."""
    optimizer, scheduler = (_partial(group, built.get(group), mistakes) for group in LEARNING)
    if optimizer:
        _try_learning(optimizer, scheduler, mistakes)
    if built.get("loss") is not None:
        signature.call(("loss", values.TARGET), functools.partial(_try_loss, built["loss"]), {}, mistakes)
    model, geometry = built.get("model"), built.get("geometry")
    if model is not None and geometry is not None and hasattr(model, "check_size"):
        signature.call(("geometry",), model.check_size, {"size": geometry.size}, mistakes)


def _partial(group: str, built: Any, mistakes: list[Mistake]) -> functools.partial[Any] | None:
    """The partial of a group of LEARNING, or a mistake where it is something else."""
    if built is None:
        return None
    if not isinstance(built, functools.partial):
        mistakes.append(
            Mistake(key=f"{group}.{signature.PARTIAL}", what="must be true: the rest is given when training begins")
        )
        return None
    if not target.is_a(cast(type, built.func), LEARNING[group]):
        mistakes.append(Mistake(key=f"{group}.{values.TARGET}", what=f"a {built.func.__name__} is no {group}"))
        return None
    return built


def _try_learning(
    optimizer: functools.partial[Any], scheduler: functools.partial[Any] | None, mistakes: list[Mistake]
) -> None:
    """Let the library itself refuse: an optimizer on two dummy weights, and the scheduler on that optimizer."""
    import torch

    def make_optimizer(**arguments: Any) -> Any:
        weight, bias = torch.nn.Parameter(torch.zeros(1, 1)), torch.nn.Parameter(torch.zeros(1))
        return optimizer.func([{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}], **arguments)

    def make_scheduler(**arguments: Any) -> Any:
        assert scheduler is not None
        length = {name: DUMMY_STEPS for name in known if name in TOTAL_STEPS and name not in arguments}
        # Where the optimizer is refused, one that no scheduler objects to stands in for it.
        stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
        return scheduler.func(make_optimizer(**optimizer.keywords) if made else stand_in, **length, **arguments)

    made = signature.call(("optimizer",), make_optimizer, optimizer.keywords, mistakes)
    if scheduler is not None:
        known = inspect.signature(scheduler.func).parameters
        signature.call(("scheduler",), make_scheduler, scheduler.keywords, mistakes)


def _try_loss(loss: Any) -> None:
    """Raises ValueError where a loss does not make logits and labels into one number that can be made smaller."""
    import torch

    count = DUMMY_BATCH[0] * DUMMY_BATCH[1]
    logits = torch.linspace(-DUMMY_LOGITS, DUMMY_LOGITS, count).reshape(DUMMY_BATCH).requires_grad_()
    labels = (torch.arange(count) % 2).reshape(DUMMY_BATCH).float()
    what = f"a {type(loss).__name__} cannot be the loss: it is given logits [B, 6], no probabilities, and labels [B, 6]"
    try:
        value = loss(logits, labels)
    except signature.REFUSALS as error:
        raise ValueError(f"{what}; {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    if not isinstance(value, torch.Tensor) or value.ndim or not value.isfinite() or not value.requires_grad:
        raise ValueError(f"{what}, and has to answer one finite number with a gradient")
