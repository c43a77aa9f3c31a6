"""Terraform's S3 backend with `use_lockfile`, its requests made with boto3.

Terraform is in no registry that the tests may use. Its lock is: PutObject of LockInfo as JSON to
`<state key>.tflock` with If-None-Match: *; if that fails, GetObject names the lock's holder. To
unlock: GetObject, compare the id, DeleteObject without a condition.
"""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from botocore.exceptions import ClientError

from clients import code_of
from endpoint import Endpoint

RUNS = 8


class Terraform:
    """One run of Terraform, as far as its lock goes."""

    def __init__(self, endpoint: Endpoint, state: str):
        self.s3, self.id = endpoint.boto(), str(uuid.uuid4())
        self.place = {"Bucket": endpoint.bucket, "Key": f"{state}.tflock"}

    def lock(self) -> str | None:
        """None, or the id of the lock's holder."""
        info = json.dumps({"ID": self.id, "Operation": "OperationTypeApply"}).encode()
        try:
            self.s3.put_object(**self.place, Body=info, ContentLength=len(info),
                               ContentType="application/json", IfNoneMatch="*")
            return None
        except ClientError as error:
            assert code_of(error) == (412, "PreconditionFailed"), error
            return self.holder()

    def holder(self) -> str:
        return json.load(self.s3.get_object(**self.place)["Body"])["ID"]

    def unlock(self) -> None:
        assert self.holder() == self.id
        self.s3.delete_object(**self.place)


def lock_all_at_once(endpoint: Endpoint, state: str) -> list[tuple[Terraform, str | None]]:
    start = Barrier(RUNS)

    def run(_: int) -> tuple[Terraform, str | None]:
        terraform = Terraform(endpoint, state)
        start.wait(30)
        return terraform, terraform.lock()

    with ThreadPoolExecutor(RUNS) as pool:
        return list(pool.map(run, range(RUNS)))


def test_one_run_gets_the_lock_and_the_others_learn_whose_it_is(proxied, new_key):
    state = new_key("terraform.tfstate")
    runs = lock_all_at_once(proxied, state)
    winners = [terraform for terraform, holder in runs if holder is None]
    assert len(winners) == 1
    assert {holder for _, holder in runs} == {None, winners[0].id}
    winners[0].unlock()
    assert Terraform(proxied, state).lock() is None, "unlocked, it can be taken again"


def test_the_store_alone_gives_the_lock_to_everybody(alone, new_key):
    runs = lock_all_at_once(alone, new_key("terraform.tfstate"))
    assert [holder for _, holder in runs] == [None] * RUNS
