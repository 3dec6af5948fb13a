"""Golden run lengths of polygons and masks, as pycocotools draws and writes them.

Writes testdata/shapes/coco.json. Needs pycocotools 2.0.11 and numpy 2.4.6:

    pip install pycocotools==2.0.11 numpy==2.4.6
    python reference/coco_golden.py testdata/shapes/coco.json

`polygons`: objects of one or several polygons, with the compressed run lengths of their union (`frPyObjects`, `merge`).
`masks`: drawn masks with their run lengths, plain and compressed (`encode`).
"""

import json
import random
import sys

import numpy
from pycocotools import mask

SEED = 20140501  # the month of COCO's paper


def corners(rng, kind, height, width):
    """A polygon of one kind: [x0, y0, x1, y1, ...]."""
    count = {"many": 400, "tiny": 3}.get(kind, rng.randint(3, 9))
    low, high = (-0.6, 1.6) if kind == "outside" else (0.0, 1.0)
    x0, y0 = rng.uniform(0, width), rng.uniform(0, height)
    points = []
    for _ in range(count):
        if kind in ("tiny", "point"):
            x, y = x0 + rng.uniform(-0.8, 0.8), y0 + rng.uniform(-0.8, 0.8)
        else:
            x, y = rng.uniform(low, high) * width, rng.uniform(low, high) * height
        if kind == "integer":
            x, y = round(x), round(y)
        elif kind == "half":
            x, y = round(2 * x) / 2, round(2 * y) / 2
        elif kind == "fifth":
            x, y = round(10 * x) / 10, round(10 * y) / 10
        elif kind == "point":
            x, y = x0, y0
        elif kind == "line":
            x = x0
        elif kind != "exact":
            x, y = round(x, 2), round(y, 2)
        points += [x, y]
    if kind == "repeated":
        points += points[-2:] + points[:2]
    return points


def main(path):
    rng = random.Random(SEED)
    polygons, masks = [], []
    kinds = ["integer", "half", "fifth", "exact", "outside", "tiny", "point", "line", "repeated", "crossing"]
    for case in range(240):
        height, width = rng.randint(1, 60), rng.randint(1, 60)
        kind = "many" if case % 80 == 7 else kinds[case % len(kinds)]
        outlines = [corners(rng, kind, height, width) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        runs = mask.merge(mask.frPyObjects(outlines, height, width))
        polygons.append({"size": [height, width], "polygons": outlines, "counts": runs["counts"].decode()})
    for case in range(60):
        height, width = rng.randint(1, 40), rng.randint(1, 40)
        if case % 10 == 3:
            height, width = rng.randint(200, 900), rng.randint(200, 900)
        drawn = numpy.zeros((height, width), dtype=numpy.uint8)
        for _ in range(rng.randint(0, 3)):
            top, left = rng.randrange(height), rng.randrange(width)
            drawn[top : top + rng.randint(1, height), left : left + rng.randint(1, width)] ^= 1
        if height * width < 400:
            for _ in range(rng.randint(0, 40)):
                drawn[rng.randrange(height), rng.randrange(width)] ^= 1
        column = drawn.flatten(order="F")
        counts, last = [0], 0
        for value in column:
            if value != last:
                counts.append(0)
                last = value
            counts[-1] += 1
        text = mask.encode(numpy.asfortranarray(drawn))["counts"].decode()
        plain = mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        assert (mask.decode(plain) == drawn).all()
        masks.append({"size": [height, width], "counts": counts, "text": text})
    with open(path, "w") as out:
        json.dump({"polygons": polygons, "masks": masks}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
