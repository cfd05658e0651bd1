"""The stacks of this folder: each is brought up once, in one checkout with an engine of its own, and shared; a test
that changes one restores it."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.certificates import signed
from tests.products.everything import FirstUp, make_secrets, set_secrets, settings, tunnel_token
from tests.sink.mail import MailServer
from tests.sink.server import Sink, running_sink
from tests.support.canaries import Watch, canary
from tests.support.checkout import MINUTES, SOURCE, Checkout, disposable_checkout
from tests.support.quick import QUICK, configure
from tests.support.stack import Stack

EVERY_MINUTE = "{image: demo, schedule: '* * * * *', needs: [postgres], command: [demo, migrate]}"
PRODUCTS = ("dating-app", "tumulte", "pivotal-flow", "love-parser")

NOBODY = {"nowhere": {"type": "webhook", "url": "nowhere-url", "environments": ["development"], "alerts": ["HostDown"]}}
"""Without any receiver Alertmanager counts no notifications, and their panels are empty."""

GUESTBOOK_FILES = ("products/guestbook.yaml", "Pulumi.guestbook.yaml")


@pytest.fixture(scope="session")
def checkout() -> Iterator[Checkout]:
    """A fresh checkout. At the end its engine is removed, with every stack that is left on it."""
    with disposable_checkout() as checkout:
        yield checkout


@pytest.fixture(scope="session")
def bridge(checkout: Checkout) -> str:
    """The address of this machine at which the containers reach what the tests run."""
    checkout.dockyard("setup", "dev", limit=30 * MINUTES).good()
    return str(checkout.docker().networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"])


@pytest.fixture(scope="session")
def love_parser(checkout: Checkout) -> Stack:
    """Love Parser's stack with quick intervals, up: logs, queues and figures of the business."""
    stack = Stack(checkout, "love-parser")
    configure(stack, QUICK)
    stack.restore()
    return stack


@pytest.fixture(scope="session")
def guestbook(checkout: Checkout) -> Stack:
    """The small product of docs/examples, up, filled, and grown by a job that runs every minute and point_in_time."""
    for name in GUESTBOOK_FILES:
        shutil.copy(SOURCE / "docs/examples" / name, checkout.folder / name)
    stack = Stack(checkout, "guestbook")
    stack.restore()
    stack.sql("create table ledger (id int primary key, entry text)")
    stack.sql("insert into ledger select n, md5(n::text) from generate_series(1, 5000) n")
    text = stack.product_file.read_text().rstrip()
    grown = text.replace("jobs:\n", f"jobs:\n  tidy: {EVERY_MINUTE}\n") + "\n  point_in_time: {archive_timeout: 5s}\n"
    stack.product_file.write_text(grown)
    stack.restore()
    assert stack.sql("select count(*) from ledger") == "5000"
    return stack


@pytest.fixture(scope="session")
def mail_folder(bridge: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the mail server's certificate, and the authority that signed it: ca.pem."""
    folder = tmp_path_factory.mktemp("mail")
    signed(folder, bridge)
    return folder


@pytest.fixture(scope="session")
def sink(bridge: str, mail_folder: Path) -> Iterator[Sink]:
    """A server that plays every channel, at an address that the containers reach."""
    mail = MailServer(mail_folder / "certificate.pem", mail_folder / "key.pem", "dockyard", canary("smtp"))
    with running_sink(bridge, mail=mail) as sink:
        yield sink


@pytest.fixture(scope="session")
def secrets(
    sink: Sink, bridge: str, mail_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    authority = (mail_folder / "ca.pem").read_text()
    with tunnel_token(bridge) as token:
        yield make_secrets(sink, authority, token, tmp_path_factory.mktemp("edge"))


@pytest.fixture(scope="session")
def first_up(checkout: Checkout, sink: Sink, secrets: dict[str, str]) -> FirstUp:
    stack = Stack(checkout, "dev")
    configure(stack, QUICK, settings(sink))
    set_secrets(stack, secrets)
    began, watch = time.time() - 1, Watch()  # a moment ago, by the time that files have
    with watch.watching():
        finished = stack.up()
    assert finished.code == 0, finished.output
    return FirstUp(stack, began, finished, watch)


@pytest.fixture(scope="session")
def tumulte(first_up: FirstUp) -> Stack:
    """Tumulte's dev stack with quick intervals and with everything that has a secret, up."""
    return first_up.stack


@pytest.fixture(scope="session")
def shipped() -> Iterator[dict[str, Stack]]:
    """Product → stack of all four products, as they are shipped, brought up at once on an engine of their own: soak."""
    with disposable_checkout() as checkout:
        stacks = {product: Stack(checkout, "dev" if product == "tumulte" else product) for product in PRODUCTS}
        tumulte = stacks["tumulte"]
        for stack in stacks.values():
            # The images are there before two stacks want them at once.
            checkout.dockyard("setup", stack.name, limit=30 * MINUTES).good()
        # With the health intervals of its document.
        text = tumulte.stack_file.read_text()
        tumulte.stack_file.write_text(text.replace("  dockyard:docker: {health_interval: 2s}\n", ""))
        configure(tumulte, {"dockyard:alerts": {"receivers": NOBODY}})
        set_secrets(tumulte, {"nowhere-url": "http://127.0.0.1:9"})
        with ThreadPoolExecutor(len(stacks)) as pool:
            for _ in pool.map(Stack.restore, stacks.values()):
                pass
        yield stacks


@pytest.fixture(
    params=["quick tumulte", "quick love_parser", *(pytest.param(name, marks=pytest.mark.soak) for name in PRODUCTS)]
)
def product(request: pytest.FixtureRequest) -> Stack:
    """The stack of each product: two of them with quick intervals; in the soak run all four as they are shipped."""
    if request.param in PRODUCTS:
        stack: Stack = request.getfixturevalue("shipped")[request.param]
    else:
        stack = request.getfixturevalue(request.param.removeprefix("quick "))
    return stack
