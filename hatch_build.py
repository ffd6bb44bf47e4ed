"""Put the whole project into one package of the wheel, `vibecheck`, laid out as the checkout is.

Two top-level packages `flows` and `deployments` in site-packages would collide with the folders of those names that
many Prefect projects have, whichever comes first on the path. So a wheel has them inside `vibecheck`, and its modules
import each other from there. A checkout, and the editable installation that `make` makes of it, stay as they are.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES = ("flows", "deployments", "vibecheck")
# An import of the project's own, and the module that a process is started with.
OWN_MODULE = re.compile(r'^(\s*(?:from|import) |.*"-m", ")(?=(?:flows|deployments)\b)', re.MULTILINE)
OWN_ENTRYPOINT = re.compile(r"^(\s*entrypoint: )(?=flows\.)", re.MULTILINE)


class OnePackage(BuildHookInterface[Any]):
    """Called by hatchling for each build of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Give hatchling the rewritten files, unless the installation is an editable one."""
        if version == "editable":
            return
        self.folder = tempfile.TemporaryDirectory()
        root, target = Path(self.root), Path(self.folder.name)
        for package in PACKAGES:
            inside = target if package == "vibecheck" else target / package
            for file in sorted((root / package).rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    copy = inside / file.relative_to(root / package)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(rewritten(file))
        (target / "prefect.yaml").write_bytes(rewritten(root / "prefect.yaml"))
        build_data["force_include"][str(target)] = "vibecheck"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # hatchling's
        """Remove what was only there to be packed."""
        if version != "editable":
            self.folder.cleanup()


def rewritten(file: Path) -> bytes:
    """What the wheel has of `file`."""
    match file.suffix:
        case ".py":
            return OWN_MODULE.sub(r"\1vibecheck.", file.read_text()).encode()
        case ".yaml":
            return OWN_ENTRYPOINT.sub(r"\1vibecheck.", file.read_text()).encode()
        case _:
            return file.read_bytes()
