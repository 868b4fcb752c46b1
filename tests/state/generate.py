#!/usr/bin/env python3
"""Writes the files of data/ with Python's own safetensors, for safetensors_test.cpp.

    pip install safetensors numpy ml_dtypes && tests/state/generate.py
"""

import pathlib

import ml_dtypes
import numpy
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).resolve().parent / "data"


def batch_norm(dtype):
    """A BatchNorm of 3 channels, as PyTorch names its state: eighths, which every dtype holds."""
    numbers = numpy.arange(12).reshape(4, 3) / 8 - 0.5
    names = ("weight", "bias", "running_mean", "running_var")
    state = {f"layer1.0.bn1.{name}": row.astype(dtype) for name, row in zip(names, numbers)}
    state["layer1.0.bn1.running_var"] += numpy.array(1, dtype)
    state["layer1.0.bn1.num_batches_tracked"] = numpy.array(41, numpy.int64)
    return state


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, dtype in (
        ("f32", numpy.float32),
        ("f64", numpy.float64),
        ("f16", numpy.float16),
        ("bf16", ml_dtypes.bfloat16),
    ):
        save_file(batch_norm(dtype), FOLDER / f"batch_norm_{name}.safetensors", metadata={"format": "pt"})
    rows = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    save_file({"ln.weight": rows, "ln.bias": rows + 10, "other": numpy.zeros(5, numpy.uint8)}, FOLDER / "layer_norm.safetensors")
    keras = {"gamma": rows[0], "beta": rows[1], "moving_mean": rows[0] + 1, "moving_variance": rows[1] + 2}
    save_file({f"bn/{name}": row for name, row in keras.items()}, FOLDER / "keras.safetensors")


if __name__ == "__main__":
    main()
