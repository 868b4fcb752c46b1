#!/usr/bin/python3
"""Writes golden.txt: what PyTorch computes, in double, for a list of small cases of BatchNorm, LayerNorm, RMSNorm,
GroupNorm and InstanceNorm.

    python3 tests/golden/generate.py        (Debian: apt install python3-torch)

A case is a block of lines `key: values`, tensors in row-major order. Inputs are floats, running statistics too, so that
they are the same in float and in double. Every number is written with as many digits as give it back. The first line
records the versions. The tests read the result; nothing else depends on PyTorch.
"""

import pathlib
import subprocess

import numpy
import torch


def versions():
    package = "no package"
    try:
        asked = subprocess.run(["dpkg-query", "-W", "-f=${Version}", "python3-torch"], capture_output=True, text=True)
        if asked.returncode == 0:
            package = "Debian " + asked.stdout
    except FileNotFoundError:
        pass
    return f"PyTorch {torch.__version__} ({package}), numpy {numpy.__version__}"


class Writer:
    def __init__(self):
        self.lines = [f"# by generate.py with {versions()}"]
        self.random = numpy.random.RandomState(1607)

    def data(self, shape, scale=1.0, offset=0.0):
        """Roughly normal multiples of 1/64, or of finer steps where `scale` is small."""
        step = 64.0 if scale >= 0.25 else 1024.0
        return numpy.round(self.random.standard_normal(shape) * scale * step) / step + offset

    def case(self, name, **fields):
        self.lines.append("")
        self.lines.append(f"case: {name}")
        for key, value in fields.items():
            if value is None:
                continue
            flat = numpy.asarray(value.detach() if torch.is_tensor(value) else value).reshape(-1)
            self.lines.append(f"{key}: " + " ".join(repr(v).removesuffix(".0") for v in flat.tolist()))

    def save(self, path):
        path.write_text("\n".join(self.lines) + "\n")


def tensor(values):
    return None if values is None else torch.tensor(values, dtype=torch.float64)


def leaf(values):
    return None if values is None else tensor(values).requires_grad_()


def as_floats(values):
    """The nearest floats, as doubles."""
    return values.float().double()


def gradient(parameter):
    return None if parameter is None else parameter.grad


def batch_norm(out, name, shape, axis=1, eps=1e-5, momentum=0.1, weight=True, bias=True, track=True, modes=(True,),
               scale=1.0, offset=0.0):
    """One case for each of `modes` (True: training), the running statistics going from one to the next. PyTorch keeps
    channels on axis 1; for another `axis` they are moved there and back. momentum None is the cumulative average, which
    in PyTorch is the module's doing: the factor is 1 / the number of batches so far."""
    channels = shape[axis]
    w = out.data(channels) if weight else None
    b = out.data(channels) if bias else None
    mean, var, batches = torch.zeros(channels, dtype=torch.float64), torch.ones(channels, dtype=torch.float64), 0
    for step, training in enumerate(modes):
        x_values, dy_values = out.data(shape, scale, offset), out.data(shape)
        mean, var = as_floats(mean), as_floats(var)
        before = dict(running_mean=mean.clone(), running_var=var.clone(), batches=batches) if track else {}
        batches += 1 if training and track else 0
        factor = momentum if momentum is not None else 1.0 / max(batches, 1)
        x, leaf_w, leaf_b = leaf(x_values), leaf(w), leaf(b)
        y = torch.nn.functional.batch_norm(
            x.movedim(axis, 1), mean if track else None, var if track else None, leaf_w, leaf_b,
            training=training or not track, momentum=factor, eps=eps).movedim(1, axis)
        y.backward(tensor(dy_values))
        after = dict(running_mean_after=mean, running_var_after=var, batches_after=batches) if track else {}
        out.case(f"batch_norm/{name}" + (f"/{step + 1}" if len(modes) > 1 else ""), extents=shape, axis=axis, eps=eps,
                 momentum=momentum, training=int(training), weight=w, bias=b, **before, x=x_values, dy=dy_values, y=y,
                 dx=x.grad, dweight=gradient(leaf_w), dbias=gradient(leaf_b), **after)


def layer_norm(out, name, shape, axes=1, axis=None, eps=1e-5, weight=True, bias=True, scale=1.0, offset=0.0):
    """Over `axes` axes from `axis` on, the last ones by default; PyTorch knows only those, so others are moved to the end
    and back."""
    first = len(shape) - axes if axis is None else axis
    moved, last = list(range(first, first + axes)), list(range(-axes, 0))
    normalized = shape[first:first + axes]
    w = out.data(normalized) if weight else None
    b = out.data(normalized) if bias else None
    x_values, dy_values = out.data(shape, scale, offset), out.data(shape)
    x, leaf_w, leaf_b = leaf(x_values), leaf(w), leaf(b)
    y = torch.nn.functional.layer_norm(x.movedim(moved, last), normalized, leaf_w, leaf_b, eps).movedim(last, moved)
    y.backward(tensor(dy_values))
    out.case(f"layer_norm/{name}", extents=shape, axis=first, axes=axes, eps=eps, weight=w, bias=b, x=x_values,
             dy=dy_values, y=y, dx=x.grad, dweight=gradient(leaf_w), dbias=gradient(leaf_b))


def rms_norm(out, name, shape, axes=1, axis=None, eps=1e-5, weight=True, scale=1.0, offset=0.0):
    """By PyTorch's elementary operations and autograd, since its rms_norm is younger than Debian's PyTorch."""
    first = len(shape) - axes if axis is None else axis
    reduced, normalized = list(range(first, first + axes)), shape[first:first + axes]
    w = out.data(normalized) if weight else None
    x_values, dy_values = out.data(shape, scale, offset), out.data(shape)
    x, leaf_w = leaf(x_values), leaf(w)
    y = x * torch.rsqrt((x * x).mean(reduced, keepdim=True) + eps)
    if weight:
        y = y * leaf_w.reshape([*normalized, *[1] * (len(shape) - first - axes)])
    y.backward(tensor(dy_values))
    out.case(f"rms_norm/{name}", extents=shape, axis=first, axes=axes, eps=eps, weight=w, x=x_values, dy=dy_values, y=y,
             dx=x.grad, dweight=gradient(leaf_w))


def group_norm(out, name, shape, groups=None, axis=1, eps=1e-5, weight=True, bias=True, scale=1.0, offset=0.0):
    """Without groups InstanceNorm. Channels on another `axis` are moved to where PyTorch has them, and back."""
    channels = shape[axis]
    w = out.data(channels) if weight else None
    b = out.data(channels) if bias else None
    x_values, dy_values = out.data(shape, scale, offset), out.data(shape)
    x, leaf_w, leaf_b = leaf(x_values), leaf(w), leaf(b)
    if groups:
        y = torch.nn.functional.group_norm(x.movedim(axis, 1), groups, leaf_w, leaf_b, eps)
    else:
        y = torch.nn.functional.instance_norm(x.movedim(axis, 1), None, None, leaf_w, leaf_b, eps=eps)
    y = y.movedim(1, axis)
    y.backward(tensor(dy_values))
    out.case(f"{'group' if groups else 'instance'}_norm/{name}", extents=shape, axis=axis, groups=groups or channels,
             eps=eps, weight=w, bias=b, x=x_values, dy=dy_values, y=y, dx=x.grad, dweight=gradient(leaf_w),
             dbias=gradient(leaf_b))


def main():
    out = Writer()
    train, evaluate = True, False
    batch_norm(out, "2d_3_channels", (2, 3, 4, 4), modes=(train, train, evaluate))
    batch_norm(out, "2d_worked_affine", (3, 10, 5, 6))
    batch_norm(out, "2d_worked_not_affine", (2, 10, 5, 6), weight=False, bias=False)
    batch_norm(out, "columns", (7, 5), eps=1e-3, momentum=0.7, modes=(train, evaluate))
    batch_norm(out, "1d", (3, 4, 9), bias=False, modes=(train, evaluate))
    batch_norm(out, "3d", (2, 3, 2, 3, 4), weight=False, modes=(train, evaluate))
    batch_norm(out, "channels_last", (2, 4, 4, 3), axis=3, modes=(train, evaluate))
    batch_norm(out, "channels_first", (5, 3, 4), axis=0)
    batch_norm(out, "channels_third", (2, 3, 4, 2, 3), axis=2)
    batch_norm(out, "no_momentum", (3, 2, 5), momentum=None, modes=(train, train, train, evaluate))
    batch_norm(out, "momentum_0", (6, 2), momentum=0.0, modes=(train, evaluate))
    batch_norm(out, "momentum_1", (6, 2), momentum=1.0, modes=(train, evaluate))
    batch_norm(out, "no_tracking", (4, 3, 5), track=False, modes=(train, evaluate))
    batch_norm(out, "far_mean", (4, 2, 8), scale=0.01, offset=1e4)
    layer_norm(out, "5_features", (2, 5, 5))
    layer_norm(out, "worked_10", (10, 5, 10))
    layer_norm(out, "worked_3_axes", (3, 5, 4, 4), axes=3)
    layer_norm(out, "not_affine", (4, 13), weight=False, bias=False)
    layer_norm(out, "no_bias", (4, 13), bias=False)
    layer_norm(out, "no_weight", (3, 2, 17), weight=False, eps=1e-3)
    layer_norm(out, "eps_0", (4, 9), eps=0.0)
    layer_norm(out, "axis_1", (2, 5, 3, 4), axis=1)
    layer_norm(out, "axis_0", (5, 7), axis=0)
    layer_norm(out, "axes_1_and_2", (2, 3, 4, 5), axis=1, axes=2)
    layer_norm(out, "whole_tensor", (3, 4, 5), axes=3)
    layer_norm(out, "far_mean", (3, 33), scale=0.01, offset=1e4)
    rms_norm(out, "5_features", (2, 5, 5))
    rms_norm(out, "not_affine", (4, 13), weight=False, eps=1e-3)
    rms_norm(out, "axis_1", (2, 5, 3, 4), axis=1)
    rms_norm(out, "axes_1_and_2", (2, 3, 4, 5), axis=1, axes=2)
    rms_norm(out, "whole_tensor", (3, 4, 5), axes=3, eps=0.0)
    rms_norm(out, "far_mean", (3, 33), scale=0.01, offset=1e4)
    group_norm(out, "2d_2_groups", (2, 6, 3, 4), 2)
    group_norm(out, "channels_last", (3, 5, 6), 3, axis=2, eps=1e-3)
    group_norm(out, "columns", (5, 8), 2, bias=False)
    group_norm(out, "one_group", (2, 3, 2, 3, 2), 1)
    group_norm(out, "far_mean", (2, 4, 9), 2, scale=0.01, offset=1e4)
    group_norm(out, "2d", (2, 3, 4, 5))
    group_norm(out, "channels_last", (3, 7, 4), axis=2, weight=False, bias=False)
    out.save(pathlib.Path(__file__).with_name("golden.txt"))


if __name__ == "__main__":
    main()
