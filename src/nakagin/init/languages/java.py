"""Java and Kotlin: Maven or Gradle, Spring Boot, Quarkus or a plain jar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nakagin.init import health, ports, versions
from nakagin.init.model import Fact, Recipe

if TYPE_CHECKING:
    from nakagin.init.folder import Folder
    from nakagin.init.model import Answers

KNOWN = ("8", "11", "17", "21", "25")
USUAL = "21"
_VERSIONS = (
    r"<(?:java\.version|maven\.compiler\.release|maven\.compiler\.source|release)>(?:1\.)?(\d+)<",
    r"languageVersion(?:\.set\(|\s*=\s*)\s*JavaLanguageVersion\.of\((\d+)\)",
    r"jvmToolchain\((\d+)\)",
    r"sourceCompatibility\s*=?\s*[\"']?(?:JavaVersion\.VERSION_)?(?:1[._])?(\d+)",
)


def recipe(folder: Folder, answers: Answers) -> Recipe | None:
    """What a Maven or Gradle project needs, None where this is none."""
    manifest = folder.has("pom.xml", "build.gradle.kts", "build.gradle")
    if not manifest:
        return None
    maven = manifest == "pom.xml"
    seen = next((hit for pattern in _VERSIONS if (hit := folder.first(pattern, (manifest,)))), None)
    version = answers.version or (
        versions.newest(KNOWN, f">={seen.match[1]}", seen.match[1]) if seen else USUAL
    )
    text = folder.text(manifest)
    frameworks = {
        "spring-boot": "Spring Boot",
        "org.springframework.boot": "Spring Boot",
        "quarkus": "Quarkus",
        "micronaut": "Micronaut",
    }
    framework = next((name for word, name in frameworks.items() if word in text), "")
    pattern = r"<artifactId>([\w.-]+)</artifactId>" if maven else r"[\"']([\w.-]+:[\w.-]+)(?::[^\"']*)?[\"']"
    dependencies = {hit.match[1].rpartition(":")[2]: manifest for hit in folder.search(pattern, (manifest,))}
    sources = folder.ending(".java", ".kt")
    port, port_facts, port_questions = ports.port(
        folder, answers, "compiled", sources, 8080 if framework else 0
    )
    build, jar = _maven(folder) if maven else _gradle(folder)
    route = "/actuator/health" if "spring-boot-starter-actuator" in dependencies else ""
    serve = f"EXPOSE {port}\n{health.connection(port)}\n" if port else ""
    quarkus = framework == "Quarkus"
    copy = (
        "COPY --from=build /src/target/quarkus-app/ ./\n"
        if quarkus
        else "COPY --from=build /out/app.jar ./app.jar\n"
    )
    return Recipe(
        "Java",
        f"ARG JAVA_VERSION={version}\n\n{build}\n"
        "FROM eclipse-temurin:${JAVA_VERSION}-jre-jammy\n"
        "WORKDIR /app\n"
        "RUN useradd --system --uid 10001 app\n"
        f"{copy}"
        "USER app\n"
        f"{serve}"
        "# The heap follows the container's memory limit.\n"
        f'CMD ["java", "-XX:MaxRAMPercentage=75", "-jar", "{"quarkus-run.jar" if quarkus else "app.jar"}"]\n',
        port,
        framework=framework,
        tool="Maven" if maven else "Gradle",
        facts=(
            Fact("version", version, "you" if answers.version else seen.place if seen else "the usual one"),
            Fact("jar", jar, manifest),
            *((Fact("framework", framework, manifest),) if framework else ()),
            *port_facts,
            *((Fact("health", route, manifest),) if route else ()),
        ),
        questions=port_questions,
        ignore=("target", "build", ".gradle", "*.class"),
        dependencies=dependencies,
    )


def _maven(folder: Folder) -> tuple[str, str]:
    wrapper = bool(folder.has("mvnw"))
    image = (
        "eclipse-temurin:${JAVA_VERSION}-jdk-jammy"
        if wrapper
        else "maven:3.9-eclipse-temurin-${JAVA_VERSION}"
    )
    command = "sh ./mvnw" if wrapper else "mvn"
    lines = (
        f"FROM {image} AS build\n"
        "WORKDIR /src\n"
        "COPY . .\n"
        "RUN --mount=type=cache,target=/root/.m2 \\\n"
        f"    {command} --batch-mode -DskipTests package \\\n"
        "    && mkdir /out && find target -maxdepth 1 -name '*.jar' ! -name '*-sources.jar' ! -name 'original-*' \\\n"
        "       -exec cp {} /out/app.jar \\;\n"
    )
    return lines, "target/*.jar"


def _gradle(folder: Folder) -> tuple[str, str]:
    wrapper = bool(folder.has("gradlew"))
    image = "eclipse-temurin:${JAVA_VERSION}-jdk-jammy" if wrapper else "gradle:8-jdk${JAVA_VERSION}-jammy"
    command = "sh ./gradlew" if wrapper else "gradle"
    lines = (
        f"FROM {image} AS build\n"
        "WORKDIR /src\n"
        "COPY . .\n"
        "RUN --mount=type=cache,target=/root/.gradle \\\n"
        f"    {command} --no-daemon assemble \\\n"
        "    && mkdir /out && find build/libs -name '*.jar' ! -name '*-plain.jar' -exec cp {} /out/app.jar \\;\n"
    )
    return lines, "build/libs/*.jar"
