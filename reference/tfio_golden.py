"""Writes testdata/tfio: records and checkpoints as TensorFlow writes them; checks what `tfio` wrote.

Needs: tensorflow-cpu==2.21.0 numpy==2.4.6. From the repository's root:

    python reference/tfio_golden.py write
    cargo run --release -p tf-io --example records -- /tmp/ours.tfrecord
    python reference/tfio_golden.py check /tmp/ours.tfrecord

Value i of every tensor is ((37 i + 11) mod 251 - 125) / 8, times 8 in the integer tensors: exact in every type from
bfloat16 up, so the tests compute it instead of storing it.
"""

import os
import pathlib
import shutil
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

OUT = pathlib.Path(__file__).parent.parent / "testdata" / "tfio"


def values(shape, dtype):
    index = np.arange(int(np.prod(shape)), dtype=np.int64)
    numbers = (37 * index + 11) % 251 - 125
    scaled = numbers if dtype.is_integer else numbers / 8
    return scaled.reshape(shape).astype(dtype.as_numpy_dtype)


def feature(kind, numbers):
    lists = {"bytes": (tf.train.BytesList, "bytes_list"), "int64": (tf.train.Int64List, "int64_list"),
             "float": (tf.train.FloatList, "float_list")}
    make, name = lists[kind]
    return tf.train.Feature(**{name: make(value=numbers)})


def examples():
    """The second has features of every kind and the extremes of their values.

    No name begins with another: Python's and C++'s protobuf sort such names differently.
    """
    pixels = bytes(range(256)) * 2
    yield {"image": feature("bytes", [pixels]), "height": feature("int64", [16]), "width": feature("int64", [32])}
    yield {
        "Z": feature("bytes", [b"", b"two"]),
        "a": feature("int64", [-1, 0, 2**63 - 1, -(2**63)]),
        "b": feature("float", [0.0, -0.0, 1.5, float("inf"), 3.4028234663852886e38]),
        "empty_bytes": feature("bytes", []),
        "empty_float": feature("float", []),
        "empty_int64": feature("int64", []),
        "unset": tf.train.Feature(),
        "\u00fc": feature("bytes", ["\u00fc".encode()]),
    }
    yield {}


def write_records():
    with tf.io.TFRecordWriter(str(OUT / "examples.tfrecord")) as writer:
        for features in examples():
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString(deterministic=True))


def check_records(path):
    ours = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    theirs = list(tf.data.TFRecordDataset(str(OUT / "examples.tfrecord")).as_numpy_iterator())
    assert ours == theirs, "the records differ"
    assert pathlib.Path(path).read_bytes() == (OUT / "examples.tfrecord").read_bytes()
    parsed = tf.io.parse_single_example(ours[0], {"image": tf.io.FixedLenFeature([], tf.string),
                                                  "height": tf.io.FixedLenFeature([], tf.int64)})
    assert parsed["image"].numpy() == bytes(range(256)) * 2 and parsed["height"].numpy() == 16
    print("TensorFlow reads", len(ours), "records as written, byte for byte what it writes itself")


def write_graph_checkpoint(name, version, types):
    """Variables of every type, one of them in three slices along its rows and one in two along its columns."""
    tf.compat.v1.reset_default_graph()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        def variable(name, shape, dtype, **more):
            initial = tf.constant_initializer(values(shape, dtype)) if "partitioner" not in more else None
            return tf.compat.v1.get_variable(name, shape, dtype, initial, use_resource=False, **more)

        for dtype in types:
            variable(f"net/{dtype.name}", [3, 4, 5], dtype)
        variable("global_step", [], tf.int64)
        variable("empty", [0, 3], tf.float32)
        rows = variable("rows", [7, 3], tf.float32, partitioner=tf.compat.v1.fixed_size_partitioner(3, axis=0))
        columns = variable("columns", [3, 7], tf.float32, partitioner=tf.compat.v1.fixed_size_partitioner(2, axis=1))
        session.run(tf.compat.v1.global_variables_initializer())
        for partitioned, axis in ((rows, 0), (columns, 1)):
            parts = list(partitioned)
            whole = values(partitioned.shape.as_list(), tf.float32)
            edges = np.cumsum([part.shape.as_list()[axis] for part in parts])[:-1]
            for part, piece in zip(parts, np.split(whole, edges, axis)):
                session.run(tf.compat.v1.assign(part, piece))
        saver = tf.compat.v1.train.Saver(write_version=version)
        with tempfile.TemporaryDirectory() as folder:
            saver.save(session, f"{folder}/{name}", write_meta_graph=False, write_state=False)
            for file in pathlib.Path(folder).iterdir():
                shutil.copy(file, OUT / file.name)


def write_sharded_checkpoint(name):
    """Two data files, as a run on several machines leaves them; the tensors of each came from another save.

    `long` has slices whose bounds take one, two and three bytes in the code of their keys.
    """
    whole, long = values([6, 2], tf.float32), values([8300], tf.int8)
    with tempfile.TemporaryDirectory() as folder:
        prefixes = [f"{folder}/part{index}" for index in range(2)]
        tf.raw_ops.SaveV2(prefix=prefixes[0], tensor_names=["first", "sliced", "long", "long"],
                          shape_and_slices=["", "6 2 0,4:-", "8300 0,64", "8300 8200,100"],
                          tensors=[values([5], tf.float32), whole[:4], long[:64], long[8200:]])
        tf.raw_ops.SaveV2(prefix=prefixes[1], tensor_names=["second", "sliced", "long"],
                          shape_and_slices=["", "6 2 4,2:-", "8300 64,8136"],
                          tensors=[values([2, 2], tf.float64), whole[4:], long[64:8200]])
        tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=f"{folder}/{name}")
        for file in pathlib.Path(folder).glob(f"{name}.*"):
            shutil.copy(file, OUT / file.name)


def write_object_checkpoint(name):
    """The form that `tf.train.Checkpoint` and Keras write, with its object graph in a string tensor."""
    checkpoint = tf.train.Checkpoint(kernel=tf.Variable(values([2, 3], tf.float32)))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.write(f"{folder}/{name}")
        for file in pathlib.Path(folder).glob(f"{name}.*"):
            shutil.copy(file, OUT / file.name)


if sys.argv[1:] == ["write"]:
    OUT.mkdir(parents=True, exist_ok=True)
    write_records()
    floats = [tf.float32, tf.float64, tf.float16, tf.bfloat16]
    integers = [tf.int8, tf.uint8, tf.int16, tf.int32, tf.int64]
    write_graph_checkpoint("v1.ckpt", 1, floats[:3] + integers)
    write_graph_checkpoint("v2.ckpt", 2, floats + integers)
    write_sharded_checkpoint("sharded.ckpt")
    write_object_checkpoint("object.ckpt")
    for file in sorted(OUT.iterdir()):
        print(f"{file.stat().st_size:7} {file.name}")
elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
    check_records(sys.argv[2])
else:
    sys.exit(__doc__)
