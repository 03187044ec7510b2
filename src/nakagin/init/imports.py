"""What the sources of a Python program import that is neither Python's own nor the project's: for who wrote no list."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nakagin.init.folder import Folder

# a module → the package that brings it, where the two are called differently
PACKAGES = {
    "bs4": "beautifulsoup4", "cv2": "opencv-python-headless", "dateutil": "python-dateutil", "discord": "discord.py",
    "docx": "python-docx", "dotenv": "python-dotenv", "flask_cors": "flask-cors", "fitz": "pymupdf", "jwt": "pyjwt",
    "magic": "python-magic", "MySQLdb": "mysqlclient", "OpenSSL": "pyopenssl", "PIL": "pillow", "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary", "serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "telegram": "python-telegram-bot", "usb": "pyusb", "yaml": "pyyaml", "zmq": "pyzmq",
}  # fmt: skip
_IMPORT = (
    r"^(?:from[ \t]+([A-Za-z]\w*)[\w.]*[ \t]+import\b|import[ \t]+([A-Za-z]\w*(?:[ \t]*,[ \t]*[A-Za-z]\w*)*))"
)


def packages(folder: Folder, sources: tuple[str, ...]) -> dict[str, str]:
    """Name of each package → the first place that imports it ("app.py:3"); only what is imported at any rate counts."""
    own = {part.removesuffix(".py") for path in sources for part in path.split("/")}
    found: dict[str, str] = {}
    for hit in folder.search(_IMPORT, sources):
        for module in re.split(r"[ \t]*,[ \t]*", hit.match[1] or hit.match[2]):
            if module not in own and module not in sys.stdlib_module_names:
                found.setdefault(PACKAGES.get(module, module.replace("_", "-").lower()), hit.place)
    return found
