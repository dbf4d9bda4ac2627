# shellcheck shell=bash
# What a capture card must be good for; ci/v4l2 sources this with the virtual machine running.
# shellcheck disable=SC2154  # url, job and work are of ci/v4l2

stream="$url/card.ts?header=1&keyframe=1"

# Whether the server answers.
answers() { curl -fs --max-time 5 -o /dev/null "$url/"; }

is_up() {
    within 120 test -e "$job/ready"
    cat "$job/ready"
    within 30 answers
}

logged() { grep -qE "$1" "$job/log"; }

# Decodes $2 pictures of $1 as they come, with the options in $3…; a word from the decoder is too much.
decodes() {
    local from=$1 pictures=$2 said
    shift 2
    said=$(timeout 40 ffmpeg -nostdin -hide_banner -v error "$@" -i "$from" -frames:v "$pictures" -f null - 2>&1) || {
        echo "$from: $said"
        return 1
    }
    [ -z "$said" ] || { echo "$from: $said" && return 1; }
}

transport_stream() {
    local found
    found=$(timeout 40 ffprobe -v error -select_streams v -show_entries stream=codec_name,width,height:packet=flags \
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
    ! grep -iE 'busy|EBUSY' "$job/log"
}

# Whether more than $2 bytes are in file $1.
is_larger() { [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt "$2" ]; }

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
    within 5 logged 'WARN.*feed card.*ended|ended.*feed card'
    sleep 1.5
    before=("$(stat -c %s "$work/watched.ts")" "$(stat -c %s "$work/watched.mjpeg")")
    # It comes when the device is back.
    still card.ts/pic >"$work/still" &
    still=$!
    sleep 1.5
    # Nothing but tables and the like, if that.
    ! is_larger "$work/watched.ts" $((before[0] + 5000))
    began=$(now)
    guest "echo vivid.0 >$driver/bind"
    within 5 is_larger "$work/watched.ts" $((before[0] + 20000))
    echo "transport stream goes on after $(($(now) - began)) ms"
    within 5 is_larger "$work/watched.mjpeg" $((before[1] + 10000))
    echo "Motion JPEG goes on after $(($(now) - began)) ms"
    [ $(($(now) - began)) -lt 5000 ]
    wait "$still"
    cat "$work/still"
    [ "$(<"$work/still")" = mjpeg,640,360 ]
    sleep 2
    kill "${viewers[@]}"
    wait "${viewers[@]}" || true
    grep -E 'feed card' "$job/log" | tail -n 6
}

# What was received over the loss is one stream that can be decoded.
unbroken() { decodes "$work/watched.ts" 1000000; }

# Nobody watches: the device is let go of.
let_go() {
    within 10 logged 'stopped: nobody wants it.*feed card'
    guest '! ls -l /proc/[0-9]*/fd 2>/dev/null | grep /dev/video'
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
    step 'v4l2: unplugged and back' unplugged
    step 'v4l2: what was watched' unbroken
    step 'v4l2: card is let go of' let_go
    step 'v4l2: exit code is 0' ends
fi
