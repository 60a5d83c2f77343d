"""Pictures of any depth and mode are what Pillow says they are, scaled to 8 bits, or refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meta_rl.errors import ConfigError
from meta_rl.fewshot.folder import load_folder
from meta_rl.fewshot.omniglot import decode
from meta_rl.fewshot.pictures import read_picture

GREY = np.array([[0, 64, 128, 255]], np.uint8)
RED, WHITE, INK = (200, 10, 10), (255, 255, 255), (0, 0, 0)


def palette() -> Image.Image:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*RED, *WHITE])
    picture.putdata([0, 1])
    return picture


def filled(mode: str, *pixels: object) -> Image.Image:
    picture = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        picture.putpixel((x, 0), pixel)  # type: ignore[arg-type]
    return picture


PICTURES = {
    "8 bits": (Image.fromarray(GREY), [0, 64, 128, 255]),
    "16 bits": (Image.fromarray(GREY.astype(np.uint16) * 257), [0, 64, 128, 255]),
    "16 bits, rounded": (Image.fromarray(np.array([[0, 128, 129, 300, 65535]], np.uint16)), [0, 0, 1, 1, 255]),
    "16 bits, big-endian": (Image.frombytes("I;16B", (2, 1), b"\x80\x80\xff\xff"), [128, 255]),
    "1 bit": (Image.fromarray(np.array([[False, True]])), [0, 255]),
    "palette": (palette(), [RED, WHITE]),
    "colour and alpha": (filled("RGBA", (*RED, 255), (*INK, 0), (*INK, 51)), [RED, WHITE, (204, 204, 204)]),
    "grey and alpha": (filled("LA", (7, 255), (0, 0), (0, 255)), [7, 255, 0]),
    "CMYK": (filled("CMYK", (0, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)), [WHITE, (255, 0, 0), INK]),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_keeps_its_values(kind: str) -> None:
    picture, values = PICTURES[kind]
    meant = [value if isinstance(value, tuple) else (value,) * 3 for value in values]
    assert np.asarray(read_picture(picture, "it", "RGB"))[0].tolist() == [list(pixel) for pixel in meant]
    if all(len(set(pixel)) == 1 for pixel in meant):
        assert np.asarray(read_picture(picture, "it", "L"))[0].tolist() == [pixel[0] for pixel in meant]


@pytest.mark.parametrize("kind", ["16 bits", "1 bit", "palette", "colour and alpha", "grey and alpha"])
def test_a_file_of_it_in_a_folder(kind: str, tmp_path: Path) -> None:
    picture, values = PICTURES[kind]
    (tmp_path / "train/a").mkdir(parents=True)
    picture.save(tmp_path / "train/a/0.png")
    meant = [list(value) if isinstance(value, tuple) else [value] * 3 for value in values]
    assert load_folder(tmp_path, "train").images[0, :, 0].T.tolist() == meant


@pytest.mark.parametrize("deep", [np.uint8, np.uint16])
@pytest.mark.parametrize("transparent", [False, True])
def test_a_drawing_of_omniglot(deep: type, transparent: bool) -> None:
    ink = np.full((28, 28), 255, np.uint8)
    ink[:14] = 51
    picture = Image.fromarray(ink if deep is np.uint8 else ink.astype(np.uint16) * 257)
    if transparent:
        picture = Image.merge("LA", [Image.new("L", (28, 28), 0), Image.fromarray(255 - ink)])
    data = io.BytesIO()
    picture.save(data, "PNG")
    assert (decode(data.getvalue(), "it") == 255 - ink).all()


@pytest.mark.parametrize(
    ("array", "words"),
    [(np.ones((2, 2), np.float32), "floats"), (np.full((2, 2), 70000, np.int32), "32-bit integers")],
)
def test_numbers_of_unknown_range_are_refused(array: np.ndarray, words: str, tmp_path: Path) -> None:
    (tmp_path / "train/a").mkdir(parents=True)
    Image.fromarray(array).save(tmp_path / "train/a/0.png", format="TIFF")
    with pytest.raises(ConfigError, match=rf"0.png holds {words} .*; valid: 1, 8 or 16 bits per channel"):
        load_folder(tmp_path, "train")


def test_a_picture_too_large_to_be_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ConfigError, match=r"x.png is not a sound image: Image size"):
        read_picture(tmp_path / "x.png", tmp_path / "x.png", "RGB")
