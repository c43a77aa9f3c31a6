#!/bin/sh
# Writes a file to a key that must not be there yet, with the AWS CLI.
# usage: create_once.sh KEY FILE     exit status 0: written by us; 3: it was there, and is not ours
set -eu
mine=$(cat /proc/sys/kernel/random/uuid)

attempt=1
while [ $attempt -le 5 ]; do
    # The AWS CLI retries what failed on the way. Its default timeouts are 60 s.
    if said=$(aws s3api put-object --bucket "$BUCKET" --key "$1" --body "$2" --if-none-match '*' \
        --metadata "upload=$mine" 2>&1); then
        exit 0
    fi
    case $said in
        *PreconditionFailed*)
            # Perhaps by an attempt of our own whose answer was lost: the object has our id.
            there=$(aws s3api head-object --bucket "$BUCKET" --key "$1" --query Metadata.upload --output text)
            if [ "$there" = "$mine" ]; then exit 0; fi
            echo "$1 exists" >&2
            exit 3 ;;
        *ConditionalRequestConflict* | *SlowDown* | *"(50"* | *onnect* | *imeout*)
            attempt=$((attempt + 1)) ;;
        *)
            break ;;
    esac
done
echo "$said" >&2
exit 1
