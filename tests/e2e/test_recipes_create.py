"""The shell recipes of examples/ that create an object: one wins. One proxy, with the register in its memory."""

from __future__ import annotations

import pytest

from endpoint import Endpoint
from proxies import ACCESS_KEY, CLIENT_SECRET
from recipes.scene import EXAMPLES, Crew

SHELL = EXAMPLES / "shell"
CLIS = 4
"""Each start of the AWS CLI costs about a second."""


@pytest.fixture
def endpoint(front_on) -> Endpoint:
    front = front_on("embedded-ignoring", "memory", "shared")
    return Endpoint(front.proxy.url, ACCESS_KEY, CLIENT_SECRET, front.bucket)


class Alone:
    """A crew's endpoint, where all have the same."""

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint

    def endpoint(self, _: int) -> Endpoint:
        return self._endpoint


def test_of_two_writers_one_gets_200_and_the_other_412(endpoint):
    done = endpoint.run(SHELL / "two_writers.sh", "two-writers")
    assert done.returncode == 0, done.stderr
    status = dict(line.split(": ") for line in done.stdout.splitlines())
    assert sorted(status.values()) == ["200", "412"], done
    assert status[endpoint.body("two-writers").decode()] == "200"


def test_the_store_alone_gives_200_to_both(front_on):
    store = front_on("embedded-ignoring", "memory", "shared").store
    bucket = front_on("embedded-ignoring", "memory", "shared").bucket
    done = Endpoint(store.url, store.access_key, store.secret_key, bucket).run(SHELL / "two_writers.sh", "alone")
    assert sorted(line.split(": ")[1] for line in done.stdout.splitlines()) == ["200", "200"], done


def test_a_file_is_created_once(endpoint, tmp_path):
    for number in range(CLIS):
        (tmp_path / f"file{number}").write_text(str(number))
    command = [SHELL / "create_once.sh", "create-once", tmp_path / "file{n}"]
    with Crew(Alone(endpoint), command, tmp_path / "crew", CLIS) as crew:
        crew.finish()
        assert sorted(crew.statuses.values()) == [0] + [3] * (CLIS - 1), crew.tails()
    winner = next(number for number, status in crew.statuses.items() if status == 0)
    assert endpoint.body("create-once").decode() == str(winner)
