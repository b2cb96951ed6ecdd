"""Encoded images in a folder, a zip, a tar, an LMDB or a package, listed and read in one way.

Images are read straight into memory, from any number of processes at once. Nothing is ever unpacked
under a name that an archive chose.
"""

from fpa.data.readers.base import LARGEST_FILE, Found, Reader
from fpa.data.readers.listing import Listing, list_images
from fpa.data.readers.opening import open_source

__all__ = ["LARGEST_FILE", "Found", "Listing", "Reader", "list_images", "open_source"]
