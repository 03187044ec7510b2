"""A stand-in for systemd on a real D-Bus daemon: it makes the scope's directories and answers as systemd does.

Run as a program with the bus's path; it writes "ready", then one JSON line for each method that was called.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from nakagin.cgroups import dbus
from nakagin.cgroups.layout import detect

NAME = "org.freedesktop.systemd1"


class Service:
    """Answers StartTransientUnit, SetUnitProperties, StopUnit and the rest."""

    def __init__(self, path: str) -> None:
        self.bus = dbus.Bus(path, patience=600)
        self.bus.call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "RequestName",
            "su",
            NAME,
            4,
        )
        self.serial = 1000
        print("ready", flush=True)

    def serve(self) -> None:
        """Until the bus hangs up."""
        while True:
            try:
                message = self.bus._receive()
            except OSError:
                return
            if message.kind == dbus.METHOD_CALL:
                self.answer(message)

    def answer(self, message: dbus.Message) -> None:
        member = message.fields[dbus.MEMBER]
        print(json.dumps([member, message.values]), flush=True)
        if member == "StartTransientUnit":
            unit, _, properties, _ = message.values
            if "refused" in unit:
                self.send(dbus.ERROR, message, "s", "no such slice", error=f"{NAME}.NoSuchUnit")
                return
            self.make(unit, dict(properties))
            self.send(dbus.METHOD_RETURN, message, "o", "/org/freedesktop/systemd1/job/7")
            result = "failed" if "failing" in unit else "done"
            for job, text in (("6", "done"), ("7", result)):  # somebody else's job comes between
                values = (int(job), f"/org/freedesktop/systemd1/job/{job}", unit, text)
                self.send(dbus.SIGNAL, message, "uoss", *values)
        else:
            self.send(dbus.METHOD_RETURN, message)

    def make(self, unit: str, properties: dict[str, tuple[str, object]]) -> None:
        """The directories, and the process in them, as systemd does for Delegate=yes."""
        layout = detect()
        pids: Any = properties["PIDs"][1]
        (pid,) = pids
        for mount in layout.hierarchies or (layout.v2,):
            directory = f"{mount}/{properties['Slice'][1]}/{unit}"
            os.makedirs(directory, exist_ok=True)
            if "cpuset" not in mount:
                with open(f"{directory}/cgroup.procs", "w") as file:
                    file.write(str(pid))

    def send(
        self, kind: int, call: dbus.Message, signature: str = "", *values: object, error: str = ""
    ) -> None:
        """An answer to `call`, or a signal."""
        self.serial += 1
        if kind == dbus.SIGNAL:
            fields: dict[int, object] = {
                dbus.PATH: "/org/freedesktop/systemd1", dbus.INTERFACE: f"{NAME}.Manager", dbus.MEMBER: "JobRemoved",
            }  # fmt: skip
        else:
            fields = {dbus.REPLY_SERIAL: call.fields[dbus.SERIAL], dbus.DESTINATION: call.fields[dbus.SENDER]}
            if error:
                fields[dbus.ERROR_NAME] = error
        self.bus._socket.sendall(dbus.build(kind, self.serial, fields, signature, *values))


class Systemd:
    """The stand-in, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "bus")
        config = folder / "bus.conf"
        config.write_text(
            f"<busconfig><type>system</type><listen>unix:path={self.address}</listen><auth>EXTERNAL</auth>"
            '<policy context="default"><allow send_destination="*"/><allow own="*"/><allow receive_sender="*"/>'
            "<allow send_type='signal'/></policy></busconfig>"
        )
        self.daemon = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"], stdout=subprocess.PIPE
        )
        assert self.daemon.stdout is not None
        self.daemon.stdout.readline()
        script = Path(__file__).with_name("systemd.py")
        self.service = subprocess.Popen(
            [sys.executable, script, self.address], stdout=subprocess.PIPE, text=True
        )
        assert self.service.stdout is not None
        assert self.service.stdout.readline() == "ready\n"

    def close(self) -> list[Any]:
        """End both; the methods that were called, with their arguments."""
        self.daemon.terminate()
        self.daemon.wait()
        assert self.daemon.stdout is not None
        self.daemon.stdout.close()
        text, _ = self.service.communicate(timeout=20)
        return [json.loads(line) for line in text.splitlines()]


if __name__ == "__main__":
    Service(sys.argv[1]).serve()
