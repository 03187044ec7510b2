"""What is written is what is read: bounds, order, torn ends, and the very bytes."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nakagin.monitor import logfile
from nakagin.monitor.logfile import LONGEST_LINE, Writer, make, timestamp
from nakagin.monitor.logreader import Entry, Reader, follow

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


class Clock:
    """One second later at each look."""

    def __init__(self) -> None:
        self.now = START - SECOND

    def __call__(self) -> int:
        self.now += SECOND
        return self.now


def read(path: Path, **options: object) -> list[str]:
    reader = Reader(str(path), **options)  # type: ignore[arg-type]
    try:
        return [entry.data.decode() for entry in reader]
    finally:
        reader.close()


def write_numbers(path: Path, count: int, max_size: int = 0, files: int = 1) -> None:
    make(str(path))
    writer = Writer(str(path), clock=Clock(), max_size=max_size, files=files)
    for number in range(count):
        writer.write("stdout", f"{number}\n".encode())
    writer.close()


def test_a_line_is_stored_as_docker_stores_it(tmp_path: Path) -> None:
    make(str(tmp_path / "log"))
    writer = Writer(str(tmp_path / "log"), clock=lambda: START + 6)
    writer.write("stderr", "größe\n".encode())
    writer.close()
    assert json.loads((tmp_path / "log").read_text()) == {
        "log": "größe\n",
        "stream": "stderr",
        "time": "2023-11-14T22:13:20.000000006Z",
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 300))
def test_bytes_come_back_unchanged_whatever_they_are(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], bound: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    make(str(path))
    writer = Writer(str(path), max_size=bound * 10_000, files=2)
    for piece in pieces:
        writer.write("stdout", piece)
    writer.close()
    reader = Reader(str(path))
    assert b"".join(entry.data for entry in reader) == b"".join(pieces)
    reader.close()


def test_long_lines_are_stored_in_pieces(tmp_path: Path) -> None:
    make(str(tmp_path / "log"))
    writer = Writer(str(tmp_path / "log"))
    writer.write("stdout", b"x" * (LONGEST_LINE * 2 + 5) + b"\n")
    writer.close()
    assert [len(line) for line in read(tmp_path / "log")] == [LONGEST_LINE, LONGEST_LINE, 6]


def test_rotation_keeps_the_newest_lines_and_the_bound(tmp_path: Path) -> None:
    write_numbers(tmp_path / "log", 1000, max_size=4096, files=3)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(each.stat().st_size <= 4096 for each in tmp_path.iterdir())
    lines = read(tmp_path / "log")
    assert lines == [f"{number}\n" for number in range(1000 - len(lines), 1000)]


def test_a_single_file_is_emptied_when_full(tmp_path: Path) -> None:
    write_numbers(tmp_path / "log", 100, max_size=1000, files=1)
    assert [each.name for each in tmp_path.iterdir()] == ["log"]
    assert read(tmp_path / "log")[-1] == "99\n"


@pytest.mark.parametrize("tail", [0, 1, 3, 57, 999, 5000])
def test_tail_counts_from_the_end_across_files(tmp_path: Path, tail: int) -> None:
    write_numbers(tmp_path / "log", 1000, max_size=20_000, files=100)
    assert read(tmp_path / "log", tail=tail) == [f"{n}\n" for n in range(max(0, 1000 - tail), 1000)]


@pytest.mark.parametrize("first", [0, 1, 2, 500, 998, 999, 1000])
def test_since_is_inclusive(tmp_path: Path, first: int) -> None:
    write_numbers(tmp_path / "log", 1000, max_size=20_000, files=100)
    since = timestamp(START + first * SECOND)
    assert read(tmp_path / "log", since=since) == [f"{n}\n" for n in range(first, 1000)]


def test_since_until_and_tail_together(tmp_path: Path) -> None:
    write_numbers(tmp_path / "log", 1000, max_size=20_000, files=100)
    between = {"since": timestamp(START + 10 * SECOND), "until": timestamp(START + 20 * SECOND)}
    assert read(tmp_path / "log", **between) == [f"{n}\n" for n in range(10, 21)]
    assert read(tmp_path / "log", tail=3, **between) == ["18\n", "19\n", "20\n"]


def test_a_torn_end_is_cut_off_by_the_next_writer(tmp_path: Path) -> None:
    write_numbers(tmp_path / "log", 3)
    with (tmp_path / "log").open("a") as file:
        file.write('{"log":"half')
    assert read(tmp_path / "log") == ["0\n", "1\n", "2\n"]
    write_numbers(tmp_path / "log", 1)
    assert read(tmp_path / "log") == ["0\n", "1\n", "2\n", "0\n"]


@pytest.mark.parametrize("ahead", [-SECOND, SECOND // 5])
async def test_following_ends_by_itself_when_the_moment_is_past(tmp_path: Path, ahead: int) -> None:
    """Also where nothing more is written: nothing that is wanted can come any more."""
    write_numbers(tmp_path / "log", 3)
    until = timestamp(time.time_ns() + ahead)
    async with asyncio.timeout(60):
        followed = [entry.data async for entry in follow(str(tmp_path / "log"), asyncio.Event(), until=until)]
    assert followed == [b"0\n", b"1\n", b"2\n"]


async def test_following_sees_each_line_once_across_rotations(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ended = asyncio.Event()
    make(str(path))
    writer = Writer(str(path), max_size=2000, files=5, clock=Clock())
    seen: list[Entry] = []

    async def collect() -> None:
        async for entry in follow(str(path), ended):
            seen.append(entry)

    task = asyncio.create_task(collect())
    for number in range(200):
        writer.write("stdout", f"{number}\n".encode())
        await asyncio.sleep(0)
    writer.close()
    ended.set()
    await asyncio.wait_for(task, 10)
    assert [entry.data for entry in seen] == [f"{n}\n".encode() for n in range(200)]


async def test_following_sees_each_line_once_across_compression(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ended = asyncio.Event()
    make(str(path))
    writer = Writer(str(path), max_size=4000, files=50, compress=True, clock=Clock())
    seen: list[bytes] = []

    async def collect() -> None:
        async for entry in follow(str(path), ended):
            seen.append(entry.data)

    task = asyncio.create_task(collect())
    for number in range(400):
        writer.write("stdout", f"{number}\n".encode())
        if number % 7 == 0:
            await asyncio.sleep(0)
    writer.close()
    ended.set()
    await asyncio.wait_for(task, 10)
    assert seen == [f"{n}\n".encode() for n in range(400)]
    assert (tmp_path / "log.1.gz").exists()
    assert not (tmp_path / "log.1").exists()
    assert read(path, tail=399) == [f"{n}\n" for n in range(1, 400)]
    assert read(path, since=timestamp(START + 395 * SECOND)) == [f"{n}\n" for n in range(395, 400)]


async def test_clearing_loses_nothing_for_who_follows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    ended = asyncio.Event()
    make(str(path))
    writer = Writer(str(path), max_size=1000, files=5)
    followed = aiter(follow(str(path), ended))
    for number in range(50):
        writer.write("stdout", f"{number}\n".encode())
        if number < 30:
            assert (await asyncio.wait_for(anext(followed), 10)).data == f"{number}\n".encode()
    writer.clear()
    assert read(path) == []
    assert [each.name for each in tmp_path.iterdir()] == ["log"]
    writer.write("stdout", b"after\n")
    writer.close()
    ended.set()
    rest = [entry.data async for entry in followed]
    assert rest[-1] == b"after\n"
    assert rest[0] == b"30\n"  # the file that it had open, to its end
    assert read(path) == ["after\n"]


def test_times_rise_whatever_the_clock_does(tmp_path: Path) -> None:
    path = tmp_path / "log"
    make(str(path))
    clock = iter([START, START, START - SECOND, START + SECOND - 1])
    for text in (b"a\nb\n", b"c\n", b"d\n", b"e\nf\ng\n"):
        writer = Writer(
            str(path), clock=clock.__next__
        )  # a restart of the container: it must find the last time
        writer.write("stdout", text)
        writer.close()
    reader = Reader(str(path))
    times = [entry.time for entry in reader]
    reader.close()
    assert times == sorted(set(times))
    assert times[0] == timestamp(START)
    assert times[-1] == timestamp(START + SECOND + 1)


def test_attributes_stand_in_every_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    make(str(path))
    writer = Writer(str(path), attributes={"tag": 'q"'})
    writer.write("stdout", b"a\n")
    writer.close()
    assert json.loads(path.read_text())["attrs"] == {"tag": 'q"'}
    reader = Reader(str(path))
    assert [entry.attributes for entry in reader] == [{"tag": 'q"'}]
    reader.close()


@given(st.integers(0, 253402300799999999999))
def test_the_last_time_of_a_log_is_read_back(moment: int) -> None:
    line = f'{{"log":"x","stream":"stdout","time":"{timestamp(moment)}"}}\n'
    assert logfile._time_of(line.encode()) == moment


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert read(tmp_path / "log") == []
