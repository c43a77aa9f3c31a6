#!/bin/sh
# Stands for the work under a lock: notes in $WITNESS/log when it begins and ends, by the name of its process.
# The first $HOLDS of them stay inside until they are killed: nobody ever writes to $WITNESS/never.
set -eu
echo "enter $NAME" >>"$WITNESS/log"
n=0
while [ $n -lt "${HOLDS:-0}" ]; do
    n=$((n + 1))
    if mkdir "$WITNESS/hold.$n" 2>/dev/null; then
        echo "hold $NAME ${LOCK_OWNER:-}" >>"$WITNESS/log"
        read -r _ <"$WITNESS/never"
    fi
done
echo "leave $NAME" >>"$WITNESS/log"
