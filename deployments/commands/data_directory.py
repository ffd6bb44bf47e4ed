"""What `vibecheck up` leaves in its data directory: who may use its server, and where it runs, for its owner alone.

- `auth`: the password of the Prefect server, made once, so that a browser that has signed in stays signed in.
- `environment`: the variables of the running `up`. Our commands read it by themselves; `source` it for Prefect's.
- `prefect-ui.html`: opens Prefect's UI signed in. The password is in no address that the server, a proxy or the list
  of processes sees: this page hands it to the sign-in page behind the `#`, which browsers keep to themselves.
"""

import base64
import fcntl
import html
import os
import secrets
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

LOCK = "up.lock"
ENVIRONMENT = "environment"
_AUTH = "auth"
_OPEN_UI = "prefect-ui.html"
_SIGN_IN = "sign-in.html"

# Prefect's UI looks for its password here, in both of its versions.
_SIGN_IN_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Signing in to Prefect</title>
<script>
if (location.hash) localStorage.setItem("prefect-password", location.hash.slice(1));
location.replace("/");
</script>
"""
_OPEN_UI_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Opening Prefect</title>
<meta http-equiv="refresh" content="0; url={address}">
<a href="{address}">Open Prefect</a>
"""


def make_private_directory(directory: Path) -> None:
    """Make `directory`, for its owner alone. One that exists is left as it is."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read, from its first moment on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def readable_by_others(paths: Iterable[Path]) -> list[str]:
    """Return a sentence for each of `paths` that others than its owner can read or enter, with the remedy."""
    sentences: list[str] = []
    for path in paths:
        with suppress(OSError):
            if path.stat().st_mode & 0o077:
                sentences.append(f"Others on this machine can read {path}: `chmod go= {shlex.quote(str(path))}`.")
    return sentences


def auth_string(directory: Path) -> str:
    """Return the user and password of the server of this data directory, made at the first call."""
    path = directory / _AUTH
    if not path.exists():
        write_private(path, f"admin:{secrets.token_urlsafe(24)}")
    return path.read_text()


def note_environment(directory: Path, variables: Mapping[str, str]) -> None:
    """Note the variables that the commands of another terminal need, as lines for its shell."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write_private(directory / ENVIRONMENT, "".join(lines))


def forget_environment(directory: Path) -> None:
    """Take back what `note_environment` and `make_sign_in` wrote outside of the UI's own folder."""
    (directory / ENVIRONMENT).unlink(missing_ok=True)
    (directory / _OPEN_UI).unlink(missing_ok=True)


def join_running_up(directory: Path) -> bool:
    """Take over the variables of the `up` that runs on `directory`, and return whether there are any.

    What is set already stays. PREFECT_API_URL names another server: then nothing is taken over.
    """
    if "PREFECT_API_URL" in os.environ or not _is_up(directory):
        return False
    with suppress(FileNotFoundError):
        for line in (directory / ENVIRONMENT).read_text().splitlines():
            (_, assignment) = shlex.split(line)
            name, _, value = assignment.partition("=")
            os.environ.setdefault(name, value)
        return True
    return False


def make_sign_in(directory: Path, ui_directory: Path, *, origin: str) -> Path:
    """Make the pages that open the UI of the server at `origin` signed in, and return the one to click on.

    `ui_directory` is where that server has put the files of its UI (PREFECT_SERVER_UI_STATIC_DIRECTORY).
    """
    (ui_directory / "v1" / _SIGN_IN).write_text(_SIGN_IN_PAGE)
    password = base64.b64encode(auth_string(directory).encode()).decode()
    address = html.escape(f"{origin}/{_SIGN_IN}#{password}")
    write_private(directory / _OPEN_UI, _OPEN_UI_PAGE.format(address=address))
    return directory / _OPEN_UI


def _is_up(directory: Path) -> bool:
    try:
        with (directory / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # it is not there, or cannot be read: whoever needs more of it than that says so
    return False
