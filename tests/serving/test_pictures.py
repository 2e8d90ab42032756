from __future__ import annotations

import contextlib
import logging
import struct
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from serving.manifest import Preprocessing
from serving.memory import Room
from serving.pictures import FORMATS, Limits, PictureError, decode, fit, prepare, thumbnail
from tests.drawings import draw_lesion, encode
from tests.serving.odd_files import jpeg_of_many_scans, tiff_with_a_huge_tile

ROOT = Path(__file__).parents[2]
LIMITS = Limits(max_bytes=2_000_000, max_pixels=4_000_000)
SQUASH = Preprocessing(fit="squash", size=32)

# How each EXIF orientation was turned away from upright, as a file holds it.
STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def greys(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), np.float64)


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean())


def sixteen_bit_png(levels: np.ndarray, colour: int, transparent: int | None = None) -> bytes:
    """A PNG of 16 bits a channel: `levels` `[H, W]` (colour 0) or `[H, W, 3]` (colour 2) uint16."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    hole = b"" if transparent is None else chunk(b"tRNS", struct.pack(">H", transparent))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + head + hole + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("least_side", [None, 64])
def test_every_exif_orientation_is_turned_upright(orientation: int, least_side: int | None) -> None:
    upright = draw_lesion(1, 320, 240)
    how = STORED_AS[orientation]
    stored = upright if how is None else upright.transpose(how)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encode(stored, "JPEG", exif=exif, quality=95), LIMITS, least_side)
    assert (decoded.width, decoded.height) == (320, 240)
    assert difference(decoded.image.resize((320, 240)), upright) < 6


@pytest.mark.parametrize("format", FORMATS)
def test_every_accepted_format_is_read_by_its_content(format: str) -> None:
    picture = draw_lesion(2, 120, 90)
    decoded = decode(encode(picture, format), LIMITS)
    assert decoded.image.mode == "RGB"
    assert difference(decoded.image, picture) < 12


@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_heic_is_turned_upright_once(orientation: int) -> None:
    # It tells its orientation twice, of which EXIF's is for those that do not know the other.
    upright = draw_lesion(1, 320, 240)
    how = STORED_AS[orientation]
    stored = upright.copy() if how is None else upright.transpose(how)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.info["exif"] = exif.tobytes()
    data = encode(stored, "HEIF", quality=90)
    assert (b"irot" in data or b"imir" in data) == (orientation != 1)
    decoded = decode(data, LIMITS)
    assert (decoded.width, decoded.height) == (320, 240)
    assert difference(decoded.image, upright) < 6


def test_a_heic_keeps_its_first_picture_and_its_colours() -> None:
    lesion, other = draw_lesion(2, 128, 96, redness=0.9), Image.new("RGB", (128, 96), "green")
    data = encode(lesion, "HEIF", save_all=True, append_images=[other], quality=90)
    assert difference(decode(data, LIMITS).image, lesion) < 6


def test_a_heic_that_tells_fewer_pixels_than_it_has_is_not_decoded() -> None:
    data = encode(Image.new("RGB", (1024, 1024), "tan"), "HEIF")
    size = struct.pack(">II", 1024, 1024)
    assert size in data
    for told in (64, 1000):
        with pytest.raises(PictureError) as caught:
            decode(data.replace(size, struct.pack(">II", told, told)), LIMITS)
        assert caught.value.reason == "damaged"


def test_the_limits_hold_for_a_heic() -> None:
    data = encode(Image.new("RGB", (300, 200)), "HEIF")
    with pytest.raises(PictureError, match=r"300 x 200 pixels") as caught:
        decode(data, Limits(max_pixels=59_999))
    assert caught.value.reason == "too_many_pixels"
    with pytest.raises(PictureError, match="MB of memory") as caught:
        prepare(data, SQUASH, LIMITS, Room(500_000))
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_opaque_modes_keep_their_colours(mode: str) -> None:
    picture = draw_lesion(3, 64, 48).convert(mode)
    format = "TIFF" if mode == "CMYK" else "PNG"
    decoded = decode(encode(picture, format), LIMITS)
    assert difference(decoded.image, picture.convert("RGB")) == 0


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    picture = Image.new("RGBA", (40, 20), (90, 60, 60, 255))
    picture.paste((90, 60, 60, 0), (0, 0, 20, 20))
    format = "TIFF" if mode == "PA" else "PNG"
    stored = picture.convert(mode)
    if mode == "PA":
        stored = picture.convert("P").convert("PA")
        stored.putalpha(picture.getchannel("A"))
    decoded = decode(encode(stored, format), LIMITS).image
    assert decoded.getpixel((5, 5)) == (255, 255, 255)
    assert decoded.getpixel((30, 5)) == stored.convert("RGB").getpixel((30, 5))
    assert greys(decoded)[5, 30] < 120


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_a_transparent_colour_is_laid_on_white(mode: str) -> None:
    picture = Image.new("RGB", (40, 20), "black")
    picture.paste("white", (20, 0, 40, 20))
    picture = picture.convert(mode)
    hole = picture.getpixel((5, 5))
    decoded = decode(encode(picture, "PNG", transparency=hole), LIMITS).image
    assert decoded.getpixel((5, 5)) == (255, 255, 255)


def test_half_transparent_is_mixed_with_white() -> None:
    decoded = decode(encode(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG"), LIMITS).image
    assert decoded.getpixel((4, 4)) == (127, 127, 127)


def test_sixteen_bit_greys_are_rescaled_and_not_clipped() -> None:
    levels = np.linspace(0, 65535, 256).round().astype(np.uint16)
    for data in (
        sixteen_bit_png(levels[None], colour=0),
        encode(Image.fromarray(levels[None]), "TIFF"),
        encode(Image.fromarray(levels[None].astype(np.int32)), "TIFF"),
    ):
        np.testing.assert_array_equal(greys(decode(data, LIMITS).image)[0], np.arange(256))


def test_a_transparent_sixteen_bit_grey_is_laid_on_white() -> None:
    data = sixteen_bit_png(np.array([[1000, 30000]], np.uint16), colour=0, transparent=1000)
    np.testing.assert_array_equal(greys(decode(data, LIMITS).image)[0], [255, 117])


def test_sixteen_bit_colours_are_rescaled() -> None:
    levels = np.full((4, 4, 3), [65535, 32896, 0], np.uint16)
    decoded = decode(sixteen_bit_png(levels, colour=2), LIMITS).image
    assert decoded.getpixel((2, 2)) == (255, 128, 0)


@pytest.mark.parametrize("array", [np.ones((4, 4), np.float32), np.full((4, 4), 1 << 20, np.int32)])
def test_numbers_without_an_agreed_white_are_refused(array: np.ndarray) -> None:
    with pytest.raises(PictureError, match="no agreed black and white") as caught:
        decode(encode(Image.fromarray(array), "TIFF"), LIMITS)
    assert caught.value.reason == "not_a_picture"


def test_an_icc_profile_is_converted_to_srgb() -> None:
    # With sRGB's own profile nothing changes; XYZ as a profile of RGB is far from it.
    picture = draw_lesion(4, 64, 48)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = decode(encode(picture, "PNG", icc_profile=srgb), LIMITS).image
    assert difference(same, picture) < 1
    swapped = with_red_and_blue_swapped(srgb)
    turned = decode(encode(picture, "PNG", icc_profile=swapped), LIMITS).image
    expected = Image.merge("RGB", picture.split()[::-1])
    assert difference(turned, expected) < 2


@pytest.mark.parametrize("mode", ["P", "RGBA"])
def test_an_icc_profile_counts_under_palette_and_transparency_too(mode: str) -> None:
    picture = draw_lesion(4, 64, 48).convert(mode)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encode(picture, "PNG", icc_profile=with_red_and_blue_swapped(srgb))
    expected = Image.merge("RGB", picture.convert("RGB").split()[::-1])
    assert difference(decode(data, LIMITS).image, expected) < 2


@pytest.mark.parametrize("profile", [b"no profile at all", b"\0" * 128])
def test_a_broken_icc_profile_is_passed_over(profile: bytes) -> None:
    picture = draw_lesion(5, 32, 24)
    assert (
        difference(decode(encode(picture, "PNG", icc_profile=profile), LIMITS).image, picture) == 0
    )


def with_red_and_blue_swapped(profile: bytes) -> bytes:
    """An RGB profile whose red is blue and whose blue is red."""
    tags = {profile[i : i + 4]: i for i in range(132, 132 + 12 * profile[131], 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    swapped = bytearray(profile)
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(swapped)


@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    size=st.integers(8, 96),
)
@settings(max_examples=40, deadline=None)
def test_a_jpeg_is_never_shrunk_below_the_least_side(width: int, height: int, size: int) -> None:
    data = encode(Image.new("RGB", (width, height), (200, 150, 120)), "JPEG")
    decoded = decode(data, LIMITS, least_side=2 * size)
    assert min(decoded.image.size) >= min(2 * size, width, height)
    assert (decoded.width, decoded.height) == (width, height)


@pytest.mark.parametrize("seed", range(4))
def test_a_shrunken_jpeg_gives_the_pixels_of_the_whole_one(seed: int) -> None:
    data = encode(draw_lesion(seed, 1300, 1000), "JPEG", quality=92)
    shrunk = decode(data, LIMITS, least_side=2 * 96)
    whole = decode(data, LIMITS)
    assert shrunk.image.width < whole.image.width
    preprocessing = Preprocessing(fit="squash", size=96)
    one, other = (fit(picture.image, preprocessing)[0].astype(int) for picture in (shrunk, whole))
    assert np.abs(one - other).mean() < 1
    assert np.abs(one - other).max() < 25


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@given(width=st.integers(1, 500), height=st.integers(1, 500), side=st.integers(8, 160))
@example(width=320, height=320, side=160)
@example(width=480, height=320, side=160)
@example(width=100, height=500, side=120)
@settings(max_examples=40, deadline=None)
def test_the_longer_side_of_a_thumbnail_is_as_long_as_was_asked(
    format: str, width: int, height: int, side: int
) -> None:
    data = encode(Image.new("RGB", (width, height), "tan"), format)
    assert max(thumbnail(data, side, LIMITS).size) == min(side, max(width, height))


@pytest.mark.parametrize("size", [(4000, 4000), (4000, 3000), (4000, 2667), (800, 4000)])
def test_a_thumbnail_of_a_large_jpeg_is_decoded_small(size: tuple[int, int]) -> None:
    data = encode(Image.new("RGB", size, "tan"))
    # A quarter of each side, 10 bytes a pixel.
    room = Room(size[0] * size[1] // 16 * 10 + len(data) + 20_000)
    assert max(thumbnail(data, 1000, Limits(), room).size) == 1000


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encode(frames[0], format, save_all=True, append_images=frames[1:])
        red, green, blue = np.asarray(decode(data, LIMITS).image)[10, 10]
        assert red > 240
        assert green < 15
        assert blue < 15


@pytest.mark.parametrize("size", [(1, 1), (30_000, 1), (1, 30_000)])
@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_extreme_sizes_are_prepared(
    size: tuple[int, int], how: Literal["squash", "crop", "pad"], format: str
) -> None:
    data = encode(Image.new("RGB", size, (200, 100, 50)), format)
    prepared = prepare(data, Preprocessing(fit=how, size=16), LIMITS)
    assert prepared.pixels.shape == (16, 16, 3)
    assert (prepared.width, prepared.height) == size


def test_limits_are_refused_with_what_was_sent_and_what_is_accepted() -> None:
    data = encode(Image.new("RGB", (300, 200)), "PNG")
    with pytest.raises(
        PictureError, match=r"300 x 200 pixels; at most 0\.059999 megapixels"
    ) as caught:
        decode(data, Limits(max_pixels=59_999))
    assert caught.value.reason == "too_many_pixels"
    assert decode(data, Limits(max_pixels=60_000)).width == 300
    with pytest.raises(PictureError, match="larger than") as caught:
        decode(data, Limits(max_bytes=len(data) - 1))
    assert caught.value.reason == "too_many_bytes"
    assert decode(data, Limits(max_bytes=len(data))).width == 300


@pytest.mark.parametrize("size", [(1, 70_000), (70_000, 1)])
def test_a_long_thread_of_few_pixels_is_refused(size: tuple[int, int]) -> None:
    # On its way to the network's size it would take that many times its own room in memory.
    with pytest.raises(PictureError, match="65535 pixels a side") as caught:
        prepare(encode(Image.new("L", size), "PNG"), SQUASH, LIMITS)
    assert caught.value.reason == "too_many_pixels"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    head = sixteen_bit_png(np.zeros((1, 1), np.uint16), colour=0)
    size = struct.pack(">II", 2_000_000_000, 2_000_000_000)
    ihdr = b"IHDR" + size + head[24:29]
    bomb = head[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + head[33:]
    with pytest.raises(PictureError) as caught:
        decode(bomb, LIMITS)
    assert caught.value.reason == "too_many_pixels"


def test_a_tile_counts_where_it_is_larger_than_its_picture() -> None:
    with pytest.raises(PictureError) as caught:
        decode(tiff_with_a_huge_tile(4_000), LIMITS)
    assert caught.value.reason == "too_many_pixels"
    assert decode(tiff_with_a_huge_tile(64), LIMITS).width == 16


def test_a_jpeg_that_goes_over_its_pixels_too_often_is_refused() -> None:
    with pytest.raises(PictureError, match="201 times; at most 100") as caught:
        decode(jpeg_of_many_scans(64, 200), LIMITS)
    assert caught.value.reason == "damaged"
    assert decode(jpeg_of_many_scans(64, 99), LIMITS).width == 64


def test_a_picture_without_room_is_refused_with_what_it_needs() -> None:
    data = encode(Image.new("RGB", (1000, 800)), "PNG")
    with pytest.raises(
        PictureError, match=r"about 8 MB of memory; this server gives 7 MB"
    ) as caught:
        prepare(data, SQUASH, LIMITS, Room(7_000_000))
    assert caught.value.reason == "too_many_pixels"
    room = Room(8_000_000)
    assert prepare(data, SQUASH, LIMITS, room).width == 1000
    assert room.used == 0


def test_room_is_given_back_by_a_damaged_picture_too() -> None:
    room = Room(8_000_000)
    with pytest.raises(PictureError):
        prepare(encode(draw_lesion(1, 64, 48), "PNG")[:-200], SQUASH, LIMITS, room)
    assert room.used == 0


def test_a_jpeg_needs_room_for_what_is_left_of_it() -> None:
    # Shrunk while it is decoded it takes little; if it is progressive, all it holds.
    large = Image.new("RGB", (2000, 2000), "tan")
    plain, progressive = encode(large), encode(large, progressive=True, subsampling=0)
    assert prepare(plain, SQUASH, LIMITS, Room(1_000_000)).width == 2000
    with pytest.raises(PictureError, match="not progressive"):
        prepare(progressive, SQUASH, LIMITS, Room(20_000_000))
    assert prepare(progressive, SQUASH, LIMITS, Room(30_000_000)).width == 2000


MEASURE = """
import re, sys
from contextlib import contextmanager
from pathlib import Path
from serving.manifest import Preprocessing
from serving.memory import Room, return_what_is_free, return_what_is_freed
from serving.pictures import prepare

class Watched(Room):
    @contextmanager
    def taken(self, count):
        self.count = count
        yield

def memory(what):
    return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

return_what_is_freed()
for name in sys.argv[1:]:
    data, room, crop = Path(name).read_bytes(), Watched(), Preprocessing(fit="crop", size=32)
    for _ in range(2):  # what is made once is there the second time
        return_what_is_free()  # and of what was kept, nothing
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")
        prepare(data, crop, None, room)
    print(room.count, memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from Linux's /proc")
def test_decoding_takes_no_more_room_than_is_set_aside(tmp_path: Path) -> None:
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {}),
        ("LA", "PNG", {}),
        ("P", "GIF", {}),
        ("I;16", "PNG", {}),
        ("CMYK", "TIFF", {"compression": "tiff_lzw"}),
        ("RGBA", "TIFF", {"compression": "tiff_lzw"}),
        ("RGB", "WEBP", {"method": 0}),
        ("RGBA", "WEBP", {"method": 0, "lossless": True, "quality": 0}),
        ("RGB", "AVIF", {"speed": 10}),
        ("RGBA", "AVIF", {"speed": 10}),
        ("RGB", "HEIF", {"enc_params": {"preset": "ultrafast"}}),
        ("RGBA", "HEIF", {"enc_params": {"preset": "ultrafast"}}),
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    ]
    names = []
    for number, (mode, format, options) in enumerate(kinds):
        picture = draw_lesion(1, 100, 100).resize((1400, 1400))
        if mode in ("RGBA", "LA"):
            picture.putalpha(128)
        if mode == "I;16":
            picture = picture.convert("L")
        (tmp_path / f"{number}").write_bytes(encode(picture.convert(mode), format, **options))
        names.append(str(tmp_path / f"{number}"))
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *names], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for kind, line in zip(kinds, run.stdout.splitlines(), strict=True):
        set_aside, taken = map(int, line.split())
        # How much a codec's threads hold at once depends on what else runs.
        assert set_aside / 8 < taken < set_aside + 4_000_000, kind


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\0", "not_a_picture"),
        (b"%PDF-1.7 and so on", "not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_a_picture"),
        (encode(draw_lesion(1, 64, 48), "PPM"), "not_a_picture"),
        (encode(draw_lesion(1, 64, 48), "JPEG")[:-200], "damaged"),
        (encode(draw_lesion(1, 64, 48), "PNG")[:-200], "damaged"),
        (encode(draw_lesion(1, 64, 48), "HEIF")[:-200], "damaged"),
    ],
)
def test_what_is_no_usable_picture_is_refused_for_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError) as caught:
        prepare(data, SQUASH, LIMITS)
    assert caught.value.reason == reason


SAMPLES = {
    "JPEG": encode(draw_lesion(7, 80, 60), "JPEG", exif=Image.Exif()),
    "progressive": encode(draw_lesion(7, 80, 60), "JPEG", progressive=True),
    "PNG": encode(draw_lesion(7, 40, 30), "PNG"),
    "palette": encode(draw_lesion(7, 40, 30).convert("P"), "PNG"),
    "WEBP": encode(draw_lesion(7, 80, 60), "WEBP"),
    "AVIF": encode(draw_lesion(7, 64, 48), "AVIF"),
    "HEIF": encode(draw_lesion(7, 64, 48), "HEIF"),
    "TIFF": encode(draw_lesion(7, 20, 15), "TIFF", compression="tiff_lzw"),
    "BMP": encode(draw_lesion(7, 20, 15), "BMP"),
    "GIF": encode(draw_lesion(7, 40, 30), "GIF"),
}


@given(
    name=st.sampled_from(sorted(SAMPLES)),
    cut=st.floats(0, 1),
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=12
    ),
)
@example(name="TIFF", cut=0.9, changes=[])
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_bytes_give_a_picture_or_a_clear_refusal(
    name: str, cut: float, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(SAMPLES[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    data = data[: int(cut * len(data)) + 1]
    with contextlib.suppress(PictureError):
        prepared = prepare(bytes(data), SQUASH, LIMITS)
        assert prepared.pixels.shape == (32, 32, 3)
        assert prepared.pixels.dtype == np.uint8


@given(data=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_at_all_are_refused_or_read(data: bytes) -> None:
    with contextlib.suppress(PictureError):
        prepare(data, SQUASH, LIMITS)


def test_squash_shows_all_and_crop_the_middle_square() -> None:
    picture = draw_lesion(8, 400, 300)
    assert fit(picture, SQUASH)[1] == (0.0, 0.0, 1.0, 1.0)
    pixels, view = fit(picture, Preprocessing(fit="crop", size=32))
    assert view == (0.125, 0.0, 0.875, 1.0)
    middle, _ = fit(picture.crop((50, 0, 350, 300)), SQUASH)
    assert np.abs(pixels.astype(int) - middle).max() <= 1


@given(width=st.integers(1, 300), height=st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_pad_shows_all_between_bars_and_says_where(width: int, height: int) -> None:
    pixels, (left, top, right, bottom) = fit(
        Image.new("RGB", (width, height), "white"), Preprocessing(fit="pad", size=32)
    )
    lit = pixels[..., 0] > 127
    for low, high, extent in ((left, right, lit.any(0)), (top, bottom, lit.any(1))):
        assert low <= 0
        assert high >= 1
        # The fraction 0 to 1 of the view falls on the lit pixels.
        first, last = (-low / (high - low) * 32, (1 - low) / (high - low) * 32)
        assert np.flatnonzero(extent)[0] == pytest.approx(first, abs=0.01)
        assert np.flatnonzero(extent)[-1] + 1 == pytest.approx(last, abs=0.01)


def test_the_network_gets_pillows_antialiased_bicubic() -> None:
    picture = draw_lesion(9, 300, 200)
    prepared = prepare(encode(picture, "PNG"), SQUASH, LIMITS)
    expected = picture.resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(prepared.pixels, np.asarray(expected))


@pytest.mark.parametrize("format", ["TIFF", "JPEG", "PNG"])
def test_no_metadata_gets_into_a_log(format: str, caplog: pytest.LogCaptureFixture) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    data = encode(draw_lesion(9, 60, 40), format, exif=exif)
    assert b"somebody" in data
    with caplog.at_level(logging.DEBUG):
        prepare(data, SQUASH, LIMITS)
    assert "somebody" not in caplog.text


def test_the_bytes_decide_and_not_a_wrong_end() -> None:
    joined = [encode(draw_lesion(1, 32, 24), format) for format in ("PNG", "JPEG")]
    for first, second in pairwise([*joined, joined[0]]):
        # What follows a whole picture is no part of it.
        assert decode(first + second, LIMITS).width == 32
