"""A headless Chromium for tests, spoken to over two pipes: no driver, no server, no other package.

Source: the Chrome DevTools protocol; `--remote-debugging-pipe` reads JSON ended by NUL from file 3 and answers on 4.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe",
    "--disable-dev-shm-usage", "--force-color-profile=srgb",
)  # fmt: skip
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NO_GL = ("--disable-gpu", "--disable-3d-apis")
LONGEST_S = 600.0
"""Seconds after which what is waited for counts as hanging: no measure, a busy machine takes long."""


def program() -> str:
    """Find a Chromium, or skip the test."""
    found = os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium or Chrome is installed (Debian: apt-get install chromium)")
    return found


class Page:
    """One tab: what it is told, and what it reported."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.to_browser, self.from_browser = to_browser, from_browser
        self.rest, self.number, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def message(self, until_s: float) -> dict[str, Any]:
        """Wait for the next message."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.from_browser], [], [], max(0.0, until_s - time.monotonic()))
            chunk = os.read(self.from_browser, 1 << 20) if ready else b""
            assert chunk, "the browser did not answer"
            self.rest += chunk
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; what is reported meanwhile goes to `events`."""
        self.number += 1
        session = {"sessionId": self.session} if self.session else {}
        text = json.dumps({"id": self.number, "method": method, "params": params} | session).encode() + b"\0"
        while text:
            text = text[os.write(self.to_browser, text) :]
        until_s = time.monotonic() + LONGEST_S
        while (message := self.message(until_s)).get("id") != self.number:
            self.events.append(message)
        assert "error" not in message, f"{method}: {message.get('error')}"
        return message["result"]

    def evaluate(self, expression: str) -> Any:
        """Compute a JavaScript expression (a promise is waited for)."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Look again and again until an expression is true."""
        until_s = time.monotonic() + LONGEST_S
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < until_s, f"waited in vain for {expression}"
            time.sleep(0.05)

    def size(self, width: int, height: int, phone: bool = False) -> None:
        """Set the window; a phone has a touch screen and two pixels per CSS pixel."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, mobile=phone,
                  deviceScaleFactor=2 if phone else 1)  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def picture(self, path: Path, whole_page: bool = False) -> None:
        """Write what is seen as .png."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole_page, **(
            {"clip": self.whole_page()} if whole_page else {}))  # fmt: skip
        path.write_bytes(base64.b64decode(answer["data"]))

    def whole_page(self) -> dict[str, float]:
        """Measure the page's content."""
        return self.call("Page.getLayoutMetrics")["cssContentSize"] | {"scale": 1}

    def problems(self) -> list[str]:
        """List errors and warnings of the page's console so far."""
        self.evaluate("new Promise(done => setTimeout(done, 50))")
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(params["exceptionDetails"]))
            elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(params["args"]))
            elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """List the addresses asked for since `open`, without those that lie inside the page (data:, blob:)."""
        sent = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("data:", "blob:"))]


def high_pipe() -> tuple[int, int]:
    """Open a pipe (read end, write end) away from the files 3 and 4."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


@contextmanager
def chromium(*flags: str) -> Iterator[Page]:
    """Start a browser with one empty tab, and end it."""
    command = [program(), *FLAGS, *(flags or SOFTWARE_GL)]
    (read_by_it, to_browser), (from_browser, written_by_it) = high_pipe(), high_pipe()
    # The browser wants the pipes as its files 3 and 4; the shell puts them there.
    shell = f'exec "$@" 3<&{read_by_it} 4>&{written_by_it}'
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command, f"--user-data-dir={home}", "about:blank"],
            pass_fds=(read_by_it, written_by_it), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_by_it)
        os.close(written_by_it)
        page = Page(to_browser, from_browser)
        try:
            target = page.call("Target.createTarget", url="about:blank")["targetId"]
            page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                page.call(f"{domain}.enable")
            yield page
        finally:
            process.terminate()
            process.wait(LONGEST_S)
            os.close(to_browser)
            os.close(from_browser)
