""".NET: a web program or a console program, published by the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.init import health, versions
from nakagin.init.model import Fact, Question, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

USUAL = "8.0"


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a .NET project needs, None where this is none."""
    projects = folder.ending(".csproj", ".fsproj", ".vbproj")
    if not projects:
        return None
    runnable = [
        hit.path
        for hit in folder.search(
            r"Sdk=\"Microsoft\.NET\.Sdk\.(?:Web|Worker)\"|<OutputType>Exe</OutputType>", projects
        )
    ]
    runnable = list(dict.fromkeys(runnable)) or list(projects)
    project = answers.command or runnable[0]
    questions = (
        ()
        if answers.command or len(runnable) == 1
        else (Question("command", f"Which project is the program? ({', '.join(runnable)})", project),)
    )
    target = folder.first(r"<TargetFramework>net(\d+\.\d+)", (project, "Directory.Build.props"))
    version = answers.version or (
        target.match[1] if target else versions.exact(folder.text("global.json"), 2) or USUAL
    )
    web = "Microsoft.NET.Sdk.Web" in folder.text(project)
    port = answers.port if answers.port >= 0 else 8080 if web else 0
    assembly = project.rpartition("/")[2].rpartition(".")[0]
    packages = {
        hit.match[1]: hit.path for hit in folder.search(r"<PackageReference Include=\"([\w.]+)\"", projects)
    }
    serve = f"ENV ASPNETCORE_HTTP_PORTS={port}\nEXPOSE {port}\n{health.connection(port)}\n" if port else ""
    return Recipe(
        ".NET",
        f"ARG DOTNET_VERSION={version}\n\n"
        "FROM mcr.microsoft.com/dotnet/sdk:${DOTNET_VERSION}-bookworm-slim AS build\n"
        "WORKDIR /src\n"
        "COPY . .\n"
        "RUN --mount=type=cache,target=/root/.nuget/packages \\\n"
        f"    dotnet publish {project} --configuration Release --output /out\n\n"
        f"FROM mcr.microsoft.com/dotnet/{'aspnet' if web else 'runtime'}:${{DOTNET_VERSION}}-bookworm-slim\n"
        "WORKDIR /app\n"
        "COPY --from=build /out ./\n"
        "# The base image brings this user.\n"
        "USER app\n"
        f"{serve}"
        f'ENTRYPOINT ["dotnet", "{assembly}.dll"]\n',
        port,
        framework="ASP.NET Core" if web else "",
        facts=(
            Fact(
                "version", version, "you" if answers.version else target.place if target else "the usual one"
            ),
            Fact("project", project, "you" if answers.command else project),
            *(
                (Fact("port", str(port), "you" if answers.port >= 0 else "usual for ASP.NET Core"),)
                if port
                else ()
            ),
        ),
        questions=questions,
        ignore=("**/bin", "**/obj", "*.user", ".vs"),
        dependencies=packages,
    )
