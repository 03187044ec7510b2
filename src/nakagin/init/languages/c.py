"""C and C++: make or CMake, built with gcc, run on a small Debian."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from nakagin.init import debian, health, ports
from nakagin.init.languages.bare import BASE, final
from nakagin.init.model import Fact, Question, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder, Hit
    from nakagin.init.model import Answers

_SOURCES = (".c", ".cc", ".cpp", ".cxx")
_NAME = r"([A-Za-z0-9][\w.+-]*)"
# a header → Debian's packages to compile and to run with it
LIBRARIES = {
    "curl/curl.h": ("libcurl4-openssl-dev", "libcurl4"),
    "openssl/": ("libssl-dev", "libssl3"),
    "sqlite3.h": ("libsqlite3-dev", "libsqlite3-0"),
    "libpq-fe.h": ("libpq-dev", "libpq5"),
    "zlib.h": ("zlib1g-dev", "zlib1g"),
    "microhttpd.h": ("libmicrohttpd-dev", "libmicrohttpd12"),
    "hiredis/": ("libhiredis-dev", "libhiredis0.14"),
    "uv.h": ("libuv1-dev", "libuv1"),
    "boost/": ("libboost-all-dev", "libboost-system1.74.0"),
}


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a C or C++ program needs, None where this is none."""
    sources = folder.ending(*_SOURCES)
    manifest = folder.has("CMakeLists.txt", "Makefile", "makefile", "GNUmakefile")
    if not sources or not manifest:
        return None
    cmake = manifest == "CMakeLists.txt"
    hit = _program(folder, manifest, cmake=cmake)
    program = answers.command or (hit.match[1].rpartition("/")[2] if hit else "")
    questions = (
        ()
        if program
        else (Question("command", "What is the built program called? (its path in the folder)", "main"),)
    )
    used = [
        LIBRARIES[word]
        for word in LIBRARIES
        if folder.first(rf"#\s*include\s*[<\"]{word}", (*sources, *folder.ending(".h", ".hpp")))
    ]
    serves = bool(folder.first(r"\blisten\s*\(|MHD_start_daemon", sources))
    port, port_facts, port_questions = ports.port(folder, answers, "compiled", sources, 8080 if serves else 0)
    port = port if serves or answers.port > 0 else 0
    compilers = " ".join(["build-essential", *(["cmake"] if cmake else []), *(build for build, _ in used)])
    name = program or "main"
    made = f"build/{name}" if cmake else name
    steps = (
        "RUN cmake -S . -B build -DCMAKE_BUILD_TYPE=Release && cmake --build build --parallel \\\n"
        if cmake
        else 'RUN make -j"$(nproc)" \\\n'
    )
    found = f'"$(find . -type f -name {name} -perm -u+x | head -n 1)"'
    build = (
        f"FROM {BASE} AS build\n"
        f"{debian.install(compilers)}\n"
        "WORKDIR /src\n"
        "COPY . .\n"
        f"{steps}    && {{ install -D {made} /out/{name} || install -D {found} /out/{name}; }}\n\n"
    )
    check = health.connection(port) if port else ""
    language = "C++" if any(not path.endswith(".c") for path in sources) else "C"
    libraries = " ".join([*(["libstdc++6"] if language == "C++" else []), *(run for _, run in used)])
    return Recipe(
        language,
        build
        + final(
            f"--from=build /out/{name} /usr/local/bin/{name}",
            json.dumps([name]),
            port,
            check,
            libraries=libraries,
        ),
        port,
        tool="CMake" if cmake else "make",
        facts=(
            Fact("build", "CMake" if cmake else "make", manifest),
            *(
                (Fact("program", program, "you" if answers.command else hit.place if hit else manifest),)
                if program
                else ()
            ),
            *(port_facts if port else ()),
        ),
        questions=(*questions, *(port_questions if serves else ())),
        ignore=("build", "**/*.o", "**/*.a", "**/*.so", "CMakeCache.txt", "CMakeFiles"),
    )


def _program(folder: Folder, manifest: str, *, cmake: bool) -> Hit | None:
    if cmake:
        hit = folder.first(rf"add_executable\s*\(\s*{_NAME}", folder.ending("CMakeLists.txt"))
        if hit is not None:
            return hit
        return folder.first(rf"project\s*\(\s*{_NAME}", (manifest,))
    patterns = (
        r"^(?:TARGET|PROG|PROGRAM|BIN|NAME|EXE|EXECUTABLE)\s*[:?]?=\s*([\w./+-]+)",
        r"-o\s+([A-Za-z][\w./+-]*)(?<!\.o)(?:\s|$)",
        rf"^(?!all|clean|install|test|\.PHONY){_NAME}\s*:(?!=)",
    )
    return next((hit for pattern in patterns if (hit := folder.first(pattern, (manifest,)))), None)
