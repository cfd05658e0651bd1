"""What the collector makes of lines, with a real VictoriaLogs: entries, levels, what it knows, secrets."""

import json
from collections.abc import Iterator, Mapping, Sequence

import docker
import pytest

from tests.images.log_stage import LOG_IMAGES, Line, LogStage, running_pipeline
from tests.support.kit import KitImages

NODE = """Error: connect ECONNREFUSED 10.0.0.2:5432
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16)
    at async start (/app/main.js:10:3) {
  errno: -111,
  code: 'ECONNREFUSED',
  [cause]: Error: inner
      at query (/app/db.js:3:3)
}"""
PYTHON = """Traceback (most recent call last):
  File "/app/a.py", line 1, in <module>
    run()
    ~~~^^
ValueError: bad

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/b.py", line 2, in <module>
KeyError: 'x'"""
JAVA = """java.lang.IllegalStateException: closed
\tat com.shop.Cart.add(Cart.java:12)
\tat com.shop.Main.main(Main.java:3)
Caused by: java.io.IOException: reset
\tat com.shop.Wire.read(Wire.java:7)
\t... 12 more"""
GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.(*Cart).add(0xc00001, {0x1, 0x2})
\t/app/cart.go:8 +0x1d
main.main()
\t/app/main.go:12 +0x1d"""
DOTNET = """Unhandled exception. System.InvalidOperationException: closed
   at Shop.Cart.Add(Item item) in /app/Cart.cs:line 8
   at Shop.Program.Main(String[] args)"""

SQL = "2026-11-21 16:00:00.123 UTC [42] LOG:  duration: 1234.567 ms  {}: SELECT *\n\tFROM carts\n\tWHERE id = 1"


@pytest.fixture(scope="module")
def stage(engine: docker.DockerClient, kit: KitImages) -> Iterator[LogStage]:
    kit.ensure(LOG_IMAGES)
    with running_pipeline(engine, kit, redact=[r"\d{3}-\d{2}-\d{4}"]) as running:
        yield running


def messages(lines: Sequence[Line]) -> list[str]:
    return [line["_msg"] for line in lines]


@pytest.mark.parametrize("trace", [NODE, PYTHON, JAVA, GO, DOTNET], ids=["node", "python", "java", "go", "dotnet"])
def test_a_stack_trace_is_one_entry_with_the_lines_around_it_beside_it(
    stage: LogStage, trace: str, request: pytest.FixtureRequest
):
    found = stage.written(f"trace-{request.node.callspec.id}", "before", trace, "after")
    assert messages(found) == ["before", trace, "after"]
    assert found[1]["level"] in ("error", "fatal")


def test_indented_lines_that_are_no_stack_trace_stay_lines(stage: LogStage):
    lines = ["{", '  "name": "cart",', "   7 apples", "      1 pear", "  attributes: none", " ", "}x", "", "end of it"]
    assert messages(stage.written("indented", *lines)) == lines


def test_a_trace_that_fills_megabytes_is_cut_and_what_follows_is_there(stage: LogStage):
    frames = (
        "i=0; while [ $i -lt 5000 ]; do printf '\\tat com.shop.Cart.add%d(Cart.java:%d)\\n' $i $i; i=$((i+1)); done"
    )
    stage.writer("deep", f"echo java.lang.StackOverflowError; {frames}; echo after; echo the end")
    found = messages(stage.arrived("deep", 3))
    assert found[0].startswith("java.lang.StackOverflowError\n\tat com.shop.Cart.add0(")
    assert found[1:] == ["after", "the end"]


KNOWN: Mapping[str, tuple[str, dict[str, str]]] = {
    "pino": (
        '{"level":50,"time":1,"msg":"refused","reqId":"req-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}',
        {"level": "error", "message": "refused", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "request_id": "req-1"},
    ),
    "winston": (
        '{"level":"warn","message":"slow answer","timestamp":"2026-11-21","traceId":"abc"}',
        {"level": "warn", "message": "slow answer", "trace_id": "abc"},
    ),
    "word-of-another": ('{"level":"warning","message":"words"}', {"level": "warn"}),
    "level-at-the-end": ('{"time":1732200000000,"msg":"said","level":30}', {"level": "info"}),
    "no-level": ('{"levels":50,"msg":"none"}', {"level": "unknown"}),
    "python-in-json": ('{"levelname":"CRITICAL","message":"gone"}', {"level": "fatal", "message": "gone"}),
    "traceparent": (
        '{"level":"info","msg":"x","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}',
        {"level": "info", "trace_id": "0af7651916cd43dd8448eb211c80319c"},
    ),
    "logfmt": ("level=error msg=refused trace_id=deadbeef", {"level": "error", "trace_id": "deadbeef"}),
    "nginx": ("2026/11/21 12:00:00 [error] 31#31: *1 open() failed, info", {"level": "error"}),
    "python": ("2026-11-21 12:00:00,123 WARNING shop: no information", {"level": "warn"}),
    "postgres": ('2026-11-21 16:00:00.124 UTC [42] ERROR:  relation "info" does not exist', {"level": "error"}),
    "slow-statement": (SQL.format("statement"), {"level": "warn", "kind": "slow_query", "duration_ms": "1234.567"}),
    "slow-execute": (SQL.format("execute <unnamed>"), {"kind": "slow_query", "duration_ms": "1234.567"}),
    "bare-slow": ("LOG:  duration: 1500 ms  statement: VACUUM", {"kind": "slow_query", "duration_ms": "1500"}),
    "access": (
        '{"ClientHost":"10.0.0.1","DownstreamStatus":404,"Duration":1500000,"RequestMethod":"GET",'
        '"RouterName":"backend_route_0@file","level":"info","msg":"","time":"2026-11-21T16:00:00Z"}',
        {
            "level": "info",
            "kind": "access",
            "status": "404",
            "method": "GET",
            "router": "backend_route_0@file",
            "duration_ms": "1.5",
        },
    ),
    "access-that-failed": (
        '{"DownstreamStatus":502,"Duration":1000000,"RequestMethod":"POST","RouterName":"r","level":"info"}',
        {"level": "error", "kind": "access", "status": "502"},
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_line_stays_whole_and_what_is_known_of_it_stands_beside_it(stage: LogStage, name: str):
    line, expected = KNOWN[name]
    (stored,) = stage.written(f"known-{name}", line)
    assert stored["_msg"] == line
    assert {key: stored.get(key) for key in expected} == expected


def test_slow_queries_can_be_asked_for_by_their_duration(stage: LogStage):
    stage.written("asked", SQL.format("statement"), SQL.format("statement").replace("1234.567", "99.5"))
    selector = '{service="asked"} kind:="slow_query" duration_ms:>1000'
    assert stage.count(selector) == 1
    query = f"_time:1h {selector} | stats by (service) max(duration_ms) as longest"
    (result,) = json.loads(stage.ask("/select/logsql/stats_query", query=query))["data"]["result"]
    assert float(result["value"][1]) == 1234.567


WORD = "hunter2xyz"
SECRETS = (
    f"authorization: Bearer {WORD}",
    f"Authorization: Basic {WORD}dXNlcjpw",
    f"> Proxy-Authorization: Basic {WORD}==",
    f"sent Bearer {WORD}.abc.def to them",
    f"Cookie: session={WORD}; theme=dark",
    f"set-cookie: id={WORD}; HttpOnly",
    f"password={WORD} user=anna",
    f"DB_PASSWORD={WORD}",
    f"password: '{WORD} with a space'",
    f"login failed, token: {WORD}",
    f"GET /reset?token={WORD}&lang=en",
    f"connect postgres://shop:{WORD}@postgres:5432/shop",
    f"connect redis://:{WORD}@redis:6379/0",
    f"amqp://shop:p@{WORD}@queue/x",
    f"POST https://discord.com/api/webhooks/123456/{WORD}",
    f"POST https://hooks.slack.com/services/T0/B0/{WORD}",
    f"GET https://api.telegram.org/bot123456:{WORD}/getMe",
    f"ALTER USER shop PASSWORD '{WORD}'",
    f"run --api-key {WORD} --verbose",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0{WORD}.sig{WORD}",
    f"ghp_{WORD}0123456789012345678901234567890",
    f'{{"level":"info","password":"{WORD}"}}',
    f'{{"level":"info","msg":"x","user":{{"accessToken":"{WORD}","id":7}}}}',
    f'{{"level":"info","req":{{"headers":{{"authorization":"Bearer {WORD}","cookie":"a={WORD}; b=c"}}}}}}',
    f'{{"level":"info","headers":["Authorization","Token {WORD}","Set-Cookie","a={WORD}"]}}',
    f'{{"level":"info","res":{{"set-cookie":["a={WORD}; Path=/"]}}}}',
    f'{{"level":"info","msg":"sent {{\\"client_secret\\":\\"{WORD}\\",\\"x\\":1}}"}}',
    f'{{"level":"info","msg":"failed: password={WORD}","db":"postgres://u:{WORD}@db/x"}}',
    '{"level":"info","cvv":2077,"card_number":4111111111112077}'.replace("2077", "0020770"),
    '{"DownstreamStatus":200,"Duration":1,"RequestMethod":"GET","RequestPath":"/back?code=' + WORD + '"}',
    "her number is 123-45-6789",
)


def test_no_secret_gets_into_the_store_and_json_stays_json(stage: LogStage):
    found = stage.written("secrets", *SECRETS)
    assert len(found) == len(SECRETS)
    for line, written in zip(found, SECRETS, strict=True):
        for secret in (WORD, "0020770", "123-45-6789"):
            assert secret not in json.dumps(line), written
        if written.startswith("{"):
            json.loads(line["_msg"])


HARMLESS = (
    "max_tokens=100 token_count=5 took 12 ms",
    "password authentication failed for user",
    "https://shop.example/path:80/x@y",
    '{"level":"info","msg":"the key of the house","tokens":[1,2],"secretary":"Anna"}',
    "basic training and bearer",
    "12:34:56 tokenized 7 words",
)


def test_lines_without_secrets_are_kept_as_they_are(stage: LogStage):
    assert messages(stage.written("harmless", *HARMLESS)) == list(HARMLESS)


def test_what_is_around_a_secret_is_kept(stage: LogStage):
    lines = (
        "connect postgres://shop:abc@postgres:5432/shop failed",
        "password=abc user=anna",
        '{"level":"info","password":"abc","id":7}',
        "authorization: Bearer abcdef from 10.0.0.1",
    )
    assert messages(stage.written("around", *lines)) == [
        "connect postgres://shop:[redacted]@postgres:5432/shop failed",
        "password=[redacted] user=anna",
        '{"level":"info","password":"[redacted]","id":7}',
        "authorization: [redacted] from 10.0.0.1",
    ]
