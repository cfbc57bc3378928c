"""AVIF and HEIC: what the container says, held against the code."""

from __future__ import annotations

import struct

import pytest

from service.vision import heif_structure
from service.vision.heif_structure import HeifStructure
from tests.hostile.heifs import box, coded_picture, full_box, heif, heif_announcing
from tests.hostile.photographs import encode, with_alpha
from tests.vision.pictures import as_stored, exif_with_orientation, picture_rgb

BRANDS = ("avif", "heic")
TURN = {3: b"\x02", 6: b"\x03", 8: b"\x01"}


def grid(columns: int, rows: int, width: int, height: int, *, tile: int = 64) -> bytes:
    codes = [coded_picture("avif", tile, tile)] * (columns * rows)
    head = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    return heif("avif", [(tile, tile)] * len(codes), codes, grid=head, grid_size=(width, height))


@pytest.mark.parametrize("brand", BRANDS)
def test_size_and_code_are_read(brand: str) -> None:
    data = heif_announcing(brand, 640, 480)
    assert heif_structure.read_size(data) == (640, 480)
    structure = heif_structure.read_structure(data)
    assert (structure.orientation, structure.cropped, structure.coded_pixels) == (1, False, 640 * 480)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_and_mirrors_are_read_as_an_encoder_writes_them(orientation: int) -> None:
    data = encode(as_stored(picture_rgb(), orientation), "AVIF", exif=exif_with_orientation(orientation))
    assert heif_structure.read_structure(data).orientation == orientation


@pytest.mark.parametrize(("orientation", "turn"), TURN.items())
def test_turns_alone(orientation: int, turn: bytes) -> None:
    data = heif("heic", [(64, 64)], [coded_picture("heic", 64, 64)], properties={b"irot": turn})
    assert heif_structure.read_structure(data).orientation == orientation


def test_a_plane_of_alpha_is_decoded_too() -> None:
    data = encode(with_alpha(picture_rgb(48, 32)), "AVIF")
    assert heif_structure.read_structure(data).coded_pixels == 2 * 48 * 32


def test_the_tiles_of_a_grid_are_what_is_decoded() -> None:
    data = grid(2, 3, 100, 190)
    assert heif_structure.read_size(data) == (100, 190)
    structure = heif_structure.read_structure(data)
    assert structure == HeifStructure(
        1, cropped=False, coded_pixels=6 * 64 * 64, coded_bytes=6 * len(coded_picture("avif", 64, 64))
    )


@pytest.mark.parametrize("size", [(60, 190), (129, 190), (100, 128), (100, 193)])
def test_tiles_that_do_not_fit_their_picture_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="tiles"):
        heif_structure.read_structure(grid(2, 3, *size))


@pytest.mark.parametrize("brand", BRANDS)
@pytest.mark.parametrize("in_code", [(16_000, 480), (640, 16_000), (639, 480)])
def test_another_size_in_the_code_is_refused(brand: str, in_code: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="another size"):
        heif_structure.read_structure(heif_announcing(brand, 640, 480, in_code=in_code))


def test_hevc_codes_whole_blocks_and_a_crop_takes_them_away() -> None:
    crop = struct.pack(">8I", 630, 1, 470, 1, 0, 1, 0, 1)
    code = coded_picture("heic", 640, 480)
    data = heif("heic", [(640, 480)], [code], properties={b"clap": crop}, in_configuration=(640, 512))
    assert heif_structure.read_size(data) == (630, 470)
    structure = heif_structure.read_structure(data)
    assert (structure.cropped, structure.coded_pixels) == (True, 640 * 512)


@pytest.mark.parametrize("crop", [(641, 1, 480, 1), (600, 7, 480, 1)])
def test_a_crop_past_the_picture_is_refused(crop: tuple[int, ...]) -> None:
    clap = struct.pack(">8I", *crop, 0, 1, 0, 1)
    data = heif("heic", [(640, 480)], [coded_picture("heic", 640, 480)], properties={b"clap": clap})
    with pytest.raises(ValueError, match="crop"):
        heif_structure.read_size(data)


@pytest.mark.parametrize("brand", BRANDS)
@pytest.mark.parametrize("frames", [0, 2, 100])
def test_not_one_frame_is_refused(brand: str, frames: int) -> None:
    with pytest.raises(ValueError, match=r"not one (frame|picture)"):
        heif_structure.read_structure(heif(brand, [(64, 64)], [coded_picture(brand, 64, 64, frames=frames)]))


def test_parameters_within_the_code_are_refused() -> None:
    parameters = struct.pack(">IBBBB", 4, 33 << 1, 1, 0x80, 0)
    with pytest.raises(ValueError, match="within the code"):
        heif_structure.read_structure(heif("heic", [(64, 64)], [parameters + coded_picture("heic", 64, 64)]))


def test_a_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence"):
        heif_structure.read_size(heif_announcing("avif", 64, 64) + box(b"moov", b""))


@pytest.mark.parametrize("brand", BRANDS)
def test_a_file_cut_off_anywhere_is_refused(brand: str) -> None:
    data = heif_announcing(brand, 640, 480)
    for length in range(12, len(data)):
        with pytest.raises((ValueError, IndexError)):
            heif_structure.read_structure(data[:length])


def test_items_that_share_bytes_are_refused() -> None:
    data = heif_announcing("avif", 64, 64)
    shared = data.replace(full_box(b"iloc", b"")[4:8], b"iloc")
    at = shared.index(b"iloc") + 4 + 4 + 2
    entry = shared[at + 2 : at + 2 + 14]
    assert struct.unpack_from(">H", shared, at) == (1,)
    with pytest.raises(ValueError, match=r".+"):
        heif_structure.read_structure(shared[:at] + struct.pack(">H", 2) + entry + shared[at + 16 :])
