"""What can be known from this machine alone: the settings, who can read them, and the room on the disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import make_url

from deployments.commands.data_directory import readable_by_others
from deployments.commands.doctor.checks import Check, Finding, Mark
from flows.settings import PROJECT_ROOT, Settings

ENVIRONMENT_FILE = PROJECT_ROOT / ".env"
# A month of news takes some 100 MB; Prefect's own database grows faster.
LITTLE_FREE_BYTES = 1_000_000_000
TOO_LITTLE_FREE_BYTES = 100_000_000


def machine_checks(settings: Settings) -> list[Check]:
    """Return the checks of this machine."""

    async def look_at_settings() -> Sequence[Finding]:
        return [_settings(settings)]

    async def look_at_privacy() -> Sequence[Finding]:
        return [_privacy([ENVIRONMENT_FILE, settings.data_directory])]

    async def look_at_disk() -> Sequence[Finding]:
        return [_disk(settings)]

    return [
        Check("settings", look_at_settings),
        Check("private files", look_at_privacy),
        Check("disk", look_at_disk),
    ]


def sqlite_file(settings: Settings) -> Path | None:
    """Return the file of the pipeline's database, or None if that is in PostgreSQL or named by a block."""
    if settings.database_block is not None:
        return None
    url = make_url(settings.effective_database_url())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _settings(settings: Settings) -> Finding:
    """Say which are set, by their variables' names: never a value."""
    prefix = settings.model_config.get("env_prefix", "")
    aliased = {name for name, field in Settings.model_fields.items() if field.validation_alias is not None}
    names = sorted((name if name in aliased else f"{prefix}{name}").upper() for name in settings.model_fields_set)
    return Finding("settings", Mark.WELL, f"Set: {', '.join(names)}." if names else "None is set: all are defaults.")


def _privacy(paths: Sequence[Path]) -> Finding:
    sentences = readable_by_others(paths)
    if sentences:
        return Finding("private files", Mark.WARNING, " ".join(sentences))
    there = [str(path) for path in paths if path.exists()]
    return Finding(
        "private files", Mark.WELL, f"Nobody else can read {' and '.join(there)}." if there else "There are none yet."
    )


def _disk(settings: Settings) -> Finding:
    file = sqlite_file(settings)
    folders = {_existing(settings.data_directory), *({_existing(file.parent)} if file is not None else ())}
    free, folder = min((shutil.disk_usage(folder).free, folder) for folder in folders)
    text = f"{free / 1e9:.1f} GB are free at {folder}."
    if free < TOO_LITTLE_FREE_BYTES:
        return Finding("disk", Mark.FAILURE, text, "Make room: the databases cannot write without it.")
    if free < LITTLE_FREE_BYTES:
        return Finding("disk", Mark.WARNING, text, "Make room before the databases need it.")
    return Finding("disk", Mark.WELL, text)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
