"""Writes testdata/torchio: files of torch.save in both containers, and what is in them.

Needs: torch==2.11.0 numpy==2.4.6. From the repository's root:

    python reference/torch_golden.py [testdata/torchio]

Value i of every tensor is ((37 i + 11) mod 251 - 125) / 8, in integer tensors times 8, and i mod 3 != 0 in truth values;
`transposed` and `part` are views, and share their storage with others.
"""

import argparse
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch


def values(count, dtype=torch.float32):
    i = torch.arange(count)
    if dtype == torch.bool:
        return i % 3 != 0
    number = ((37 * i + 11) % 251 - 125).to(torch.float64)
    return (number / 8 if dtype.is_floating_point else number).to(dtype)


def state():
    base = values(24)
    module = torch.nn.Linear(3, 2)
    module.weight.data = values(6).reshape(2, 3)
    return OrderedDict(
        float32=values(6).reshape(2, 3),
        float64=values(5, torch.float64),
        float16=values(4, torch.float16).reshape(2, 2),
        bfloat16=values(4, torch.bfloat16),
        int64=values(3, torch.int64),
        int32=values(3, torch.int32),
        uint8=values(3, torch.int64).to(torch.uint8),
        bool=values(4, torch.bool),
        scalar=values(1)[0],
        empty=torch.zeros(0, 3),
        transposed=base.reshape(4, 3, 2).permute(1, 0, 2),
        part=base[5:11],
        parameter=module.weight,
    )


out = Path(sys.argv[1] if len(sys.argv) > 1 else "testdata/torchio")
out.mkdir(parents=True, exist_ok=True)
torch.save(state(), out / "zip.pth")
torch.save(state(), out / "legacy.pth", _use_new_zipfile_serialization=False)
small = {"weight": values(6).reshape(2, 3)}
for protocol in (1, 3, 4, 5):
    torch.save(small, out / f"zip-protocol{protocol}.pth", pickle_protocol=protocol)
torch.save(small, out / "legacy-protocol4.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)
torch.serialization.set_crc32_options(False)
torch.save(small, out / "zip-without-crc.pth")
torch.serialization.set_crc32_options(True)

# What pytorch-fcn's trainer saves, and options as scripts add them.
parameter = torch.nn.Parameter(values(6).reshape(2, 3))
optimiser = torch.optim.SGD([parameter], lr=1e-10, momentum=0.99)
parameter.grad = torch.ones(2, 3)
optimiser.step()
checkpoint = {
    "epoch": 3,
    "iteration": 4000,
    "arch": "FCN8sAtOnce",
    "optim_state_dict": optimiser.state_dict(),
    "model_state_dict": OrderedDict(weight=values(6).reshape(2, 3)),
    "best_mean_iu": np.float64(0.625),
    "options": argparse.Namespace(lr=1e-10),
}
torch.save(checkpoint, out / "checkpoint.pth.tar")
torch.save(checkpoint, out / "checkpoint-legacy.pth.tar", _use_new_zipfile_serialization=False)
for file in sorted(out.iterdir()):
    loaded = torch.load(file, weights_only=False)
    print(file.name, file.stat().st_size, list(loaded)[:4])
