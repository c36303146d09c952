"""Says what a file is by what stands in it, whatever its name ends in, so that a refusal names the true kind."""

import zipfile
from pathlib import Path

BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"II+\0", "a TIFF picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"%PDF", "a PDF"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89HDF\r\n", "an HDF5 file (.h5, MATLAB 7.3)"),
    (b"MATLAB 5.0", "a MATLAB file (.mat)"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself (git lfs pull fetches it)"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"glTF", "a glTF model (.glb)"),
    (b"\0\x05\x16\x07", "a file that macOS keeps beside others (._name)"),
)
MP4_BRANDS = {
    b"heic": "a HEIC picture", b"heix": "a HEIC picture", b"mif1": "a HEIC picture", b"msf1": "a HEIC picture",
    b"hevc": "a HEIC picture", b"avif": "an AVIF picture", b"avis": "an AVIF picture", b"crx ": "a raw picture (CR3)",
}  # fmt: skip
"""What a container of MP4's kind holds if its brand says so; else a video."""
TORCH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""What PyTorch's files before version 1.6 have near their beginning."""


def kind_of(path: Path) -> str:
    """Name what a file is, such as "a HEIC picture"; empty if that is not known."""
    with open(path, "rb") as stream:
        head = stream.read(512)
    if not head:
        return "an empty file"
    if head[4:8] == b"ftyp":
        return MP4_BRANDS.get(head[8:12], "an MP4 or MOV video")
    if head[:4] == b"RIFF":
        return {b"WEBP": "a WebP picture", b"AVI ": "an AVI video"}.get(head[8:12], "")
    if head[:4] == b"PK\x03\x04":
        return _kind_of_zip(path)
    if TORCH_MAGIC in head:
        return "a file of PyTorch"
    known = next((kind for beginning, kind in BEGINNINGS if head.startswith(beginning)), "")
    return known or _kind_of_text(head)


def _kind_of_zip(path: Path) -> str:
    """Tell PyTorch's and NumPy's archives from others."""
    try:
        names = zipfile.ZipFile(path).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "a zip archive that is cut short"
    if any(name.endswith("data.pkl") for name in names):
        return "a file of PyTorch"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays (.npz)"
    return "a zip archive"


def _kind_of_text(head: bytes) -> str:
    """Recognise a web page, which a failed download leaves under any name, and other text."""
    text = head.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n").lower()
    if text.startswith(("<!doctype html", "<html", "<head", "<script")):
        return "a web page (html), as a download leaves that needs a login"
    if text.startswith("<svg") or (text.startswith("<?xml") and "<svg" in text):
        return "an SVG drawing"
    if text.startswith("<?xml"):
        return "an XML file"
    if text.startswith(("{", "[")) and b"\0" not in head:
        return "JSON or other text"
    return "" if b"\0" in head or "\ufffd" in text[:-4] else "text"
