"""Every knob of the pipeline, in one class: read from the environment and from `.env`, checked before anything runs."""

from functools import lru_cache
from pathlib import Path
from socket import gethostname
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from flows.checked_addresses import check_database_address, check_web_address

PROJECT_ROOT = Path(__file__).resolve().parent.parent
# A wheel has the code in site-packages, inside `vibecheck`: nobody keeps files of his own there.
IS_CHECKOUT = __name__ == "flows.settings"
ENV_FILE = PROJECT_ROOT / ".env" if IS_CHECKOUT else Path(".env")

SANDBOX_KEY = "ank_sandbox"

_PREFIX = "VIBECHECK_"

Seconds = Annotated[float, Field(gt=0)]


def _check_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise PydanticCustomError("timezone", "Input should be a timezone's name, such as Europe/Berlin") from None
    return value


IS_WEB_ADDRESS = AfterValidator(check_web_address)
IS_TIMEZONE = AfterValidator(_check_timezone)
IS_DATABASE_ADDRESS = AfterValidator(check_database_address)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _from_environment(name: str) -> AliasChoices:
    """The vendor's own variable names carry no prefix; the field's name keeps working in code."""
    return AliasChoices(name, name.lower())


class MonitoringSettings(BaseSettings):
    """What the monitoring needs. Each field's environment variable is `VIBECHECK_` and its name."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",  # some editors begin a file with a BOM, which would be part of the first name
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    # The database
    database_url: Annotated[SecretStr | None, IS_DATABASE_ADDRESS] = Field(
        default=None,
        description="SQLAlchemy address of the pipeline's database (asyncpg or aiosqlite), at a hosted PostgreSQL with "
        "`?ssl=require` at its end. Default: a SQLite file in the data directory.",
    )
    database_block: str | None = Field(
        default=None, description="Name of a prefect-sqlalchemy AsyncSqlAlchemyConnector block; wins over the address."
    )
    data_directory: Path = Field(
        default=(PROJECT_ROOT if IS_CHECKOUT else Path.home()) / ".vibecheck",
        description="Where embedded databases and logs of `vibecheck up` live.",
    )

    # The execution log
    retention_days: int = Field(
        default=180, ge=1, description="Log rows older than this are deleted, but never the newest."
    )

    # Health
    failing_after: int = Field(default=3, ge=1, description="A job is `failing` after this many failed runs in a row.")
    stale_data_after: int = Field(
        default=8, ge=1, description="Warn when this many successful runs in a row brought nothing new."
    )
    not_started_is_healthy: bool = Field(
        default=False,
        description="Answer 200 instead of 503 while a new job waits for its first run, within its bound.",
    )
    reminder_seconds: Seconds = Field(
        default=21_600.0, description="While a job stays unhealthy, remind at this interval (6 hours)."
    )
    ping_url: Annotated[SecretStr | None, IS_WEB_ADDRESS] = Field(
        default=None, description="Healthchecks-compatible address that the status flow pings (start, success, fail)."
    )
    notification: SecretStr | None = Field(
        default=None,
        description="Where alarms go: an Apprise address (Slack, Teams, Discord, mailto://, json://, …), or an "
        "existing notification block of Prefect's as `type-slug/name`, for example `slack-webhook/alarms`.",
    )
    notification_by_owner: dict[str, SecretStr] = Field(
        default={},
        description="Where the alarms of an owner's jobs go instead (tag `owner=…`): "
        "`VIBECHECK_NOTIFICATION_BY_OWNER__DATA` for the owner `data`, or all in one as a JSON object.",
    )
    notification_by_severity: dict[str, SecretStr] = Field(
        default={},
        description="Where the alarms of jobs of a severity go instead (tag `severity=…`): "
        "`VIBECHECK_NOTIFICATION_BY_SEVERITY__LOW` for `low`, or all as a JSON object. Where both match, both get it.",
    )
    installation: str | None = Field(
        default=None,
        description="What messages call this installation, and receivers its incidents: the same in all processes, and "
        "another than that of any installation that reports to the same receiver. Default: the host's name; in "
        "`docker-compose.yml`, `vibecheck`.",
    )
    status_page_url: Annotated[str | None, IS_WEB_ADDRESS] = Field(
        default=None, description="Address of the status page as people reach it; messages link to it."
    )
    prefect_ui_url: Annotated[str | None, IS_WEB_ADDRESS] = Field(
        default=None,
        validation_alias=_from_environment("PREFECT_UI_URL"),
        description="Address of Prefect's UI as people reach it (Prefect's own variable): messages and the status page "
        "link to it. Default: messages take it from PREFECT_API_URL; the page, which knows no Prefect, has no links.",
    )
    timezone: Annotated[str, IS_TIMEZONE] = Field(
        default="UTC",
        description="Timezone in which page, messages, runs' names and every command tell times, such as "
        "`Europe/Berlin`. Each time names it.",
    )

    # Logging
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is coloured on a terminal and JSON elsewhere."
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        default="INFO", description="Lowest level that is logged."
    )

    def installation_name(self) -> str:
        """Return what messages call this installation: the configured name, or the host's."""
        return self.installation or gethostname()

    def has_database(self) -> bool:
        """Return whether a database is configured, or the embedded one has been made."""
        return bool(self.database_url or self.database_block) or self._embedded_database().exists()

    def zone(self) -> ZoneInfo:
        """Return the timezone in which people are told times."""
        return ZoneInfo(self.timezone)

    def effective_database_url(self) -> str:
        """Return the address to connect to: the configured one, or the embedded SQLite file. It may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite+aiosqlite:///{self._embedded_database()}"

    def _embedded_database(self) -> Path:
        return self.data_directory / "vibecheck.db"


class Settings(MonitoringSettings):
    """The pipeline's settings: the monitoring's, and those of the polls, whose vendor's names carry no prefix."""

    # AskNews
    asknews_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=_from_environment("ASKNEWS_API_KEY"),
        description="AskNews API key. Without it and without client credentials, `vibecheck up` uses the sandbox.",
    )
    asknews_client_id: str | None = Field(
        default=None,
        validation_alias=_from_environment("ASKNEWS_CLIENT_ID"),
        description="OAuth2 client id, the alternative to an API key.",
    )
    asknews_client_secret: SecretStr | None = Field(
        default=None, validation_alias=_from_environment("ASKNEWS_CLIENT_SECRET"), description="OAuth2 client secret."
    )
    asknews_api_url: Annotated[str, IS_WEB_ADDRESS] = Field(
        default="https://api.asknews.app",
        validation_alias=_from_environment("ASKNEWS_API_URL"),
        description="Base address of the AskNews API, with or without `/v1`.",
    )
    asknews_token_url: Annotated[str, IS_WEB_ADDRESS] = Field(
        default="https://auth.asknews.app/oauth2/token",
        validation_alias=_from_environment("ASKNEWS_TOKEN_URL"),
        description="Address that exchanges client credentials for a token.",
    )
    asknews_secret_block: str | None = Field(
        default=None,
        description="Name of a Prefect Secret block that holds the API key; used where ASKNEWS_API_KEY is unset.",
    )
    requests_per_second: float = Field(
        default=1.0, ge=0.1, description="Ceiling on requests to AskNews by one run; the Spelunker plan allows 1."
    )
    requests_at_once: int = Field(
        default=1,
        ge=1,
        le=20,
        description="Requests to AskNews that one run has under way at the same time. What the account allows, "
        "`vibecheck doctor` tells.",
    )
    request_timeout_seconds: Seconds = Field(
        default=30.0, description="Longest wait for one read from AskNews; a request takes 60 s at the most."
    )
    max_response_bytes: int = Field(
        default=32_000_000,
        gt=0,
        description="A response larger than this, unpacked, is cut off and counts as an error.",
    )
    max_retry_wait_seconds: Seconds = Field(
        default=60.0, description="Longest wait that a `Retry-After` header can impose before one retry."
    )

    # Requests budget
    monthly_credits: int = Field(
        default=20_000, ge=0, description="AskNews credits that the pipeline may spend in one billing period."
    )
    billing_day: int = Field(
        default=1, ge=1, le=28, description="Day of the month on which the billing period starts (UTC)."
    )
    budget_soft_ratio: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Share of the credits from which a run asks for 3 pages at the most, and warns.",
    )

    def is_sandbox(self) -> bool:
        """Return whether the key is the one that `vibecheck up` gives the sandbox's pollers; AskNews refuses it."""
        return self.asknews_api_key is not None and self.asknews_api_key.get_secret_value() == SANDBOX_KEY

    def has_asknews_credentials(self) -> bool:
        """Return whether anything is configured to log in to AskNews with."""
        return bool(self.asknews_api_key or self.asknews_client_id or self.asknews_secret_block)

    def missing_half_of_login(self) -> str | None:
        """Say what is wrong with the client credentials where one of the two is not set, else None."""
        given = {"ASKNEWS_CLIENT_ID": self.asknews_client_id, "ASKNEWS_CLIENT_SECRET": self.asknews_client_secret}
        absent = [name for name, value in given.items() if value is None]
        if len(absent) != 1:
            return None
        (present,) = given.keys() - absent
        return f"{present} is set, but not {absent[0]}: set it too"


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Return the process's settings, read once, at the first call and never at import.

    Raises pydantic.ValidationError, which names the variable but never shows its value, and UnicodeDecodeError for a
    `.env` that is not UTF-8.
    """
    return Settings()


def variable_of(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"{_PREFIX}{name}".upper()
