"""When a scheduled job runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

Schedule = Annotated[str, StringConstraints(pattern=r"^(@(hourly|daily|weekly|monthly)|\S+( \S+){4})$")]
