"""The status page, looked at in a browser: it has the numbers after real traffic, complains about
nothing, asks nobody else for anything, and can be read without scripts, in the dark, on a small screen,
with the keyboard and by a screen reader."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from urllib.parse import quote

import pytest

from browser import CHROMIUM
from devtools import Browser
from processes import free_ports
from proxies import ADMIN_TOKEN, CLIENT_SECRET, Proxy, Settings
from redis_server import until
from scripted import ScriptedStore

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
LISTENING = Settings(admin="127.0.0.1:0", admin_token=True, log_level="warn,ifmatch::admin=info")
TOLD = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
HOSTILE = "</code><script>alert('\"&')</script><img src=x onerror=alert(1)>"
WIDE, NARROW = 1280, 360


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.stop()


@pytest.fixture
def scripted():
    store = ScriptedStore()
    yield store
    store.stop()


@pytest.fixture
def start(tmp_path):
    running: list[Proxy] = []

    def make(store, settings: Settings = LISTENING, **more) -> Proxy:
        proxy = Proxy(tmp_path / str(len(running)), store, settings, **more)
        running.append(proxy)
        return proxy

    yield make
    for proxy in running:
        proxy.stop()


@pytest.fixture
def served(start, scripted):
    """A proxy after some traffic: a key that is asked for often, a writer that was refused, a key with a
    name that would be markup."""
    proxy = start(scripted.store)
    proxy.wait_writable("bucket")
    raw = proxy.raw()
    for _ in range(30):
        assert raw.get("/bucket/hot").status == 200
    for _ in range(3):
        answer = raw.put("/bucket/stale", b"x", headers={"If-None-Match": "*"})
        assert answer.status == 412
    for _ in range(5):
        assert raw.put(f"/bucket/{quote(HOSTILE)}", b"x").status == 200
    assert proxy.raw(secret_key="wrong").get("/bucket/hot").status == 403
    return proxy


def url(proxy: Proxy, path: str = "/") -> str:
    host, port = proxy.admin_address
    return f"http://{host}:{port}{path}"


def status(proxy: Proxy, **headers: str) -> dict:
    return json.loads(proxy.admin("/status.json", **headers)[1])


def signed_in(browser: Browser, proxy: Proxy, **how):
    """The page of somebody who has told the token, as a browser asks for it."""
    return browser.page(url(proxy, "/sign-in"), password=ADMIN_TOKEN, **how)


def is_sound(page, proxy: Proxy) -> None:
    """Nothing went wrong in the page, and nothing was asked of anybody else."""
    assert page.complaints == []
    elsewhere = [each for each in page.requests
                 if not each.startswith((url(proxy), "data:"))]
    assert elsewhere == [] and len(page.requests) > 0


def failing(store: ScriptedStore) -> threading.Event:
    """The next write gets an answer that proves nothing, when the event is set; the others succeed."""
    set_, ordinary, failed = threading.Event(), store.answer, []

    def answer(request):
        if request.method == "PUT" and not failed:
            failed.append(request)
            set_.wait(60)
            return 500, {}, b""
        return ordinary(request)

    store.answer = answer
    return set_


# === what it shows ===


def test_the_numbers_are_there_after_traffic(browser, served):
    page = signed_in(browser, served)
    assert page.value("location.pathname") == "/"
    page.wait_for("all requests are counted", """[...document.querySelectorAll('#refused tbody tr')]
        .some(row => row.cells[0].innerText.startsWith('gate') && row.cells[2].innerText.includes('PreconditionFailed 3'))""")
    refused = {row[0].split("\n")[0]: row[1:] for row in page.rows("refused")}
    # Beside those that waited for the end of the quarantine.
    assert int(refused["gate"][0]) >= 3
    assert refused["signature"] == ["1", "SignatureDoesNotMatch 1"]
    assert ["If-None-Match", "0", "3"] in page.rows("conditions")
    hot = page.rows("hot")
    assert hot[0][0] == "bucket/hot" and hot[0][1].startswith("30 "), hot
    assert [f"bucket/{HOSTILE}", "5", "0"] in [[row[0], *row[2:]] for row in hot], hot
    assert page.text("#verdict") == "Nothing is wrong"
    assert float(page.text("#traffic dd").split("/")[0]) > 0
    assert served.store.url in page.text("#store")
    assert page.value("document.scripts.length") == 1
    assert page.value("document.images.length") == 0
    assert CLIENT_SECRET not in page.text("body") and ADMIN_TOKEN not in page.text("body")
    is_sound(page, served)


def test_the_page_follows_without_being_asked_for_again(browser, served):
    page = signed_in(browser, served)
    page.value("globalThis.kept = document.getElementById('keys'), 1")
    raw = served.raw()
    for _ in range(50):
        raw.get("/bucket/newly-hot")
    page.wait_for("the key comes to the top",
                  "document.querySelector('#hot tbody th').innerText === 'bucket/newly-hot'")
    assert page.value("kept === document.getElementById('keys')"), "it is the same page"
    # What the reader has marked, and where the keyboard is, stays.
    page.value("""(document.getElementById('hot').focus(),
        getSelection().selectAllChildren(document.querySelector('#conditions caption')), 1)""")
    page.wait_for("a newer page was shown", f"""document.querySelector('#time time').innerText
        !== {json.dumps(page.text('#time time'))}""")
    assert page.value("document.activeElement.id") == "hot"
    assert page.value("String(getSelection())") == "Conditions of writes since the start"
    page.value("document.getElementById('pause').click()")
    time.sleep(2.5)
    before = page.text("#time")
    time.sleep(3)
    assert page.text("#time") == before and page.text("#pause") == "Go on"
    is_sound(page, served)


def test_a_write_that_waits_and_one_in_doubt_are_shown(browser, start, scripted):
    settings = replace(LISTENING, lease=1, grace=0.5, settle=3, lease_wait=15)
    proxy = start(scripted.store, settings)
    proxy.wait_writable("bucket")
    page = signed_in(browser, proxy)
    fails = failing(scripted)
    writes = [threading.Thread(target=lambda: proxy.raw().put("/bucket/slow", b"x"))
              for _ in range(2)]
    for each in writes:
        each.start()
    page.wait_for("both are shown", "document.querySelectorAll('#under-way tbody tr').length === 2")
    text = page.text("#under-way")
    assert "has the lease" in text and "the store's answer to the write" in text
    assert "its turn behind other writes of the key" in text
    assert "bucket/slow" in text and "PutObject" in text
    marked = {write["key"] for write in status(proxy)["writes"]["under_way"]}
    assert len(marked) == 1 and marked != {"slow"}, "without the token a mark"
    fails.set()
    page.wait_for("the doubt is shown", """document.getElementById('under-way')
        ?.innerText.includes('in doubt')""")
    page.wait_for("it is told of", """document.getElementById('alarms')
        .innerText.includes('IfmatchDoubts')""")
    for each in writes:
        each.join()
    until("the key has the same mark", lambda: marked <= {
        key["key"] for key in status(proxy)["hot_keys"]["keys"]})
    assert len(status(proxy)["hot_keys"]["keys"]) == 2, "and another key another one"
    page.wait_for("the writes have ended",
                  "document.getElementById('writes').innerText.includes('No guarded write')")
    is_sound(page, proxy)


def test_a_write_whose_outcome_stayed_unknown_is_shown_until_its_key_is_free(start, scripted):
    settings = replace(LISTENING, lease=1, grace=0.5, settle=8, settle_long=8, lease_wait=1)
    proxy = start(scripted.store, settings)
    proxy.wait_writable("bucket")
    failing(scripted).set()
    assert proxy.raw().put("/bucket/lost", b"x").status == 503
    [left] = status(proxy, **TOLD)["writes"]["left_in_doubt"]
    assert (left["bucket"], left["key"], left["operation"]) == ("bucket", "lost", "PutObject")
    assert 0 < left["free_in_s"] < 10
    assert "lost" in proxy.admin("/", **TOLD)[1]
    until("its key is free", lambda: not status(proxy, **TOLD)["writes"]["left_in_doubt"])


def test_a_register_that_is_cut_off_is_told_of_with_the_time(browser, start, scripted, own_redis):
    proxy = start(scripted.store, replace(LISTENING, register=own_redis.new_database()))
    page = signed_in(browser, proxy)
    page.wait_for("the server is shown", "!!document.querySelector('#servers tbody th')")
    assert str(own_redis.port) in page.text("#servers") and "one Redis" in page.text("#register")
    own_redis.process.kill9()
    page.wait_for("that is told", """document.getElementById('alarms')
        .innerText.includes('IfmatchRegisterDown')""")
    assert "cannot be reached" in page.text("#alarms")
    assert "wrong" in page.text("#verdict") and page.value("document.title").startswith("(")
    first = [alarm for alarm in status(proxy)["standing_alarms"]
             if alarm["name"] == "IfmatchRegisterDown"]
    assert abs(first[0]["since_s"] - time.time()) < 60 and first[0]["critical"]
    time.sleep(2)
    again = [alarm for alarm in status(proxy)["standing_alarms"]
             if alarm["name"] == "IfmatchRegisterDown"]
    assert again[0]["since_s"] == first[0]["since_s"]
    is_sound(page, proxy)


def test_nodes_rules_and_a_store_that_is_gone_are_shown(browser, start, scripted):
    gone = f"http://127.0.0.1:{free_ports(1)[0]}"
    rules = '[[rule]]\nbuckets = ["state-*"]\nprefix = "wal/"\nrequire = "create-only"\n'
    settings = replace(LISTENING, nodes=(scripted.store.url, gone), rules=rules)
    proxy = start(scripted.store, settings)
    page = signed_in(browser, proxy)
    page.wait_for("the node is down", f"""[...document.querySelectorAll('#nodes tbody tr')]
        .some(row => row.innerText.includes({json.dumps(gone)}) && row.innerText.includes('down'))""")
    assert "IfmatchNodeDown" in page.text("#alarms")
    assert page.rows("in-effect") == [
        ["state-*", "wal/", "mode guard, consistency store, require create-only"]]
    page.value("document.querySelector('#configuration summary').click()")
    assert 'require = "create-only"' in page.text("#written")
    is_sound(page, proxy)


# === names of keys, and who may see them ===


def test_names_of_keys_are_for_those_who_know_the_token(served):
    for target in ("/", "/status.json"):
        _, hidden = served.admin(target)
        _, told = served.admin(target, **TOLD)
        # The page has that word for itself in its script.
        assert "bucket/stale" in told or '"stale"' in told, target
        assert "bucket/stale" not in hidden and '"key": "stale"' not in hidden, target
        assert "bucket" in hidden
    marks = {key["key"] for key in status(served)["hot_keys"]["keys"]}
    assert len(marks) >= 3 and all(mark.startswith("#") for mark in marks), marks
    assert marks == {key["key"] for key in status(served)["hot_keys"]["keys"]}, "the same again"
    assert served.admin("/sign-in")[0] == 401
    assert served.admin("/", Host="evil.example")[0] == 421


@pytest.mark.parametrize("setting", ["always", "never"])
def test_the_setting_decides_about_names(start, scripted, setting):
    proxy = start(scripted.store)
    proxy.stop()
    text = proxy.config.read_text()
    proxy.config.write_text(text.replace("[admin]", f'[admin]\nkey_names = "{setting}"'))
    proxy.start()
    proxy.raw().get("/bucket/plan")
    until("it is counted", lambda: status(proxy)["hot_keys"]["keys"] != [])
    for headers in ({}, TOLD):
        _, text = proxy.admin("/status.json", **headers)
        assert ("plan" in text) == (setting == "always"), (setting, headers)


def test_strangers_do_not_make_keys_hot(served):
    for number in range(20):
        assert served.raw("nobody", "secret").get(f"/bucket/strange-{number}").status == 403
    until("they are counted", lambda: served.metric(
        "ifmatch_refusals_total", by="signature", code="InvalidAccessKeyId") == 20)
    assert "strange-" not in served.admin("/status.json", **TOLD)[1]


# === who reads it, and how ===


def test_it_can_be_read_without_scripts(browser, served):
    page = signed_in(browser, served, scripts=False)
    # Scripts of the page do not run; the ones of the test do.
    assert page.rows("hot")[0][0] == "bucket/hot"
    assert page.value("document.getElementById('pause').hidden")
    assert page.value("document.querySelector('noscript meta[http-equiv=refresh]').content") == "10"
    before = page.text("#time")
    page.wait_for("it is loaded again", f"""document.getElementById('time')?.innerText
        && document.getElementById('time').innerText !== {json.dumps(before)}""")
    is_sound(page, served)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_fits_and_has_contrast(browser, served, width, dark, tmp_path):
    # A name as long as they come.
    assert served.raw().get("/bucket/" + "long" * 250).status == 200
    page = signed_in(browser, served, width=width, height=800, dark=dark)
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value("innerWidth") == width
    poor = page.value(CONTRASTS)
    assert poor == [], poor
    ground = page.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 3 * 128) == dark, ground
    page.picture(tmp_path / f"status-{width}-{'dark' if dark else 'light'}.png")
    is_sound(page, served)


# Texts with less than 4.5 to 1 between them and what is behind them (WCAG 2.2, 1.4.3).
CONTRASTS = """(() => {
  const parse = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => {
    const [r, g, b] = parse(color).map(part => part / 255)
      .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((parse(color)[3] ?? 1) === 1) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest('script, style, noscript')) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))];
    const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
    if (ratio < 4.5) poor.push(`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`);
  }
  return poor;
})()"""


def test_the_keyboard_reaches_everything(browser, served):
    page = signed_in(browser, served)
    page.value("document.getElementById('pause').click()")
    page.value("document.activeElement.blur()")
    reached = []
    for _ in range(60):
        page.press("Tab")
        reached.append(page.value("""(() => { const at = document.activeElement;
            return at === document.body ? '' : at.getAttribute('href') ?? (at.id || at.tagName); })()"""))
        if reached[-1] == "":
            break
        seen = page.value("""(() => { const how = getComputedStyle(document.activeElement);
            return how.outlineStyle !== 'none' && parseFloat(how.outlineWidth) >= 2
              || document.activeElement.className === 'skip'; })()""")
        assert seen, f"{reached[-1]} does not show that it has the focus"
    for wanted in ("#main", "/", "pause", "#traffic", "#keys", "hot", "refused", "SUMMARY",
                   "/status.json", "/metrics", "/config"):
        assert wanted in reached, (wanted, reached)
    assert reached[0] == "#main" and len(reached) == len(set(reached)), reached


def test_a_screen_reader_gets_its_parts_by_name(browser, served):
    page = signed_in(browser, served)
    nodes = page.nodes()
    names = {role: [name for of, name in nodes if of == role] for role, _ in nodes}
    assert len(names["banner"]) == len(names["main"]) == len(names["contentinfo"]) == 1
    assert names["navigation"] == ["Sections", "The same for programs"]
    headings = names["heading"]
    assert headings[0] == "ifmatch" and len(headings) == 12, headings
    for wanted in ("Alarms", "Traffic", "Refusals", "Hot keys", "Register", "Store", "Limits"):
        assert wanted in headings and wanted in names["region"], wanted
    assert all(names["table"]) and len(names["table"]) >= 5, names["table"]
    assert "The keys that were asked for most" in names["table"]
    assert names["columnheader"] and all(names["columnheader"]), names["columnheader"]
    assert "bucket/hot" in names["rowheader"]
    assert len(names["status"]) == 1, "one place is announced when it changes"
    chart = [name for name in names.get("image", names.get("img", []))]
    assert chart and chart[0].startswith("Requests in each of the last"), chart
    assert page.value("document.documentElement.lang") == "en"
    assert all(names["link"]) and all(names["button"])


def test_nothing_else_may_be_run_or_loaded(served):
    import http.client

    connection = http.client.HTTPConnection(*served.admin_address, timeout=30)
    connection.request("GET", "/")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    policy = answer.getheader("content-security-policy")
    assert policy.startswith("default-src 'none';") and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and answer.getheader("cache-control") == "no-store"
    assert answer.getheader("referrer-policy") == "no-referrer"
    assert len(text) < 60_000


def test_a_page_and_a_document_show_the_same(served):
    # A request is counted after its answer.
    until("all are counted",
          lambda: status(served)["traffic"]["requests"]["refused"] >= 4)
    document = status(served, **TOLD)
    _, page = served.admin("/", **TOLD)
    assert {"traffic", "refusals", "hot_keys", "writes", "register", "store", "standing_alarms",
            "certificates", "rules", "configuration", "version", "started_s"} <= set(document)
    assert document["key_names"] and document["version"] in page
    assert document["hot_keys"]["keys"][0]["key"] in page
    by = {each["by"]: each for each in document["refusals"]}
    assert by["gate"]["codes"]["PreconditionFailed"] == 3
