"""A browser that a test looks through, by Chromium's DevTools protocol over two pipes: what a page shows,
to eyes and to a screen reader, what it asks for, and what it complains about."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
import threading
import time
from pathlib import Path

from browser import ARGUMENTS, CHROMIUM

PATIENCE_S = 60


class Browser:
    """Chromium without a window. Each page is in a profile of its own."""

    def __init__(self, profile: Path):
        # Not below 10, so that the shell can make them 3 and 4, where Chromium expects them.
        def high(fd: int) -> int:
            moved = fcntl.fcntl(fd, fcntl.F_DUPFD, 10)
            os.close(fd)
            return moved

        to_browser, ours_out = map(high, os.pipe())
        ours_in, from_browser = map(high, os.pipe())
        command = ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "browser", CHROMIUM,
                   *ARGUMENTS, "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self._child = subprocess.Popen(command, pass_fds=(to_browser, from_browser),
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._out, self._in = os.fdopen(ours_out, "wb", 0), os.fdopen(ours_in, "rb", 0)
        self._number = 0
        self._answers: dict[int, dict] = {}
        self._news = threading.Condition()
        self._pages: dict[str, Page] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        rest = b""
        while piece := self._in.read(1 << 16):
            *messages, rest = (rest + piece).split(b"\0")
            for message in map(json.loads, messages):
                page = self._pages.get(message.get("sessionId"))
                with self._news:
                    if "id" in message:
                        self._answers[message["id"]] = message
                    elif page:
                        page.happened(message["method"], message["params"])
                    self._news.notify_all()

    def tell(self, method: str, session: str | None = None, **params) -> int:
        with self._news:
            self._number += 1
            message = {"id": self._number, "method": method, "params": params}
            if session:
                message["sessionId"] = session
            self._out.write(json.dumps(message).encode() + b"\0")
            return self._number

    def ask(self, method: str, session: str | None = None, **params) -> dict:
        number = self.tell(method, session, **params)
        with self._news:
            assert self._news.wait_for(lambda: number in self._answers, PATIENCE_S), method
            answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def page(self, url: str, **how) -> Page:
        context = self.ask("Target.createBrowserContext")["browserContextId"]
        target = self.ask("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        page.open(url, **how)
        return page

    def stop(self) -> None:
        self._out.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


class Page:
    """A page of a browser."""

    def __init__(self, browser: Browser, session: str):
        self._browser, self._session = browser, session
        self.requests: list[str] = []
        """The URLs that were asked for."""
        self.complaints: list[str] = []
        """Errors of the console: of scripts, of policies, of what could not be loaded."""
        self._password: str | None = None
        self._loaded = threading.Event()

    def happened(self, event: str, about: dict) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(about["exceptionDetails"]))
        elif event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(about["entry"]))
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(about["args"]))
        elif event == "Page.loadEventFired":
            self._loaded.set()
        elif event == "Fetch.requestPaused":
            self._browser.tell("Fetch.continueRequest", self._session, requestId=about["requestId"])
        elif event == "Fetch.authRequired":
            response = {"response": "ProvideCredentials", "username": "operator",
                        "password": self._password}
            self._browser.tell("Fetch.continueWithAuth", self._session,
                               requestId=about["requestId"], authChallengeResponse=response)

    def ask(self, method: str, **params) -> dict:
        return self._browser.ask(method, self._session, **params)

    def open(self, url: str, width: int = 1280, height: int = 900, dark: bool = False,
             scripts: bool = True, password: str | None = None) -> None:
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        if password is not None:
            self._password = password
            self.ask("Fetch.enable", handleAuthRequests=True)
        self.go(url)

    def go(self, url: str) -> None:
        self._loaded.clear()
        self.ask("Page.navigate", url=url)
        assert self._loaded.wait(PATIENCE_S), f"{url} was not loaded"

    def value(self, expression: str):
        """What an expression of JavaScript is in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        return self.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def rows(self, table: str) -> list[list[str]]:
        """The texts of the cells of a table's body, by the id of what it is in."""
        return self.value(f"""[...document.querySelectorAll('#{table} tbody tr')]
            .map(row => [...row.cells].map(cell => cell.innerText))""")

    def wait_for(self, what: str, expression: str, patience_s: float = 30) -> None:
        until = time.monotonic() + patience_s
        while not self.value(expression):
            assert time.monotonic() < until, f"{what}: {self.text('body')}"
            time.sleep(0.1)

    def press(self, key: str) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key,
                     windowsVirtualKeyCode={"Tab": 9, "Enter": 13}[key])

    def nodes(self) -> list[tuple[str, str]]:
        """The roles and names that a screen reader gets, in their order."""
        tree = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", ""))
                for node in tree if not node["ignored"]]

    def picture(self, to: Path, whole: bool = True) -> None:
        """Takes a picture, of the whole page or of what fits."""
        how = {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            how = {"captureBeyondViewport": True, "clip": {**size, "x": 0, "y": 0, "scale": 1}}
        shot = self.ask("Page.captureScreenshot", format="png", **how)
        to.write_bytes(base64.b64decode(shot["data"]))
