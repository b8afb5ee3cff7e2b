"""DATA SIDE FOLDER: ONNX Runtime on what `onnxruntime_export.py` wrote; pictures read with Pillow, a thread a core."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import predicting
import serving
from PIL import Image

NETWORK, INPUT = "network.onnx", "frames"


def main(data: str, side: str, folder: str) -> None:
    size = (int(side), int(side))

    def make() -> predicting.Predict:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # each of our threads reads a picture and runs the network on it
        session = onnxruntime.InferenceSession(Path(folder) / NETWORK, options, providers=["CPUExecutionProvider"])
        pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

        def answer(path: Path) -> np.ndarray:
            with Image.open(path) as image:
                frame = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))
            return session.run(None, {INPUT: frame[np.newaxis]})[0][0]

        return lambda paths: np.stack(list(pool.map(answer, paths)))

    serving.serve(predicting.turns(data, folder, make))


if __name__ == "__main__":
    main(*sys.argv[1:])
