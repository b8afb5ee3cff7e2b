"""Optimisers with Keras's defaults, and the learning rate as a function of the step."""

import inspect
import math
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from noonchi.errors import SettingsError
from noonchi.settings import FitSettings

_ONE_CYCLE_START = 1 / 25
"""Of the peak rate, as fastai and PyTorch have it."""

_MOST_ITERATIONS = 300
"""Of L-BFGS: features of photographs take about 60."""

_Kind = TypeVar("_Kind", bound=torch.optim.Optimizer)


def optimizer_for(network: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
    """The optimiser over the weights that train.

    RMSprop's epsilon is added outside the root, as in Keras before version 3; inside, as in Keras 3, it would shorten
    the steps of weights whose gradients are below about 1e-3.
    """
    weights = _groups(network, settings.lr_per_layer)
    if not weights:
        raise SettingsError(
            "the network has no weights to train; give it a layer that has some, or let some require grad."
        )
    lr, decay, epsilon = settings.peak_lr, settings.weight_decay, settings.epsilon
    match settings.optimizer:
        case "sgd":
            return _eager(torch.optim.SGD)(
                weights, lr, settings.momentum, nesterov=settings.nesterov, weight_decay=decay, fused=True
            )
        case "rmsprop":
            plain = settings.momentum or weights[0]["params"][0].device.type != "cpu"
            kind = torch.optim.RMSprop if plain else _OnePassRMSprop
            return _eager(kind)(weights, lr, settings.rho, epsilon, decay, settings.momentum)
        case "adam":
            return _eager(torch.optim.Adam)(weights, lr, settings.betas, epsilon, decay, fused=True)
        case "adamw":
            return _eager(torch.optim.AdamW)(weights, lr, settings.betas, epsilon, decay, fused=True)
        case "lbfgs":
            whole = [weight for group in weights for weight in group["params"]]
            return _eager(torch.optim.LBFGS)(whole, max_iter=_MOST_ITERATIONS, line_search_fn="strong_wolfe")


class _OnePassRMSprop(torch.optim.RMSprop):
    """Without momentum, in one pass over the weights where torch's takes five: Adam's kernel, told to remember no mean.

    What Adam would remember of the mean is then the gradient itself, and after endless steps it corrects nothing.
    """

    def step(self) -> None:  # type: ignore[override]  # nothing here searches along a line
        for group in self.param_groups:
            weights: list[Tensor] = []
            gradients: list[Tensor] = []
            squares: list[Tensor] = []
            steps: list[Tensor] = []
            self._init_group(group, weights, gradients, squares, [], [], steps)  # type: ignore[no-untyped-call]
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                weights,
                gradients,
                gradients,
                squares,
                [],
                [torch.tensor(math.inf)] * len(weights),
                lr=group["lr"],
                beta1=0.0,
                beta2=group["alpha"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


def _groups(network: nn.Module, lr_per_layer: float) -> list[dict[str, Any]]:
    """The weights that train, with the `share` of the learning rate that each layer's have: the last one's is 1."""
    whole = [weight for weight in network.parameters() if weight.requires_grad]
    if lr_per_layer == 1:
        return [{"params": whole, "share": 1.0}] if whole else []
    layers = [[weight for weight in layer.parameters() if weight.requires_grad] for layer in network.children()]
    kept = [weights for weights in layers if weights]
    return [{"params": weights, "share": lr_per_layer ** (len(kept) - 1 - at)} for at, weights in enumerate(kept)]


def averaged_copy(network: nn.Module, decay: float) -> AveragedModel:
    """A copy that `update_parameters` makes the running mean of the network's weights and statistics.

    Early on it remembers less, (1 + n) / (10 + n) after n updates, or a short training's mean would lag behind
    (TensorFlow's ExponentialMovingAverage).
    """

    def average(kept: Sequence[Tensor], now: Sequence[Tensor], updates: Tensor | int) -> None:
        memory = min(decay, (1 + int(updates)) / (10 + int(updates)))
        for mean, value in zip(kept, now, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - memory)
            else:
                mean.copy_(value)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def learning_rate(settings: FitSettings, step: float, steps_per_epoch: int) -> float:
    """The rate of a step counted from 0 over the whole training, before `plateau` lowers it.

    Between two steps too, for training that goes by the clock.

    >>> cosine = FitSettings(schedule="cosine", peak_lr=1.0, epochs=2)
    >>> [round(learning_rate(cosine, step, 2), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    if settings.optimizer == "lbfgs":
        return 1.0
    total = settings.epochs * steps_per_epoch
    warmup = round(_warmup_share(settings) * total)
    if step < warmup:
        start = _ONE_CYCLE_START if settings.schedule == "one-cycle" else 1 / (warmup + 1)
        return settings.peak_lr * (start + (1 - start) * step / warmup)
    match settings.schedule:
        case "cosine" | "one-cycle":
            done = (step - warmup) / max(1, total - warmup)
            low = settings.final_lr_share
            return settings.peak_lr * (low + (1 - low) * (1 + math.cos(math.pi * done)) / 2)
        case "step":
            return settings.peak_lr * settings.step_factor ** int(step // steps_per_epoch // settings.step_epochs)
        case "constant" | "plateau":
            return settings.peak_lr


def _eager(kind: type[_Kind]) -> type[_Kind]:
    """One of torch's optimisers, its methods called directly.

    Torch wraps them for `torch.compile`, which is not used here, and the first call through a wrapper imports the
    compiler: a second and more of each start. What a wrapper holds, `functools.wraps` has made known.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(methods["step"])  # all else that its wrapper does
    return cast("type[_Kind]", type(kind.__name__, (kind,), methods))


def _warmup_share(settings: FitSettings) -> float:
    return settings.warmup_share or (0.3 if settings.schedule == "one-cycle" else 0.0)
