"""The project as somebody else installs it: a wheel, in an environment in which no checkout is importable."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.prefect_server import PROJECT_ROOT


def installed_wheel(folder: Path) -> Path:
    """Build the wheel, install it in a new environment in `folder`, and return that environment's `bin`.

    What the wheel depends on comes from the environment of the tests: the folder alone is put on the path, so that the
    editable installation in it, a file that names the checkout, counts for nothing.
    """
    uv = Path(sys.executable).with_name("uv")
    environment = folder / "environment"
    subprocess.run(
        [uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", folder],
        cwd=PROJECT_ROOT, check=True,
    )  # fmt: skip
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = folder.glob("*.whl")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel], check=True)
    return python.parent
