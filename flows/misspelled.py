"""Variables that look like settings of ours and are not: a misspelled setting would do nothing, in silence."""

import difflib
import os
import re
from dataclasses import dataclass
from typing import get_origin

from dotenv import dotenv_values

from flows.settings import ENV_FILE, PROJECT_ROOT, Settings, variable_of

_PREFIXES = ("VIBECHECK_", "ASKNEWS_")


@dataclass(frozen=True)
class Misspelled:
    """A variable that is not a setting: where it is set, and the setting that may be meant."""

    name: str
    where: str
    meant: str | None


def misspelled_variables() -> list[Misspelled]:
    """Return what is set, here or in `.env`, and looks like a setting of ours but is not.

    What only docker compose reads from `.env` is known, too. An empty value sets nothing.
    """
    known = {variable_of(name): name for name in Settings.model_fields}
    mappings = [name for name, field in known.items() if get_origin(Settings.model_fields[field].annotation) is dict]
    in_file = dotenv_values(ENV_FILE, encoding="utf-8-sig")
    unknown = [
        name
        for name, value in {**in_file, **os.environ}.items()
        if value
        and name.upper().startswith(_PREFIXES)
        and name.upper() not in known
        and name.upper() not in _compose_variables()
        and not name.upper().startswith(tuple(f"{mapping}__" for mapping in mappings))
    ]
    by_bare_name = {_bare(name): name for name in known}
    close = {name: difflib.get_close_matches(_bare(name.upper()), by_bare_name, n=1) for name in unknown}
    return [
        Misspelled(
            name,
            str(ENV_FILE) if name in in_file and name not in os.environ else "the environment",
            by_bare_name[found[0]] if found else None,
        )
        for name, found in close.items()
    ]


def _bare(variable: str) -> str:
    """The name without our prefixes: whatever is ours would be close otherwise."""
    return re.sub(f"^({'|'.join(_PREFIXES)})+", "", variable)


def _compose_variables() -> set[str]:
    # An image and an installed package have no such file, and nobody sets its variables there.
    file = PROJECT_ROOT / "docker-compose.yml"
    return set(re.findall(r"\$\{(\w+)", file.read_text(encoding="utf-8"))) if file.exists() else set()
