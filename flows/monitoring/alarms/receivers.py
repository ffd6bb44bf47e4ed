"""Where alarms go: the receivers that the settings name, and what kind of address each has."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from flows.settings import MonitoringSettings

DEFAULT = "default"


class InvalidReceiver(Exception):
    """A receiver's setting cannot be used; the text names it, says why, and never holds the address."""


@dataclass(frozen=True)
class Receiver:
    """Where messages go. `name` is what people call it (`default`, `owner data`), `setting` the variable's name."""

    name: str
    setting: str
    address: SecretStr


def receivers_of(settings: MonitoringSettings) -> dict[str, Receiver]:
    """Return every receiver that is set, by its name; the default, where there is one, comes first."""
    found = list[Receiver]()
    if settings.notification is not None:
        found.append(Receiver(DEFAULT, "VIBECHECK_NOTIFICATION", settings.notification))
    for what, by_value in (("owner", settings.notification_by_owner), ("severity", settings.notification_by_severity)):
        found += [
            Receiver(f"{what} {value.lower()}", f"VIBECHECK_NOTIFICATION_BY_{what.upper()}__{value.upper()}", address)
            for value, address in by_value.items()
        ]
    return {receiver.name: receiver for receiver in found}


def names_for(known: Mapping[str, Receiver], owner: str | None, severity: str | None) -> list[str]:
    """Return the receivers of a job: its owner's and its severity's, both where both are set, else the default.

    Empty if none is set.
    """
    own = [f"owner {(owner or '').lower()}", f"severity {(severity or '').lower()}"]
    return [name for name in own if name in known] or [name for name in (DEFAULT,) if name in known]


def block_address(receiver: Receiver) -> tuple[str, str] | None:
    """Return the type's slug and the name of an existing block, or None if the address is Apprise's.

    Raises InvalidReceiver if it is neither.
    """
    address = receiver.address.get_secret_value()
    if "://" in address:
        return None
    slug, slash, name = address.partition("/")
    if not (slug and slash and name) or "/" in name:
        raise InvalidReceiver(
            f"{receiver.setting} must be an Apprise address, such as slack://… or mailto://…, or the name of a "
            "notification block as `type-slug/name`."
        )
    return slug, name


def plugins_of_address(receiver: Receiver) -> list[Any]:
    """Return Apprise's plugins for the address, nearly always one. Raises InvalidReceiver for a wrong one."""
    # Here, because Apprise takes long to import.
    from apprise import Apprise

    client = Apprise(asset=_asset())
    if not client.add(receiver.address.get_secret_value()) or not len(client):  # pyright: ignore[reportUnknownMemberType]  # Apprise has no types
        raise InvalidReceiver(
            f"{receiver.setting} is an address that Apprise does not understand. For a webhook of your own, use "
            "json://host/path (or jsons:// for https)."
        )
    return list(client)


def plugins_of_block(client: Iterable[Any]) -> list[Any]:
    """Return the plugins of a block's Apprise client, which ask as those of an address do."""
    plugins = list(client)
    for plugin in plugins:
        plugin.asset = _asset()
        plugin.redirects = plugin.asset.http_redirects
    return plugins


def _asset() -> Any:
    """How plugins ask.

    Redirects are not followed: a POST would become a GET that succeeds, and says nothing to anybody. With a time limit
    of its own, Apprise asks in a thread for which the process waits at its end.
    """
    from apprise import AppriseAsset

    # Prefect 3.8.8 admits Apprise 1 alone, which has no such limit.
    has_limit = "service_timeout" in inspect.signature(AppriseAsset).parameters
    without_limit: dict[str, Any] = {"service_timeout": 0} if has_limit else {}
    return AppriseAsset(app_id="VibeCheck", app_desc="VibeCheck", app_url="", http_redirects=False, **without_limit)


def check_receivers(receivers: Iterable[Receiver]) -> None:
    """Raise InvalidReceiver for the first address that cannot be used, as far as that is known without the server."""
    for receiver in receivers:
        if block_address(receiver) is None:
            plugins_of_address(receiver)
