"""What all tables share: how Python types become columns and how constraints are named."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Date, Float, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from flows.database.types import CleanText, Identifier, Json, UtcDateTime


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: CleanText,
        datetime: UtcDateTime,
        UUID: Identifier,
        float: Float,
        date: Date,
        dict[str, Any]: Json,
        dict[str, int]: Json,
        dict[str, list[str]]: Json,
        list[str]: Json,
        list[dict[str, Any]]: Json,
    }


def table_of(model: type[Base]) -> Table:
    """Return the table behind `model`, for statements that work on any table."""
    return Base.metadata.tables[model.__tablename__]
