# shellcheck shell=bash
# Shared by the scripts of this folder; sourced, not run. A script calls `begin`, then `step` and `skip`, then `finish`.
# A script that another one calls adds its steps to the caller's list, so that there is one table at the end.

# shellcheck disable=SC2034  # for those who source this
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Tests that measure times and have a quiet machine, in ci/chaos.
# shellcheck disable=SC2034
alone=(resilience:: live_edits::edits_disturb live_edits::a_long_list srt::five_percent_of_loss timestamps::jumps_of_the_clock timestamps::clocks_that_are_off service::a_supervisor_that_is_stuck editor::u46_a_thousand editor::u46_scripts pages::a45 firefox::a48 embedding::a48_the_player embedding::u3_the_first embedding::d31_a_player python_client::a47_a_slow python_client::d31 slow_network:: tracks::a_source_with_one hls::hls_js_plays_close hls_players::vlc)
# Tests whose browsers, players and encoders take most of the processors: a few run at a time, beside the others, which wait for most
# of their time.
# shellcheck disable=SC2034
heavy=(browsers:: changes:: codecs:: dash:: embedding:: examples:: ffmpeg9:: firefox:: hls_players:: join_matrix:: joins:: keyboard:: manage:: pages:: players:: screens:: webrtc:: webrtc_bad_input:: webrtc_bars:: webrtc_channels:: webrtc_layers:: webrtc_pages:: webrtc_simulcast::)
# What Chromium does in ci/test, and Firefox in ci/long; what players do for so long that little else may run meanwhile; and what ffmpeg
# requests of a stream whose encoder keeps up from its first frame on. The bars of WebRTC want a quiet machine, too.
# shellcheck disable=SC2034
later=(firefox::a42 firefox::a43 firefox::a44 firefox::a45 firefox::a46 firefox::firefox_is_back dash::players ffmpeg9::each_segment webrtc_bars:: webrtc_bad_input::a_peer_that_never)
# Where rustup puts cargo, which a shell of before the installation does not know yet.
export PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH"

# Starts or joins the list of steps: a file with lines of result, milliseconds, name.
begin() {
    began=${EPOCHREALTIME/[.,]/}
    steps_are_mine=
    if [ -z "${VOYANDZ_CI_STEPS:-}" ]; then
        VOYANDZ_CI_STEPS=$(mktemp)
        export VOYANDZ_CI_STEPS
        steps_are_mine=yes
    fi
    failed=0
}

# step NAME COMMAND…: runs the command, times it, notes how it went, and continues in any case. What a failed one said of its
# fault is kept for the end, where it is found without a search.
step() {
    local name=$1 start=${EPOCHREALTIME/[.,]/} code printed
    shift
    printf '\n== %s\n' "$name"
    printed=$(mktemp)
    set +e
    (
        set -e
        "$@"
    ) 2>&1 | tee "$printed"
    code=${PIPESTATUS[0]}
    set -e
    local spent=$(((${EPOCHREALTIME/[.,]/} - start) / 1000)) result=ok
    if [ "$code" -ne 0 ]; then
        result=FAILED
        failed=$((failed + 1))
        printf 'FAILED %s: exit code %d\n' "$name" "$code"
        {
            printf '\n== what failed in: %s\n' "$name"
            # The faults of a suite are anywhere in it; those of a compiler or a script are last. What a failed test has printed, that of
            # its threads too, is behind the first line "failures:".
            grep -E -A 8 "^thread '[^<].* panicked at |^(\S+: )?error(\[|:)" "$printed" | head -n 50 || true
            sed -n '/^failures:$/,$ { /^ *[0-9]*: /d; /^ *at /d; p }' "$printed" | cut -c -400 | head -n 60 || true
            tail -n 15 "$printed"
        } >>"$VOYANDZ_CI_STEPS.failures"
    fi
    rm -f "$printed"
    printf '%s %d %s\n' "$result" "$spent" "$name" >>"$VOYANDZ_CI_STEPS"
}

# beside COMMAND…: runs it, `step` or a script, beside the steps that follow, until `join` prints what it said.
beside() {
    beside_printed=$(mktemp)
    # shellcheck disable=SC2030,SC2031  # counted by `join`
    (
        failed=0
        "$@" || failed=1
        [ "$failed" -eq 0 ]
    ) >"$beside_printed" 2>&1 &
    beside_pid=$!
    trap 'kill "$beside_pid" 2>/dev/null || true' EXIT
}
join() {
    # shellcheck disable=SC2031
    wait "$beside_pid" || failed=$((failed + 1))
    trap - EXIT
    cat "$beside_printed"
    rm "$beside_printed"
}

# skip NAME REASON: notes that a step cannot be done here.
skip() {
    printf 'SKIP %s: %s\n' "$1" "$2"
    printf 'skipped 0 %s\n' "$1" >>"$VOYANDZ_CI_STEPS"
}

# Prints the table, where this script began the list. Exit code 1 when a step of this script failed.
finish() {
    if [ -n "$steps_are_mine" ]; then
        local result spent name passed=0 failures=0 skipped=0
        printf '\n%8s  %-7s  %s\n' seconds result step
        while read -r result spent name; do
            case $result in
            ok) passed=$((passed + 1)) ;;
            skipped) skipped=$((skipped + 1)) ;;
            *) failures=$((failures + 1)) ;;
            esac
            printf '%4d.%03d  %-7s  %s\n' $((spent / 1000)) $((spent % 1000)) "$result" "$name"
        done <"$VOYANDZ_CI_STEPS"
        if [ -f "$VOYANDZ_CI_STEPS.failures" ]; then
            cat "$VOYANDZ_CI_STEPS.failures"
        fi
        rm -f "$VOYANDZ_CI_STEPS" "$VOYANDZ_CI_STEPS.failures"
        spent=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
        printf '%4d.%03d  %-7s  %s\n' $((spent / 1000)) $((spent % 1000)) '' "in all${budget:+, of $budget}"
        printf '%d passed, %d failed, %d skipped\n' "$passed" "$failures" "$skipped"
    fi
    [ "$failed" -eq 0 ]
}
