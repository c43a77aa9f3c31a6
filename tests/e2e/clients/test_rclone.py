"""rclone: its checks are its own (list, compare, copy); none of them is a condition."""

from __future__ import annotations

import pytest

from endpoint import Endpoint


def rclone(endpoint: Endpoint, *words: str, stdin: str | None = None):
    """`store:` is the endpoint; rclone reads it from variables named after it."""
    remote = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "true", "ENDPOINT": endpoint.url}
    return endpoint.run("rclone", "--config", "/dev/null", *words, stdin=stdin,
                        **{f"RCLONE_CONFIG_STORE_{name}": value for name, value in remote.items()})


def done(result) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def place(proxied, new_key) -> str:
    return f"store:{proxied.bucket}/{new_key('rclone')}"


def test_copy_sync_and_check(proxied, place, tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "small").write_text("small")
    (tmp_path / "deep" / "large").write_bytes(bytes(6 << 20))
    in_parts = ("--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi")
    done(rclone(proxied, "copy", str(tmp_path), place, *in_parts))
    done(rclone(proxied, "check", str(tmp_path), place, "--download"))
    (tmp_path / "small").unlink()
    done(rclone(proxied, "sync", str(tmp_path), place, *in_parts))
    assert done(rclone(proxied, "lsf", "-R", "--files-only", place)).split() == ["deep/large"]
    done(rclone(proxied, "moveto", f"{place}/deep/large", f"{place}/moved"))
    assert done(rclone(proxied, "lsf", "-R", "--files-only", place)).split() == ["moved"]


def test_immutable_is_judged_by_rclone_itself(proxied, place, tmp_path):
    (tmp_path / "file").write_text("one")
    done(rclone(proxied, "copy", "--immutable", str(tmp_path), place))
    (tmp_path / "file").write_text("another")
    refused = rclone(proxied, "copy", "--immutable", str(tmp_path), place)
    assert refused.returncode != 0 and "immutable file modified" in refused.stderr
    assert done(rclone(proxied, "cat", f"{place}/file")) == "one"


def test_rcat(proxied, place):
    for text in ("one", "two"):
        done(rclone(proxied, "rcat", f"{place}/stream", stdin=text))
    assert done(rclone(proxied, "cat", f"{place}/stream")) == "two"


def test_header_upload_does_not_carry_a_condition(proxied, place, tmp_path):
    """rclone says that it cannot send If-None-Match, and overwrites."""
    for text in ("one", "another"):
        (tmp_path / "file").write_text(text)
        result = rclone(proxied, "copy", "--header-upload", "If-None-Match: *", str(tmp_path),
                        place)
        assert result.returncode == 0
        assert "Don't know how to set key" in result.stderr
    assert done(rclone(proxied, "cat", f"{place}/file")) == "another"
