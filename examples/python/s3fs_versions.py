"""Reads one version of a file in many pieces while others overwrite it, with s3fs and a bucket with versions.

    python s3fs_versions.py KEY [PIECE]      prints the version and the digest of the file, read by pieces (1 MiB)
"""

import hashlib
import os
import sys

import s3fs


def read_pinned(fs, path, piece):
    """Yields the version, then the pieces. `open` looks once which version is the newest and reads only that."""
    with fs.open(path, "rb", block_size=piece, cache_type="none") as file:
        yield file.version_id
        while data := file.read(piece):
            yield data


def main():
    fs = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"], version_aware=True)
    piece = int(sys.argv[2]) if len(sys.argv) > 2 else 1 << 20
    version, *pieces = read_pinned(fs, f"{os.environ['BUCKET']}/{sys.argv[1]}", piece)
    print(version, hashlib.sha256(b"".join(pieces)).hexdigest(), flush=True)


if __name__ == "__main__":
    main()
