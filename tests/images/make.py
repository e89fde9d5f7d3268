#!/usr/bin/python3
"""Makes the images of this folder and what Pillow reads and resizes them to (Debian: python3-pil,
python3-numpy). tests/unit/test_decode.c and test_resample.c hold the worker against them.

NAME.jpg, NAME.png             an image
NAME.ppm                       its pixels as torchvision's loader has them: Image.convert("RGB")
NAME.centre-RESIZE-SIZE.ppm    Resize(RESIZE), CenterCrop(SIZE)
NAME.box-X-Y-W-H-SIZE.ppm      resized_crop to SIZE x SIZE
"""
import os
import sys

import numpy as np
from PIL import Image

here = os.path.dirname(os.path.abspath(sys.argv[0]))
rng = np.random.default_rng(17)


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width].astype(float)
    waves = [np.sin(x / 5) * np.cos(y / 9), np.sin((x + 2 * y) / 11), np.cos(x / 3 - y / 4)]
    a = np.stack(waves, -1) * 100 + 127 + rng.normal(0, 8, (height, width, 3))
    a[height // 3 : height // 2, width // 4 : width // 2] = (250, 10, 30)
    return Image.fromarray(np.clip(a, 0, 255).astype("uint8"))


def centre(image, resize, size):
    w, h = image.size
    short, long = min(w, h), max(w, h)
    other = int(resize * long / short)
    image = image.resize((resize, other) if w <= h else (other, resize), Image.BILINEAR)
    left = int(round((image.size[0] - size) / 2.0))
    top = int(round((image.size[1] - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def box(image, x, y, w, h, size):
    return image.crop((x, y, x + w, y + h)).resize((size, size), Image.BILINEAR)


def save(name, image, **how):
    image.save(os.path.join(here, name), **how)
    return name


def keep(name, image):
    image.convert("RGB").save(os.path.join(here, name + ".ppm"))


rgb = picture(37, 29)
alpha = Image.fromarray(np.tile(np.arange(37, dtype="uint8") * 6, (29, 1)))
rgba = rgb.copy()
rgba.putalpha(alpha)
grey = rgb.convert("L")
deep = np.asarray(grey).astype("uint16") * 256 + 77
palette = rgb.quantize(16)

names = [
    save("plain.jpg", rgb, quality=85),
    save("progressive.jpg", rgb, quality=70, progressive=True),
    save("full.jpg", rgb, quality=95, subsampling=0),
    save("grey.jpg", grey, quality=90),
    save("inks.jpg", rgb.convert("CMYK"), quality=95),
    save("plain.png", rgb),
    save("alpha.png", rgba),
    save("grey.png", grey),
    save("grey-alpha.png", rgba.convert("LA")),
    save("palette.png", palette),
    save("clear.png", palette, transparency=3),
    save("bit.png", rgb.convert("1")),
    save("tall.png", picture(5, 60)),
]
for name in names:
    keep(name, Image.open(os.path.join(here, name)))
Image.fromarray(deep).save(os.path.join(here, "deep.png"))
keep("deep.png", Image.fromarray((deep >> 8).astype("uint8")))

big = picture(150, 101)
save("big.png", big)
for name, resize, size in [("big.png", 36, 32), ("big.png", 101, 64), ("plain.png", 27, 24), ("plain.png", 64, 49),
                           ("tall.png", 16, 15)]:
    keep("%s.centre-%d-%d" % (name, resize, size), centre(Image.open(os.path.join(here, name)), resize, size))
for name, x, y, w, h, size in [("big.png", 11, 7, 120, 81, 32), ("big.png", 100, 50, 9, 12, 24), ("big.png", 0, 0, 150, 101, 8),
                               ("plain.png", 3, 2, 20, 25, 16), ("plain.png", 0, 0, 29, 29, 29), ("plain.png", 36, 28, 1, 1, 8)]:
    keep("%s.box-%d-%d-%d-%d-%d" % (name, x, y, w, h, size), box(Image.open(os.path.join(here, name)), x, y, w, h, size))
