"""Makes the seeds of fuzz/fuzz_targets that are not golden files as they stand. From the repository's root:

    python reference/fuzz_seeds.py
"""

import pathlib
import zipfile

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN, CORPUS = ROOT / "testdata" / "tfio", ROOT / "fuzz" / "corpus"
TORCH = ROOT / "testdata" / "torchio"


def seed(target, name, data):
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    (CORPUS / target / name).write_bytes(data)


for index in sorted(GOLDEN.glob("*.index")):
    data = b"".join(file.read_bytes() for file in sorted(GOLDEN.glob(index.stem + ".data-*")))
    table = index.read_bytes()
    seed("checkpoint_v2", index.stem, len(table).to_bytes(2, "little") + table + data)

# A record is its length and that length's checksum in 12 bytes, the Example, and a checksum of 4.
records, number = (GOLDEN / "examples.tfrecord").read_bytes(), 0
seed("record", "examples", records)
while records:
    length = int.from_bytes(records[:8], "little")
    seed("example", str(number), records[12 : 12 + length])
    records, number = records[length + 16 :], number + 1
seed("checkpoint_v1", "v1", (GOLDEN / "v1.ckpt").read_bytes())

for file in sorted(TORCH.iterdir()):
    seed("torch_file", file.name, file.read_bytes())
    # Python insists on checksums.
    if zipfile.is_zipfile(file) and "without-crc" not in file.name:
        archive = zipfile.ZipFile(file)
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        seed("pickle", file.name, archive.read(name))

for file in sorted((ROOT / "testdata" / "import").glob("*.safetensors")):
    seed("safetensors", file.name, file.read_bytes())
header = (
    '{"__metadata__":{"variant":"8s","backbone":"vgg16-bn","width":"0.125","geometry":"same","classes":"[\\"a\\"]",'
    '"palette":"[[0,0,0]]","channels":"[3,4,4,4,3,3,4]","plain_fc":"true","preprocessing":"{\\"channels\\":\\"RGB\\",'
    '\\"scale\\":1.0,\\"mean\\":[1.0,2.0,3.0],\\"std\\":[1.0,1.0,1.0]}"},'
    '"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}'
).encode()
seed("safetensors", "metadata", len(header).to_bytes(8, "little") + header + bytes(4))
for name, text in {"plain": "0 background\n1 cat 64 0 0\n255 void\n", "camvid": "128 64 128\tRoad\n0 0 0 Void\n"}.items():
    seed("class_list", name, text.encode())


def field(number, content):
    """A field of a protobuf message: bytes with their length, or a number; both below 128."""
    return bytes([number << 3, content]) if isinstance(content, int) else bytes([number << 3 | 2, len(content)]) + content


# onnx.proto: a Relu, a constant [1, 2], input and output [N, 2], the operators' version, a pair of metadata.
shape = field(2, field(1, field(2, b"N")) + field(1, field(1, 2)))
value = field(2, field(1, field(1, 1) + shape))
node = field(1, b"x") + field(2, b"y") + field(4, b"Relu") + field(5, field(1, b"a") + field(3, 1))
constant = field(1, 1) + field(1, 2) + field(2, 1) + field(8, b"w") + field(9, bytes(8))
graph = field(1, node) + field(2, b"g") + field(5, constant) + field(11, field(1, b"x") + value) + field(12, field(1, b"y") + value)
pair = field(14, field(1, b"classes") + field(2, b'["a"]'))
seed("onnx", "relu", field(1, 8) + field(2, b"fcn") + field(7, graph) + field(8, field(2, 17)) + pair)
