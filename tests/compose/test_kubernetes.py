from __future__ import annotations

from pathlib import Path
from typing import Any

from nakagin.compose.environment import gather
from nakagin.compose.kubernetes import manifests
from nakagin.compose.loader import load

SHOP = """
name: shop
services:
  web:
    build: .
    command: [serve, "$$(NAME)"]
    ports: ["8080:80", "81/udp"]
    expose: ["9000-9001"]
    depends_on: [db]
    scale: 2
    user: "7:8"
    cap_drop: [ALL]
    cap_add: [CAP_NET_RAW]
    environment: {GREETING: hi, UNSET: }
    labels: {tier: front, "odd key!": x}
    configs: [{source: site_conf, target: /etc/site.conf, mode: 0440}]
    deploy: {update_config: {order: start-first, parallelism: 2}, resources: {limits: {cpus: "0.5", memory: 64m}}}
    x-nakagin-ready: {http: 80/ok}
    networks: [front, back]
    stop_grace_period: 3s
  db:
    image: db
    user: postgres
    volumes: ["data_dir:/data", "./host:/host:ro", "/scratch"]
    secrets: [password]
    healthcheck: {test: pg_isready, interval: 5s, retries: 3}
    networks: [back]
    shm_size: 1g
    pre_stop: [{command: [flush]}]
  nightly:
    image: db
    x-nakagin-job: {schedule: "30 3 * * *", time_zone: Europe/Vienna}
    networks: [back]
  once: {image: db, command: migrate, x-nakagin-job: once, networks: [back]}
volumes: {data_dir: }
networks: {front: , back: }
configs: {site_conf: {content: "listen 80"}}
secrets: {password: {environment: PASSWORD}}
"""


def converted(tmp_path: Path) -> tuple[dict[str, Any], list[str]]:
    (tmp_path / "compose.yaml").write_text(SHOP)
    sources = gather(working=str(tmp_path), surroundings={"PASSWORD": "s3cret"})
    return manifests(load(sources).project)


def test_a_service_is_a_deployment_and_two_services(tmp_path: Path) -> None:
    files, _ = converted(tmp_path)
    spec = files["web-deployment.yaml"]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0},
    }
    assert spec["template"]["metadata"]["annotations"] == {"tier": "front"}
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 3
    (container,) = pod["containers"]
    assert container["image"] == "shop-web"
    assert container["args"] == ["serve", "$$(NAME)"], "no variable of Kubernetes"
    assert container["env"] == [{"name": "GREETING", "value": "hi"}]
    assert container["securityContext"] == {
        "runAsUser": 7, "runAsGroup": 8, "capabilities": {"add": ["NET_RAW"], "drop": ["ALL"]},
    }  # fmt: skip
    assert container["readinessProbe"] == {"httpGet": {"path": "/ok", "port": 80}, "periodSeconds": 1}
    assert container["resources"] == {"limits": {"cpu": "0.5", "memory": "67108864"}}
    assert pod["volumes"] == [
        {"name": "config-site-conf", "configMap": {"name": "site-conf", "defaultMode": 0o440}}
    ]
    inside = [(each["port"], each["protocol"]) for each in files["web-service.yaml"]["spec"]["ports"]]
    assert inside == [(80, "TCP"), (81, "UDP"), (9000, "TCP"), (9001, "TCP")]
    outside = files["web-published-service.yaml"]["spec"]
    assert outside["type"] == "LoadBalancer"
    assert [(each["port"], each["targetPort"]) for each in outside["ports"]] == [(8080, 80)]


def test_a_service_without_ports_is_found_with_all_of_them(tmp_path: Path) -> None:
    files, _ = converted(tmp_path)
    assert files["db-service.yaml"]["spec"]["clusterIP"] == "None"
    spec = files["db-deployment.yaml"]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    (container,) = spec["template"]["spec"]["containers"]
    assert container["readinessProbe"]["exec"]["command"] == ["/bin/sh", "-c", "pg_isready"]
    assert container["lifecycle"] == {"preStop": {"exec": {"command": ["flush"]}}}
    assert [each["mountPath"] for each in container["volumeMounts"]] == [
        "/data", "/host", "/scratch", "/run/secrets/password",
    ]  # fmt: skip
    assert spec["template"]["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data-dir"}
    assert files["password-secret.yaml"]["data"] == {"password": "czNjcmV0"}


def test_jobs_networks_and_the_list_of_all(tmp_path: Path) -> None:
    files, _ = converted(tmp_path)
    timed = files["nightly-cronjob.yaml"]["spec"]
    assert (timed["schedule"], timed["timeZone"]) == ("30 3 * * *", "Europe/Vienna")
    assert files["once-job.yaml"]["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert "once-service.yaml" not in files
    chosen = {"podSelector": {"matchLabels": {"com.docker.compose.network.back": "true"}}}
    assert files["back-networkpolicy.yaml"]["spec"]["ingress"] == [{"from": [chosen]}]
    assert files["kustomization.yaml"]["resources"] == sorted(set(files) - {"kustomization.yaml"})


def test_what_has_no_counterpart_is_told(tmp_path: Path) -> None:
    _, warnings = converted(tmp_path)
    assert warnings == [
        "service db: shm_size has no counterpart and is left out",
        "service db: user postgres is no number, and Kubernetes knows no names",
        "service web: everything is started at once, depends_on orders nothing",
        "service web: push shop-web to where the cluster finds it",
        "service web: 'odd key!' is no name for an annotation, and is left out",
    ]
