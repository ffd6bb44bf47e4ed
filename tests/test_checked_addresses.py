"""A database's address is refused before anything runs where its driver would, or where its password would show."""

import inspect

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError

from flows.checked_addresses import DRIVER_ARGUMENTS
from flows.database.engine import database_shown
from flows.settings import MonitoringSettings

HOST = "postgresql+asyncpg://user:Pa55@host:5432/name"


def settings(address: str) -> MonitoringSettings:
    return MonitoringSettings(_env_file=None, database_url=SecretStr(address))  # pyright: ignore[reportCallIssue]  # pydantic-settings


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        (f"{HOST}?sslmode=require", "Input should say ssl instead of sslmode, as ssl=require"),
        (f"{HOST}?ssl=require&channel_binding=require", "have no argument channel_binding, which is not"),
        (f"{HOST}?sslmode=require&channel_binding=prefer", "as ssl=require, and have no argument channel_binding"),
        (f"{HOST}?statement_cache_size=0", "have no argument statement_cache_size"),
        ("postgresql+asyncpg://user:s3@Pa55@host/name", "percent-encode each @ in password and arguments, as %40"),
        ("postgresql+asyncpg://user:s3@Pa55/@host/name", "percent-encode each @"),
        ("postgresql+asyncpg://host/name?user=me&password=s3&Pa55=x", "have the password before the host"),
        ("postgresql+asyncpg://host/name?password=s3@Pa55", "percent-encode each @"),
        ("postgresql+asyncpg://host:5432/name?password=s3@Pa55", "have the password before the host"),
    ],
)
def test_what_no_driver_takes_is_refused_without_being_shown(address: str, wanted: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(address)
    (problem,) = refused.value.errors(include_input=False)
    assert problem["msg"].startswith("Input should ")
    assert wanted in problem["msg"]
    assert "Pa55" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        f"{HOST}?ssl=require&target_session_attrs=read-write",
        f"{HOST}?host=one:5432&host=two:5432",
        "postgresql+asyncpg://user:Pa55%40word@host/name",
        "postgresql+asyncpg://user:Pa55/w?rd@[::1]/name",
        "postgresql+asyncpg://user@server:Pa55@host/name",
        "postgresql+asyncpg://user:password=Pa55@host/name",
        "postgresql+asyncpg:///name?host=/var/run/postgresql&user=me",
        "sqlite+aiosqlite:////folder/me@home.db",
    ],
)
def test_what_the_drivers_take_is_shown_without_its_password(address: str) -> None:
    assert "Pa55" not in database_shown(settings(address))


def test_the_driver_knows_each_argument_that_is_let_through() -> None:
    of_sqlalchemy = {"prepared_statement_cache_size"}
    known = inspect.signature(asyncpg.connect).parameters  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # asyncpg has no types
    assert known.keys() >= DRIVER_ARGUMENTS - of_sqlalchemy
