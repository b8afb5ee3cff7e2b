"""DATA SIDE FOLDER check: writes the network for ONNX Runtime, from uint8 pictures to probabilities, with torch."""

import sys
from pathlib import Path

import backbone_weights
import onnxruntime_predict
import predicting
import timm_predict
import timm_transfer
import torch
from torch import Tensor, nn


class _Whole(nn.Module):
    def __init__(self, folder: str) -> None:
        super().__init__()
        self.model = timm_predict.classifier(folder)

    def forward(self, frames_nhwc: Tensor) -> Tensor:
        return self.model(frames_nhwc.permute(0, 3, 1, 2).float() / 127.5 - 1).softmax(-1)


def main(side: int, folder: str) -> None:
    timm_transfer.check(backbone_weights.read(str(Path(folder) / predicting.WEIGHTS)))
    torch.onnx.export(
        _Whole(folder).eval(),
        (torch.zeros(2, side, side, 3, dtype=torch.uint8),),
        Path(folder) / onnxruntime_predict.NETWORK,
        input_names=[onnxruntime_predict.INPUT],
        dynamic_shapes=({0: torch.export.Dim("pictures", min=1)},),
        dynamo=True,
    )


if __name__ == "__main__":
    main(int(sys.argv[2]), sys.argv[3])
