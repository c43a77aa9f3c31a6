"""A lock that looks and then writes, without a condition: broken_lock.py KEY PROCESSES MEETING_PLACE COMMAND..."""

import os
import subprocess
import sys

import boto3
from botocore.exceptions import ClientError
from together import all_here

s3, place = boto3.client("s3"), {"Bucket": os.environ["BUCKET"], "Key": sys.argv[1]}
try:
    s3.head_object(**place)
    sys.exit("it is locked")
except ClientError:
    pass
all_here(sys.argv[3], int(sys.argv[2]))
s3.put_object(**place, Body=os.environ["NAME"])
sys.exit(subprocess.run(sys.argv[4:]).returncode)
