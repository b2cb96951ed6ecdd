"""What kind of image a file is, by its first bytes: its name may say anything."""

LARGEST_FILE = 1 << 28
"""Bytes of one encoded image; a larger file is not an image of a training set."""
START = 32
"""Bytes that tell what kind of image a file is."""
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
"""Sizes of the second header of a BMP, behind the 14 bytes of the first."""
BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "raw photograph"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"
)
"""What a file of MPEG-4's family says to be, where that is an image."""
ADVICE = {
    "AVIF": "Pillow 11.3 or later reads it",
    "HEIC": "pip install pillow-heif, which reads it, or save it as JPEG",
    "JPEG XL": "save it as PNG or JPEG",
    "JPEG 2000": "save it as PNG or JPEG",
    "raw photograph": "develop it, or leave it out",
    "placeholder of iCloud": "download the photograph itself",
}
"""Kinds of images that are not read, or not by every installation, and what to do about them."""


def kind_of(start: bytes) -> str:
    """The kind of image that a file is by its first START bytes; empty for what is no image."""
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WEBP"
    if start.startswith((b"II*\0", b"MM\0*")):
        return "raw photograph" if start[8:10] == b"CR" else "TIFF"
    if start[:2] == b"BM" and start[14:18] in (bytes([n, 0, 0, 0]) for n in BMP_HEADERS):
        return "BMP"
    if start[:1] == b"P" and start[1:2] in b"123456" and start[2:3].isspace():
        return "PPM" if start[3:4].isdigit() or start[3:4] == b"#" else ""
    if start[4:8] == b"ftyp":
        # The main brand, four bytes of its version, then all brands that the file is of.
        brands = [start[8:12], *(start[i : i + 4] for i in range(16, START, 4))]
        found = [BRANDS[brand] for brand in brands if brand in BRANDS]
        return "AVIF" if "AVIF" in found else next(iter(found), "")
    if start.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return "JPEG XL"
    if start.startswith((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")):
        return "JPEG 2000"
    return "raw photograph" if start.startswith((b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO")) else ""
