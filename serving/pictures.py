"""One way from a file's bytes to the network's pixels, for the server and for the training cache.

EXIF orientation is honoured, an ICC profile is converted to sRGB, 16-bit greys are rescaled,
transparency is laid on white, the picture is fitted to a square, and Pillow's antialiased bicubic
brings it to the network's size.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pillow_heif
from PIL import AvifImagePlugin, ExifTags, Image, ImageCms, ImageFile, ImageOps, TiffImagePlugin

from serving import heads
from serving.avif import AvifError, coded_pixels
from serving.jpeg import Layout, layout
from serving.manifest import Preprocessing
from serving.memory import Room

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "GIF")
"""What is accepted, told by content and never by name. HEIF as iPhones save it is HEIC."""

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
SUFFIXES = frozenset(
    (*_JPEG, ".png", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".bmp", ".gif")
)
"""What a picture's file is called, where a folder is searched for them, in lower case."""

Reason = Literal["empty", "too_many_bytes", "not_a_picture", "too_many_pixels", "damaged"]

T = TypeVar("T")

Pixels = npt.NDArray[np.uint8]
View = tuple[float, float, float, float]

# The limit is ours, on the size that a file's head tells, before anything is decoded. Pillow's own
# would only warn up to twice its figure.
Image.MAX_IMAGE_PIXELS = None

# libheif decodes no more pixels than the head tells. What lies beside the picture is not looked at,
# and a picture takes one thread like any other.
pillow_heif.register_heif_opener(
    thumbnails=False, depth_images=False, aux_images=False, decode_threads=1
)

heads.limit_directories()

# libavif would start one for each core of the machine.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

Kind = Literal["plain", "layered", "deep"]

_PER_PIXEL: dict[Kind, int] = {"plain": 10, "layered": 14, "deep": 18}
"""bytes for each pixel on its way to sRGB: of 8 bits and no more than three channels, of more
channels, of more bits"""

_PER_PIXEL_OF: dict[str, dict[Kind, int]] = {
    "WEBP": {"plain": 18, "layered": 24, "deep": 24},
    "AVIF": {"plain": 16, "layered": 22, "deep": 22},
    "HEIF": {"plain": 16, "layered": 22, "deep": 22},
}
"""the same where the decoder itself keeps the whole picture, too"""

_MOST_RUN_LENGTH = 1_000_000
"""pixels of a run-length encoded BMP, which Pillow decodes in Python"""

_TILE_WIDTH, _TILE_LENGTH = TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH

# Pillow's debug messages tell a file's metadata: who took the picture, where and when.
logging.getLogger("PIL").setLevel(logging.WARNING)


class PictureError(ValueError):
    """A file that is not a usable picture; the message says why and what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is accepted, in bytes of the file and pixels of the picture.

    The side has its own limit because a picture of few pixels may be a long thread of them, which
    grows to the network's size times its length on the way there. `max_scans` is how often a JPEG
    may go over its pixels: a scan of nothing takes ten bytes and as long as any other.
    """

    max_bytes: int = 25_000_000
    max_pixels: int = 50_000_000
    max_side: int = 65_535
    max_scans: int = 100


class Upright(msgspec.Struct, frozen=True):
    """A decoded RGB picture the right way up.

    `image` may be smaller than `width` x `height`, the picture's own size in pixels, where its
    decoder was asked to shrink it.
    """

    image: Image.Image
    width: int
    height: int


class Prepared(msgspec.Struct, frozen=True):
    """A picture as the network takes it: `pixels` `[S, S, 3] uint8` RGB.

    `view` is the part of the upright picture that `pixels` shows, as fractions
    [left, top, right, bottom]; beyond 0 and 1 where the picture was padded.
    """

    pixels: Pixels
    view: View
    width: int
    height: int


def prepare(
    data: bytes,
    preprocessing: Preprocessing,
    limits: Limits | None = None,
    room: Room | None = None,
) -> Prepared:
    """Decodes the file `data` and brings it to the network's size, within `room`.

    Raises:
        PictureError: where `data` is no picture, is damaged, or is beyond `limits` or `room`.
    """
    # At twice the network's size no probability moves; at once the size one in ten does.
    with _opened(data, limits or Limits(), 2 * preprocessing.size, room) as opened:
        upright = _upright(*opened)
        pixels, view = fit(upright.image, preprocessing)
        return Prepared(pixels, view, upright.width, upright.height)


def thumbnail(data: bytes, side: int, limits: Limits, room: Room | None = None) -> Image.Image:
    """The upright sRGB picture of the file `data`, its longer side at most `side` pixels.

    Raises:
        PictureError: where `data` is no picture, is damaged, or is beyond `limits` or `room`.
    """
    with _opened(data, limits, side, room, max) as opened:
        image = _upright(*opened).image
        image.thumbnail((side, side))
        return image


def decode(data: bytes, limits: Limits, least_side: int | None = None) -> Upright:
    """Decodes the file `data` to an upright sRGB picture.

    A JPEG may be shrunk while it is decoded, but to no side below `least_side` pixels; None keeps
    every pixel. Of an animation the first frame is taken.

    Raises:
        PictureError: where `data` is no picture, is damaged, or is beyond `limits`.
    """
    with _opened(data, limits, least_side, None) as opened:
        return _upright(*opened)


def fit(image: Image.Image, preprocessing: Preprocessing) -> tuple[Pixels, View]:
    """Fits an upright RGB picture to the square `[S, S, 3] uint8` of `preprocessing`.

    `squash` shows the whole picture and gives up its proportions, `crop` shows its central square,
    `pad` shows the whole picture between black bars. Returns the pixels and the view.
    """
    size = preprocessing.size
    width, height = image.size
    if preprocessing.fit == "squash":
        return np.asarray(_resize(image, size, size)), (0.0, 0.0, 1.0, 1.0)
    if preprocessing.fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        # Cropped first: `resize` with a box would let pixels outside of it shine in at its edges.
        square = _resize(image.crop(box), size, size)
        view = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        return np.asarray(square), view
    side = max(width, height)
    inner = (max(1, round(size * width / side)), max(1, round(size * height / side)))
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    square = Image.new("RGB", (size, size))
    square.paste(_resize(image, *inner), (left, top))
    view = (
        -left / inner[0],
        -top / inner[1],
        (size - left) / inner[0],
        (size - top) / inner[1],
    )
    return np.asarray(square), view


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    """Antialiased bicubic, across and then down.

    Both at once would leave the order to Pillow, whose releases differ in it; where a picture is
    saturated the order moves grey levels, and `preprocess.onnx` has only one.
    """
    across = image.resize((width, image.height), Image.Resampling.BICUBIC)
    return across.resize((width, height), Image.Resampling.BICUBIC)


@contextmanager
def _opened(
    data: bytes,
    limits: Limits,
    least_side: int | None,
    room: Room | None,
    which: Callable[[int, int], int] = min,
) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """The picture before it is decoded, with its own size, once it was checked against `limits`.

    `which` side of a JPEG, the shorter (min) or the longer (max), is not shrunk below `least_side`.
    `room` is held until the picture is done with.
    """
    if not data:
        raise PictureError("empty", "The file is empty. Choose the picture again.")
    if len(data) > limits.max_bytes:
        raise PictureError(
            "too_many_bytes",
            f"The file is larger than {limits.max_bytes / 1e6:g} MB, the most that is accepted. "
            "Save the picture smaller or as JPEG.",
        )
    _refuse_many_parts(heads.check, data)
    with _open(data) as image:
        width, height = image.size
        pixels = max(width * height, _pixels_of_a_tile(image), _pixels_of_avif(image, data))
        if pixels > limits.max_pixels or max(width, height) > limits.max_side:
            raise PictureError(
                "too_many_pixels",
                f"The picture has {width} x {height} pixels; at most "
                f"{limits.max_pixels / 1e6:g} megapixels and {limits.max_side} pixels a side are "
                "accepted. Save it smaller.",
            )
        if _is_run_length(image) and pixels > _MOST_RUN_LENGTH:
            raise PictureError(
                "too_many_pixels",
                f"The BMP of {width} x {height} pixels is run-length encoded, as which at most "
                f"{_MOST_RUN_LENGTH / 1e6:g} megapixels are read. Save it as PNG.",
            )
        jpeg = _refuse_many_parts(layout, data) if image.format in ("JPEG", "MPO") else None
        if jpeg and jpeg.scans > limits.max_scans:
            raise PictureError(
                "damaged",
                f"The JPEG goes over its pixels {jpeg.scans} times; at most {limits.max_scans} are "
                "accepted, and programs write about ten. Save the picture again.",
            )
        if jpeg and least_side is not None:
            factor = max(1, which(width, height) // least_side)
            image.draft(None, (max(1, width // factor), max(1, height // factor)))
        if jpeg and isinstance(image, ImageFile.ImageFile):
            # At one go: after each piece the decoder waits for the interpreter's lock again.
            image.decodermaxblock = len(data)
        if room is None:
            yield image, (width, height)
            return
        needed = _bytes_to_decode(image, pixels, jpeg) + (len(data) if jpeg else 0)
        if needed > room.size:
            raise PictureError(
                "too_many_pixels",
                f"To decode the picture of {width} x {height} pixels takes about "
                f"{needed / 1e6:.0f} MB of memory; this server gives {room.size / 1e6:.0f} MB. "
                "Save it smaller, or as a JPEG that is not progressive.",
            )
        with room.taken(needed):
            yield image, (width, height)


def _refuse_many_parts(look: Callable[[bytes], T], data: bytes) -> T:
    try:
        return look(data)
    except heads.HeadError as error:
        raise PictureError("damaged", f"The file {error}. Save the picture again.") from error


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # a decoder may raise anything over damaged bytes
        raise PictureError(
            "not_a_picture",
            "The file is not a picture of a kind that is read here "
            f"({', '.join(FORMATS).replace('HEIF', 'HEIC')}). Save it as JPEG or PNG.",
        ) from error


def _pixels_of_a_tile(image: Image.Image) -> int:
    """What a TIFF is decoded by, which may be larger than the picture that is cut from it."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 0
    sides = [image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
    return math.prod(sides) if all(isinstance(side, int) for side in sides) else 0


def _pixels_of_avif(image: Image.Image, data: bytes) -> int:
    """What an AVIF is decoded by; its head may tell fewer pixels than its pictures have.

    Raises:
        PictureError: where that cannot be told.
    """
    if image.format != "AVIF":
        return 0
    try:
        coded = coded_pixels(data)
    except AvifError as error:
        raise PictureError(
            "not_a_picture", f"The AVIF {error}, which is not read here. Save it as JPEG or PNG."
        ) from error
    # Colours, their mask and, where there is one, a smaller picture are as large as the head tells.
    return max(*coded, sum(coded) // 3, 0)


def _is_run_length(image: Image.Image) -> bool:
    return image.format == "BMP" and any(
        tile.codec_name == "bmp_rle" for tile in getattr(image, "tile", ())
    )


def _bytes_to_decode(image: Image.Image, pixels: int, jpeg: Layout | None) -> int:
    """About how much memory the picture takes at once on its way to sRGB, from measurements."""
    kind = _kind(image)
    if jpeg:
        # `draft` has shrunk the picture that is decoded, but not the coefficients that are kept.
        decoded = image.width * image.height
        return int(pixels * jpeg.coefficient_bytes + decoded * _PER_PIXEL[kind])
    return pixels * _PER_PIXEL_OF.get(image.format or "", _PER_PIXEL)[kind]


def _kind(image: Image.Image) -> Kind:
    if image.mode == "F" or image.mode.startswith("I"):
        return "deep"
    few = image.mode in ("1", "L", "P", "RGB") and "transparency" not in image.info
    return "plain" if few else "layered"


def _upright(image: Image.Image, size: tuple[int, int]) -> Upright:
    """Decodes an opened picture of `size`."""
    width, height = size
    try:
        image.load()
        if image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):
            width, height = height, width
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # a decoder may raise anything over damaged bytes
        raise PictureError(
            "damaged",
            "The picture is damaged or incomplete and cannot be decoded. Save or copy it "
            f"again. (The decoder says: {error})",
        ) from error
    return Upright(_to_srgb(image), width, height)


def _to_srgb(image: Image.Image) -> Image.Image:
    """RGB in sRGB on white, from any mode that Pillow decodes to."""
    profile = image.info.get("icc_profile")
    colours, alpha = _without_alpha(image)
    if profile:
        colours = _through_profile(colours, profile)
    if colours.mode != "RGB":
        try:
            colours = colours.convert("RGB")
        except ValueError as error:
            raise PictureError(
                "not_a_picture",
                f"The picture is in the colours {colours.mode}, which are not read here. Save it "
                "as JPEG or PNG.",
            ) from error
    if alpha is None:
        return colours
    white = Image.new("RGB", colours.size, "white")
    white.paste(colours, mask=alpha)
    return white


def _without_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The picture in 8 bits without palette or alpha, and its alpha (L) where it has any."""
    if image.mode == "F" or image.mode == "I" or image.mode.startswith("I;"):
        return _from_deep_greys(image)
    transparent = "transparency" in image.info
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if transparent or image.mode == "PA" else "RGB")
    elif image.mode in ("1", "L", "RGB") and transparent:
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    elif image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("LA", "RGBA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    return image, None


def _from_deep_greys(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """16-bit greys rescaled to 8, where Pillow's own conversion would clip them to white."""
    greys = np.asarray(image)
    if image.mode == "F" or greys.min() < 0 or greys.max() > 65535:
        raise PictureError(
            "not_a_picture",
            "The picture holds numbers beyond 16 bits, which have no agreed black and white. Save "
            "it with 8 or 16 bits.",
        )
    rescaled = Image.fromarray(((greys.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if (transparent := image.info.get("transparency")) is None:
        return rescaled, None
    return rescaled, Image.fromarray(np.where(greys == transparent, 0, 255).astype(np.uint8))


def _through_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """The picture in sRGB; a profile that is broken or for other colours is passed over."""
    try:
        converted = ImageCms.profileToProfile(
            image.convert("L") if image.mode == "1" else image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if converted is None else converted
