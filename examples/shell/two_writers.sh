#!/bin/sh
# Two processes write one key at the same time, each only if it is not there: one gets 200, the other 412.
# usage: two_writers.sh KEY      (needs curl 7.75 or later)
set -eu
url=$AWS_ENDPOINT_URL/$BUCKET/$1

create() { # who: writes its name; prints it, and the status of the answer
    status=$(curl -sS --max-time 60 --aws-sigv4 "aws:amz:$AWS_REGION:s3" \
        --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H 'If-None-Match: *' -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
        -H 'Content-Type: text/plain' -X PUT --data-raw "$1" -o /dev/null -w '%{http_code}' "$url")
    printf '%s: %s\n' "$1" "$status"
}

create one &
create two &
wait
