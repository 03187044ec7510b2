"""The version of this runtime and of the specification that it follows."""

from __future__ import annotations

VERSION = "0.1.0"
OCI_VERSION = "1.3.0"
