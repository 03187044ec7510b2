"""What a store works out of a request to know whom it is from, written down apart from the client's own code."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def s3_mark(method: str, path: str, headers: Mapping[str, str]) -> str:
    """The signature of AWS Signature Version 4 for the key SECRET."""
    names = sorted(name.lower() for name in headers)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    request = f"{method}\n{path}\n\n{lines}\n{';'.join(names)}\n{headers['x-amz-content-sha256']}"
    moment = headers["x-amz-date"]
    day = moment[:8]
    key = _hmac(_hmac(_hmac(_hmac(b"AWS4SECRET", day), "eu-west-1"), "s3"), "aws4_request")
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{moment}\n{day}/eu-west-1/s3/aws4_request\n{digest}"
    return _hmac(key, text).hex()


def azure_mark(method: str, path: str, headers: Mapping[str, str], length: int) -> str:
    """The signature of Azure's Shared Key for the key "secret"."""
    lowered = {name.lower(): value for name, value in headers.items()}
    own = "".join(f"{name}:{lowered[name]}\n" for name in sorted(lowered) if name.startswith("x-ms-"))
    fields = [
        "",
        "",
        str(length) if length else "",
        "",
        lowered.get("content-type", ""),
        "",
        "",
        "",
        "",
        "",
        "",
    ]
    text = f"{method}\n" + "\n".join(fields) + f"\n{own}/account{path}"
    return base64.b64encode(_hmac(b"secret", text)).decode()
