"""What becomes of the variables of a `.env` file that say who hears of alerts."""

import pytest

from settings.loader import load, read_stack_file
from tests.support.dotenv import STACK

MONITORING = "https://discord.com/api/webhooks/1/a"
CRITICAL = "https://discord.com/api/webhooks/2/b"

LOVE_PARSER = """\
SLACK_WEBHOOK_URL=https://hooks.slack.com/services/T0/B0/s3cret
SLACK_CHANNEL=#ops-love-parser
SMTP_HOST=smtp.mail.net
SMTP_PORT=2525
SMTP_FROM=alerts@shop.net
SMTP_TO=anna@shop.net, ben@shop.net
SMTP_USER=alerts
SMTP_PASSWORD=s3cret-mail
SMS_WEBHOOK_URL=https://sms.net/s3cret
SMS_TO=+33612345678
PAGERDUTY_ROUTING_KEY=s3cretb7ddd4e4a7ea3e7b5f5c8a9d0e
HEARTBEAT_URL=https://hc-ping.com/s3cret
"""
"""What Love Parser's document asks for: "Slack webhook, SMTP creds …", SMS and PagerDuty."""


CHAT_AND_RED = f"""{STACK}  dockyard:alerts:
    receivers:
      chat: {{type: discord, webhook: one, severities: [warning]}}
      red: {{type: discord, webhook: two, severities: [critical]}}
"""


def receivers(shop):
    return shop.config["dockyard:alerts"]["receivers"]


def again(shop):
    return load(read_stack_file(shop.work.checkout, "staging"), "staging", checkout=shop.work.checkout)


def test_each_of_love_parsers_channels_becomes_a_receiver(shop):
    answers = shop.take(LOVE_PARSER)
    assert receivers(shop) == {
        "slack-notifications": {"type": "slack", "webhook": "slack-webhook", "channel": "#ops-love-parser"},
        "email-critical": {
            "type": "email",
            "severities": ["critical"],
            "smarthost": "smtp.mail.net:2525",
            "from": "alerts@shop.net",
            "to": ["anna@shop.net", "ben@shop.net"],
            "username": "alerts",
            "password": "smtp-password",
        },
        "sms-escalation": {"type": "sms", "url": "sms-url", "fields": {"to": "+33612345678"}},
        "pagerduty": {"type": "pagerduty", "severities": ["critical"], "routing_key": "pagerduty-key"},
    }
    assert shop.config["dockyard:alerts"]["heartbeat"] == "heartbeat-url"
    assert set(shop.secrets) == {"slack-webhook", "smtp-password", "sms-url", "pagerduty-key", "heartbeat-url"}
    assert answers["SMTP_PORT"] == "unchanged: part of SMTP_HOST"
    assert "s3cret" not in shop.printed + shop.stack_file.read_text() + shop.commands
    assert sorted(again(shop).product.alerts.receivers) == sorted(receivers(shop))


def test_a_second_import_changes_nothing(shop):
    shop.take(LOVE_PARSER)
    after = shop.stack_file.read_text()
    answers = shop.take(LOVE_PARSER)
    assert shop.stack_file.read_text() == after
    assert {text.split(":")[0] for text in answers.values()} == {"unchanged"}


def test_one_discord_channel_alone_receives_everything(shop):
    shop.take(f"DISCORD_MONITORING_WEBHOOK_URL={MONITORING}\n")
    assert receivers(shop) == {"monitoring": {"type": "discord", "webhook": "discord-monitoring"}}


def test_existing_receivers_get_their_secrets_by_any_name(shop):
    shop.stack_file.write_text(f"{CHAT_AND_RED}      pager: {{type: pagerduty, routing_key: three}}\n")
    before = shop.config["dockyard:alerts"]
    answers = shop.take(
        f"DISCORD_MONITORING_WEBHOOK_URL={MONITORING}\nDISCORD_CRITICAL_WEBHOOK_URL={CRITICAL}\n"
        "PAGERDUTY_SERVICE_KEY=b7ddd4e4a7ea3e7b5f5c8a9d0e1f2a3b\n"
    )
    assert shop.config["dockyard:alerts"] == before
    assert shop.secrets == {"one": MONITORING, "two": CRITICAL, "three": "b7ddd4e4a7ea3e7b5f5c8a9d0e1f2a3b"}
    assert answers["DISCORD_CRITICAL_WEBHOOK_URL"] == "secret set: dockyard:two, named by alerts.receivers.red.webhook"


def test_a_missing_secret_of_a_receiver_is_reported(shop):
    shop.stack_file.write_text(CHAT_AND_RED)
    shop.take(f"DISCORD_MONITORING_WEBHOOK_URL={MONITORING}\n")
    assert shop.secrets == {"one": MONITORING}
    assert "Still missing: the secret that dockyard:alerts.receivers.red.webhook names" in shop.printed


def test_another_channel_or_mail_server_changes_the_receiver(shop):
    shop.take(LOVE_PARSER)
    shop.take("SLACK_CHANNEL=#other\nSMTP_SMARTHOST=smtp.other.net:465\n")
    assert receivers(shop)["slack-notifications"]["channel"] == "#other"
    assert receivers(shop)["email-critical"]["smarthost"] == "smtp.other.net:465"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("SMTP_FROM=a@shop.net\nSMTP_TO=b@shop.net\n", "SMTP_SMARTHOST too"),
        ("TELEGRAM_BOT_TOKEN=123:s3cret\n", "TELEGRAM_CHAT_ID too"),
        ("SLACK_CHANNEL=#ops\n", "SLACK_WEBHOOK_URL too"),
        ("NTFY_TOKEN=tk_s3cret\n", "NTFY_TOPIC too"),
    ],
)
def test_half_of_a_receiver_is_left_out_with_what_is_missing(shop, text, missing):
    answers = shop.take(text)
    assert all(answer.startswith("skipped") and missing in answer for answer in answers.values())
    assert shop.stack_file.read_text() == STACK


def test_telegram_teams_ntfy_and_opsgenie_become_receivers(shop):
    shop.take(
        "TELEGRAM_BOT_TOKEN=123456:s3cret\nTELEGRAM_CHAT_ID=-100123\nTEAMS_WEBHOOK_URL=https://teams.net/s3cret\n"
        "NTFY_TOPIC=shop\nOPSGENIE_API_KEY=s3cret-key\n"
    )
    assert receivers(shop) == {
        "opsgenie": {"type": "opsgenie", "severities": ["critical"], "api_key": "opsgenie-key"},
        "telegram": {"type": "telegram", "bot_token": "telegram-bot-token", "chat_id": -100123},
        "teams": {"type": "teams", "webhook": "teams-webhook"},
        "ntfy": {"type": "ntfy", "topic": "shop"},
    }
    assert again(shop).product.alerts.receivers["telegram"].chat_id == -100123


def test_a_wrong_address_is_left_out_and_two_names_of_a_secret_are_compared(shop):
    answers = shop.take(
        "SLACK_WEBHOOK_URL=s3cret\nTEAMS_WEBHOOK_URL=https://t.net/1\nMSTEAMS_WEBHOOK_URL=https://t.net/2\n"
    )
    assert answers["SLACK_WEBHOOK_URL"] == "skipped: not a webhook address: https://…"
    assert answers["MSTEAMS_WEBHOOK_URL"] == "differs: not used: TEAMS_WEBHOOK_URL has another value"


def test_half_of_a_login_is_left_out(shop):
    answers = shop.take("SMTP_SMARTHOST=mail.net:25\nSMTP_FROM=a@shop.net\nSMTP_TO=b@shop.net\nSMTP_USER=alerts\n")
    assert answers["SMTP_USER"] == "skipped: set both user name and password, or neither"
    assert receivers(shop)["email-critical"].keys() == {"type", "severities", "to", "from", "smarthost"}


def test_a_chat_that_is_no_number_is_reported_with_its_variable(shop):
    with pytest.raises(Exception, match="It comes from TELEGRAM_CHAT_ID"):
        shop.take("TELEGRAM_BOT_TOKEN=123456:s3cret\nTELEGRAM_CHAT_ID=@shop\n")
    assert shop.stack_file.read_text() == STACK


def test_development_has_no_receivers(shop):
    shop.stack_file.write_text(STACK.replace("staging # as it stands", "development"))
    answers = shop.take(LOVE_PARSER)
    assert {text for name, text in answers.items() if name not in ("SMTP_PORT", "HEARTBEAT_URL")} == {
        "skipped: the receiver gets no alerts of development: add it to its `environments`"
    }
    assert answers["HEARTBEAT_URL"].startswith("skipped: development has no dead man's switch")
    assert shop.secrets == {}


def test_a_secret_that_the_product_asks_for_is_the_products(shop):
    product = shop.product_file.read_text().replace("[jwt-secret, app-key]", "[telegram-bot-token]")
    shop.product_file.write_text(product)
    answers = shop.take("TELEGRAM_BOT_TOKEN=123456:s3cret\nTELEGRAM_CHAT_ID=-1\n")
    assert answers["TELEGRAM_BOT_TOKEN"] == "secret set: dockyard:telegram-bot-token"
    assert "TELEGRAM_BOT_TOKEN too" in answers["TELEGRAM_CHAT_ID"]


def test_a_receiver_of_the_product_file_is_overridden_only_where_it_differs(shop):
    shop.product_file.write_text(
        shop.product_file.read_text() + "alerts:\n  receivers:\n"
        "    mail: {type: email, to: [a@shop.net], from: b@shop.net, smarthost: 'mail.shop.net:587'}\n"
    )
    shop.take("SMTP_HOST=smtp.other.net\nSMTP_FROM=b@shop.net\n")
    assert receivers(shop) == {"mail": {"smarthost": "smtp.other.net:587"}}
    mail = again(shop).product.alerts.receivers["mail"]
    assert (mail.smarthost, mail.sender, mail.to) == ("smtp.other.net:587", "b@shop.net", ["a@shop.net"])
