"""A semaphore that counts the holders and then adds itself. Its own object is new, so that a condition on the
write refuses nobody: broken_semaphore.py PREFIX LIMIT PROCESSES MEETING_PLACE COMMAND..."""

import os
import subprocess
import sys

import boto3
from together import all_here

s3, bucket, prefix = boto3.client("s3"), os.environ["BUCKET"], sys.argv[1]
if s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["KeyCount"] >= int(sys.argv[2]):
    sys.exit("all slots are taken")
all_here(sys.argv[4], int(sys.argv[3]))
s3.put_object(Bucket=bucket, Key=f"{prefix}{os.environ['NAME']}", IfNoneMatch="*")
sys.exit(subprocess.run(sys.argv[5:]).returncode)
