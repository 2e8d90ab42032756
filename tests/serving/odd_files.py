"""Files as they come from the open internet: broken, hostile or merely unusual. All are drawn."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable

from PIL import ExifTags, Image, PngImagePlugin

from tests.drawings import draw_lesion, encode

LESION = draw_lesion(1, 160, 120)

Entry = tuple[int, int, bytes]
"""of a TIFF: its tag, the type of its values, and they"""

_SHORT, _LONG = 3, 4


def png_chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(chunks: bytes) -> bytes:
    """A lesion as PNG with `chunks` behind its head."""
    png = encode(LESION, "PNG")
    return png[:33] + chunks + png[33:]


def png_bomb(side: int) -> bytes:
    """A black PNG of `side` x `side` pixels of 16 bits a channel, a thousandth of that in size."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 6 * side)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + png_chunk(b"IDAT", packed)
        + png_chunk(b"IEND", b"")
    )


def interlaced_png() -> bytes:
    """A grey PNG of 8 x 8 pixels in Adam7's seven passes."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
    rows = b""
    for x0, y0, dx, dy in (*passes, (0, 1, 1, 2)):
        for y in range(y0, 8, dy):
            rows += b"\0" + bytes(16 * y + x for x in range(x0, 8, dx))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1))
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def tiff(entries: Iterable[tuple[int, int]], data: bytes = b"", next_directory: int = 0) -> bytes:
    """A little-endian TIFF of one directory of numbers, with `data` behind it."""
    entries = sorted(entries)
    body = b"".join(struct.pack("<HHII", tag, _LONG, 1, value) for tag, value in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + body + struct.pack("<I", next_directory) + data


def tiff_with_a_huge_tile(side: int) -> bytes:
    """A TIFF of 16 x 16 pixels that are cut from a tile of `side` x `side`."""
    packer = zlib.compressobj(9)
    tile = b"".join(packer.compress(bytes(side)) for _ in range(side)) + packer.flush()
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side}
    place = 8 + 2 + 12 * (len(tags) + 2) + 4
    return tiff([*tags.items(), (324, place), (325, len(tile))], tile)


def tiff_without_end() -> bytes:
    """A TIFF whose first directory names itself as the next."""
    tags = {256: 4, 257: 4, 258: 8, 259: 1, 262: 1, 273: 8, 279: 16}
    return tiff(tags.items(), bytes(16), next_directory=8)


def jpeg_of_many_scans(side: int, scans: int, before_each: bytes = b"") -> bytes:
    """A grey progressive JPEG of `side` x `side` pixels that are gone over again and again."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body

    def codes(kind: int, symbol: int) -> bytes:
        return segment(0xC4, bytes((kind, 1, *[0] * 15, symbol)))

    frame = struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"
    first = segment(0xDA, b"\1\1\0\0\0\0")
    # All blocks' coefficients 1 to 63, which are said to be nothing.
    again = segment(0xDA, b"\1\1\0\1\x3f\0") + b"\x3f\xff\0\x3f\xff\0"
    tables = segment(0xDB, b"\0" + bytes([1] * 64)) + codes(0, 0) + codes(0x10, 0xE0)
    return (
        b"\xff\xd8"
        + tables[:69]
        + segment(0xC2, frame)
        + tables[69:]
        + first
        + (before_each + again) * scans
        + b"\xff\xd9"
    )


def exif_without_end() -> bytes:
    """A JPEG whose EXIF's sub-directory is the directory that names it."""
    loop = struct.pack("<HHHII", 1, ExifTags.IFD.Exif, _LONG, 1, 8) + bytes(4)
    return _with_exif(b"Exif\0\0II*\0" + struct.pack("<I", 8) + loop)


def exif_of_any_size() -> bytes:
    """A JPEG whose EXIF says that a value has four thousand million entries."""
    entry = struct.pack("<HHHII", 1, ExifTags.Base.Orientation, _SHORT, 0xFFFFFFFF, 26)
    return _with_exif(b"Exif\0\0II*\0" + struct.pack("<I", 8) + entry + bytes(4))


def jpeg_with(segments: bytes) -> bytes:
    """A lesion as JPEG with `segments` at its head."""
    jpeg = encode(LESION)
    return jpeg[:2] + segments + jpeg[2:]


def exif_in_pieces(count: int) -> bytes:
    """A JPEG whose EXIF says nothing in many segments."""
    return jpeg_with(b"\xff\xe1\x00\x09Exif\0\0 " * count)


def exif_of_numbers(count: int) -> bytes:
    """A TIFF's directory, as EXIF holds one, whose orientation is so many numbers."""
    entry = struct.pack("<HHHII", 1, ExifTags.Base.Orientation, _SHORT, count, 26)
    return b"II*\0" + struct.pack("<I", 8) + entry + bytes(4) + bytes(2 * count)


def gif_with(blocks: bytes) -> bytes:
    """A lesion as GIF with `blocks` before its picture."""
    gif = encode(LESION.convert("P"), "GIF")
    head = 13 + (3 << (gif[10] & 7) + 1)
    return gif[:head] + blocks + gif[head:]


def gif_of_comments(count: int) -> bytes:
    """A GIF with comments of a letter each before its picture."""
    return gif_with(b"!\xfe\x01x\0" * count)


def run_length_bmp(width: int, height: int) -> bytes:
    """A BMP of one colour whose rows are ended after their first pixel."""
    palette = bytes(4 * 256)
    offset = 14 + 40 + len(palette)
    rows = b"\1\0\0\0" * height + b"\0\1"
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", offset + len(rows), 0, 0, offset) + info + palette + rows


def avif_that_tells(width: int, height: int, side: int) -> bytes:
    """An AVIF of `side` x `side` pixels whose head tells another size."""
    data = encode(Image.new("RGB", (side, side), "tan"), "AVIF", speed=10)
    told = data.replace(struct.pack(">II", side, side), struct.pack(">II", width, height))
    assert told != data
    return told


def nested_xmp(depth: int = 10_000) -> bytes:
    """A PNG whose XMP is XML nested `depth` deep."""
    xml = b"<x>" * depth + b"</x>" * depth
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xml
    return png_with(png_chunk(b"iTXt", text))


def text_bomb() -> bytes:
    """A PNG with a comment of 64 MB in 64 KB."""
    return png_with(png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(64_000_000), 9)))


def profile_bomb() -> bytes:
    """A PNG with a colour profile of 64 MB in 64 KB."""
    return png_with(png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(64_000_000), 9)))


def many_comments(count: int = 5_000) -> bytes:
    """A PNG with many comments."""
    info = PngImagePlugin.PngInfo()
    for i in range(count):
        info.add_text(f"note{i}", "x")
    return encode(LESION, "PNG", pnginfo=info)


def many_frames(format: str, count: int = 200) -> bytes:
    """An animation, whose first frame is red."""
    frames = [Image.new("RGB", (40, 30), "red")]
    frames += [Image.new("RGB", (40, 30), (0, i % 256, 255 - i % 256)) for i in range(count)]
    return encode(frames[0], format, save_all=True, append_images=frames[1:], duration=20)


def picture_and_archive() -> bytes:
    """A JPEG that is a ZIP archive, too."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("page.html", "<script>alert(1)</script>")
    return encode(LESION) + buffer.getvalue()


def picture_and_page() -> bytes:
    """A GIF that reads as a script, too."""
    gif = encode(LESION.convert("P"), "GIF")
    comment = b"=1;alert(1)//"
    return gif[:13] + gif[13:] + b"/*" + comment + b"*/"


def page_and_picture() -> bytes:
    """A page with a JPEG somewhere in it."""
    return b"<html><script>alert(1)</script>" + encode(LESION)


def _with_exif(data: bytes) -> bytes:
    jpeg = encode(LESION)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + jpeg[2:]
