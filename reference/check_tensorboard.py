"""Reads event files that `tfio` wrote with TensorBoard's own reader, and checks every value.

Needs: tensorboard==2.21.0 pillow==13.0.0. From the repository's root:

    cargo run --release -p tf-io --example events -- /tmp/events
    python reference/check_tensorboard.py /tmp/events
"""

import io
import sys

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0})
events.Reload()

tags = events.Tags()
assert sorted(tags["scalars"]) == ["large/step", "train/loss"], tags
assert tags["images"] == ["val/prediction"], tags
assert sorted(tags["tensors"]) == ["_hparams_/session_start_info", "run/command"], tags

# The second file resumed at step 3: steps 3 and 4 of the first are forgotten.
loss = [(event.step, round(event.value, 6)) for event in events.Scalars("train/loss")]
assert loss == [(0, 1.0), (1, 0.5), (2, 0.333333), (3, 13.0), (4, 14.0), (5, 15.0)], loss
times = [event.wall_time for event in events.Scalars("train/loss")]
assert all(1_700_000_000 <= time < 1_700_000_200 for time in times) and times == sorted(times), times
(large,) = events.Scalars("large/step")
assert (large.step, large.value) == (1 << 40, float("inf")), large

(image,) = events.Images("val/prediction")
assert (image.step, image.width, image.height) == (5, 2, 1), image
pixels = Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB")
assert pixels.tobytes() == bytes([255, 0, 0, 0, 0, 255])

(text,) = events.Tensors("run/command")
assert text.tensor_proto.string_val[0] == b"`fcn train`", text
assert events.SummaryMetadata("run/command").plugin_data.plugin_name == "text"

content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
settings = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
found = (settings["lr"].number_value, settings["flip"].bool_value, settings["variant"].string_value)
assert found == (0.25, True, "8s"), found

print("TensorBoard reads", len(loss) + 1, "scalars, 1 image, 1 text and 3 hyperparameters as written")
