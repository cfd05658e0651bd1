"""Whether anybody is told of an environment's critical alerts, as far as settings can say it.

Whether the secrets behind the receivers are any good is for components/receiver_secrets.py: settings know none.
"""

from __future__ import annotations

from collections.abc import Iterator

from settings.alerts import Alerts
from settings.example_text import leads_nowhere
from settings.problems import spell
from settings.receivers import Email, Environment, Ntfy, Receiver, Slack, Sms

Found = tuple[list[str | int], str, str, str]
"""Where, what was found, what was expected, what to do."""

PUT_IN = "Put in the real one: until then this receiver reaches nobody; see docs/alerts.md."


def unheard(alerts: Alerts, environment: Environment) -> Iterator[Found]:
    """Yield why critical alerts of an environment reach nobody, or not everybody whom they are meant for."""
    if environment == "development":
        return
    told = {name: one for name, one in alerts.told_in(environment).items() if "critical" in one.severities}
    for name, receiver in told.items():
        for place, value in _plain(receiver):
            if leads_nowhere(value):
                where: list[str | int] = ["alerts", "receivers", name, *place]
                yield where, spell(value), "what there really is", PUT_IN
    if not any(takes_all_critical(one) for one in told.values()):
        yield ["alerts", "receivers"], _found(alerts, environment), *_wanted(environment)


def takes_all_critical(receiver: Receiver) -> bool:
    """Say whether it takes every critical alert, and not only some by name or label."""
    return "critical" in receiver.severities and not receiver.alerts and not receiver.labels


def _found(alerts: Alerts, environment: Environment) -> str:
    if not alerts.receivers:
        return "no receiver"
    why = []
    for name, one in alerts.receivers.items():
        if environment not in one.environments:
            why.append(f"{name} is not told of {environment}")
        elif "critical" not in one.severities:
            why.append(f"{name} takes {' and '.join(one.severities)}")
        else:
            limits = [*(f'{label}="{value}"' for label, value in one.labels.items()), *one.alerts]
            why.append(f"{name} takes only {', '.join(limits)}")
    return f"no receiver of every critical alert ({'; '.join(why)})"


def _wanted(environment: Environment) -> tuple[str, str]:
    wanted = f"a receiver that hears of every critical alert of {environment}, without `alerts` and `labels`"
    return wanted, "For instance: on-call: {type: slack, webhook: slack-on-call}; every kind is in docs/alerts.md."


def _plain(receiver: Receiver) -> Iterator[tuple[list[str | int], str]]:
    """Yield what a receiver says in the open of where its messages go."""
    match receiver:
        case Email():
            for number, address in enumerate(receiver.to):
                yield ["to", number], address
            yield ["from"], receiver.sender
            yield ["smarthost"], receiver.smarthost
        case Slack() if receiver.channel:
            yield ["channel"], receiver.channel
        case Ntfy():
            yield ["server"], receiver.server
            yield ["topic"], receiver.topic
        case Sms():
            for key, value in receiver.fields.items():
                yield ["fields", key], value
        case _:
            return
