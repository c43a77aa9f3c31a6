"""Creates a file that must not be there yet, with s3fs ("xb").

    python s3fs_create.py KEY TEXT       exit status 3: it was there, and is not ours
"""

import os
import sys
import uuid

import s3fs


def create(fs, path, data):
    """Raises FileExistsError if the file is there and was not created by this call."""
    if not data:
        raise ValueError("s3fs creates an empty file without a condition")
    mine = uuid.uuid4().hex
    try:
        with fs.open(path, "xb", Metadata={"creation": mine}) as file:
            file.write(data)
    except FileExistsError:
        # s3fs tries again of itself: the file may be there by a try whose answer was lost.
        fs.invalidate_cache(path)
        if fs.metadata(path).get("creation") != mine:
            raise


def main():
    fs = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    try:
        create(fs, f"{os.environ['BUCKET']}/{sys.argv[1]}", sys.argv[2].encode())
        print("created", flush=True)
        return 0
    except FileExistsError:
        print("exists", flush=True)
        return 3


if __name__ == "__main__":
    sys.exit(main())
