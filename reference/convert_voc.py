"""A straightforward converter from a VOC root to TFRecords in Python and TensorFlow: the peer that `fcn convert` is timed against.

    python reference/convert_voc.py VOC_ROOT OUT_DIR [--splits train,val] [--min-size 224] [--trust-images]

tensorflow-cpu 2.21.0, Pillow 13.0.0, numpy 2.4.6. It does what `fcn convert` does: reads each pair, decodes the photograph
to see that it is whole (--trust-images leaves that out), checks the sizes, leaves small images out, and writes the same
features, with void kept as 255. It prints the seconds with and without the import of TensorFlow.
"""
import argparse
import io
import os
import time

started = time.perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf
from PIL import Image

imported = time.perf_counter()


def bytes_feature(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def int64_feature(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def example(root, name, min_size, decode):
    with open(os.path.join(root, "JPEGImages", name + ".jpg"), "rb") as f:
        encoded = f.read()
    image = Image.open(io.BytesIO(encoded))
    label = np.asarray(Image.open(os.path.join(root, "SegmentationClass", name + ".png")))
    if decode:
        image.load()
    if (image.height, image.width) != label.shape:
        raise SystemExit(f"{name}: the image is {image.size}, its mask {label.shape[::-1]}")
    if min(label.shape) < min_size:
        return None
    if not ((label < 21) | (label == 255)).all():
        raise SystemExit(f"{name}: mask values without a class")
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image/encoded": bytes_feature(encoded),
                "image/filename": bytes_feature((name + ".jpg").encode()),
                "image/format": bytes_feature(b"jpeg"),
                "image/height": int64_feature(label.shape[0]),
                "image/label": bytes_feature(label.astype(np.uint8).tobytes()),
                "image/width": int64_feature(label.shape[1]),
            }
        )
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root")
    parser.add_argument("out")
    parser.add_argument("--splits", default="train,val")
    parser.add_argument("--min-size", type=int, default=224)
    parser.add_argument("--trust-images", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    for split in args.splits.split(","):
        with open(os.path.join(args.root, "ImageSets", "Segmentation", split + ".txt")) as f:
            names = f.read().split()
        written = 0
        with tf.io.TFRecordWriter(os.path.join(args.out, f"fcn_{split}.record")) as writer:
            for name in names:
                record = example(args.root, name, args.min_size, not args.trust_images)
                if record is None:
                    print(f"{split}: left out {name}")
                else:
                    writer.write(record.SerializeToString())
                    written += 1
        print(f"{split}: {written} of {len(names)} written")
    end = time.perf_counter()
    print(f"{end - imported:.2f} s, {end - started:.2f} s with the import of TensorFlow")


main()
