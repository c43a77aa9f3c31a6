"""The lease and the fenced resource, used as a library: holder.py LEASE_KEY RESOURCE_KEY WRITES [broken]
With "broken" the resource does not look at tokens. Prints "token N", then "wrote N" after each write."""

import os
import sys

sys.path.insert(0, os.environ["RECIPES"])
import boto3
import fenced
from lease import Lease, client

TTL, (lease_key, resource, writes, *broken) = float(os.environ["LEASE_TTL"]), sys.argv[1:]
name, bucket = os.environ["NAME"], os.environ["BUCKET"]
lease = Lease(client(TTL), bucket, lease_key, TTL)
print("token", lease.acquire(float(os.environ["LEASE_WAIT"])), flush=True)
try:
    # The first holds stay here until the test lets them go on, and do not renew.
    os.mkdir(f"{os.environ['WITNESS']}/hold")
    with open(f"{os.environ['WITNESS']}/never") as word:
        word.read()
except FileExistsError:
    pass
for turn in range(int(writes)):
    token = 1 << 30 if broken else lease.token
    line = f"{lease.token} {name} {turn}\n".encode()
    try:
        if not broken:
            lease.renew()
    except Exception as error:
        print(f"renewal: {error!r}", flush=True)  # goes on, as one does that has not noticed
    fenced.fenced_write(boto3.client("s3"), bucket, resource, token, lambda body: body + line)
    print(f"wrote {lease.token} {name} {turn}", flush=True)
lease.release()
