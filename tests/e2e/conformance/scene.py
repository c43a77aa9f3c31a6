"""What a table's words do: one key of one bucket, brought into a state through the proxy."""

from __future__ import annotations

import datetime
import hashlib
import re
import time
import xml.etree.ElementTree as ElementTree
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

from botocore.exceptions import ClientError

from clients import Answer, code_of
from tables import headers as headers_of

OTHER = "0123456789abcdef0123456789abcdef"
MESSAGES = {
    "NotImplemented": "A header you provided implies functionality that is not implemented",
    "PreconditionFailed": "At least one of the pre-conditions you specified did not hold",
    "NoSuchKey": "The specified key does not exist.",
    "ConditionalRequestConflict": "The conditional request cannot succeed due to a conflicting "
                                  "operation against this resource.",
}


def content(letter: str) -> bytes:
    return f"the bytes that we call {letter}".encode()


def text_of(document: bytes, wanted: str) -> str | None:
    """The text of the first element of that name, whatever its name space."""
    for element in ElementTree.fromstring(document).iter():
        if element.tag.rpartition("}")[2] == wanted:
            return element.text or ""
    return None


class Scene:
    def __init__(self, front, bucket: str | None = None):
        self.front, self.bucket = front, bucket or front.bucket
        self.key, self.source_key = front.new_key("case"), front.new_key("source")
        self.words = {"other": OTHER, "key": self.key}
        self.versions: dict[str, str] = {"null": "null"}
        self.uploads: list[tuple[str, str, str]] = []  # letter of the part, upload id, its ETag

    def path(self, key: str | None = None) -> str:
        return f"/{self.bucket}/{self.key if key is None else key}"

    def fill(self, text: str) -> str:
        """Puts what is known in place of {A}, {time}, {key}."""
        return re.sub(r"\{([^}]+)\}", lambda match: self.words[match[1]], text)

    # === steps: what must succeed ===

    def steps(self, steps: list[str]) -> None:
        for step in steps:
            words, _, conditions = step.partition("[")
            answer = self.request(words.strip(), self.headers(conditions.rstrip("]")))
            assert words.strip() == "refused put" or answer.status < 300, f"{step}: {answer}"

    def headers(self, text: str) -> dict[str, str]:
        return {name: self.fill(value) for name, value in headers_of(text).items()}

    def request(self, words: str, headers: dict[str, str]) -> Answer:
        """Performs a request of the tables, and remembers what it leaves behind."""
        verb, _, rest = words.partition(" ")
        return {
            "put": self._put, "delete": self._delete, "create": self._create,
            "complete": self._complete, "abort": self._abort, "resume": self._resume,
            "source": self._source, "copy": self._copy, "refused": self._refused,
            "get": self._get,
        }[verb](rest, headers)

    def _put(self, letter: str, headers) -> Answer:
        answer = self.front.raw.put(self.path(), content(letter), headers=headers)
        self._learn(letter, answer)
        return answer

    def _refused(self, _, headers) -> Answer:
        answer = self.front.raw.put(self.path(), b"?", headers={"If-Match": f'"{OTHER}"'})
        assert answer.status == 412, str(answer)
        return answer

    def _learn(self, letter: str, answer: Answer) -> None:
        if answer.status == 200:
            head = self.head_at_store(self.key)
            self.words[letter] = head["ETag"].strip('"')
            self.words[f"MD5 of {letter}"] = hashlib.md5(content(letter)).hexdigest()
            self.words[f"size of {letter}"] = str(head["ContentLength"])
            self.versions[letter] = answer.headers.get("x-amz-version-id", "null")

    def _get(self, _, headers) -> Answer:
        return self.front.raw.get(self.path(), headers=headers)

    def _delete(self, what: str, headers) -> Answer:
        target = self.path()
        if what == "marker":
            target += f"?versionId={self.versions['marker']}"
        elif what:
            target += f"?versionId={self.versions[what.removeprefix('version ')]}"
        answer = self.front.raw.delete(target, headers=headers)
        if not what and answer.headers.get("x-amz-delete-marker") == "true":
            self.versions["marker"] = answer.headers["x-amz-version-id"]
        return answer

    def _source(self, letter: str, headers) -> Answer:
        answer = self.front.raw.put(self.path(self.source_key), content(letter), headers=headers)
        self.words[letter] = (answer.etag or "").strip('"')
        self.source_letter = letter
        return answer

    def use_source(self, other: "Scene") -> None:
        """Copies are made from the source of another scene, whose words are known here."""
        self.source_key, self.source_letter = other.source_key, other.source_letter
        self.words = {**other.words, **self.words}

    def _copy(self, what: str, headers) -> Answer:
        headers = {**headers, "x-amz-copy-source": f"/{self.bucket}/{self.source_key}"}
        target = self.path()
        if what == "part":
            target += f"?partNumber=1&uploadId={quote(self.uploads[-1][1], safe='')}"
        answer = self.front.raw.put(target, headers=headers)
        if what != "part":
            self._learn(getattr(self, "source_letter", "?"), answer)
        elif answer.status == 200:
            etag = text_of(answer.body, "ETag")
            self.uploads[-1] = (self.source_letter, self.uploads[-1][1], etag)
        return answer

    def _create(self, letter: str, headers) -> Answer:
        created = self.front.raw.request("POST", self.path() + "?uploads", headers=headers)
        assert created.status == 200, str(created)
        upload = text_of(created.body, "UploadId")
        if not letter:
            self.uploads.append(("", upload, ""))
            return created
        part = self.front.raw.put(
            f"{self.path()}?partNumber=1&uploadId={quote(upload, safe='')}", content(letter))
        self.uploads.append((letter, upload, part.etag or ""))
        return part

    def _resume(self, letter: str, _) -> Answer:
        """The upload of that letter is again the one last created."""
        [wanted] = [upload for upload in self.uploads if upload[0] == letter]
        self.uploads.append(wanted)
        return Answer(200, {}, b"")

    def _complete(self, _, headers) -> Answer:
        letter, upload, etag = self.uploads[-1]
        document = ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                    f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>").encode()
        answer = self.front.raw.request(
            "POST", f"{self.path()}?uploadId={quote(upload, safe='')}", headers, document)
        assert answer.status != 200 or answer.code is None, f"an error inside a 200: {answer}"
        self._learn(letter, answer)
        return answer

    def _abort(self, _, headers) -> Answer:
        upload = quote(self.uploads[-1][1], safe="")
        return self.front.raw.delete(f"{self.path()}?uploadId={upload}", headers=headers)

    # === what is there ===

    def head_at_store(self, key: str) -> dict:
        return self.front.store_s3.head_object(Bucket=self.bucket, Key=key)

    def letter_at_store(self) -> str:
        """Which bytes are under the key, seen without the proxy."""
        try:
            got = self.front.store_s3.get_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            assert code_of(error)[0] == 404, error
            return "nothing"
        body = got["Body"].read()
        for letter in "ABCMNS":
            if body == content(letter):
                return letter
        return repr(body)

    def learn_times(self, key: str) -> None:
        """{time}, {before}, {after} and {future}, by the object's Last-Modified. What is only to
        be true after it needs a clock that has got there: AWS ignores times in the future."""
        modified = parsedate_to_datetime(self.front.raw.head(self.path(key)).headers["last-modified"])
        seconds = datetime.timedelta(seconds=1)
        while datetime.datetime.now(datetime.timezone.utc) < modified + 2 * seconds:
            time.sleep(0.05)
        day = datetime.timedelta(days=1)
        for word, moment in (("time", modified), ("before", modified - day),
                             ("after", modified + seconds),
                             ("future", datetime.datetime.now(datetime.timezone.utc) + day)):
            self.words[word] = format_datetime(moment, usegmt=True)

    # === judgement ===

    def check(self, case, answer: Answer) -> None:
        status, code = case.answer
        assert (answer.status, answer.code) == (status, code), str(answer)
        if code in MESSAGES:
            message = answer.fields["Message"]
            if code == "NotImplemented":  # What AWS itself does not refuse says why after that.
                message = message.partition(": ")[0]
            assert message.rstrip(".") == MESSAGES[code].rstrip(".")
        if code:
            assert answer.headers["content-type"] == "application/xml"
            assert answer.fields["RequestId"] and "HostId" in answer.fields, str(answer)
        self.check_fields(case["fields"], answer)

    def check_fields(self, fields: str, answer: Answer) -> None:
        for field in filter(None, (part.strip() for part in fields.split(";"))):
            name, equals, value = (part.strip() for part in field.partition("="))
            if equals:
                assert answer.fields.get(name) == self.fill(value), str(answer)
            else:
                assert name.removeprefix("no ") not in answer.fields, str(answer)

    def check_etag(self, answer: Answer) -> None:
        """A write says what is there now; so does a 412, which saves the loser a read."""
        if answer.status == 412 and not answer.fields["Condition"].startswith("x-amz-copy-source"):
            assert answer.etag == self.head_at_store(self.key)["ETag"], str(answer)
        elif answer.status == 200:
            told = answer.etag if answer.etag else text_of(answer.body, "ETag")
            assert told.strip('"') == self.head_at_store(self.key)["ETag"].strip('"'), str(answer)
