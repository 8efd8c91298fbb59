import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from enhancers import images
from enhancers.images import ImageError, load, load_mask

# A picture without symmetry, so that every wrong turn or mirror shows.
RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = np.ascontiguousarray(RGB[..., 0])
ALPHA = np.random.default_rng(1).integers(0, 256, (5, 7), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    stream.seek(0)
    return stream


def tiff(array: np.ndarray, **options) -> io.BytesIO:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    stream.seek(0)
    return stream


def png(width: int, height: int, bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG made by hand: colour is 0 grey, 2 RGB, 4 grey + alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), *chunks, (b"IEND", b"")):
        crc = zlib.crc32(kind + body)
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    return data


def png16(array: np.ndarray, colour: int, *chunks: tuple[bytes, bytes]) -> io.BytesIO:
    """A 16-bit PNG of values (H, W) or (H, W, C)."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    data = (b"IDAT", zlib.compress(rows))
    return io.BytesIO(png(array.shape[1], array.shape[0], 16, colour, *chunks, data))


def grey_of(photo: images.Photo) -> np.ndarray:
    """Grey levels (H, W) of a photo, having checked that it is grey."""
    red, green, blue = photo.pixels[0].numpy()
    assert np.array_equal(red, green) and np.array_equal(red, blue)
    return red


# --- formats and modes


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_give_the_exact_pixels(kind, options):
    photo = load(encoded(Image.fromarray(RGB), kind, **options))
    assert photo.pixels.shape == (1, 3, 5, 7) and photo.pixels.dtype == torch.float32
    assert (photo.height, photo.width) == (5, 7)
    assert photo.alpha is None
    assert np.array_equal(photo.pixels[0].permute(1, 2, 0).numpy(), RGB / np.float32(255))
    assert np.array_equal(images.to_uint8(photo.pixels), RGB)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_give_the_pixels_about(kind):
    smooth = np.tile(np.linspace(40, 200, 48, dtype=np.uint8)[None, :, None], (32, 1, 3))
    photo = load(encoded(Image.fromarray(smooth), kind, quality=95))
    assert np.abs(images.to_uint8(photo.pixels).astype(int) - smooth).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF"])
def test_alpha_is_kept(kind):
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {"quality": 100}
    photo = load(encoded(rgba, kind, **(options if kind in ("WEBP", "AVIF") else {})))
    assert photo.alpha.shape == (1, 1, 5, 7)
    assert np.array_equal(photo.alpha[0, 0].numpy(), ALPHA / np.float32(255))
    if kind != "AVIF":  # which is lossy
        assert np.array_equal(images.to_uint8(photo.pixels), RGB)


def test_the_first_frame_of_an_animation_counts():
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    photo = load(encoded(first, "GIF", save_all=True, append_images=[second]))
    assert np.array_equal(grey_of(photo), GREY / np.float32(255))


def test_one_bit_pictures_are_black_and_white():
    photo = load(encoded(Image.fromarray(GREY > 100), "PNG"))
    assert np.array_equal(grey_of(photo), (GREY > 100).astype(np.float32))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_and_grey_with_alpha(kind):
    photo = load(encoded(Image.fromarray(GREY), kind))
    assert photo.alpha is None
    assert np.array_equal(grey_of(photo), GREY / np.float32(255))
    photo = load(encoded(Image.fromarray(np.dstack([GREY, ALPHA])), kind))
    assert np.array_equal(grey_of(photo), GREY / np.float32(255))
    assert np.array_equal(photo.alpha[0, 0].numpy(), ALPHA / np.float32(255))


def palette_picture() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "L").convert("P")
    image.putdata([0, 1, 2, 2, 1, 0])
    image.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palettes_are_looked_up(kind):
    photo = load(encoded(palette_picture(), kind))
    assert photo.alpha is None
    assert images.to_uint8(photo.pixels)[0].tolist() == [[255, 0, 0], [0, 255, 0], [10, 20, 30]]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\xff"])
def test_palettes_with_transparency(transparency):
    photo = load(encoded(palette_picture(), "PNG", transparency=transparency))
    assert photo.alpha[0, 0].tolist() == [[1, 0, 1], [1, 0, 1]]
    assert images.to_uint8(photo.pixels)[0, ::2].tolist() == [[255, 0, 0], [10, 20, 30]]


def test_transparent_colours_of_a_png():
    level = int(GREY[2, 3])
    photo = load(encoded(Image.fromarray(GREY), "PNG", transparency=level))
    assert np.array_equal(photo.alpha[0, 0].numpy() == 0, level == GREY)
    photo = load(encoded(Image.fromarray(RGB), "PNG", transparency=tuple(map(int, RGB[2, 3]))))
    assert np.argwhere(photo.alpha[0, 0].numpy() == 0).tolist() == [[2, 3]]


def test_cmyk_by_ink_and_paper():
    # No ink, all cyan, all black, half magenta.
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255], [0, 128, 0, 0]]], np.uint8)
    expected = [[255, 255, 255], [0, 255, 255], [0, 0, 0], [255, 127, 255]]
    photo = load(encoded(Image.frombytes("CMYK", (4, 1), inks.tobytes()), "TIFF"))
    assert images.to_uint8(photo.pixels)[0].tolist() == expected


@pytest.mark.parametrize("adobe", [False, True])
def test_cmyk_jpeg_is_not_a_negative(adobe):
    paper = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    data = encoded(paper, "JPEG").getvalue()
    if adobe:  # Photoshop's marker: inks are stored inverted
        data = data[:2] + b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00" + data[2:]
    photo = load(io.BytesIO(data))
    assert photo.pixels.min() == 1


# --- more than 8 bits

LEVELS = np.array([[0, 1, 255, 256], [1000, 32768, 65534, 65535]], np.uint16)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_grey_keeps_its_precision(byteorder):
    expected = LEVELS / np.float32(65535)
    assert np.array_equal(grey_of(load(tiff(LEVELS, byteorder=byteorder))), expected)
    assert np.array_equal(grey_of(load(png16(LEVELS, 0))), expected)
    raw = LEVELS.astype(f"{byteorder}u2").tobytes()
    image = Image.frombytes("I;16B" if byteorder == ">" else "I;16", (4, 2), raw)
    assert np.array_equal(grey_of(load(image)), expected)
    assert np.array_equal(grey_of(load(Image.fromarray(LEVELS.astype(np.int32)))), expected)


def test_16_bit_grey_png_with_a_transparent_level():
    photo = load(png16(LEVELS, 0, (b"tRNS", struct.pack(">H", 256))))
    assert np.argwhere(photo.alpha[0, 0].numpy() == 0).tolist() == [[0, 3]]
    assert np.array_equal(grey_of(photo), LEVELS / np.float32(65535))


def test_16_bit_grey_tiff_with_white_as_zero():
    photo = load(tiff(LEVELS, photometric="miniswhite"))
    assert np.allclose(grey_of(photo), 1 - LEVELS / 65535, atol=1e-7)


def test_12_bit_grey_tiff_reaches_white():
    stream = io.BytesIO()
    packed = bytes.fromhex("000fff800000")  # 0, 4095, 2048, 0
    entries = [(256, 4), (257, 1), (258, 12), (259, 1), (262, 1), (273, 110), (277, 1), (279, 6)]
    stream.write(struct.pack("<2sHIH", b"II", 42, 8, len(entries)))
    for tag, value in entries:
        stream.write(struct.pack("<HHII", tag, 4, 1, value))
    stream.write(b"\0" * 4)
    assert stream.tell() == 110
    stream.write(packed)
    stream.seek(0)
    levels = grey_of(load(stream))
    assert np.allclose(levels, np.array([[0, 1, 2048 / 4095, 0]]), atol=1e-6)


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_is_at_most_a_level_off(channels):
    values = np.random.default_rng(2).integers(0, 65536, (6, 5, channels), dtype=np.uint16)
    values[0, 0], values[0, 1] = 0, 65535
    streams = [
        png16(values, 2 if channels == 3 else 6),
        *(
            tiff(
                values,
                photometric="rgb",
                byteorder=byteorder,
                compression=compression,
                extrasamples=["unassalpha"] if channels == 4 else None,
            )
            for byteorder in "<>"
            for compression in (None, "zlib")
        ),
    ]
    for stream in streams:
        photo = load(stream)
        got = photo.pixels[0].permute(1, 2, 0).numpy()
        if channels == 4:
            got = np.dstack([got, photo.alpha[0, 0].numpy()])
        assert np.abs(got - values / 65535).max() <= 1 / 255
        assert got[0, 0].max() == 0 and got[0, 1].min() == 1


def test_16_bit_grey_with_alpha():
    values = np.dstack([LEVELS, LEVELS[::-1]])
    photo = load(png16(values, 4))
    assert np.abs(grey_of(photo) - LEVELS / 65535).max() <= 1 / 255
    assert np.abs(photo.alpha[0, 0].numpy() - LEVELS[::-1] / 65535).max() <= 1 / 255


def test_16_bit_colour_in_separate_planes_is_refused():
    planes = np.zeros((3, 4, 5), np.uint16)
    with pytest.raises(ImageError, match="separate planes; save it interleaved"):
        load(tiff(planes, photometric="rgb", planarconfig="separate"))


def test_8_bit_colour_in_separate_planes():
    planes = np.ascontiguousarray(RGB.transpose(2, 0, 1))
    photo = load(tiff(planes, photometric="rgb", planarconfig="separate"))
    assert np.array_equal(images.to_uint8(photo.pixels), RGB)


def test_floating_point_grey_must_lie_in_its_range():
    values = np.array([[0, 0.25, 1]], np.float32)
    assert np.array_equal(grey_of(load(tiff(values))), values)
    with pytest.raises(ImageError, match=r"must lie in \[0, 1\].*from 0 to 200"):
        load(tiff(values * 200))
    with pytest.raises(ImageError, match="must lie in"):
        load(tiff(values * np.nan))
    with pytest.raises(ImageError, match=r"must lie in \[0, 65535\]"):
        load(tiff(np.array([[70000, 0]], np.uint32)))
    with pytest.raises(ImageError, match="from -1 to 0"):
        load(tiff(np.array([[-1, 0]], np.int16)))


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_colours_are_divided_by_their_alpha(mode):
    colours = (128,) * (len(mode) - 1)
    photo = load(Image.new(mode.upper(), (3, 2), (*colours, 128)).convert(mode))
    assert np.abs(images.to_uint8(photo.pixels).astype(int) - 128).max() <= 1
    assert torch.equal(photo.alpha, torch.full((1, 1, 2, 3), 128 / 255))


def test_lab_is_converted():
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    grey = Image.new("RGB", (4, 4), (119, 119, 119))
    picture = ImageCms.profileToProfile(grey, srgb, lab, outputMode="LAB")
    assert np.abs(images.to_uint8(load(picture).pixels).astype(int) - 119).max() <= 1


# --- orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_exif_orientation_is_applied_once(kind, orientation):
    # Exif 2.32: where the stored picture's row 0 and column 0 lie in the upright one.
    store = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    upright = np.kron(GREY[:2, :3] // 255 * 255, np.ones((16, 16), np.uint8))
    upright[:16, :16], upright[16:, :16] = 255, 128
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {} if kind in ("PNG", "TIFF") else {"quality": 95}
    stored = Image.fromarray(np.ascontiguousarray(store(upright)))
    photo = load(encoded(stored, kind, exif=exif, **options))
    assert (photo.height, photo.width) == (32, 48)
    got = images.to_uint8(photo.pixels)[..., 1].astype(int)
    assert np.abs(got - upright).max() <= (0 if kind in ("PNG", "TIFF") else 20)


def test_exif_orientation_turns_16_bit_and_alpha_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = load(png16(LEVELS, 0, (b"eXIf", exif.tobytes()[6:])))
    assert np.array_equal(grey_of(photo), np.rot90(LEVELS, -1) / np.float32(65535))
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    photo = load(encoded(rgba, "PNG", exif=exif))
    assert np.array_equal(photo.alpha[0, 0].numpy(), np.rot90(ALPHA, -1) / np.float32(255))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\xff", b"what is this?"])
def test_broken_exif_is_ignored(exif):
    photo = load(encoded(Image.fromarray(RGB), "PNG", exif=b"Exif\0\0" + exif))
    assert np.array_equal(images.to_uint8(photo.pixels), RGB)


# --- colour profiles, made by hand after ICC.1:2010


def icc(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ") -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    for signature, data in tags.items():
        offset = 128 + 4 + 12 * len(tags) + len(body)
        table += struct.pack(">4sII", signature, offset, len(data))
        body += data + b"\0" * (-len(data) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(
        ">I4xI4s4s4s12x4s28xiii", 128 + len(table + body), 0x02400000, kind, space, pcs, b"acsp",
        63190, 65536, 54061,  # the D50 white point
    )  # fmt: skip
    return header.ljust(128, b"\0") + table + body


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def gamma(value: float) -> bytes:
    return struct.pack(">4s4xIH", b"curv", 1, round(value * 256))


SRGB_CURVE = struct.pack(">4s4xHH", b"para", 3, 0) + fixed(
    2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045
)


def rgb_profile(to_xyz: list[list[float]], curve: bytes) -> bytes:
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)}
    for colour, column in zip((b"r", b"g", b"b"), zip(*to_xyz, strict=True), strict=True):
        tags[colour + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*column)
        tags[colour + b"TRC"] = curve
    return icc(b"RGB ", tags)


# Primaries adapted to D50, as Apple's and Adobe's own profiles have them.
SRGB_XYZ = [[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
P3_XYZ = [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0010, 0.0419, 0.7841]]
ADOBE_XYZ = [[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]]
DISPLAY_P3 = rgb_profile(P3_XYZ, SRGB_CURVE)
ADOBE_RGB = rgb_profile(ADOBE_XYZ, gamma(563 / 256))


def srgb_decode(encoded):
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def srgb_encode(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(
    ("profile", "to_xyz", "decode"),
    [
        (DISPLAY_P3, P3_XYZ, srgb_decode),
        (ADOBE_RGB, ADOBE_XYZ, lambda x: x ** (563 / 256)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_wide_colours_are_converted_to_srgb(profile, to_xyz, decode, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    photo = load(encoded(Image.fromarray(RGB), kind, icc_profile=profile, **options))
    linear = decode(RGB / 255) @ (np.linalg.inv(SRGB_XYZ) @ np.array(to_xyz)).T
    error = np.abs(photo.pixels[0].permute(1, 2, 0).numpy() - srgb_encode(linear))
    assert error.max() <= 1.3 / 255  # LittleCMS computes in 1.14 fixed point
    assert np.abs(images.to_uint8(photo.pixels).astype(int) - RGB).max() > 10  # it did something


@pytest.mark.parametrize(
    ("p3", "srgb"), [((234, 51, 35), (255, 0, 0)), ((117, 251, 76), (0, 255, 0))]
)
def test_display_p3_in_known_numbers(p3, srgb):
    # sRGB's red and green are (0.9175, 0.2003, 0.1386) and (0.4584, 0.9853, 0.2983) in Display P3.
    photo = load(encoded(Image.new("RGB", (1, 1), p3), "PNG", icc_profile=DISPLAY_P3))
    assert np.abs(images.to_uint8(photo.pixels)[0, 0].astype(int) - srgb).max() <= 4


def test_alpha_survives_a_profile():
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    photo = load(encoded(rgba, "PNG", icc_profile=DISPLAY_P3))
    assert np.array_equal(photo.alpha[0, 0].numpy(), ALPHA / np.float32(255))
    opaque = load(encoded(Image.fromarray(RGB), "PNG", icc_profile=DISPLAY_P3))
    assert torch.equal(photo.pixels, opaque.pixels)


@pytest.mark.parametrize("curve", [SRGB_CURVE, gamma(2.2)])
def test_grey_profiles(curve):
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249), b"kTRC": curve}
    profile = icc(b"GRAY", tags)
    photo = load(encoded(Image.fromarray(GREY), "PNG", icc_profile=profile))
    exact = GREY / 255
    if curve != SRGB_CURVE:
        exact = srgb_encode(exact ** (563 / 256))
    assert np.abs(grey_of(photo) - exact).max() <= 0.51 / 255


def test_a_linear_grey_profile_of_16_bits():
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249), b"kTRC": gamma(1)}
    profile = (b"iCCP", b"linear\0\0" + zlib.compress(icc(b"GRAY", tags)))
    photo = load(png16(LEVELS, 0, profile))
    assert np.abs(grey_of(photo) - srgb_encode(LEVELS / 65535)).max() <= 0.51 / 255


def test_a_grey_picture_with_a_colour_profile():
    photo = load(encoded(Image.fromarray(GREY), "PNG", icc_profile=ADOBE_RGB))
    exact = srgb_encode((GREY / 255) ** (563 / 256))
    assert np.abs(grey_of(photo) - exact).max() <= 1.3 / 255
    photo = load(encoded(Image.fromarray(GREY), "PNG", icc_profile=DISPLAY_P3))
    assert np.array_equal(grey_of(photo), GREY / np.float32(255))


def cmyk_profile() -> bytes:
    """Ink to Lab by a table of two points per ink: each ink takes lightness, colours none."""
    curve = bytes(range(256))
    corners = bytearray()
    for index in range(16):
        inks = [index >> 3 & 1, index >> 2 & 1, index >> 1 & 1, index & 1]
        lightness = 255 * (1 - inks[3]) * (1 - sum(inks[:3]) / 4)
        corners += bytes([round(lightness), 128, 128])
    table = struct.pack(">4s4xBBBx", b"mft1", 4, 3, 2) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += curve * 4 + bytes(corners) + curve * 3
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    return icc(b"CMYK", {b"wtpt": white, b"A2B0": table}, pcs=b"Lab ")


def test_cmyk_profiles():
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8)
    image = Image.frombytes("CMYK", (3, 1), inks.tobytes())
    photo = load(encoded(image, "TIFF", icc_profile=cmyk_profile()))
    # All cyan is a grey of L* = 75 by this profile: Y = 0.4828, sRGB 185.
    expected = np.array([[255, 255, 255], [185, 185, 185], [0, 0, 0]])
    assert np.abs(images.to_uint8(photo.pixels)[0].astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile",
        DISPLAY_P3[:200],
        cmyk_profile(),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
    ids=["garbage", "truncated", "of another mode", "sRGB"],
)
def test_pixels_stay_where_the_profile_is_broken_or_srgb(profile):
    photo = load(encoded(Image.fromarray(RGB), "PNG", icc_profile=profile))
    assert np.array_equal(images.to_uint8(photo.pixels), RGB)
    photo = load(encoded(Image.fromarray(LEVELS), "TIFF", icc_profile=profile))
    assert np.array_equal(grey_of(photo), LEVELS / np.float32(65535))


# --- sources


def test_paths_strings_streams_and_pil_images(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(RGB).save(path)
    with path.open("rb") as stream:
        photos = [load(path), load(str(path)), load(stream)]
        assert not stream.closed
    with Image.open(path) as image:
        photos.append(load(image))
    assert all(photo.name == "photo.png" for photo in photos)
    photos.append(load(Image.fromarray(RGB)))
    assert all(np.array_equal(images.to_uint8(photo.pixels), RGB) for photo in photos)


def test_a_stream_that_cannot_seek():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *args):
            raise io.UnsupportedOperation("seek")

    photo = load(Pipe(encoded(Image.fromarray(RGB), "PNG").getvalue()))
    assert np.array_equal(images.to_uint8(photo.pixels), RGB)


def test_one_pixel():
    photo = load(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"))
    assert images.to_uint8(photo.pixels).tolist() == [[[1, 2, 3]]]


# --- what cannot be read


def write(path, data: bytes):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "is empty; give a PNG"),
        (b"Dear diary, today I", "is not a picture.*; give a PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC picture.*export it as JPEG"),
        (encoded(Image.fromarray(RGB), "PNG").getvalue()[:50], "is damaged or incomplete"),
        (encoded(Image.fromarray(RGB), "JPEG").getvalue()[:-30], "is damaged or incomplete"),
        (encoded(Image.fromarray(RGB), "JPEG").getvalue()[:20], "is not a picture, or its start"),
        (encoded(Image.fromarray(RGB), "WEBP").getvalue()[:-30], "is damaged|is not a picture"),
        (encoded(Image.fromarray(RGB), "AVIF").getvalue()[:-30], "is damaged|is not a picture"),
        (tiff(RGB, photometric="rgb").getvalue()[:-30], "is damaged or incomplete"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a picture"),
    ],
    ids=["empty", "text", "heic", "png", "jpeg", "jpeg-header", "webp", "avif", "tiff", "eps"],
)
def test_files_that_cannot_be_read_say_so_in_one_line(tmp_path, data, expected):
    path = write(tmp_path / "photo.png", data)
    for source in (path, io.BytesIO(data)):
        with pytest.raises(ImageError, match=expected) as caught:
            load(source)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match=r"photo\.png"):
        load(path)


def test_missing_files_folders_and_pipes(tmp_path):
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        load(tmp_path / "none.png")
    with pytest.raises(ImageError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(ImageError, match="is a device or a pipe"):
        load("/dev/null")


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = write(tmp_path / "secret.png", b"x")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ImageError, match=r"secret\.png may not be read"):
        load(path)


@pytest.mark.parametrize("side", [10_000, 50_000])  # Pillow refuses the second one by itself
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_header(side):
    blank = zlib.compressobj()
    data = b"".join(blank.compress(bytes(10**6)) for _ in range(20)) + blank.flush()
    bomb = io.BytesIO(png(side, side, 8, 2, (b"IDAT", data)))
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"up to 24,000,000 pixels.*make it smaller"):
        load(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6
    assert bomb.tell() < 10**5  # nor was the picture's data read


def test_max_pixels_is_a_limit_one_may_set():
    picture = encoded(Image.fromarray(RGB), "PNG").getvalue()
    assert load(io.BytesIO(picture), max_pixels=35).width == 7
    with pytest.raises(ImageError, match=r"up to 34 pixels, but .* has 7 × 5"):
        load(io.BytesIO(picture), max_pixels=34)
    with pytest.raises(ImageError, match="up to 34 pixels"):
        load(Image.fromarray(RGB), max_pixels=34)


# --- the way back


def test_bytes_and_floats_are_exact_inverses():
    every = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    pixels = images.from_uint8(every)
    assert pixels.shape == (1, 3, 16, 16) and pixels.is_contiguous()
    assert np.array_equal(images.to_uint8(pixels), every)
    assert torch.equal(images.quantise(pixels), pixels)


def test_rounding_is_to_the_nearest_level():
    pixels = torch.tensor([0.49, 0.51, 254.4, 254.6]).div(255).repeat(3, 1)[None, :, None]
    assert images.to_uint8(pixels)[0, :, 0].tolist() == [0, 1, 254, 255]
    assert images.quantise(pixels)[0, 0, 0].mul(255).tolist() == [0, 1, 254, 255]


def test_quantise_gives_what_a_file_would_hold():
    pixels = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    rounded = images.quantise(pixels)
    assert rounded.shape == pixels.shape and rounded.dtype == torch.float32
    assert torch.equal(rounded[:1], images.from_uint8(images.to_uint8(pixels[:1])))


def test_to_pil_with_and_without_alpha():
    pixels = images.from_uint8(RGB)
    assert np.array_equal(np.asarray(images.to_pil(pixels)), RGB)
    alpha = torch.from_numpy(ALPHA)[None, None] / 255
    image = images.to_pil(pixels, alpha)
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image), np.dstack([RGB, ALPHA]))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 3, H, W\)"):
        images.to_uint8(torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        images.from_uint8(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        images.from_uint8(np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ValueError, match="alpha"):
        images.to_pil(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 5))


def test_saved_pngs_load_back_with_their_metadata(tmp_path):
    path = tmp_path / "out.png"
    pixels, alpha = images.from_uint8(RGB), torch.from_numpy(ALPHA)[None, None] / 255
    images.save_png(path, pixels, alpha, metadata={"method": "vae", "note": "naïve → “ok”"})
    photo = load(path)
    assert torch.equal(photo.pixels, pixels) and torch.equal(photo.alpha, alpha)
    with Image.open(path) as image:
        assert image.text == {"method": "vae", "note": "naïve → “ok”"}
    assert path.stat().st_mode & 0o777 == write(tmp_path / "other", b"").stat().st_mode & 0o777


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    images.save_png(path, images.from_uint8(RGB))

    def break_off(self, stream, *args, **options):
        stream.write_bytes(b"\x89PNG")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", break_off)
    with pytest.raises(OSError, match="disk full"):
        images.save_png(path, images.from_uint8(255 - RGB))
    monkeypatch.undo()
    assert np.array_equal(images.to_uint8(load(path).pixels), RGB)
    assert list(tmp_path.iterdir()) == [path]


# --- masks

HOLES = np.zeros((5, 7), bool)
HOLES[1:3, 2:6] = True


def layer(colour: tuple[int, int, int], background: tuple[int, int, int] = (0, 0, 0)):
    """A painted layer: one colour, opaque in the holes and transparent elsewhere."""
    painted = np.where(HOLES[..., None], np.uint8(colour), np.uint8(background))
    return Image.fromarray(np.dstack([painted, HOLES * np.uint8(255)]))


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(HOLES),
        Image.fromarray(HOLES * np.uint8(255)),
        Image.fromarray(HOLES[..., None].repeat(3, 2) * np.uint8(255)),
        Image.fromarray(HOLES * np.uint16(65535)),
        Image.fromarray(np.dstack([HOLES * np.uint8(255), np.full((5, 7), np.uint8(255))])),
        layer((255, 255, 255)),
        layer((200, 0, 0)),
        layer((0, 0, 0)),
        layer((0, 0, 0), background=(255, 255, 255)),
        layer((250, 250, 250), background=(255, 255, 255)),
    ],
    ids=[
        "1",
        "L",
        "RGB",
        "I;16",
        "LA",
        "white",
        "red",
        "black",
        "black-on-white",
        "white-on-white",
    ],
)
def test_masks_in_every_guise(image):
    mask = load_mask(encoded(image, "PNG"), (5, 7))
    assert mask.shape == (1, 1, 5, 7) and mask.dtype == torch.float32
    assert np.array_equal(mask[0, 0].numpy(), HOLES.astype(np.float32))


def test_a_picture_with_transparent_parts_counts_by_its_white():
    grey = HOLES * np.uint8(255)
    alpha = np.full((5, 7), 255, np.uint8)
    alpha[0] = 0
    mask = load_mask(Image.fromarray(np.dstack([grey, grey, grey, alpha])), (5, 7))
    assert np.array_equal(mask[0, 0].numpy(), HOLES.astype(np.float32))


def test_an_empty_layer_marks_nothing():
    assert load_mask(Image.new("RGBA", (7, 5)), (5, 7)).sum() == 0


def test_the_profile_of_a_mask_does_not_move_its_threshold():
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249), b"kTRC": gamma(1)}
    grey = encoded(Image.new("L", (7, 5), 110), "PNG", icc_profile=icc(b"GRAY", tags))
    assert load_mask(grey, (5, 7)).sum() == 0


def test_a_mask_is_turned_upright_and_must_fit():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(HOLES * np.uint8(255))))
    mask = load_mask(encoded(turned, "PNG", exif=exif), (5, 7))
    assert np.array_equal(mask[0, 0].numpy(), HOLES.astype(np.float32))
    header_alone = io.BytesIO(png(8, 5, 8, 0))
    for picture in (encoded(turned, "PNG"), encoded(Image.new("L", (8, 5)), "PNG"), header_alone):
        with pytest.raises(ImageError, match="photo's size of 7 × 5 pixels"):
            load_mask(picture, (5, 7))


# --- lists of files


def test_list_images(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "odd.dat", "c.webp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "deep.png").touch()

    def names(*paths):
        return [path.name for path in images.list_images(paths)]

    assert names(tmp_path) == ["a.png", "b.JPG", "c.webp"]
    assert names(str(tmp_path / "*.png")) == ["a.png"]
    assert names(tmp_path / "odd.dat", tmp_path / "a.png") == ["odd.dat", "a.png"]
    assert names(tmp_path / "c.webp", tmp_path) == ["c.webp", "a.png", "b.JPG"]
    assert names(tmp_path / "missing.png", tmp_path / "*.tif") == ["missing.png", "*.tif"]


def test_a_file_named_like_a_pattern_is_itself(tmp_path):
    (tmp_path / "a[1].png").touch()
    (tmp_path / "a1.png").touch()
    assert images.list_images([tmp_path / "a[1].png"]) == [tmp_path / "a[1].png"]
