"""TensorFlow's word on the records of `fcn convert`.

    python reference/check_records.py VOC_ROOT RECORDS_DIR

tensorflow-cpu 2.21.0, Pillow 13.0.0, numpy 2.4.6. Reads every shard with TensorFlow and compares each record with its
source: id, size, label bytes (void kept), image bytes, and that TensorFlow decodes the image to that size. The ids must
be those of the list, in its order, less the ones that dataset.json names as skipped. For the other direction, let
`reference/convert_voc.py` write records with TensorFlow and give them to `fcn check`.
"""
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf
from PIL import Image

FEATURES = {
    **{f"image/{key}": tf.io.FixedLenFeature([], tf.string) for key in ("encoded", "filename", "format", "label")},
    **{f"image/{key}": tf.io.FixedLenFeature([], tf.int64) for key in ("height", "width")},
}


def main(root, records):
    with open(os.path.join(records, "dataset.json")) as f:
        index = json.load(f)
    for split in index["splits"]:
        with open(os.path.join(root, "ImageSets", "Segmentation", split["name"] + ".txt")) as f:
            listed = f.read().split()
        skipped = {s["id"] for s in split["skipped"]}
        expected = [name for name in listed if name not in skipped]
        files = [os.path.join(records, shard["name"]) for shard in split["files"]]
        found = []
        for raw in tf.data.TFRecordDataset(files):
            record = {key: value.numpy() for key, value in tf.io.parse_single_example(raw, FEATURES).items()}
            name = os.path.splitext(record["image/filename"].decode())[0]
            found.append(name)
            size = (record["image/height"], record["image/width"])
            label = np.asarray(Image.open(os.path.join(root, "SegmentationClass", name + ".png")))
            assert label.shape == size, (name, label.shape, size)
            assert label.astype(np.uint8).tobytes() == record["image/label"], f"{name}: label bytes differ"
            with open(os.path.join(root, "JPEGImages", name + ".jpg"), "rb") as f:
                assert f.read() == record["image/encoded"], f"{name}: image bytes differ"
            assert tf.io.decode_jpeg(record["image/encoded"], channels=3).shape[:2] == size, name
        assert found == expected, f"{split['name']}: ids differ"
        print(f"{split['name']}: {len(found)} records equal to their sources, {len(skipped)} skipped")


main(*sys.argv[1:])
