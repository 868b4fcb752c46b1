#!/usr/bin/env python3
"""The other side of a test: reads a file that normkit has written, and writes one for it to read, by Python's own safetensors.

    tests/state/other_side.py written.safetensors to_read.safetensors

Fails where a number is not what safetensors_test.cpp says it is.
"""

import sys

import ml_dtypes
import numpy
from safetensors.numpy import load_file, save_file

DTYPES = {"f32": numpy.float32, "f64": numpy.float64, "f16": numpy.float16, "bf16": ml_dtypes.bfloat16}


def main():
    written, to_read = sys.argv[1:]
    state = load_file(written)
    names = ("weight", "bias", "running_mean", "running_var")
    rows = numpy.arange(12).reshape(4, 3) / 8 + 0.25
    for prefix, dtype in DTYPES.items():
        for name, row in zip(names, rows):
            values = state[f"{prefix}.{name}"]
            assert values.dtype == dtype and values.shape == (3,), (prefix, name, values.dtype, values.shape)
            assert (values == row.astype(dtype)).all(), (prefix, name, values, row)
        assert state[f"{prefix}.num_batches_tracked"] == 7
    save_file({name: numpy.asarray(2 * values) for name, values in state.items()}, to_read)


if __name__ == "__main__":
    main()
