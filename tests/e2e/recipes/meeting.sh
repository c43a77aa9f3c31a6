#!/bin/sh
# Work that ends only when as many are inside as the meeting needs: meeting.sh COUNT
set -eu
echo "enter $NAME" >>"$WITNESS/log"
until [ "$(grep -c enter "$WITNESS/log")" -ge "$1" ]; do sleep 0.05; done
echo "leave $NAME" >>"$WITNESS/log"
