"""What goes out as a value of JSON arrives as the text it was, whatever YAML would make of it: a real Alertmanager."""

from tests.support.alertmanager import firing
from tests.support.receivers import every_kind

SAID = (
    *("Redis: down", "ends with:", "- item", "# comment", "{a: b}", "[a, b]", "12", "{{ .Nothing }}"),
    *('"quoted" & <b>', "*alias &anchor !tag", "? key", "line\n---\nother: line"),
)


def test_texts_that_look_like_yaml_arrive_as_they_are(sink, run):
    kinds = {name: one for name, one in every_kind(sink).items() if name in ("phone", "bell", "pager")}
    running = run(kinds, group_by=["alertname"])
    alerts = [firing(f"Alert{at}") for at in range(len(SAID))]
    for alert, said in zip(alerts, SAID, strict=True):
        alert["annotations"] |= {"summary": said, "description": said}
    running.post(alerts)
    found = {name: sink.wait(name, count=len(SAID)) for name in kinds}
    assert sink.refused() == []

    texts = {
        "phone": [one.body["text"] for one in found["phone"]],
        "title": [one.body["title"] for one in found["bell"]],
        "message": [one.body["message"] for one in found["bell"]],
        "summary": [one.body["payload"]["summary"] for one in found["pager"]],
        "details": [one.body["payload"]["custom_details"]["alerts"] for one in found["pager"]],
    }
    for where, arrived in texts.items():
        assert all(isinstance(text, str) for text in arrived), where
        for said in SAID:
            wanted = " ".join(said.split())
            if where == "phone":
                wanted = wanted.translate(str.maketrans("{}[]", "()()"))
            assert any(wanted in text.replace("\u00a0", " ") for text in arrived), (where, said, arrived)
    for one in found["bell"]:
        assert one.body["priority"] == 5 and one.body["tags"] == ["red_circle"]
        assert [button["label"] for button in one.body["actions"]] == ["Runbook", "Dashboard", "Silence"]
        assert all(button["url"].startswith("https://grafana.example.org/") for button in one.body["actions"])
