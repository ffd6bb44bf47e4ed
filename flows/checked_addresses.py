"""What an address among the settings must be. What is said of a wrong one never shows it: it may hold a password."""

import re
from urllib.parse import parse_qsl

import httpx
from pydantic import SecretStr
from pydantic_core import PydanticCustomError

_HIGHEST_PORT = 65_535

_POSTGRESQL = "postgresql+asyncpg://"
_DATABASE_SCHEMES = (_POSTGRESQL, "sqlite+aiosqlite://")
# As SQLAlchemy reads it: a user may hold `@`, and a password goes up to the next one, whatever stands between.
_LOGIN = re.compile(r"[^:/]*(?::[^@]*)?@")
_PASSWORD_ARGUMENT = re.compile(r"[?&]password=")
# What asyncpg takes as text, which is all that an address can give, and what SQLAlchemy takes for it.
DRIVER_ARGUMENTS = frozenset(
    {
        "command_timeout",
        "database",
        "direct_tls",
        "gsslib",
        "host",
        "krbsrvname",
        "passfile",
        "port",
        "prepared_statement_cache_size",
        "service",
        "servicefile",
        "ssl",
        "target_session_attrs",
        "user",
    }
)


def check_web_address(value: str | SecretStr | None) -> str | SecretStr | None:
    """Return `value`. Raises PydanticCustomError for what is not a web address."""
    if value is None:
        return None
    try:
        url = httpx.URL(value.get_secret_value() if isinstance(value, SecretStr) else value)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > _HIGHEST_PORT:
        raise PydanticCustomError("web_address", "Input should be a web address, such as https://example.org/path")
    return value


def check_database_address(value: SecretStr | None) -> SecretStr | None:
    """Return `value`. Raises PydanticCustomError for what the drivers cannot use, and for a password that would show.

    A password that SQLAlchemy does not read as one would be shown with the host or the arguments.
    """
    if value is None:
        return None
    address = value.get_secret_value()
    if not address.startswith(_DATABASE_SCHEMES):
        raise PydanticCustomError("database_address", f"Input should begin with {' or '.join(_DATABASE_SCHEMES)}")
    if address.startswith(_POSTGRESQL) and (wanted := _wanted_instead(address.removeprefix(_POSTGRESQL))):
        raise PydanticCustomError("database_address", "Input should {wanted}", {"wanted": wanted})
    return value


def password_in(address: str) -> str | None:
    """Return the password in any address, as it stands there: up to the first `@`, whatever stands in it."""
    login = _LOGIN.match(address.partition("://")[2])
    return (login.group().partition(":")[2].removesuffix("@") or None) if login else None


def _wanted_instead(address: str) -> str | None:
    """What is wrong with an address of PostgreSQL, less its scheme, as what it should do; None if nothing is."""
    login = match.group() if (match := _LOGIN.match(address)) else ""
    rest = address.removeprefix(login)
    if "@" in rest:
        return "percent-encode each @ in password and arguments, as %40"
    arguments = {name for name, _ in parse_qsl(rest.partition("?")[2])}
    if "password" in arguments or _PASSWORD_ARGUMENT.search(login):
        return "have the password before the host, as user:password@host"
    unknown = arguments - DRIVER_ARGUMENTS
    wanted = ["say ssl instead of sslmode, as ssl=require"] if "sslmode" in unknown else []
    wanted += [f"have no argument {name}, which is not passed to asyncpg" for name in sorted(unknown - {"sslmode"})]
    return ", and ".join(wanted) or None
