"""Trees of files go to the embedded store and come back, by clients that list, copy and delete in ways of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.dataset
import pyarrow.fs
import pytest

from embedded import MIB, Bucket
from test_aws_cli import aws
from test_deltalake import append_all_at_once as append_to_delta
from test_lance import append_all_at_once as append_to_lance
from test_rclone import done, rclone
from test_s3fs import PYTHON

NAMES = ["a b", "a+b", "a%20b", "%2F", "a&b=c", "\u00e4", "a\u0308", "\U0010ffff", "'q'", '"q"', "#hash", "?query", "~",
         "[x]", "{y}", "*", "back\\slash", "semi;colon", "<x>&amp;", "tab\there", "...", ".hidden", "-dash", "@", "!",
         " leading", "k" * 200]
TREE = {
    **{f"names/{name}": f"the file called {name}".encode() for name in NAMES},
    **{f"directories/{name}/file": name.encode() for name in NAMES},
    "deep/er/and/deep/er/still": b"deep", "empty": b"", "large": bytes(range(256)) * (9 * MIB // 256),
    "prefix": b"1", "prefix.more": b"2", "prefix dir/x": b"3",
}
LINES = {"names/new\nline": b"LF", "names/carriage\rreturn": b"CR", "names/\x01": b"control"}
"""What some of the clients cannot themselves."""


def write_tree(directory: Path, tree: dict[str, bytes]) -> Path:
    for name, body in tree.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(body)
    return directory


def tree_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def content(bucket: Bucket, prefix: str = "") -> dict[str, bytes]:
    return {key.removeprefix(prefix): bucket.body(key) for key in bucket.keys() if key.startswith(prefix)}


def same(one: dict[str, bytes], other: dict[str, bytes]) -> bool:
    """Compares so that a failure is not written out at length."""
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []
    return True


def test_aws_s3_sync_brings_a_tree_there_and_back(embedded, tmp_path):
    endpoint, tree = embedded.endpoint, {**TREE, **LINES}
    source, place = write_tree(tmp_path / "source", tree), f"s3://{embedded.name}/at"
    done(aws(endpoint, "s3", "sync", "--cli-read-timeout", "10", str(source), place))
    assert same(content(embedded, "at/"), tree)
    done(aws(endpoint, "s3", "sync", place, f"s3://{embedded.name}/copy"))
    assert same(content(embedded, "copy/"), tree)
    done(aws(endpoint, "s3", "sync", f"s3://{embedded.name}/copy", str(tmp_path / "back")))
    assert same(tree_of(tmp_path / "back"), tree)
    assert done(aws(endpoint, "s3", "sync", str(source), place, "--size-only")) == "", "there is nothing to do"
    (source / "names" / "a b").unlink()
    (source / "prefix").write_bytes(b"changed")
    done(aws(endpoint, "s3", "sync", str(source), place, "--delete"))
    assert same(content(embedded, "at/"), tree_of(source))
    done(aws(endpoint, "s3", "rm", f"s3://{embedded.name}", "--recursive"))
    assert embedded.keys() == []


def test_rclone_sync_brings_a_tree_there_and_back(embedded, tmp_path):
    endpoint, place = embedded.endpoint, f"store:{embedded.name}/at"
    source = write_tree(tmp_path / "source", {**TREE, "names/new\nline": b"LF"})
    in_parts = ("--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi")

    def sync(one: object, other: object, *words: str):
        # By itself it takes two ways to write one letter for one name.
        return rclone(endpoint, "sync", "--no-unicode-normalization", *words, str(one), str(other))

    done(sync(source, place, *in_parts))
    assert len(content(embedded, "at/")) == len(tree_of(source))
    done(rclone(endpoint, "check", "--no-unicode-normalization", str(source), place, "--download"))
    done(sync(place, f"store:{embedded.name}/copy"))
    done(sync(f"store:{embedded.name}/copy", tmp_path / "back"))
    assert same(tree_of(tmp_path / "back"), tree_of(source))
    again = sync(source, place, "--stats-log-level", "NOTICE")
    assert again.returncode == 0 and "Transferred:   \t          0 B / 0 B" in again.stderr, again.stderr
    (source / "names" / "a+b").unlink()
    (source / "prefix").write_bytes(b"changed")
    done(sync(source, place))
    done(sync(place, tmp_path / "back"))
    assert same(tree_of(tmp_path / "back"), tree_of(source))
    done(rclone(endpoint, "purge", f"store:{embedded.name}/copy"))
    assert content(embedded, "copy/") == {}


def test_rclone_shows_and_cleans_up_versions_and_uploads(embedded):
    embedded.versioned()
    place = f"store:{embedded.name}"
    for text in ("one", "two"):
        done(rclone(embedded.endpoint, "rcat", f"{place}/file", stdin=text))
    embedded.begin("unfinished")
    listed = done(rclone(embedded.endpoint, "lsf", "--s3-versions", place)).split()
    assert len(listed) == 2 and "file" in listed
    [old] = [name for name in listed if name != "file"]
    assert done(rclone(embedded.endpoint, "cat", "--s3-versions", f"{place}/{old}")) == "one"
    done(rclone(embedded.endpoint, "cleanup", "--s3-versions", place))
    done(rclone(embedded.endpoint, "backend", "cleanup", "-o", "max-age=0s", place))
    done(rclone(embedded.endpoint, "backend", "cleanup-hidden", place))
    assert [each["IsLatest"] for each in embedded("list_object_versions")["Versions"]] == [True]
    assert "Uploads" not in embedded("list_multipart_uploads")


FSSPEC = '''
import json, os, sys
import s3fs
bucket, source, back = sys.argv[1:]
fs = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"], use_listings_cache=False)
for root, _, files in os.walk(source):
    for name in files:
        path = os.path.relpath(os.path.join(root, name), source)
        fs.put_file(os.path.join(root, name), f"{bucket}/at/{path}")
found = fs.find(f"{bucket}/at")
listed = {path: info["size"] for path, info in fs.find(f"{bucket}/at", detail=True).items()}
walked = [f"{root}/{name}" for root, _, files in fs.walk(f"{bucket}/at") for name in files]
for path in found:
    local = back + path.removeprefix(f"{bucket}/at")
    os.makedirs(os.path.dirname(local), exist_ok=True)
    fs.get_file(path, local)
told = {"found": sorted(found) == sorted(walked), "size": fs.du(f"{bucket}/at") == sum(listed.values())}
fs.copy(f"{bucket}/at/large", f"{bucket}/moved"); fs.mv(f"{bucket}/moved", f"{bucket}/moved again")
told["moved"] = [fs.exists(f"{bucket}/moved"), fs.exists(f"{bucket}/moved again")]
with fs.open(f"{bucket}/at/large") as file:
    file.seek(5 << 20)
    told["middle"] = list(file.read(4))
with fs.open(f"{bucket}/moved again", "ab") as file:
    file.write(b"appended")
told["tail"] = fs.tail(f"{bucket}/moved again", 8).decode()
fs.touch(f"{bucket}/empty/dir/"); fs.pipe({f"{bucket}/many/{number}": b"x" for number in range(50)})
told["directories"] = [fs.isdir(f"{bucket}/empty"), fs.isdir(f"{bucket}/many"), fs.isdir(f"{bucket}/none")]
fs.rm(f"{bucket}/many", recursive=True)
told["left"] = fs.ls(f"{bucket}/empty/dir/") and fs.exists(f"{bucket}/many")
fs.rm(f"{bucket}/at", recursive=True)
print(json.dumps(told))
'''


def test_s3fs_brings_a_tree_there_and_back(embedded, tmp_path):
    # File by file: it takes a star and brackets for patterns.
    source = write_tree(tmp_path / "source", TREE)
    result = embedded.endpoint.run(PYTHON, "-c", FSSPEC, embedded.name, str(source), str(tmp_path / "back"))
    told = json.loads(done(result))
    assert same(tree_of(tmp_path / "back"), TREE)
    assert told["found"] and told["size"]
    assert told["moved"] == [False, True] and told["middle"] == [0, 1, 2, 3] and told["tail"] == "appended"
    assert told["directories"] == [True, True, False] and not told["left"]
    assert embedded.keys() == ["empty/dir/", "moved again"]


@pytest.fixture
def arrow(embedded) -> pyarrow.fs.S3FileSystem:
    endpoint = embedded.endpoint
    return pyarrow.fs.S3FileSystem(
        access_key=endpoint.access_key, secret_key=endpoint.secret_key, endpoint_override=endpoint.host, scheme="http",
        region="us-east-1")


def test_pyarrow_brings_a_tree_there_and_back(embedded, arrow):
    for name, body in TREE.items():
        with arrow.open_output_stream(f"{embedded.name}/at/{name}") as stream:
            stream.write(body)
    assert same(content(embedded, "at/"), TREE)
    selector = pyarrow.fs.FileSelector(f"{embedded.name}/at", recursive=True)
    files = [info for info in arrow.get_file_info(selector) if info.type == pyarrow.fs.FileType.File]
    assert sorted(info.path.removeprefix(f"{embedded.name}/at/") for info in files) == sorted(TREE)
    for info in files:
        name = info.path.removeprefix(f"{embedded.name}/at/")
        assert info.size == len(TREE[name])
        with arrow.open_input_file(info.path) as file:
            file.seek(info.size // 2)
            assert file.read() == TREE[name][info.size // 2:]
    arrow.copy_file(f"{embedded.name}/at/names/a+b", f"{embedded.name}/at/copied")
    arrow.move(f"{embedded.name}/at/names/a b", f"{embedded.name}/at/moved")
    assert (embedded.body("at/copied"), embedded.body("at/moved")) == (TREE["names/a+b"], TREE["names/a b"])
    arrow.delete_file(f"{embedded.name}/at/names/%2F")
    assert "at/names/%2F" not in embedded.keys() and "at/names/a b" not in embedded.keys()


def test_pyarrow_makes_and_deletes_directories(embedded, arrow):
    arrow.create_dir(f"{embedded.name}/one/two/three", recursive=True)
    assert embedded.keys() == ["one/", "one/two/", "one/two/three/"]
    infos = arrow.get_file_info([f"{embedded.name}/{path}" for path in ("one", "one/two", "none")])
    kinds = [info.type for info in infos]
    assert kinds == [pyarrow.fs.FileType.Directory] * 2 + [pyarrow.fs.FileType.NotFound]
    for name in TREE:
        embedded.put(f"one/two/{name}")
    embedded.put("one/twofold", b"x"), embedded.put("onerous", b"x")
    arrow.delete_dir(f"{embedded.name}/one/two")
    assert embedded.keys() == ["one/", "one/twofold", "onerous"]
    arrow.delete_dir_contents(f"{embedded.name}/one")
    assert embedded.keys() == ["one/", "onerous"]


def test_pyarrow_writes_a_dataset_and_reads_it_back(embedded, arrow):
    rows = pyarrow.table({"number": range(10_000), "name": [NAMES[number % len(NAMES)] for number in range(10_000)]})
    place = f"{embedded.name}/dataset"
    parts = pyarrow.dataset.partitioning(pyarrow.schema([("name", pyarrow.string())]), flavor="hive")
    for behaviour in ("error", "delete_matching", "overwrite_or_ignore"):
        pyarrow.dataset.write_dataset(rows, place, filesystem=arrow, format="parquet", partitioning=parts,
                                      existing_data_behavior=behaviour, max_partitions=100)
        read = pyarrow.dataset.dataset(place, filesystem=arrow, format="parquet", partitioning=parts)
        assert read.to_table().sort_by("number").select(["number", "name"]).equals(rows), behaviour
    some = read.to_table(filter=pyarrow.compute.field("name") == "a+b")
    assert set(some["name"].to_pylist()) == {"a+b"} and some.num_rows == rows["name"].to_pylist().count("a+b")
    arrow.delete_dir(place)
    assert content(embedded, "dataset/") == {}


def test_restic_backs_up_a_tree_and_restores_it(embedded, tmp_path):
    source = write_tree(tmp_path / "source", {**TREE, **LINES, "noise": os.urandom(3 * MIB)})
    repository = f"s3:{embedded.endpoint.url}/{embedded.name}/repository"

    def restic(*words: str) -> str:
        return done(embedded.endpoint.run("restic", "--no-cache", "--repo", repository, *words, RESTIC_PASSWORD="e2e"))

    restic("init")
    restic("backup", str(source))
    (source / "prefix").write_bytes(b"changed")
    restic("backup", str(source))
    restic("forget", "--prune", "--keep-last", "1")
    restic("check", "--read-data")
    restic("restore", "latest", "--target", str(tmp_path / "back"))
    assert same(tree_of(tmp_path / "back" / source.relative_to("/")), tree_of(source))


def test_tables_that_are_appended_to_at_once_lose_nothing(embedded):
    """The store judges conditions itself: a proxy before it is not needed for this."""
    table = append_to_delta(embedded.endpoint, "delta")
    assert table.version() == 24 and table.to_pyarrow_table().num_rows == 25
    dataset = append_to_lance(embedded.endpoint, "lance")
    assert dataset.count_rows() == 19
