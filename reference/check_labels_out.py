"""Checks the label files of `fcn predict` with the programs that they are for.

Needs: pycocotools==2.0.11 labelme==6.3.1 cvat-sdk==2.80.0 datumaro==1.13.12 numpy==2.4.6 (opencv and Pillow come
with them).
From the repository's root, with a folder of photographs:

    python reference/check_labels_out.py target/release/fcn runs/mydata VOC2012/JPEGImages [VOC2012]

The masks of --format png are the truth. With --simplify 0, every pixel must come back: COCO's annotations by `COCO(file)` and
`annToMask`, with their areas and boxes; labelme's outlines, as labelme loads them, in the order of the file; CVAT's polygons and
masks, as datumaro imports them and as cvat-sdk decodes them and encodes them again; YOLO's lines. Outlines are filled by
pycocotools. Then what each program's own filling makes of them (labelme: Pillow, YOLO: `cv2.fillPoly` on whole coordinates,
the largest object first, as Ultralytics' `polygons2masks_overlap` does), which also paints the pixels on the outline, and the
same with the default of --simplify: the share of all pixels that differ, and the corners. Fails where a pixel is lost.

With a data set at the end, that is converted to COCO, VOC and a folder of masks; pycocotools reads the first, datumaro the
second, Pillow the masks of both others, and all must be the same labels, void too.
"""
import json
import logging
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import datumaro
import labelme.utils
import numpy as np
from cvat_sdk.masks import decode_mask, encode_mask
from labelme import _label_file as labelme_file
from loguru import logger
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

FORMATS = ("coco", "labelme", "cvat", "yolo")


def run(fcn, weights, photographs, out, *flags):
    subprocess.run([fcn, "predict", photographs, "--weights", weights, "--out", out, "--no-overlay", *flags], check=True,
                   stdout=subprocess.DEVNULL)


def classes_of(folder):
    """Names by id, from classes.txt: `id name r g b` a line; a list that begins with void has its classes behind it."""
    names = [" ".join(line.split()[1:-3]) or line.split()[1] for line in (folder / "classes.txt").read_text().splitlines()]
    return [name for name in names if name != "void"]


def background_of(names):
    found = [i for i, name in enumerate(names) if name.lower() in ("background", "_background_", "__background__")]
    return found[0] if found else 255


def filled(points, height, width):
    """The pixels in an outline, by COCO's rule."""
    runs = coco_mask.frPyObjects([np.asarray(points, dtype=float).reshape(-1).tolist()], height, width)
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


def read_coco(folder, _shapes, names, _photographs):
    coco = COCO(folder / "annotations.json")
    found, objects, faults = {}, 0, 0
    for image in coco.loadImgs(coco.getImgIds()):
        labels = np.full((image["height"], image["width"]), background_of(names), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
            inside = coco.annToMask(annotation).astype(bool)
            faults += int(inside.sum() != annotation["area"])
            faults += int(list(coco_mask.toBbox(annotation["segmentation"])) != annotation["bbox"])
            labels[inside] = annotation["category_id"] - 1
            objects += 1
        found[Path(image["file_name"]).stem] = labels
    assert faults == 0, f"{faults} areas or boxes of COCO are wrong"
    return found, found, objects, 0


def read_labelme(folder, shapes_of, names, _photographs):
    exact, own, objects, corners = {}, {}, 0, 0
    for stem, (height, width) in shapes_of.items():
        data = labelme_file.read_label_file(str(folder / f"{stem}.json"))
        exact[stem], own[stem] = (np.full((height, width), background_of(names), np.uint8) for _ in range(2))
        for shape in data.shapes:
            id_ = names.index(shape["label"])
            exact[stem][filled(shape["points"], height, width)] = id_
            own[stem][labelme.utils.shape_to_mask((height, width), shape["points"], shape["shape_type"])] = id_
            objects += 1
            corners += len(shape["points"])
    return exact, own, objects, corners


def read_cvat(folder, shapes_of, names, photographs):
    sdk, objects, corners = {}, 0, 0
    for image in ElementTree.parse(folder / "annotations.xml").getroot().iter("image"):
        height, width = int(image.get("height")), int(image.get("width"))
        labels = np.full((height, width), background_of(names), np.uint8)
        for shape in image:
            if shape.tag == "polygon":
                points = [[float(v) for v in pair.split(",")] for pair in shape.get("points").split(";")]
                inside = filled(points, height, width)
                corners += len(points)
            else:
                left, top, w, h = (int(shape.get(key)) for key in ("left", "top", "width", "height"))
                encoded = [int(n) for n in shape.get("rle").split(",")] + [left, top, left + w - 1, top + h - 1]
                inside = decode_mask(encoded, image_width=width, image_height=height)
                assert encode_mask(inside) == encoded, "cvat-sdk encodes a mask otherwise"
            labels[inside] = names.index(shape.get("label"))
            objects += 1
        sdk[Path(image.get("name")).stem] = labels
    (folder / "images").symlink_to(photographs)  # without its photographs datumaro imports nothing
    imported = datumaro.Dataset.import_from(str(folder), "cvat")
    listed = [label.name for label in imported.categories()[datumaro.AnnotationType.label]]
    found = {}
    for item in imported:
        height, width = shapes_of[Path(item.id).stem]
        labels = np.full((height, width), background_of(names), np.uint8)
        for shape in item.annotations:
            polygon = shape.type == datumaro.AnnotationType.polygon
            inside = filled(shape.points, height, width) if polygon else np.asarray(shape.image, dtype=bool)
            labels[inside] = names.index(listed[shape.label])
        found[Path(item.id).stem] = labels
    assert all((found[stem] == sdk[stem]).all() for stem in sdk), "datumaro and cvat-sdk disagree"
    return sdk, found, objects, corners


def read_yolo(folder, shapes_of, names, _photographs):
    lines = (folder / "data.yaml").read_text().split("names:\n")[1].splitlines()
    numbered = [json.loads(line.split(": ", 1)[1]) for line in lines]
    exact, own, objects, corners = {}, {}, 0, 0
    for stem, (height, width) in shapes_of.items():
        exact[stem], own[stem] = (np.full((height, width), background_of(names), np.uint8) for _ in range(2))
        rows = [line.split() for line in (folder / "labels" / f"{stem}.txt").read_text().splitlines()]
        masks = []
        for number, *values in rows:
            points = np.array(values, dtype=float).reshape(-1, 2) * [width, height]
            assert 0 <= points.min() and (points.max(0) <= [width, height]).all()
            id_ = names.index(numbered[int(number)])
            exact[stem][filled(points, height, width)] = id_
            mask = np.zeros((height, width), np.uint8)
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)
            masks.append((mask.astype(bool), id_))
            objects += 1
            corners += len(points)
        for mask, id_ in sorted(masks, key=lambda pair: -pair[0].sum()):
            own[stem][mask] = id_
    return exact, own, objects, corners


def share_of_wrong(found, truth):
    wrong = sum(int((found[stem] != truth[stem]).sum()) for stem in truth)
    return wrong / sum(mask.size for mask in truth.values())


def check_conversions(fcn, data):
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for form in ("coco", "voc", "folder"):
            subprocess.run([fcn, "convert", data, "--out", work / form, "--to", form], check=True, stdout=subprocess.DEVNULL)
        samples = void = 0
        for lists in sorted((work / "coco" / "annotations").glob("*.json")):
            split = lists.stem.removeprefix("instances_")
            coco = COCO(lists)
            names = classes_of(work / "coco")
            void_category = [c["id"] for c in coco.loadCats(coco.getCatIds()) if c["name"] == "void"]
            for image in coco.loadImgs(coco.getImgIds()):
                stem = Path(image["file_name"]).stem
                labels = np.full((image["height"], image["width"]), background_of(names), np.uint8)
                for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"])):
                    category = annotation["category_id"]
                    labels[coco.annToMask(annotation).astype(bool)] = 255 if category in void_category else category - 1
                for mask in (work / "voc/SegmentationClass" / f"{stem}.png", work / "folder/masks" / split / f"{stem}.png"):
                    assert (np.asarray(Image.open(mask)) == labels).all(), mask
                samples += 1
                void += int((labels == 255).sum())
        imported = datumaro.Dataset.import_from(str(work / "voc"), "voc_segmentation")
        listed = [label.name for label in imported.categories()[datumaro.AnnotationType.label]]
        for item in imported:
            truth = np.asarray(Image.open(work / "voc/SegmentationClass" / f"{item.id}.png"))
            labels = np.full(truth.shape, background_of(names), np.uint8)
            for shape in item.annotations:
                if shape.type == datumaro.AnnotationType.mask:
                    name = listed[shape.label]
                    labels[np.asarray(shape.image, dtype=bool)] = 255 if name == "void" else names.index(name)
            assert (labels == truth).all(), f"datumaro reads {item.id} otherwise"
        print(f"conversions: {samples} samples, {void} void pixels, the same labels by COCO, VOC and folder")


def main(fcn, weights, photographs, data=None):
    read = dict(zip(FORMATS, (read_coco, read_labelme, read_cvat, read_yolo)))
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        run(fcn, weights, photographs, work / "png")
        truth = {path.stem: np.asarray(Image.open(path)) for path in sorted((work / "png").glob("*.png"))}
        shapes = {stem: mask.shape for stem, mask in truth.items()}
        print(f"{len(truth)} photographs, {len(np.unique(np.concatenate([np.unique(m) for m in truth.values()])))} classes")
        print(f"{'format':8} {'simplify':>8} {'objects':>8} {'corners':>8} {'bytes':>10} {'by our rule':>12} {'by its own':>12}")
        lost = []
        for form in FORMATS:
            for simplify in (("0",) if form == "coco" else ("0", "1")):
                out = work / f"{form}-{simplify}"
                run(fcn, weights, photographs, out, "--format", form, *([] if form == "coco" else ["--simplify", simplify]))
                exact, own, objects, corners = read[form](out, shapes, classes_of(out), Path(photographs).resolve())
                files = [path for end in ("*.json", "*.xml", "*.txt") for path in out.rglob(end)]
                size = sum(path.stat().st_size for path in files)
                ours, theirs = share_of_wrong(exact, truth), share_of_wrong(own, truth)
                print(f"{form:8} {simplify:>8} {objects:8} {corners:8} {size:10} {ours:12.4%} {theirs:12.4%}")
                if simplify == "0" and ours > 0:
                    lost.append(form)
        assert not lost, f"pixels are lost by {', '.join(lost)}"
    if data:
        check_conversions(fcn, data)


if __name__ == "__main__":
    logger.remove()
    logging.disable(logging.WARNING)
    main(*sys.argv[1:])
