"""Writes slim's `vgg_16.ckpt` in full size, with its names and shapes and random values, in both formats (528 MB each).

Needs: tensorflow-cpu==2.21.0 numpy==2.4.6 and 3 GB of memory. From the repository's root:

    python reference/vgg16_full_size.py /tmp/vgg16
    cargo run --release -p tf-io --example checkpoint -- /tmp/vgg16/vgg_16.ckpt
    cargo run --release -p tf-io --example checkpoint -- /tmp/vgg16/vgg_16_v2.ckpt

The example prints how long reading takes, the peak of memory and a sum per tensor; this script prints the same sums.
"""

import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

STAGES = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)]


def shapes():
    channels = 3
    for stage, (layers, width) in enumerate(STAGES, 1):
        for layer in range(1, layers + 1):
            yield f"vgg_16/conv{stage}/conv{stage}_{layer}", [3, 3, channels, width]
            channels = width
    yield "vgg_16/fc6", [7, 7, 512, 4096]
    yield "vgg_16/fc7", [1, 1, 4096, 4096]
    yield "vgg_16/fc8", [1, 1, 4096, 1000]


def tensors(random):
    yield "global_step", np.array(370000, np.int64)
    yield "vgg_16/mean_rgb", np.array([123.68, 116.78, 103.94], np.float32)
    for layer, shape in shapes():
        yield f"{layer}/weights", random.standard_normal(shape, np.float32) * np.float32(0.01)
        yield f"{layer}/biases", random.standard_normal(shape[-1], np.float32) * np.float32(0.01)


out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
names, values = zip(*tensors(np.random.default_rng(16)))
for name, value in sorted(zip(names, values)):
    print(f"{value.astype(np.float64).sum():16.6f} {name} {list(value.shape)}")
tf.raw_ops.SaveV2(prefix=str(out / "vgg_16_v2.ckpt"), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
tf.raw_ops.Save(filename=str(out / "vgg_16.ckpt"), tensor_names=names, data=values)
