"""`compose bridge convert`: Kubernetes' own schema takes the manifests, strictly, for every project of the corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nakagin.compose.environment import gather
from nakagin.compose.kubernetes import manifests
from nakagin.compose.loader import load
from nakagin.compose.render import as_yaml
from nakagin.errors import NakaginError
from tests.compose.corpus import SURROUNDINGS, Case, cases

kubernetes_validate = pytest.importorskip("kubernetes_validate")


@pytest.mark.parametrize("case", [each for each in cases() if not each.arguments], ids=lambda case: case.name)
def test_kubernetes_takes_it(case: Case, tmp_path: Path) -> None:
    home = case.write(tmp_path)
    try:
        project = load(gather(working=str(home), surroundings=SURROUNDINGS)).project
        files, _ = manifests(project)
    except NakaginError as error:
        pytest.skip(f"not to be converted: {error}")
    for name, document in files.items():
        read = yaml.safe_load(as_yaml(document))
        assert read == document, name
        if name != "kustomization.yaml":
            kubernetes_validate.validate(read, kubernetes_validate.latest_version(), strict=True)
