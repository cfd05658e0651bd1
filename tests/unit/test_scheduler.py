"""The scheduler that runs inside products' images, run for real by every POSIX shell of this machine."""

import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime.shell import SCHEDULE_FILE, script
from tests.support.shells import shells
from tests.support.waiting import wait_until

FAKE_CLOCK = """
# The first line of clock is now; a sleep goes on to the next one, but waits for a run to end, unless that says in the
# file busy that it takes until a later time.
date() { read -r faked <"$FAKE/clock"; command date -d "@$faked" "$@"; }
sleep() {
    read -r faked <"$FAKE/clock"
    while [ -n "$runner" ] && kill -0 "$runner" 2>/dev/null; do
        if [ -s "$FAKE/busy" ] && [ "$faked" -lt "$(cat "$FAKE/busy")" ]; then break; fi
        command sleep 0.01
    done
    tail -n +2 "$FAKE/clock" >"$FAKE/next"
    [ -s "$FAKE/next" ] || { : >"$FAKE/over"; exec sleep 60; }
    mv "$FAKE/next" "$FAKE/clock"
}
"""
NOTE_THE_TIME = 'read -r now <"$FAKE/clock"; echo "$now" >>"$FAKE/runs"'
FOR_EVER = 9_999_999_999


@pytest.fixture(params=shells().values(), ids=shells())
def shell(request) -> list[str]:
    return request.param


def busy_until(time: int) -> str:
    """Return a command that takes until then by the fake clock."""
    wait = f'while read -r now <"$FAKE/clock" && [ "$now" -lt {time} ]; do sleep 0.01; done'
    return f'echo {time} >"$FAKE/busy"; {wait}'


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def each(step: timedelta, first: str, last: str) -> list[datetime]:
    """Return the moments from first to last. The scheduler is woken at these alone: it need not live through years."""
    moments = [at(first)]
    while moments[-1] < at(last):
        moments.append(moments[-1] + step)
    return moments


class Scheduler:
    """A scheduler at work, in a folder that holds its state and, with `moments`, its clock."""

    def __init__(self, shell, folder, schedule, command, moments=(), **env):
        self._folder = folder
        (folder / "clock").write_text("".join(f"{int(moment.timestamp())}\n" for moment in moments))
        (folder / SCHEDULE_FILE).write_text((FAKE_CLOCK if moments else "") + script(SCHEDULE_FILE))
        self._start = [*shell, str(folder / SCHEDULE_FILE)]
        self._env = {"PATH": os.environ["PATH"], "TMPDIR": str(folder), "FAKE": str(folder), **env}
        self._log = folder / "log"
        with self._log.open("w") as log:
            words = [*self._start, schedule, "--", "sh", "-c", command]
            self.process = subprocess.Popen(words, env=self._env, stdout=log, stderr=log)

    @property
    def log(self) -> list[str]:
        return self._log.read_text().splitlines()

    @property
    def runs(self) -> list[datetime]:
        """When it ran NOTE_THE_TIME."""
        noted = self._folder / "runs"
        return [datetime.fromtimestamp(int(line), UTC) for line in noted.read_text().split()] if noted.exists() else []

    def live_through(self) -> None:
        wait_until((self._folder / "over").exists, f"the last moment ({self.log})", seconds=60)

    def health(self) -> tuple[int, str]:
        done = subprocess.run([*self._start, "--health"], env=self._env, capture_output=True, text=True)
        assert done.stderr == ""
        return done.returncode, done.stdout.strip()

    def stop(self) -> float:
        """Ask it to end; return how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        return time.monotonic() - began


@pytest.fixture
def scheduler(shell, tmp_path):
    made: list[Scheduler] = []

    def make(schedule, command, moments=(), **env):
        made.append(Scheduler(shell, tmp_path, schedule, command, moments, **env))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.stop()


DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
OCTAL_TRAPS = {
    **{"07 08:08": False, "08 07:08": False, "08 08:07": False, "08 08:08": True, "08 09:09": True},
    **{"09 08:49": False, "09 08:50": True, "09 09:52": True, "09 09:53": False, "10 08:08": False},
}
TIMES = {
    "steps, in ranges as well": (
        "*/20 8-10/2 * * *",
        each(10 * MINUTE, "2026-03-01 07:50", "2026-03-01 11:00"),
        [f"2026-03-01 {hour}:{minute}" for hour in ("08", "10") for minute in ("00", "20", "40")],
    ),
    "lists, and numbers that would be wrong as octal ones": (
        "8,9,50-52 8,9 8-9 9 *",
        [at(f"2026-09-{when}") for when in OCTAL_TRAPS],
        [f"2026-09-{when}" for when, comes in OCTAL_TRAPS.items() if comes],
    ),
    "the leap day": (
        "0 0 29 2 *",
        [*each(DAY, "2027-02-26", "2027-03-02"), *each(DAY, "2028-02-26", "2028-03-02")],
        ["2028-02-29"],
    ),
    "both days restricted: a Friday the 13th comes once": (
        "0 0 13 * 5",
        each(DAY, "2026-11-05", "2026-11-14"),
        ["2026-11-06", "2026-11-13"],
    ),
    "both days restricted: either will do": (
        "0 0 12 * 5",
        each(DAY, "2026-11-05", "2026-11-14"),
        ["2026-11-06", "2026-11-12", "2026-11-13"],
    ),
    "a day that begins with a star is not restricted: both must match": (
        "0 0 */2 * 1",
        each(DAY, "2026-11-01", "2026-11-17"),
        ["2026-11-09"],
    ),
    **{
        f"Sunday as {sunday}": (f"0 0 * * {sunday}", each(DAY, "2026-11-06", "2026-11-10"), ["2026-11-08"])
        for sunday in ("0", "7")
    },
    "Sunday at the end of a range": (
        "0 0 * * 6-7",
        each(DAY, "2026-11-06", "2026-11-10"),
        ["2026-11-07", "2026-11-08"],
    ),
}
"""What it shows → schedule, moments, and those at which the command runs."""


class TestTimes:
    @pytest.mark.parametrize(("schedule", "moments", "expected"), TIMES.values(), ids=TIMES)
    def test_the_command_runs_when_the_schedule_says(self, scheduler, schedule, moments, expected):
        running = scheduler(schedule, NOTE_THE_TIME, moments)
        running.live_through()
        assert running.runs == [at(text) for text in expected]

    @pytest.mark.parametrize(
        ("schedule", "env", "expected"),
        [("0 3 * * *", {}, "03:00"), ("0 5 * * *", {"TZ": "EAT-3"}, "02:00")],
        ids=["UTC whatever the image takes for local time", "the zone that TZ names"],
    )
    def test_times_are_of_one_zone(self, scheduler, schedule, env, expected):
        running = scheduler(schedule, NOTE_THE_TIME, each(HOUR, "2026-03-01 00:00", "2026-03-01 05:00"), **env)
        running.live_through()
        assert running.runs == [at(f"2026-03-01 {expected}")]
        zone = env.get("TZ", "UTC")
        assert running.log[0] == f'level=info source=schedule event=wait schedule="{schedule}" zone={zone}'

    def test_the_minute_of_the_start_is_over_already(self, scheduler):
        running = scheduler("* * * * *", NOTE_THE_TIME, [at("2026-03-01 03:00:10"), at("2026-03-01 03:01:00")])
        running.live_through()
        assert running.runs == [at("2026-03-01 03:01")]

    def test_a_sleep_that_ends_early_or_late_changes_nothing(self, scheduler):
        wakes = ["03:00:59", "03:01:01", "03:01:59", "03:02:30", "03:03:00"]
        running = scheduler("* * * * *", NOTE_THE_TIME, [at(f"2026-03-01 {wake}") for wake in wakes])
        running.live_through()
        assert running.runs == [at(f"2026-03-01 {wake}") for wake in ("03:01:01", "03:02:30", "03:03:00")]


class TestRuns:
    HOURS = each(HOUR, "2026-03-01 00:00", "2026-03-01 03:00")

    def test_each_start_and_end_is_one_line_with_exit_code_and_seconds(self, scheduler):
        running = scheduler("0 2 * * *", "exit 0", self.HOURS)
        running.live_through()
        assert running.log[1:] == [
            "level=info source=schedule event=start",
            "level=info source=schedule event=end exit=0 seconds=0",
        ]
        assert running.health() == (0, "last run: exit=0 seconds=0 ended=2026-03-01T02:00:00Z")

    def test_a_run_that_fails_makes_it_unhealthy_until_one_succeeds(self, scheduler, tmp_path):
        fail_once = 'test -e "$FAKE/failed" || { : >"$FAKE/failed"; exit 3; }'
        running = scheduler("0 1 * * *", fail_once, self.HOURS)
        running.live_through()
        assert "level=error source=schedule event=end exit=3 seconds=0" in running.log
        assert running.health() == (1, "last run: exit=3 seconds=0 ended=2026-03-01T01:00:00Z")
        running.stop()
        (tmp_path / "over").unlink()
        again = scheduler("0 2 * * *", fail_once, self.HOURS)
        again.live_through()
        assert again.health()[0] == 0

    def test_a_time_that_comes_while_the_command_runs_is_noted_and_skipped(self, scheduler):
        moments = each(30 * MINUTE, "2026-03-01 00:00", "2026-03-01 04:00")
        half_past_two = int(at("2026-03-01 02:30").timestamp())
        running = scheduler("0 * * * *", f"{NOTE_THE_TIME}; {busy_until(half_past_two)}", moments)
        running.live_through()
        assert running.runs == [at(f"2026-03-01 {time}") for time in ("01:00", "03:00", "04:00")]
        start, skip = "level=info source=schedule event=start", "level=warning source=schedule event=skip"
        assert running.log[1:4] == [
            start,
            f"{skip} reason=still_running",
            "level=info source=schedule event=end exit=0 seconds=5400",
        ]

    def test_a_run_that_goes_on_has_not_failed(self, scheduler):
        running = scheduler("0 * * * *", busy_until(FOR_EVER), self.HOURS)
        running.live_through()
        assert running.health() == (0, "last run: none yet")


class TestEnd:
    def test_it_ends_within_a_second_while_it_waits_and_leaves_nothing_behind(self, scheduler):
        running = scheduler("0 3 1 1 *", "true")
        wait_until(lambda: running.health() == (0, "last run: none yet"), "its first sign of life")
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        wait_until(children.read_text, "its sleep")
        (sleeper,) = children.read_text().split()
        assert running.stop() < 1
        assert running.log[-1] == "level=info source=schedule event=stop"
        assert not Path(f"/proc/{sleeper}").exists()

    @pytest.mark.parametrize(("on_term", "code"), [("exit 7", 7), ("exit 0", 0)])
    def test_the_signal_is_passed_on_to_a_command_that_runs_and_its_end_is_waited_for(self, scheduler, on_term, code):
        command = f"trap 'sleep 0.3; echo cleaned up; {on_term}' TERM; {busy_until(FOR_EVER)}"
        running = scheduler("0 1 * * *", command, TestRuns.HOURS)
        running.live_through()
        assert 0.3 <= running.stop() < 2
        level = "error" if code else "info"
        assert [line.partition(" seconds")[0] for line in running.log[-3:]] == [
            "cleaned up",
            f"level={level} source=schedule event=end exit={code}",
            "level=info source=schedule event=stop",
        ]

    def test_a_command_that_the_signal_ends_has_failed(self, scheduler):
        running = scheduler("0 1 * * *", f'echo {FOR_EVER} >"$FAKE/busy"; exec sleep 60', TestRuns.HOURS)
        running.live_through()
        assert running.stop() < 1
        assert "level=error source=schedule event=end exit=143 seconds=7200" in running.log

    def test_a_scheduler_that_is_dead_is_unhealthy(self, scheduler, tmp_path):
        running = scheduler("0 1 * * *", "true", TestRuns.HOURS)
        running.live_through()
        assert running.health()[0] == 0
        running.process.kill()
        running.process.wait()
        died = TestRuns.HOURS[-1]
        for seconds, code in ((150, 0), (151, 1)):
            (tmp_path / "clock").write_text(f"{int(died.timestamp()) + seconds}\n")
            assert running.health()[0] == code
        (tmp_path / "dockyard-schedule.alive").unlink()
        old = "no scheduler is at work: its last sign of life is more than 150 seconds old"
        assert running.health() == (1, old)

    @pytest.mark.parametrize("words", [[], ["0 3 * * *"], ["0 3 * * *", "--"], ["0", "3", "true"]])
    def test_a_wrong_call_is_told(self, shell, tmp_path, words):
        (tmp_path / SCHEDULE_FILE).write_text(script(SCHEDULE_FILE))
        done = subprocess.run([*shell, str(tmp_path / SCHEDULE_FILE), *words], capture_output=True, text=True)
        assert done.returncode == 64
        assert done.stderr.startswith("usage: schedule.sh ")
