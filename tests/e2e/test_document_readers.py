"""What a document says is what every reader of XML finds in it. Documents are mutated at random, and at
known differences between readers, and read by what stores are built on: expat (Ceph; moto through
xmltodict), libxml2 (Swift), and s3rver's reader in JavaScript. Passthrough lets one through only where
all of them find the same; what is written anew is what XML 1.0 says that the document says.

`make documents SECONDS=600` mutates for longer, and differently each time; SEED repeats one run."""

from __future__ import annotations

import base64
import hashlib
import http.client
import itertools
import json
import os
import random
import time
import xml.etree.ElementTree as ElementTree
from urllib.parse import unquote

import pytest
import xmltodict
from lxml import etree

from clients import UNSIGNED
from node_reader import NodeReader
from proxies import Proxy, Settings
from scripted import ScriptedStore

SECONDS = float(os.environ.get("DOCUMENTS_SECONDS", "8"))
LEAST = 20
"""So many pass and so many are refused, however slow the machine is."""
SEED = int(os.environ.get("SEED", "1"))
"""The same each time in the full run, so that what fails there was broken by the change."""

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
DELETE = (DECLARATION + f'<Delete xmlns="{NAMESPACE}">'.encode()
          + b"<Object><Key>up/c&amp;t</Key></Object><Quiet>true</Quiet></Delete>")
PLAIN = b"<Delete>\n <Object>\n  <Key>key</Key>\n </Object>\n</Delete>\n"
COMPLETE = (b"<CompleteMultipartUpload>"
            b"<Part><PartNumber>1</PartNumber><ETag>&quot;a1&quot;</ETag></Part>"
            b"<Part><ETag>b2</ETag><PartNumber>2</PartNumber></Part></CompleteMultipartUpload>")
TOKENS = [
    b" ", b"\n", b"\r", b"\r\n", b"\t", b"\0", b"\x0b", b"\x85", b"\xc2\x85", b"\xc2\xa0", b"\xe2\x80\xa8",
    b"\xef\xbb\xbf", b"\xef\xbf\xbf", b"\xff", b"\xc3\xbc", b"<!-- c -->", b"<!---->", b"<![CDATA[x]]>",
    b"<![CDATA[]]>", b"]]>", b"<?p x?>", b"<!DOCTYPE Delete>", b"<!DOCTYPE a [<!ENTITY e 'x'>]>", b"&e;",
    b"&amp;", b"&lt;", b"&gt;", b"&quot;", b"&apos;", b"&", b"&amp", b"&nbsp;", b"&copy", b"&#65;", b"&#x41;",
    b"&#X41;", b"&#065;", b"&#32;", b"&#13;", b"&#10;", b"&#9;", b"&#0;", b"&#1;", b"&#x80;", b"&#x92;",
    b"&#xA0;", b"&#xD800;", b"&#xFEFF;", b"&#xFFFE;", b"&#x1F600;", b"&#x110000;", b"&#99999999999;", b"&amp;#65;",
    b"&amp;amp;", b"&amp;lt;", b"<b/>", b"<b>x</b>", b"</b>", b"<Key>x</Key>", b"<Key/>", b"<Key></Key>",
    b"</Key><Key>", b"<Object><Key>x</Key></Object>", b"<VersionId>v</VersionId>", b"<VersionId/>",
    b"<ETag>e</ETag>", b"<Size>1</Size>", b"<Quiet>false</Quiet>", b"<Part/>", b"<a:b xmlns:a='x'/>",
    b' xmlns="x"', b" xmlns:a='x'", b' xml:space="preserve"', b" a='b'", b" a", b"a:", b"<", b">", b"/", b"/>",
    b"'", b'"', b"=", b"0", b"007", b"1e3", b"0x10", b"1e999", b"e5", b"1.0", b"-1", b"+1", b"true", b"null", b"NaN", b"__proto__",
    b"<?xml version='1.0'?>", b"<?xml version=\"1.1\"?>", b' standalone="yes"', b"UTF-7", b"UTF-16",
    b"ISO-8859-1", b"utf-8", b"utf8", b"US-ASCII", b"+AG8-", b"KEY", b"key", b"Key", b"up/", b"x" * 200,
]
KINDS = [DELETE, PLAIN, COMPLETE]


def bent(chance: random.Random) -> bytes:
    """A document with a few tokens put in, taken out, exchanged or doubled."""
    body = chance.choice(KINDS)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        at, token = chance.randrange(len(body) + 1), chance.choice(TOKENS)
        match chance.randrange(7):
            case 0 | 1:
                body = body[:at] + token + body[at:]
            case 2:
                body = body[:at] + body[at + chance.randrange(1, 12):]
            case 3:
                body = body.replace(chance.choice(TOKENS), token, 1)
            case 4 | 5:
                value = chance.choice((b"up/c&amp;t", b">key<", b">1<", b"b2", b"UTF-8", b"1.0", b"true"))
                cut = chance.randrange(len(value) + 1)
                body = body.replace(value, value[:cut] + token + value[cut:], 1)
            case 6:
                body = body[:at] + body[at:].replace(b"><", b">" + token + b"<", 1)
    return body


def listed(root, name_of, text_of) -> list[str] | None:
    """The keys of a batch, the parts of a complete, as a careless store takes them from a tree."""
    def children(element, name):
        return [child for child in element if name_of(child) == name]

    def only(element, name):
        found = children(element, name)
        return text_of(found[0]) if found else None

    if name_of(root) == "Delete":
        return [str(only(entry, "Key")) for entry in children(root, "Object")]
    if name_of(root) == "CompleteMultipartUpload":
        return [f"{only(part, 'PartNumber')} {only(part, 'ETag')}" for part in children(root, "Part")]
    return None


def local(tag) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def by_expat(document: bytes) -> list[str] | None:
    try:
        root = ElementTree.fromstring(document)
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    return listed(root, lambda each: local(each.tag), lambda each: each.text)


def by_libxml2(document: bytes) -> list[str] | None:
    try:
        # As Swift does.
        root = etree.fromstring(document, etree.XMLParser(resolve_entities=False))
    except (etree.XMLSyntaxError, ValueError, LookupError):
        return None
    return listed(root, lambda each: local(each.tag), lambda each: each.text)


def by_xmltodict(document: bytes) -> list[str] | None:
    try:
        root = xmltodict.parse(document)
    except Exception:  # expat's, and its own
        return None

    def several(found) -> list:
        return found if isinstance(found, list) else [] if found is None else [found]

    if isinstance(batch := root.get("Delete"), dict):
        return [str(entry.get("Key")) for entry in several(batch.get("Object"))
                if isinstance(entry, dict)]
    if isinstance(complete := root.get("CompleteMultipartUpload"), dict):
        return [f"{part.get('PartNumber')} {part.get('ETag')}" for part in several(complete.get("Part"))
                if isinstance(part, dict)]
    return None


READERS = {"expat": by_expat, "libxml2": by_libxml2, "xmltodict": by_xmltodict}


def answer_to(request) -> tuple[int, dict, bytes]:
    if request.method != "POST":
        return 200, {"ETag": '"e"'}, b""
    if "uploadId" in request.target:
        return 200, {}, (b"<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag>"
                         b"</CompleteMultipartUploadResult>")
    return 200, {}, b"<DeleteResult/>"


def asking(proxy: Proxy, store: ScriptedStore):
    """Sends documents over one connection; gives the answer, its body, and what the store was sent."""
    raw = proxy.raw()
    connection = http.client.HTTPConnection(raw.host, raw.port, timeout=30)

    def ask(document: bytes, upload: str):
        completes = b"CompleteMultipartUpload" in document
        target = f"/bucket/key?uploadId={upload}" if completes else "/bucket?delete"
        md5 = base64.b64encode(hashlib.md5(document).digest()).decode()
        store.take()
        connection.request("POST", target, document, {
            **raw.signed("POST", target, {"Content-MD5": md5}, document, payload=UNSIGNED)})
        answer = connection.getresponse()
        return answer, answer.read(), store.take()

    return ask


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Whether the proxy lets a document through, and which key it has guarded then."""
    store = ScriptedStore()
    proxy = Proxy(tmp_path_factory.mktemp("readers"), store.store,
                  Settings(settle=0, signatures="passthrough"))
    proxy.wait_writable("bucket")
    store.answer = answer_to
    ask = asking(proxy, store)

    def judge(document: bytes) -> tuple[bool, str]:
        answer, text, asked = ask(document, "u")
        sent = [request for request in asked if request.method == "POST"]
        if not sent:
            assert answer.status in (400, 501), (answer.status, text, document)
            return False, ""
        assert sent[0].body == document, "it goes on as it came"
        since = max(0, len(proxy.process.lines) - 20)
        line = proxy.process.wait_for_line(answer.getheader("x-amz-request-id"), since=since).string
        return True, json.loads(line).get("key") or json.loads(line)["fields"]["key"]

    s3rver = NodeReader("read_documents.cjs")
    yield judge, s3rver
    s3rver.stop()
    proxy.stop()
    store.stop()


def by_tree(parse):
    """As XML 1.0 says: comments and CDATA sections leave the text that they stand in whole."""
    def read(document: bytes) -> list[str] | None:
        try:
            root = parse(document)
        except (ElementTree.ParseError, etree.XMLSyntaxError, ValueError, LookupError):
            return None
        return listed(root, lambda each: local(each.tag), lambda each: "".join(each.itertext()))
    return read


NO_COMMENTS = etree.XMLParser(resolve_entities=False, remove_comments=True)
"""For comments would be children."""
TREES = {"expat": by_tree(ElementTree.fromstring),
         "libxml2": by_tree(lambda document: etree.fromstring(document, NO_COMMENTS))}


@pytest.fixture(scope="module")
def read_here(tmp_path_factory):
    """What the proxy has read in a document that it writes anew; `None` where it is refused."""
    store = ScriptedStore()
    proxy = Proxy(tmp_path_factory.mktemp("anew"), store.store, Settings(settle=0))
    proxy.wait_writable("bucket")
    store.answer = answer_to
    ask = asking(proxy, store)
    # An upload is completed once: what became of it is told again.
    uploads = itertools.count()

    def read(document: bytes) -> list[str] | None:
        answer, text, asked = ask(document, f"u{next(uploads)}")
        if answer.status == 400:
            assert not [each for each in asked if each.method != "GET"], document
            return None
        assert answer.status == 200, (answer.status, text, document)
        if b"CompleteMultipartUpload" in document:
            return by_expat([each.body for each in asked if each.method == "POST"][0])
        # A quiet answer names errors alone.
        deleted = [unquote(each.target).removeprefix("/bucket/").partition("?")[0]
                   for each in asked if each.method == "DELETE"]
        refused = [child.text for child in ElementTree.fromstring(text).iter()
                   if local(child.tag) == "Key"] if b"<Error>" in text else []
        return sorted({*deleted, *refused})

    yield read
    proxy.stop()
    store.stop()


def test_what_is_written_anew_is_what_the_document_says(read_here):
    """Nothing that is not well-formed is taken, and in what is, nothing else is found."""
    chance, taken, refused = random.Random(SEED), 0, 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or min(taken, refused) < LEAST:
        document = bent(chance)
        found = read_here(document)
        if found is None:
            refused += 1
            continue
        taken += 1
        for name, read in TREES.items():
            said = read(document)
            told = f"{name} in {document!r} (SEED={SEED}): {said}, not {found}"
            if said is None:
                # libxml2 wants more of a namespace's name than XML does.
                assert name != "expat", f"not well-formed to {told}"
                continue
            if b"CompleteMultipartUpload" in document:
                said = [" ".join(entry.split()) for entry in said]
                numbers = [(int(entry.split()[0]), entry.split()[1:]) for entry in said]
                ours = [(int(entry.split()[0]), entry.split()[1:]) for entry in found]
                assert numbers == ours, told
            else:
                assert sorted(set(said)) == found, told
    print(f"{taken} documents were taken, {refused} were refused (SEED={SEED})")


def check_alike(s3rver: S3rver, document: bytes, key: str) -> None:
    """Every reader finds this one key, or the same parts."""
    found = {name: read(document) for name, read in READERS.items()}
    # Numbers that are written in one way are the same for all.
    found["s3rver"] = s3rver.ask(base64.b64encode(document).decode())
    told = f"{document!r} (SEED={SEED}): {found}"
    assert len({json.dumps(each) for each in found.values()}) == 1, f"read in several ways: {told}"
    if b"CompleteMultipartUpload" not in document:
        assert found["expat"] == [key], f"not the key {key!r} is found in {told}"
    else:
        assert found["expat"], told


def test_good_documents_pass_and_are_read_alike(judged):
    judge, s3rver = judged
    for document in (*KINDS, PLAIN.replace(b"key", b"a &#xFC;\xc3\xbc&lt;&#13;b"),
                     DELETE.replace(DECLARATION, b"")):
        passed, key = judge(document)
        assert passed, document
        check_alike(s3rver, document, key)


def test_no_bent_document_passes_that_a_reader_reads_otherwise(judged):
    judge, s3rver = judged
    chance, passed, refused = random.Random(SEED), 0, 0
    # Each token everywhere once where it matters most, then by chance.
    first = [PLAIN.replace(b"key", b"key"[:at] + token + b"key"[at:])
             for token in TOKENS for at in range(4)]
    chance.shuffle(first)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or min(passed, refused) < LEAST:
        document = first.pop() if first and chance.random() < 0.4 else bent(chance)
        goes_on, key = judge(document)
        if not goes_on:
            refused += 1
            continue
        passed += 1
        check_alike(s3rver, document, key)
    print(f"{passed} documents passed, {refused} were refused (SEED={SEED})")
