#!/usr/bin/env bash
# Runs voyandz in the guest, and lines of shell that come from outside as files, until it is told to stop; five minutes at
# most, in case nobody is left to tell it.
# `guest.sh BINARY CONFIGURATION`
cd /run/job || exit
"$1" -f "$2" 2>log &
server=$!
echo "up for $(cut -d ' ' -f 1 /proc/uptime) s" >ready
until [ -e stop ] || [ "$SECONDS" -gt 300 ]; do
    if [ -e command ]; then
        timeout 20 bash command >said 2>&1
        code=$?
        rm command
        echo $code >code
    fi
    sleep 0.05
done
kill -TERM $server
wait $server
echo $? >ended
