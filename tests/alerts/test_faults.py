"""What goes wrong between Alertmanager and its receivers: all are told in the end, and nobody waits for another."""

import pytest

from tests.sink.server import Fault
from tests.support.alertmanager import firing
from tests.support.receivers import every_kind
from tests.support.waiting import wait_until

TWO = {"broken": {"type": "webhook", "url": "broken-url"}, "well": {"type": "discord", "webhook": "well-url"}}
BY_HTTP = ("hook", "chat", "ops", "teams", "pager", "genie", "telegram")


def redis(**more):
    return firing("RedisDown", scope="store", service="redis", **more)


def postgres():
    return firing("PostgresDown", scope="store", service="postgres")


@pytest.mark.parametrize(
    ("fault", "broken"),
    [
        (Fault(500, times=4), ("hook", "chat", "pager")),
        # Alertmanager reads no Retry-After. Of a 429 it tells most kinds again with the group's next interval, and
        # PagerDuty, Opsgenie and Telegram sooner.
        (Fault(429, retry_after=1, times=2), BY_HTTP),
    ],
    ids=["500", "429"],
)
def test_receivers_that_fail_are_told_once_they_are_well_and_the_others_before(fault, broken, sink, run):
    running = run(every_kind(sink))
    times = int(fault.times)
    sink.faults.update({name: Fault(fault.status, fault.retry_after, times) for name in broken})
    running.post([redis()])
    messages = {name: sink.wait(name)[0] for name in every_kind(sink)}
    for name in broken:
        assert [one.status for one in sink.attempts if one.receiver == name][:times] == [fault.status] * times, name
    for name in messages.keys() - {*broken, "mail"}:
        assert messages[name].at < min(messages[other].at for other in broken), name
    running.wait_for_rounds()
    assert {name: len(sink.told(name)) for name in messages} == dict.fromkeys(messages, 1)


def test_a_receiver_that_hangs_is_tried_again_and_delays_nobody(sink, run):
    running = run(TWO)
    sink.faults["broken"] = Fault(0, times=1)
    running.post([redis()])
    sink.wait("well")
    running.post([postgres()])
    (_, second) = sink.wait("well", count=2)
    (message, *_) = sink.wait("broken")
    # Alertmanager gives a try the group's interval, and at least ten seconds.
    (hung, *_) = (one for one in sink.attempts if one.receiver == "broken")
    assert second.at - hung.at < (message.at - hung.at) / 2
    assert {"RedisDown", "PostgresDown"} <= {one["labels"]["alertname"] for one in message.body["alerts"]}


def test_a_mail_server_that_defers_is_asked_again(sink, run):
    running = run({"mail": every_kind(sink)["mail"]})
    sink.mail.failing = "451 4.3.0 try again later"
    running.post([redis()])
    wait_until(lambda: sink.mail.attempts, "a mail is tried")
    sink.mail.failing = ""
    (mail,) = sink.wait("mail")
    assert "RedisDown" in mail.text


def test_a_mail_server_of_an_unknown_authority_gets_no_password(sink, run):
    stranger = {name: value for name, value in every_kind(sink)["mail"].items() if name != "ca"}
    running = run({"mail": stranger})
    running.post([redis()])
    wait_until(lambda: "certificate signed by unknown authority" in running.log, "the certificate is refused")
    assert sink.mail.attempts == 0


def test_nothing_is_lost_where_alertmanager_is_killed_and_started_again(sink, run):
    running = run(TWO)
    sink.faults["broken"] = Fault(500)
    running.post([redis()])
    sink.wait("well")
    wait_until(lambda: any(one.receiver == "broken" for one in sink.attempts), "the broken one is tried")
    running.kill()
    del sink.faults["broken"]
    running.start()
    # Prometheus sends what fires again every minute, and what has ended for a quarter of an hour.
    running.post([redis()])
    (message,) = sink.wait("broken")
    assert "RedisDown" in message.text


def test_what_was_told_before_a_stop_is_not_told_again_and_its_end_is(sink, run):
    running = run(TWO)
    running.post([redis()])
    for name in TWO:
        sink.wait(name)
    running.stop()
    running.start()
    running.post([redis()])
    running.wait_for_rounds()
    assert [len(sink.told(name)) for name in TWO] == [1, 1]
    running.post([redis(ended=True)])
    for name in TWO:
        sink.wait(name, count=2)


def test_a_receiver_out_of_reach_is_named_in_the_log_without_a_secret(sink, run):
    nowhere = "http://127.0.0.1:9"
    receivers = every_kind(sink)
    for name in ("pager", "genie", "telegram"):
        receivers[name]["url"] = nowhere
    receivers["bell"]["server"] = nowhere
    receivers["mail"]["smarthost"] = "127.0.0.1:9"
    running = run(receivers, at=f"{nowhere}/secret-path")
    running.post([redis()])
    wait_until(lambda: all(f"receiver={name} " in running.log for name in receivers), "the log names all receivers")
    for secret in running.secrets.values():
        assert secret not in running.log
    assert "/secret-path" not in running.log
