#!/bin/sh
# Runs a command under a lock without expiry: the object is there for as long as the lock is held.
# usage: lock.sh KEY COMMAND...       LOCK_WAIT: how many seconds to wait for the lock (60)
set -eu
url=$AWS_ENDPOINT_URL/$BUCKET/$1
shift
mine=$(hostname)/$$/$(cat /proc/sys/kernel/random/uuid)
until=$(($(date +%s) + ${LOCK_WAIT:-60}))
answer=$(mktemp)
trap 'rm -f "$answer" "$answer.head"' EXIT

s3() { # curl's arguments: prints the status (000: no answer); the body is in $answer
    curl -s --max-time 20 --aws-sigv4 "aws:amz:$AWS_REGION:s3" \
        --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" \
        -D "$answer.head" -o "$answer" -w '%{http_code}' "$@" "$url" || true
}

in_time() { # waits a moment; fails if it is too late
    [ "$(date +%s)" -lt "$until" ] && sleep "0.$(($(od -An -N1 -tu1 /dev/urandom) % 5 + 1))"
}

ours() { # 0: the lock is ours; 1: it is not; 2: nobody could tell
    case $(s3) in
        200) [ "$(cat "$answer")" = "$mine" ] ;;
        404) return 1 ;;
        *) return 2 ;;
    esac
}

release() { # the delete names the object that was read, so that it is never somebody else's
    until=$(($(date +%s) + 60))
    while ours || [ $? = 2 ]; do
        etag=$(tr -d '\r' <"$answer.head" | sed -n 's/^[Ee][Tt][Aa][Gg]: //p')
        [ -z "$etag" ] || s3 -X DELETE -H "If-Match: $etag" >/dev/null
        in_time || return 1
    done
}

trap 'release; rm -f "$answer" "$answer.head"' EXIT
trap 'exit 143' INT TERM
while :; do
    case $(s3 -X PUT -H 'If-None-Match: *' -H 'Content-Type: text/plain' --data-raw "$mine") in
        200) break ;;
        # The refusal of a retry may be caused by our own first attempt, as may one after a lost answer.
        412 | 409 | 5?? | 000) if ours; then break; fi ;;
        *) cat "$answer" >&2; exit 1 ;;
    esac
    in_time || { echo "the lock is held by $(cat "$answer")" >&2; exit 1; }
done
status=0
LOCK_OWNER=$mine "$@" || status=$?
exit $status
