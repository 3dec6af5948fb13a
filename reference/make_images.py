"""Draws the small images in testdata/image that no encoder of the project writes: CMYK and YCCK JPEGs, an interlaced PNG.

    python reference/make_images.py            # Pillow 13.0.0; writes testdata/image/*

The JPEGs hold four 16x16 patches whose colours are within 2 of (200, 40, 40), (40, 160, 60),
(30, 60, 200) and (90, 90, 90). The script prints what Pillow reads back; it takes every CMYK JPEG for inverted, so the
plain one comes out dark there, while TensorFlow follows Adobe's marker, as we do.
"""
import io
import os
import struct
import zlib

from PIL import Image

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "testdata", "image")
PATCHES = [(200, 40, 40), (40, 160, 60), (30, 60, 200), (90, 90, 90)]


def patches(mode, colours):
    image = Image.new(mode, (64, 16))
    for i, colour in enumerate(colours):
        image.paste(colour, (16 * i, 0, 16 * i + 16, 16))
    return image


def jpeg(image):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95, subsampling=0)
    return out.getvalue()


def without_app14(data):
    at = data.index(b"\xff\xee")
    length = struct.unpack(">H", data[at + 2 : at + 4])[0]
    return data[:at] + data[at + 2 + length :]


def save(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)
    image = Image.open(io.BytesIO(data))
    shown = image.convert("RGB")
    print(name, len(data), "bytes", image.mode, [shown.getpixel((min(8 + 16 * i, image.width - 1), image.height // 2)) for i in range(4)])


def split_black(rgb, black=20):
    """CMYK inks that give this RGB by (255 - ink) * (255 - black) / 255."""
    return tuple(round(255 - v * 255 / (255 - black)) for v in rgb) + (black,)


def interlaced():
    """5x3, 4-bit grey, pixel i = i, in the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes:
        for y in range(y0, 3, dy):
            row = [5 * y + x for x in range(x0, 5, dx)]
            if row:
                row += [0] * (len(row) % 2)
                raw += b"\0" + bytes(row[i] << 4 | row[i + 1] for i in range(0, len(row), 2))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 5, 3, 4, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def main():
    os.makedirs(OUT, exist_ok=True)
    inks = [split_black(rgb) for rgb in PATCHES]
    save("cmyk-adobe.jpg", jpeg(patches("CMYK", inks)))  # Pillow inverts and writes Adobe's marker
    # Without the marker the values are plain inks, so the image handed over is inverted beforehand.
    plain = patches("CMYK", [tuple(255 - v for v in ink) for ink in inks])
    save("cmyk-plain.jpg", without_app14(jpeg(plain)))
    # YCCK: the transform byte of Adobe's marker says that the first three components are YCbCr. As a reader turns
    # those to inks with C = 255 - R, the stored triple is the YCbCr of the light left by each (inverted) ink.
    to_ycc = lambda ink: Image.new("RGB", (1, 1), ink[:3]).convert("YCbCr").getpixel((0, 0))
    stored = patches("CMYK", [tuple(255 - v for v in to_ycc(ink)) + (ink[3],) for ink in inks])
    data = bytearray(jpeg(stored))
    at = data.index(b"\xff\xee")
    data[at + 15] = 2
    save("ycck-adobe.jpg", bytes(data))
    save("interlaced-grey4-5x3.png", interlaced())


main()
