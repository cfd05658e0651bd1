"""Schedules of jobs: what is taken, what is refused, and in which words."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from settings.schedule import Schedule, expand, parse_schedule
from settings.workload import Job

SCHEDULE = TypeAdapter(Schedule)
PATTERN = re.compile(SCHEDULE.json_schema()["pattern"])


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("0 3 * * *", "0 3 * * *"),
        ("*/15 8-18/2 1,15 1-6 1-5", "*/15 8-18/2 1,15 1-6 1-5"),
        ("59 23 31 12 7", "59 23 31 12 7"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("0 0 30 2,3 *", "0 0 30 2,3 *"),
        ("0 0 31 2 1", "0 0 31 2 1"),
        ("00 03 * * 00", "0 3 * * 0"),
        ("0  3 *  * *", "0 3 * * *"),
        ("08,09 08-09 * * *", "8,9 8-9 * * *"),
        ("10 20 * * *", "10 20 * * *"),
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
    ],
)
def test_a_schedule_stays_as_it_was_written_and_expands_to_five_plain_fields(written, fields):
    assert SCHEDULE.validate_python(written) == written
    assert expand(written) == fields
    assert PATTERN.fullmatch(written), "editors must take it too"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("60 * * * *", "a minute from 0 to 59, ranges from low to high, not 60"),
        ("* 24 * * *", "an hour from 0 to 23, ranges from low to high, not 24"),
        ("* * 0 * *", "a day of the month from 1 to 31, ranges from low to high, not 0"),
        ("* * * 13 *", "a month from 1 to 12, ranges from low to high, not 13"),
        ("* * * * 8", "a day of the week from 0 to 7, ranges from low to high, not 8"),
        ("* 18-8 * * *", "an hour from 0 to 23, ranges from low to high, not 18-8"),
        ("*/0 * * * *", "a minute like *, 7, 1-5, */2 or 1,5-7, not */0"),
        ("5/10 * * * *", "a minute like *, 7, 1-5, */2 or 1,5-7, not 5/10"),
        ("1,,2 * * * *", "a minute like *, 7, 1-5, */2 or 1,5-7, not 1,,2"),
        ("* * * jan *", "a month like *, 7, 1-5, */2 or 1,5-7, not jan"),
        ("* * * * mon-fri", "a day of the week like *, 7, 1-5, */2 or 1,5-7, not mon-fri"),
        ("-5 * * * *", "a minute like *, 7, 1-5, */2 or 1,5-7, not -5"),
        ("\u0663 * * * *", "a minute like *, 7, 1-5, */2 or 1,5-7, not \u0663"),
        ("0 0 31 2,4 *", "a date that exists: no month of 2,4 has day 31"),
        ("0 0 30-31 2 */2", "a date that exists: no month of 2 has day 30"),
    ],
)
def test_a_field_that_cannot_be_is_told_by_its_name(written, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        parse_schedule(written)


@pytest.mark.parametrize("written", ["", "0 3 * *", "0 3 * * * *", "@yearly", "@DAILY", "daily", None, 5, ["0", "3"]])
def test_anything_but_five_fields_or_a_known_word_is_told_what_is_taken(written):
    with pytest.raises(ValidationError) as caught:
        SCHEDULE.validate_python(written)
    (error,) = caught.value.errors()
    assert error["msg"] == (
        "Value error, five fields of cron (minute, hour, day of the month, month, day of the week), like 0 3 * * *,"
        " or one of @hourly, @daily, @weekly, @monthly"
    )


def test_a_schedule_needs_the_command_that_it_repeats():
    with pytest.raises(ValidationError, match="a command in addition to schedule"):
        Job.model_validate({"image": "backup", "schedule": "@daily"})
    assert Job.model_validate({"image": "backup", "schedule": "@daily", "command": ["backup"]}).schedule == "@daily"
