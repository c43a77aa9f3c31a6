"""A counter that writes back without a condition: broken_counter.py KEY PROCESSES MEETING_PLACE"""

import json
import os
import sys

import boto3
from together import all_here

s3, place = boto3.client("s3"), {"Bucket": os.environ["BUCKET"], "Key": sys.argv[1]}
try:
    value = json.load(s3.get_object(**place)["Body"])["value"]
except s3.exceptions.NoSuchKey:
    value = 0
all_here(sys.argv[3], int(sys.argv[2]))
s3.put_object(**place, Body=json.dumps({"value": value + 1}))
print(value + 1)
