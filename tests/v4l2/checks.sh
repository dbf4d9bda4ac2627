# shellcheck shell=bash
# What a capture card must be good for; ci/v4l2 sources this with the virtual machine running.
# shellcheck disable=SC2154  # url, job, work and libraries are of ci/v4l2

stream="$url/card.ts?header=1&keyframe=1"

# What fails after a mere `!` ends nothing.
not() { ! "$@"; }

# Whether the server answers.
answers() { curl -fs --max-time 5 -o /dev/null "$url/"; }

is_up() {
    within 120 test -e "$job/ready"
    cat "$job/ready"
    within 30 answers
}

logged() { grep -qE "$1" "$job/log"; }

# decodes FROM PICTURES [OPTION…]: decodes at least so many pictures; a word of complaint is too much.
decodes() {
    local from=$1 pictures=$2 said found
    shift 2
    # With so many packets the source of a stream is read no further; a file is read to its end.
    [ -e "$from" ] || set -- "$@" -read_intervals "%+#$pictures"
    said=$(timeout 40 ffprobe -v error "$@" -analyzeduration 1M -select_streams v -show_entries frame=pict_type \
        -of csv=p=0 "$from" 2>&1) || true
    found=$(grep -cE '^[IPB],*$' <<<"$said") || true
    echo "$from: $found pictures"
    not grep -vE '^[IPB]?,*$' <<<"$said"
    # A decoder may keep one for later.
    [ "$found" -ge $((pictures - 2)) ]
}

transport_stream() {
    local found
    found=$(timeout 40 ffprobe -v error -analyzeduration 1M -select_streams v -show_entries stream=codec_name,width,height:packet=flags \
        -of csv=p=0 -read_intervals '%+#5' "$stream")
    echo "packets and stream: ${found//$'\n'/ }"
    [[ $found == K*h264,640,360* ]]
    decodes "$stream" 40
}

motion_jpeg() { decodes "$url/card.mjpeg" 20 -f mpjpeg; }

# still PATH: tells what it is.
still() {
    local file
    file=$(mktemp -p "$work")
    curl -fsS --max-time 15 -o "$file" "$url/$1"
    ffprobe -v error -show_entries stream=codec_name,width,height -of csv=p=0 "$file"
}

stills() {
    local found
    found=$(still card.ts/pic; still card.ts/pic.png; still card.mjpeg/pic)
    echo "${found//$'\n'/ }"
    [ "${found//$'\n'/ }" = 'mjpeg,640,360 png,640,360 mjpeg,320,180' ]
}

# All at the same time.
one_card_for_all() {
    local first second
    decodes "$stream" 45 &
    first=$!
    decodes "$url/card.mjpeg" 45 -f mpjpeg &
    second=$!
    stills
    stills
    wait "$first"
    wait "$second"
    not grep -i busy "$job/log"
}

# The cards are listed with what they offer, also while one is in use.
devices() {
    local found
    found=$(guest "$binary ctl --json list devices")
    echo "${found:0:800}"
    grep -q '"/dev/video0"' <<<"$found"
    grep -q 'video/x-raw, ' <<<"$found"
}

# Whether more than $2 bytes are in file $1.
is_larger() { [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt "$2" ]; }

# Whether programs that follow the events know of card 0.
has_event() {
    curl -fs --max-time 5 "$url/api/v1/events?type=$1" | grep -q "\"type\":\"$1\"" && logged "device .*path=/dev/video0"
}

# Milliseconds since some time.
now() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# The device goes while it is watched, and comes back: the same connections go on.
unplugged() {
    local driver=/sys/bus/platform/drivers/vivid before began still
    curl -sSN --max-time 60 -o "$work/watched.ts" "$stream" &
    local viewers=($!)
    curl -sSN --max-time 60 -o "$work/watched.mjpeg" "$url/card.mjpeg" &
    viewers+=($!)
    within 20 is_larger "$work/watched.ts" 100000
    within 20 is_larger "$work/watched.mjpeg" 50000
    guest "echo vivid.0 >$driver/unbind; ! ls /dev/video*"
    within 5 logged 'ended feed=card .*/dev/video0 not found'
    within 2 has_event device.removed
    sleep 1.5
    before=("$(stat -c %s "$work/watched.ts")" "$(stat -c %s "$work/watched.mjpeg")")
    # A picture of now can only come when the device is back.
    still card.ts/pic >"$work/still" &
    still=$!
    sleep 1.5
    [ ! -s "$work/still" ]
    # Nothing but tables and the like, if that.
    not is_larger "$work/watched.ts" $((before[0] + 5000))
    began=$(now)
    guest "echo vivid.0 >$driver/bind"
    within 5 is_larger "$work/watched.ts" $((before[0] + 20000))
    echo "transport stream goes on after $(($(now) - began)) ms"
    within 5 is_larger "$work/watched.mjpeg" $((before[1] + 10000))
    echo "Motion JPEG goes on after $(($(now) - began)) ms"
    within 2 has_event device.added
    [ $(($(now) - began)) -lt 5000 ]
    wait "$still"
    cat "$work/still"
    [ "$(<"$work/still")" = mjpeg,640,360 ]
    sleep 2
    kill "${viewers[@]}"
    wait "${viewers[@]}" || true
    grep -E 'feed=card' "$job/log" | tail -n 6
}

# Reading fails while the device stays: it is opened again although the encoders still hold pictures of it.
fails() {
    local fault viewer before
    for fault in disconnect inject_fatal_streaming_error; do
        rm -f "$work/failing.ts"
        curl -sSN --max-time 60 -o "$work/failing.ts" "$stream" &
        viewer=$!
        within 20 is_larger "$work/failing.ts" 50000
        guest "LD_LIBRARY_PATH=$libraries $(command -v v4l2-ctl) -d /dev/video0 -c $fault=1"
        before=$(stat -c %s "$work/failing.ts")
        within 5 is_larger "$work/failing.ts" $((before + 60000))
        kill "$viewer"
        wait "$viewer" || true
        decodes "$work/failing.ts" 40
    done
    [ "$(grep -c 'ended feed=card' "$job/log")" -ge 3 ]
    not grep -i busy "$job/log"
}

# What was received over the loss is one stream that can be decoded.
unbroken() { decodes "$work/watched.ts" 50; }

# Sets controls of the card with HDMI.
hdmi() { guest "LD_LIBRARY_PATH=$libraries $(command -v v4l2-ctl) -d /dev/video1 -c $1"; }

# Whether pictures of this height came to file $1 since it had $3 bytes.
has_height() {
    local heights
    tail -c "+$(($3 + 1))" "$1" >"$work/part"
    # As a whole: what is read to the first match only may end ffprobe by its pipe, and that counts.
    heights=$(ffprobe -v quiet -analyzeduration 1M -select_streams v -show_entries frame=height -of csv=p=0 "$work/part") || return 1
    grep -qE "^$2,*$" <<<"$heights"
}

# Whether feed $1 is in state $2.
is_in() {
    local state
    # The labels of a feed are an object in its own.
    state=$(curl -fs --max-time 5 "$url/stat.json" | tr -d ' \n' | sed 's/"labels":{[^{}]*},//g') || return 1
    grep -qE "\"name\":\"$1\",[^{}]*\"state\":\"$2\"" <<<"$state"
}

# What is captured changes its size, goes away and comes back: the same connections go on.
captured() {
    local viewers size lost files=("$work/hdmi.ts" "$work/hdmi.mjpeg")
    hdmi dv_timings_signal_mode=4,dv_timings=0
    curl -sSN --max-time 200 -o "${files[0]}" "$url/hdmi.ts?header=1&keyframe=1" &
    viewers=($!)
    curl -sSN --max-time 200 -o "${files[1]}" "$url/hdmi.mjpeg" &
    viewers+=($!)
    within 30 is_larger "${files[0]}" 20000
    within 30 is_larger "${files[1]}" 20000
    size=$(stat -c %s "${files[0]}")
    hdmi dv_timings_signal_mode=4,dv_timings=7
    within 30 has_height "${files[0]}" 720 "$size"
    echo '480 lines became 720'
    # v4l2src does not notice a signal that goes away while it takes over another size.
    sleep 3
    hdmi dv_timings_signal_mode=1
    # The log has one warning of a feed in ten seconds; its state is always told.
    within 20 is_in hdmi no-signal
    sleep 2
    lost=$(stat -c %s "${files[0]}")
    # Longer than the silence of a feed that stalls.
    sleep 12
    not is_larger "${files[0]}" $((lost + 5000))
    hdmi dv_timings_signal_mode=4,dv_timings=0
    within 20 is_in hdmi running
    within 30 is_larger "${files[0]}" $((lost + 20000))
    within 20 has_height "${files[0]}" 480 "$lost"
    kill "${viewers[@]}"
    wait "${viewers[@]}" || true
    grep -E 'hdmi' "$job/log" | tail -n 8
    not logged 'ended feed=hdmi'
    not has_height "${files[0]}" 2160 0
    # Two seconds of it, and one: a busy machine captures few pictures in that time.
    decodes "${files[0]}" 12
}

# Nobody watches: the device is let go of.
let_go() {
    within 10 logged 'stopped: no viewers feed=card'
    # GStreamer 1.22 keeps it open for as long as the worker lives.
    within 5 logged 'worker stopped: not in use .*card'
    within 5 guest '! ls -l /proc/[0-9]*/fd 2>/dev/null | grep /dev/video'
}

ends() {
    touch "$job/stop"
    within 15 test -s "$job/ended"
    echo "exit code $(<"$job/ended")"
    [ "$(<"$job/ended")" -eq 0 ]
}

step 'v4l2: virtual machine' is_up
if [ "$failed" -eq 0 ]; then
    step 'v4l2: transport stream' transport_stream
    step 'v4l2: motion jpeg' motion_jpeg
    step 'v4l2: stills' stills
    step 'v4l2: one card for all' one_card_for_all
    step 'v4l2: devices and what they offer' devices
    step 'v4l2: unplugged and back' unplugged
    step 'v4l2: what was watched' unbroken
    step 'v4l2: reading fails' fails
    step 'v4l2: another size, no signal' captured
    step 'v4l2: card is let go of' let_go
    step 'v4l2: exit code is 0' ends
fi
