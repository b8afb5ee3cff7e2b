"""Imports torchvision, also where its compiled operators do not load because they are of another build of torch."""

from importlib import import_module

from torch.library import Library

try:
    import_module("torchvision")
except RuntimeError:
    operators = Library("torchvision", "FRAGMENT")  # its Python part asks only for their schemas
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import_module("torchvision")
