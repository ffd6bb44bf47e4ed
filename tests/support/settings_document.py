"""Writes docs/settings.md and .env.example from the settings class: `python -m tests.support.settings_document`.

A test compares them, so that no setting goes undocumented and no default is told wrongly. settings-doc and
pydantic-settings-export print the machine's own paths, leave bounds out and stumble over the variables without our
prefix; templates that mend it, and the compose variables, would be no shorter than this.
"""

from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flows.settings import IS_DATABASE_ADDRESS, IS_TIMEZONE, IS_WEB_ADDRESS, PROJECT_ROOT, Settings, variable_of

DOCUMENT = PROJECT_ROOT / "docs" / "settings.md"
EXAMPLE = PROJECT_ROOT / ".env.example"
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
_KINDS = {int: "whole number", float: "number", str: "text", Path: "folder", SecretStr: "secret text"}


@dataclass(frozen=True)
class Variable:
    """An environment variable as the documents show it. `default` is empty when there is none."""

    name: str
    default: str
    allowed: str
    effect: str


# What only docker-compose.yml reads. The passwords have no default on purpose.
COMPOSE_VARIABLES = (
    Variable("POSTGRES_PASSWORD", "", "letters and digits", "PostgreSQL's superuser. Needed."),
    Variable(
        "POSTGRES_PREFECT_PASSWORD", "", "letters and digits", "Role `prefect`, owner of Prefect's database. Needed."
    ),
    Variable(
        "POSTGRES_VIBECHECK_PASSWORD", "", "letters and digits", "Role `vibecheck`, owner of the pipeline's. Needed."
    ),
    Variable(
        "POSTGRES_HEALTH_PASSWORD",
        "",
        "letters and digits",
        "Role `vibecheck_health` of the health service, which only reads the pipeline's database. Needed.",
    ),
    Variable("REDIS_PASSWORD", "", "letters and digits", "Redis. Needed."),
    Variable(
        "SERVER_PASSWORD", "", "letters and digits", "Prefect's API and UI; the UI asks for `admin:<password>`. Needed."
    ),
    Variable(
        "SERVER_ENCRYPTION_KEY",
        "",
        "32 bytes in URL-safe base64",
        "Encrypts Prefect's blocks. Needed; keep a copy: without it they are lost.",
    ),
    Variable("VIBECHECK_IMAGE", "vibecheck-pipeline", "image name", "Image of all application services."),
    Variable("WORKERS", "1", "whole number", "Containers of the service `worker`, like `--scale worker=…`."),
    Variable("BIND_ADDRESS", "127.0.0.1", "IP address", "Where the ports are opened."),
    Variable("PREFECT_PORT", "4200", "port", "Prefect's API and UI."),
    Variable("SERVER_PUBLIC_URL", "http://127.0.0.1:4200", "address", "Prefect's UI as people reach it, for links."),
    Variable("HEALTH_PORT", "8080", "port", "Health endpoint and status page."),
    Variable("POSTGRES_PORT", "5432", "port", "PostgreSQL; only with `deployments/containers/published-database.yml`."),
)

_DOCUMENT_HEAD = """\
# Settings

Made by `python -m tests.support.settings_document`: change the descriptions in `flows/settings.py`, not here.

Each is an environment variable, or a line in the file `.env` of the project's folder; the environment wins. A value
that is not allowed stops every command with a sentence that names the variable, before anything runs, and so does a
name that begins with `VIBECHECK_` or `ASKNEWS_` and is not in these lists. A flow run only warns of such a name.

"""
_COMPOSE_HEAD = """
## Only for docker compose

`docker-compose.yml` reads these from `.env`. It passes on the settings above, but for `VIBECHECK_DATABASE_URL`, which
it makes itself, and `VIBECHECK_DATA_DIRECTORY`, which nothing in a container needs.

"""
_EXAMPLE_HEAD = """\
# Copy this file to .env. Made by `python -m tests.support.settings_document`.

# ---- For `docker compose` ------------------------------------------------------------------------------------------
# Passwords go into addresses: letters and digits only, such as `openssl rand -hex 24` gives. The encryption key:
#   openssl rand -base64 32 | tr '+/' '-_'
"""
_EXAMPLE_SETTINGS = """
# ---- The pipeline's settings, with their defaults: docs/settings.md ------------------------------------------------
"""


def settings_variables() -> list[Variable]:
    """The variables of the settings class, in its order."""
    return [
        Variable(variable_of(name), _default(field), _allowed(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def document() -> str:
    """The text of docs/settings.md."""
    return _DOCUMENT_HEAD + _table(settings_variables()) + _COMPOSE_HEAD + _table(COMPOSE_VARIABLES)


def example() -> str:
    """The text of .env.example: what must be filled in is uncommented."""
    needed = [variable for variable in COMPOSE_VARIABLES if not variable.default]
    optional = [variable for variable in COMPOSE_VARIABLES if variable.default]
    lines = [f"{variable.name}=\n" for variable in needed]
    lines += [f"#{variable.name}={variable.default}\n" for variable in optional]
    lines.append(_EXAMPLE_SETTINGS)
    for variable in settings_variables():
        default = "" if variable.default.startswith("`") else variable.default
        lines.append(f"# {variable.effect}\n#{variable.name}={default}\n")
    return _EXAMPLE_HEAD + "".join(lines)


def _table(variables: "list[Variable] | tuple[Variable, ...]") -> str:
    rows = [
        f"| `{variable.name}` | {variable.default or 'none'} | {variable.allowed} | {variable.effect} |\n"
        for variable in variables
    ]
    return "| variable | default | allowed | effect |\n|--|--|--|--|\n" + "".join(rows)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        # The same text on every machine.
        return f"`{value.relative_to(PROJECT_ROOT)}` in the project's folder"
    return f"{value:g}" if isinstance(value, float) else str(value or "")


def _allowed(field: FieldInfo) -> str:
    kind = _without_none(field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is bool:
        return "`true`, `false`"
    if get_origin(kind) is dict:
        return "JSON object of secret texts"
    if IS_WEB_ADDRESS in field.metadata:
        return f"{_KINDS[kind]}, a web address"
    if IS_DATABASE_ADDRESS in field.metadata:
        return f"{_KINDS[kind]}, a database address"
    if IS_TIMEZONE in field.metadata:
        return f"{_KINDS[kind]}, a timezone's name"
    bounds = [
        f"{sign} {getattr(constraint, name):g}"
        for constraint in field.metadata
        for name, sign in _BOUNDS.items()
        if getattr(constraint, name, None) is not None
    ]
    return " ".join([_KINDS[kind], " and ".join(bounds)]).strip()


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (choice for choice in get_args(annotation) if choice is not type(None))
    return annotation


def main() -> None:
    """Write both files."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document())
    EXAMPLE.write_text(example())


if __name__ == "__main__":
    main()
