"""Log drivers: what is refused, what the monitor is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nakagin.containers import logdrivers
from nakagin.containers.model import Container
from nakagin.errors import Invalid, Unsupported
from nakagin.spec.docker import ContainerConfig, HostConfig, LogConfig


def log(driver: str = "json-file", **options: str) -> LogConfig:
    return LogConfig(type=driver, config={key.replace("_", "-"): value for key, value in options.items()})


def container(config: LogConfig) -> Container:
    return Container(
        id="0123456789abcdef" * 4, name="web", created="", image_id="sha256:" + "f" * 64,
        config=ContainerConfig(
            image="busybox", cmd=("sh", "-c"), env=("ENV=prod", "SECRET=x"),
            labels={"app": "a b", "app.id": "7", "x": "y"},
        ),
        host_config=HostConfig(log_config=config),
    )  # fmt: skip


def order(config: LogConfig) -> dict[str, Any]:
    logdrivers.check(config)
    return logdrivers.order(container(config), "/log", "host")


def test_logs_are_bounded_unless_asked_otherwise() -> None:
    assert logdrivers.bounds(log()) == (20 << 20, 5)
    assert logdrivers.bounds(log(max_size="10k")) == (10 << 10, 1)
    assert logdrivers.bounds(log(max_size="-1", max_file="3")) == (0, 3)
    assert logdrivers.bounds(log("syslog", cache_max_size="1k", cache_max_file="2")) == (1024, 2)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (log("gelf"), "no log driver named 'gelf'"),
        (log(nonsense="x"), "unknown log opt 'nonsense' for json-file log driver"),
        (log(syslog_address="x"), "unknown log opt 'syslog-address'"),
        (log(max_size="big"), "big"),
        (log(max_file="0"), "max-file cannot be less than 1"),
        (log(max_size="1m", compress="true"), "compress cannot be true"),
        (log(compress="perhaps"), "invalid value for compress"),
        (log(mode="slow"), "logging mode not supported: slow"),
        (log(max_buffer_size="1m"), "only supported with 'mode=non-blocking'"),
        (log(labels_regex="("), "invalid value for labels-regex"),
        (log(tag="{{.Nonsense}}"), "invalid log opt tag"),
        (log(tag="{{if .Name}}"), "invalid log opt tag"),
        (log("syslog", syslog_address="tcp://"), "should be in form"),
        (log("syslog", syslog_address="/dev/log"), "should be in form"),
        (log("syslog", syslog_address="udp://h:x"), "should be in form"),
        (log("syslog", syslog_facility="nobody"), "invalid syslog facility"),
        (log("syslog", syslog_format="rfc1"), "Invalid syslog format"),
    ],
)
def test_what_cannot_be_is_refused(config: LogConfig, words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("(", r"\(")):
        logdrivers.check(config)


def test_syslog_over_tls_is_not_there() -> None:
    for config in (log("syslog", syslog_address="tcp+tls://h:1"), log("syslog", syslog_tls_cert="/x")):
        with pytest.raises(Unsupported, match="TLS"):
            logdrivers.check(config)


def test_files() -> None:
    assert order(log()) == {
        "driver": "json-file", "path": "/log", "max_size": 20 << 20, "max_file": 5, "compress": False,
    }  # fmt: skip
    assert order(log("local"))["compress"]
    assert not order(log("local", compress="false"))["compress"]
    assert order(log("none"))["driver"] == "none"
    assert order(log(mode="non-blocking"))["buffer"] == 1 << 20
    assert order(log(mode="non-blocking", max_buffer_size="4k"))["buffer"] == 4096


def test_attributes() -> None:
    found = order(log(labels="app,none", env="ENV", tag="{{.ImageName}}/{{ .Name }}/{{.ID}}"))["attributes"]
    assert found == {"app": "a b", "ENV": "prod", "tag": "busybox/web/0123456789ab"}
    assert logdrivers.shown(found) == "ENV=prod,app=a+b,tag=busybox%2Fweb%2F0123456789ab"
    assert order(log(labels_regex="^app", env_regex="SEC"))["attributes"] == {
        "app": "a b", "app.id": "7", "SECRET": "x",
    }  # fmt: skip


def test_others_logs_keep_a_file_to_read() -> None:
    syslog = order(log("syslog", syslog_address="udp://10.0.0.1", syslog_facility="local3", tag="{{.Name}}"))
    assert syslog["driver"] == "json-file"
    assert syslog["forward"] == {
        "driver": "syslog", "address": ("udp", ("10.0.0.1", 514)), "facility": 19, "form": "", "tag": "web",
        "hostname": "host",
    }  # fmt: skip
    assert order(log("syslog"))["forward"]["address"] == ("unixgram", "/dev/log")
    assert order(log("syslog", cache_disabled="true"))["driver"] == "none"
    assert not logdrivers.is_readable(log("syslog", cache_disabled="true"))
    fields = order(log("journald", labels="app.id"))["forward"]["fields"]
    assert fields["CONTAINER_NAME"] == "web"
    assert fields["CONTAINER_TAG"] == fields["SYSLOG_IDENTIFIER"] == "0123456789ab"
    assert fields["APP_ID"] == "7"


def test_a_log_that_nobody_hears_is_told(tmp_path: Path) -> None:
    place = tmp_path / "log"
    address = {"syslog_address": f"unixgram://{place}"}
    assert f"Nobody listens at {place}" in logdrivers.unheard(log("syslog", **address))[0]
    place.touch()
    assert logdrivers.unheard(log("syslog", **address)) == []
    assert logdrivers.unheard(log("syslog", syslog_address="udp://10.0.0.1")) == []
    assert logdrivers.unheard(log()) == []
