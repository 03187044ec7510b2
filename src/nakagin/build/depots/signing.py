"""Requests of object stores, signed: Amazon's (and everybody's who speaks S3) and Azure's. Pure but for the clock.

Sources: AWS Signature Version 4; "Authorize with Shared Key" of Azure Storage.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from yarl import URL

from nakagin.build.depots.model import Signed, needed
from nakagin.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EMPTY = hashlib.sha256(b"").hexdigest()
_AZURE_VERSION = "2021-08-06"
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class S3:
    """Objects of a bucket: `type=s3,bucket=,region=[,endpoint_url=,use_path_style=,access_key_id=,secret_access_key=,
    session_token=]`."""

    def __init__(self, attributes: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        """Raises Invalid."""
        self._bucket, self._region, self._id, self._secret = needed(
            attributes, "bucket", "region", "access_key_id", "secret_access_key"
        )
        self._token = attributes.get("session_token", "")
        self._clock = clock
        endpoint = attributes.get("endpoint_url") or f"https://s3.{self._region}.amazonaws.com"
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"invalid endpoint_url {endpoint!r} of a cache", hint="https://HOST")
        self._scheme, self._host, self._base = parts.scheme, parts.netloc, parts.path.rstrip("/")
        if attributes.get("use_path_style", "").lower() in ("1", "true"):
            self._base += f"/{quote(self._bucket)}"
        else:
            self._host = f"{self._bucket}.{self._host}"

    def signed(self, method: str, key: str, *, size: int = 0, digest: str = "") -> Signed:
        path = f"{self._base}/{quote(key, safe='/-_.~')}"
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock()))
        content = digest or _EMPTY
        headers = {"host": self._host, "x-amz-content-sha256": content, "x-amz-date": moment}
        if self._token:
            headers["x-amz-security-token"] = self._token
        names = ";".join(sorted(headers))
        lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
        request = "\n".join((method, path, "", *lines, "", names, content))
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        hashed = hashlib.sha256(request.encode()).hexdigest()
        signature = _chain(
            f"AWS4{self._secret}", moment[:8], self._region, "s3", "aws4_request",
            f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashed}",
        )  # fmt: skip
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self._id}/{scope},SignedHeaders={names},Signature={signature}"
        )
        if method == "PUT":
            headers["Content-Length"] = str(size)
        return Signed(URL(f"{self._scheme}://{self._host}{path}", encoded=True), headers)


def _chain(key: str, *words: str) -> str:
    """HMAC-SHA256 of each word with what the one before gave; the last in hex."""
    found = key.encode()
    for word in words:
        found = hmac.digest(found, word.encode(), "sha256")
    return found.hex()


class Azure:
    """Blobs of a container: `type=azblob,account_url=,container=,secret_access_key=`."""

    def __init__(self, attributes: Mapping[str, str], clock: Callable[[], float] = time.time) -> None:
        """Raises Invalid."""
        url, secret = needed(attributes, "account_url", "secret_access_key")
        self._container = attributes.get("container") or "buildkit-cache"
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(
                f"invalid account_url {url!r} of a cache", hint="https://ACCOUNT.blob.core.windows.net"
            )
        self._url, self._path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        # An emulator has the account in the path.
        self._account = (
            self._path.strip("/") if parts.hostname in _LOCAL else parts.hostname.partition(".")[0]
        )
        self._clock = clock
        try:
            self._secret = base64.b64decode(secret, validate=True)
        except binascii.Error:
            raise Invalid("the secret_access_key of an azblob cache is not base64") from None

    def signed(self, method: str, key: str, *, size: int = 0, digest: str = "") -> Signed:
        path = f"{self._path}/{self._container}/{quote(key, safe='/-_.~')}"
        headers = {"x-ms-date": formatdate(self._clock(), usegmt=True), "x-ms-version": _AZURE_VERSION}
        if method == "PUT":
            headers["x-ms-blob-type"] = "BlockBlob"
        lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
        length = str(size) if size else ""
        text = "\n".join((method, "", "", length, *[""] * 8, *lines, f"/{self._account}{path}"))
        mark = base64.b64encode(hmac.digest(self._secret, text.encode(), "sha256")).decode()
        headers["Authorization"] = f"SharedKey {self._account}:{mark}"
        if method == "PUT":
            headers["Content-Length"] = str(size)
        return Signed(URL(f"{self._url}{path}", encoded=True), headers)
