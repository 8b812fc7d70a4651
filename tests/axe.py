"""axe-core, from its package, and what it finds on a page."""

import base64
import hashlib
import io
import os
import tarfile
import urllib.request
from urllib.error import URLError

import pytest
from playwright.sync_api import Page

AXE = "axe-core/-/axe-core-4.14.1.tgz"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
RUN = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"


def axe_script() -> str:
    """Returns axe-core's script; skips the test where no package registry can be reached."""
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or "https://registry.npmjs.org/"
    try:
        with urllib.request.urlopen(registry.rstrip("/") + "/" + AXE, timeout=60) as answer:  # noqa: S310
            content = answer.read()
    except (URLError, OSError):
        pytest.skip("needs a package registry")
    assert base64.b64encode(hashlib.sha512(content).digest()).decode() == AXE_SHA512
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def faults_of(page: Page, axe: str) -> list[str]:
    """Returns a line for each fault that is more than minor."""
    page.evaluate(axe)  # outside of the page's own policy
    return [
        f"{fault['impact']} {fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in page.evaluate(RUN)
        for node in fault["nodes"]
        if fault["impact"] in ("serious", "critical", "moderate")
    ]
