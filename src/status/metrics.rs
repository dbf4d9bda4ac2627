//! `/metrics`: the state for Prometheus, in its text format 0.0.4.
//!
//! Labels are only names of the configuration, of containers, protocols and status classes, so that their number is
//! bounded: info 30 series a stream, half as many a feed. <https://prometheus.io/docs/instrumenting/exposition_formats/>

use super::{
    link::Linked,
    outputs::{Encoding, Output},
    publish::Published,
    push::Push,
    recording::Recording,
    response,
    snapshot::{Feed, StatusReader, StatusSnapshot, Stream},
};
use crate::{
    access::{Access, AccessStats},
    sys::proc_stats,
    telemetry::{
        CertificateStats, Figures, HlsStats, HookFigures, HookStats, HttpStats, JournalStats, OtlpStats, Spread,
        SrtStats, WebRtcStats,
    },
};
use http::StatusCode;
use std::{
    fmt::{Display, Write},
    time::UNIX_EPOCH,
};

/// The type of a metric.
#[derive(Clone, Copy)]
enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only grows; its name ends in `_total`.
    Counter,
}

/// Why most viewers end.
const LEFT: &str = "client left";

/// The page, as far as `access` may see it.
pub fn page(reader: &StatusReader, access: &Access) -> warp::reply::Response {
    let snapshot = reader.snapshot().seen_by(access);
    // Hooks may be named after what is not seen.
    let snapshot_is_whole = access.sees_all();
    let mut text = Text::default();
    server(&mut text, reader, &snapshot);
    stats(&mut text, reader.info().http_stats());
    certificate(&mut text, reader.info().certificate_stats());
    webrtc(&mut text, reader.info().webrtc_stats());
    srt(&mut text, reader.info().srt_stats());
    hls(&mut text, reader.info().hls_stats());
    journal(&mut text, reader.info().journal_stats());
    otlp(&mut text, reader.info().otlp_stats());
    if snapshot_is_whole {
        hooks(&mut text, reader.info().hook_stats());
    }
    permissions(&mut text, access.gate().stats());
    feeds(&mut text, &snapshot.feeds);
    streams(&mut text, &snapshot.streams);
    outputs(&mut text, &snapshot.streams);
    recordings(&mut text, &snapshot.streams);
    pushes(&mut text, &snapshot.streams);
    response(StatusCode::OK, text.0, "text/plain; version=0.0.4; charset=utf-8")
}

fn server(text: &mut Text, reader: &StatusReader, snapshot: &StatusSnapshot) {
    use Kind::{Counter, Gauge};
    let version = [("version", snapshot.server.version)];
    text.family("voyandz_build_info", "The version, as a label.", Gauge, [(&version[..], Some(1))]);
    let one = |text: &mut Text, name: &str, help: &str, kind, value: Option<f64>| {
        text.family(name, help, kind, [(&[][..], value)]);
    };
    let refused = snapshot.server.configuration.error.is_some();
    let help = "Whether the newest configuration is active.";
    one(text, "voyandz_configuration_is_newest", help, Gauge, Some(f64::from(u8::from(!refused))));
    let help = "The load level: 0 calm, 1 strained (no new stills), 2 overloaded (no new viewers).";
    one(text, "voyandz_load", help, Gauge, Some(f64::from(reader.info().load().level() as u8)));
    let help = "Open connections of clients.";
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let connections = reader.info().connections() as f64;
    one(text, "voyandz_http_connections", help, Gauge, Some(connections));
    let started = reader.info().started().duration_since(UNIX_EPOCH).unwrap_or_default();
    let help = "When the server started, in seconds since 1970.";
    one(text, "process_start_time_seconds", help, Gauge, Some(started.as_secs_f64()));
    let used = proc_stats::of(std::process::id());
    let cpu = used.map(|used| used.cpu.as_secs_f64());
    one(text, "process_cpu_seconds_total", "CPU time of the server.", Counter, cpu);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let resident = used.map(|used| used.resident as f64);
    one(text, "process_resident_memory_bytes", "Memory of the server.", Gauge, resident);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let open = proc_stats::descriptors().map(|open| open as f64);
    one(text, "process_open_fds", "Open descriptors of the server.", Gauge, open);
}

fn stats(text: &mut Text, stats: &HttpStats) {
    let responses: Vec<_> = stats.responses().collect();
    let labels: Vec<_> =
        responses.iter().map(|(protocol, class, _)| [("protocol", *protocol), ("class", *class)]).collect();
    let series = labels.iter().map(|labels| &labels[..]).zip(responses.iter().map(|(.., count)| Some(*count)));
    let help = "Responses by protocol and class of the status code.";
    text.family("voyandz_http_answers_total", help, Kind::Counter, series);
    let refusals: Vec<_> = stats.refusals().collect();
    let labels: Vec<_> = refusals.iter().map(|(reason, _)| [("reason", *reason)]).collect();
    let series = labels.iter().map(|labels| &labels[..]).zip(refusals.iter().map(|(_, count)| Some(*count)));
    let help = "Connections, stills and viewers that were refused because of limits or overload.";
    text.family("voyandz_http_refused_total", help, Kind::Counter, series);
    let help = "Handshakes of TLS that failed.";
    let failed = stats.failed_handshakes();
    text.family("voyandz_tls_failed_handshakes_total", help, Kind::Counter, [(&[][..], Some(failed))]);
    let help = "Time from the head of a request to the head of its response.";
    text.histograms("voyandz_http_request_duration_seconds", help, [(&[][..], stats.responding.read())]);
    let help = "Time from the head of a request for a stream to the first bytes of it that the connection took.";
    let first_bytes = stats.first_bytes();
    let labels: Vec<_> = first_bytes.iter().map(|(container, _)| [("container", *container)]).collect();
    let spreads = first_bytes.into_iter().map(|(_, spread)| spread);
    text.histograms("voyandz_first_byte_seconds", help, labels.iter().map(|labels| &labels[..]).zip(spreads));
}

fn certificate(text: &mut Text, stats: &CertificateStats) {
    // Without TLS a scrape has nothing of it.
    let Some(expires) = stats.expires() else { return };
    let help = "When the certificate of the server expires, in seconds since 1970.";
    text.family("voyandz_certificate_expires_seconds", help, Kind::Gauge, [(&[][..], Some(expires))]);
    let orders = stats.orders();
    let labels = orders.map(|(result, _)| [("result", result)]);
    let series = labels.iter().map(|labels| &labels[..]).zip(orders.iter().map(|(_, count)| Some(*count)));
    let help = "Orders of certificates by ACME.";
    text.family("voyandz_certificate_orders_total", help, Kind::Counter, series);
}

fn hls(text: &mut Text, stats: &HlsStats) {
    // Where it is not used, a scrape has nothing of it.
    if stats.requests().iter().all(|(_, count)| *count == 0) {
        return;
    }
    let mut one = |name: &str, help: &str, kind, value: u64| {
        text.family(name, help, kind, [(&[][..], Some(value))]);
    };
    let ((waiting, waited), (segments, parts)) = (stats.waiting(), stats.made_so_far());
    one("voyandz_hls_viewers", "Viewers of HLS and DASH now.", Kind::Gauge, stats.viewers());
    let help = "Requests of HLS that wait for a playlist, segment or part now.";
    one("voyandz_hls_waiting_requests", help, Kind::Gauge, waiting);
    let help = "Requests of HLS that have waited.";
    one("voyandz_hls_waiting_requests_total", help, Kind::Counter, waited);
    one("voyandz_hls_segments_total", "Segments that were completed, of all renditions.", Kind::Counter, segments);
    one("voyandz_hls_parts_total", "Parts that were completed, of all renditions.", Kind::Counter, parts);
    one("voyandz_hls_bytes_total", "Bytes of responses of HLS and DASH.", Kind::Counter, stats.bytes());
    let mut family = |name: &str, help: &str, label: &str, counts: Vec<(&'static str, u64)>| {
        let labels: Vec<_> = counts.iter().map(|(value, _)| [(label, *value)]).collect();
        let series = labels.iter().map(|labels| &labels[..]).zip(counts.iter().map(|(_, count)| Some(*count)));
        text.family(name, help, Kind::Counter, series);
    };
    let help = "Requests of HLS and DASH, by what was requested.";
    family("voyandz_hls_requests_total", help, "kind", stats.requests());
    let help = "Requests of HLS and DASH that were refused, by the reason.";
    family("voyandz_hls_refused_total", help, "reason", stats.refusals());
}

fn webrtc(text: &mut Text, stats: &WebRtcStats) {
    let help = "Sessions of WebRTC now.";
    text.family("voyandz_webrtc_sessions", help, Kind::Gauge, [(&[][..], Some(stats.open()))]);
    let help = "Sessions of WebRTC so far.";
    text.family("voyandz_webrtc_sessions_total", help, Kind::Counter, [(&[][..], Some(stats.all()))]);
    let drops: Vec<_> = stats.drops().collect();
    let labels: Vec<_> = drops.iter().map(|(reason, _)| [("reason", *reason)]).collect();
    let series = labels.iter().map(|labels| &labels[..]).zip(drops.iter().map(|(_, count)| Some(*count)));
    for (name, sum) in stats.sums() {
        let (name, help) = (format!("voyandz_webrtc_{name}_total"), "Of all viewers of WebRTC.");
        // Of what is used.
        text.family(&name, help, Kind::Counter, [(&[][..], Some(sum).filter(|_| stats.all() > 0))]);
    }
    let help = "Datagrams of WebRTC that were dropped.";
    text.family("voyandz_webrtc_dropped_datagrams_total", help, Kind::Counter, series);
}

fn journal(text: &mut Text, stats: &JournalStats) {
    use Kind::{Counter, Gauge};
    let [written, lost, unsaved, bytes] = stats.read();
    let mut one = |name: &str, help: &str, kind, value| text.family(name, help, kind, [(&[][..], Some(value))]);
    one("voyandz_journal_events_total", "Facts in the journal so far.", Counter, written);
    one("voyandz_journal_lost_total", "Facts that the journal did not take in time.", Counter, lost);
    one("voyandz_journal_unsaved_total", "Facts that the disk did not take.", Counter, unsaved);
    one("voyandz_journal_bytes", "Bytes of the journal on the disk.", Gauge, bytes);
}

fn otlp(text: &mut Text, stats: &OtlpStats) {
    let counts = stats.read().map(|(result, count)| ([("result", result)], Some(count)));
    let series = counts.iter().map(|(labels, count)| (&labels[..], *count));
    let help = "Spans of recorded traces: sent, dropped because the queue was full, and failed to be sent.";
    text.family("voyandz_otlp_spans_total", help, Kind::Counter, series);
}

fn hooks(text: &mut Text, stats: &HookStats) {
    let hooks = stats.read();
    let results = |figures: &HookFigures| {
        [("delivered", figures.delivered), ("failed", figures.failed), ("given-up", figures.given_up)]
    };
    let counts = hooks.iter().flat_map(|(name, figures)| {
        results(figures).map(|(result, count)| ([("hook", name.as_str()), ("result", result)], Some(count)))
    });
    let counts: Vec<_> = counts.collect();
    let help = "Deliveries of hooks by result: delivered, failed tries, and events that were given up.";
    let series = counts.iter().map(|(labels, count)| (&labels[..], *count));
    text.family("voyandz_hook_deliveries_total", help, Kind::Counter, series);
    let running = hooks.iter().map(|(name, figures)| ([("hook", name.as_str())], Some(figures.running as u64)));
    let running: Vec<_> = running.collect();
    let series = running.iter().map(|(labels, count)| (&labels[..], *count));
    text.family("voyandz_hook_programs", "Programs of hooks that run beside something.", Kind::Gauge, series);
}

fn srt(text: &mut Text, stats: &SrtStats) {
    let help = "Connections of SRT that were accepted.";
    text.family("voyandz_srt_accepted_total", help, Kind::Counter, [(&[][..], Some(stats.accepted_so_far()))]);
    let mut family = |name: &str, help: &str, label: &'static str, counts: Vec<(&'static str, u64)>| {
        let labels: Vec<_> = counts.iter().map(|(value, _)| [(label, *value)]).collect();
        let series = labels.iter().map(|labels| &labels[..]).zip(counts.iter().map(|(_, count)| Some(*count)));
        text.family(name, help, Kind::Counter, series);
    };
    let help = "Connections of SRT that were refused, by the reason.";
    family("voyandz_srt_refused_total", help, "reason", stats.refusals());
    let help = "Packets of SRT: received, lost for good, sent, sent again, and dropped because they were late.";
    if let Some(counts) = Some(stats.packets().collect()).filter(is_used) {
        family("voyandz_srt_packets_total", help, "what", counts);
    }
}

/// Whether anything was counted: most servers do not use all protocols and services.
fn is_used(counts: &Vec<(&'static str, u64)>) -> bool {
    counts.iter().any(|(_, count)| *count > 0)
}

fn permissions(text: &mut Text, stats: &AccessStats) {
    let mut family = |name: &str, help: &str, label: &'static str, counts: Vec<(&'static str, u64)>| {
        let labels: Vec<_> = counts.iter().map(|(value, _)| [(label, *value)]).collect();
        let series = labels.iter().map(|labels| &labels[..]).zip(counts.iter().map(|(_, count)| Some(*count)));
        text.family(name, help, Kind::Counter, series);
    };
    let help = "Credentials that were not accepted.";
    family("voyandz_auth_failures_total", help, "mechanism", stats.failures().collect());
    if let Some(counts) = Some(stats.hook_requests().collect()).filter(is_used) {
        family("voyandz_auth_hook_requests_total", "Requests to the hook that decides.", "result", counts);
    }
    if let Some(counts) = Some(stats.key_fetches().collect()).filter(is_used) {
        family("voyandz_auth_key_fetches_total", "Fetches of the keys of JSON Web Tokens.", "result", counts);
    }
    let help = "Requests that were refused because whoever made them may not do this.";
    family("voyandz_access_refused_total", help, "action", stats.refusals().collect());
    let help = "Running responses that ended because their permission did.";
    family("voyandz_access_ended_total", help, "reason", stats.ends().collect());
}

fn outputs<'a>(text: &mut Text, streams: &'a [Stream]) {
    use Kind::{Counter, Gauge};
    // Those that have been used: most streams have a dozen that are not used. Of bytes that pass through the stream has the figures.
    let is_of_use = |output: &&Output| output.users.is_some_and(|users| users > 0 || output.bytes > 0);
    let of_stream = |stream: &'a Stream| stream.outputs.iter().filter(is_of_use).map(move |output| (stream, output));
    let outputs: Vec<_> = streams.iter().flat_map(of_stream).collect();
    let labels: Vec<_> = outputs
        .iter()
        .map(|(stream, output)| [("stream", stream.name.as_str()), ("container", output.container)])
        .collect();
    let mut each = |name: &str, help: &str, kind, value: &dyn Fn(&Output) -> Option<f64>| {
        let values = outputs.iter().map(|(_, output)| value(output));
        text.family(name, help, kind, labels.iter().map(|labels| &labels[..]).zip(values));
    };
    let help = "Whether the stream is muxed into this container now.";
    each("voyandz_output_active", help, Gauge, &|output| Some(f64::from(u8::from(output.active))));
    let help = "Who uses the stream in this container now.";
    each("voyandz_output_users", help, Gauge, &|output| number(output.users? as u64));
    let help = "Bytes of the stream in this container.";
    each("voyandz_output_bytes_total", help, Counter, &|output| number(output.bytes));

    let runs = |encoding: &&Encoding| encoding.state != "idle";
    let of_stream = |stream: &'a Stream| stream.encodings.iter().filter(runs).map(move |encoding| (stream, encoding));
    let encodings: Vec<_> = streams.iter().flat_map(of_stream).collect();
    let labels: Vec<_> = encodings
        .iter()
        .map(|(stream, encoding)| [("stream", stream.name.as_str()), ("encoding", encoding.name)])
        .collect();
    let mut each = |name: &str, help: &str, value: &dyn Fn(&Encoding) -> Option<f64>| {
        let values = encodings.iter().map(|(_, encoding)| value(encoding));
        text.family(name, help, Gauge, labels.iter().map(|labels| &labels[..]).zip(values));
    };
    let help = "Whether the encoding delivers media.";
    each("voyandz_encoding_up", help, &|encoding| {
        Some(f64::from(u8::from(matches!(encoding.state, "running" | "lingering"))))
    });
    let help = "How many outputs are made of the encoding now, of this stream and of others.";
    each("voyandz_encoding_outputs", help, &|encoding| number(encoding.outputs as u64));
}

fn pushes(text: &mut Text, streams: &[Stream]) {
    use Kind::{Counter, Gauge};
    let pushes: Vec<(&Stream, String, &Push)> = streams
        .iter()
        .flat_map(|stream| (1u32..).zip(&stream.pushes).map(move |(number, push)| (stream, number.to_string(), push)))
        .collect();
    let states: Vec<_> = pushes
        .iter()
        .map(|(stream, number, push)| {
            [("stream", stream.name.as_str()), ("number", number), ("to", &push.to), ("state", push.state)]
        })
        .collect();
    let states = states.iter().map(|labels| (&labels[..], Some(1)));
    text.family("voyandz_push_state", "The state that the push is in, as a label.", Gauge, states);
    let labels: Vec<_> = pushes
        .iter()
        .map(|(stream, number, push)| [("stream", stream.name.as_str()), ("number", number.as_str()), ("to", &push.to)])
        .collect();
    let mut each = |name: &str, help: &str, kind, value: &dyn Fn(&Push) -> Option<f64>| {
        let values = pushes.iter().map(|(_, _, push)| value(push));
        text.family(name, help, kind, labels.iter().map(|labels| &labels[..]).zip(values));
    };
    let help = "Whether the target takes the stream.";
    each("voyandz_push_established", help, Gauge, &|one| Some(f64::from(u8::from(one.state == "established"))));
    let help = "Connections to the target that were established.";
    each("voyandz_push_connections_total", help, Counter, &|one| number(one.connections));
    let help = "Connections that could not be established, or that the target ended.";
    each("voyandz_push_failures_total", help, Counter, &|one| number(one.failures));
    each("voyandz_push_bytes_total", "Bytes that the target took.", Counter, &|one| number(one.bytes));
    let help = "Times that the target was too slow and lost data.";
    each("voyandz_push_gaps_total", help, Counter, &|one| number(one.gaps));
    each("voyandz_push_lost_packets_total", "Packets that it lost.", Counter, &|one| number(one.lost_packets));
}

fn recordings(text: &mut Text, streams: &[Stream]) {
    use Kind::{Counter, Gauge};
    let recorded: Vec<_> = streams.iter().filter_map(|stream| Some((stream, stream.recording.as_ref()?))).collect();
    let states: Vec<_> = recorded
        .iter()
        .map(|(stream, recording)| [("stream", stream.name.as_str()), ("state", recording.state)])
        .collect();
    let states = states.iter().map(|labels| (&labels[..], Some(1)));
    text.family("voyandz_recording_state", "The state that the recorder is in, as a label.", Gauge, states);
    let labels: Vec<_> = recorded.iter().map(|(stream, _)| [("stream", stream.name.as_str())]).collect();
    let mut each = |name: &str, help: &str, kind, value: &dyn Fn(&Recording) -> Option<f64>| {
        let values = recorded.iter().map(|(_, recording)| value(recording));
        text.family(name, help, kind, labels.iter().map(|labels| &labels[..]).zip(values));
    };
    let help = "Whether the stream is being recorded.";
    each("voyandz_recording_active", help, Gauge, &|one| Some(f64::from(u8::from(one.state == "recording"))));
    each("voyandz_recording_files_total", "Files that were begun.", Counter, &|one| number(one.files));
    each("voyandz_recording_bytes_total", "Bytes that are on the disk.", Counter, &|one| number(one.bytes));
    let help = "Times that something was lost, or a file could not be written.";
    each("voyandz_recording_failures_total", help, Counter, &|one| number(one.failures));
    let help = "Samples that are in no file because of that.";
    each("voyandz_recording_lost_samples_total", help, Counter, &|one| number(one.lost_samples));
    each("voyandz_recording_queued_bytes", "Bytes that wait for the disk.", Gauge, &|one| number(one.queued_bytes));
    let help = "The longest recent write, with its flush to the disk.";
    each("voyandz_recording_slowest_write_seconds", help, Gauge, &|one| Some(one.slowest_write_seconds));
    let help = "Files that were deleted because of their age, the size of all, or the room on the disk.";
    each("voyandz_recording_deleted_files_total", help, Counter, &|one| number(one.deleted_files));
    each("voyandz_recording_kept_files", "Files that there are.", Gauge, &|one| number(one.kept_files));
    each("voyandz_recording_kept_bytes", "Bytes of those that have ended.", Gauge, &|one| number(one.kept_bytes));
    each("voyandz_recording_free_bytes", "Room on the disk.", Gauge, &|one| one.free_bytes.and_then(number));
    let help = "What is recorded in a day, by the rate of the last day.";
    each("voyandz_recording_bytes_per_day", help, Gauge, &|one| one.bytes_per_day.and_then(number));
    let help = "How far back recordings will reach, by what is kept.";
    each("voyandz_recording_holds_seconds", help, Gauge, &|one| one.holds_seconds.and_then(number));
    let help = "When the disk will be full.";
    each("voyandz_recording_full_in_seconds", help, Gauge, &|one| one.full_in_seconds.and_then(number));
}

fn feeds(text: &mut Text, feeds: &[Feed]) {
    use Kind::{Counter, Gauge};
    let states: Vec<_> = feeds.iter().map(|feed| [("feed", feed.name.as_str()), ("state", feed.life.state)]).collect();
    let states = states.iter().map(|labels| (&labels[..], Some(1)));
    text.family("voyandz_feed_state", "The state that the feed is in, as a label.", Gauge, states);
    let mut each = |name: &str, help: &str, kind, value: &dyn Fn(&Feed) -> Option<f64>| {
        let labels: Vec<_> = feeds.iter().map(|feed| [("feed", feed.name.as_str())]).collect();
        text.family(name, help, kind, labels.iter().map(|labels| &labels[..]).zip(feeds.iter().map(value)));
    };
    let is_up = |feed: &Feed| Some(f64::from(u8::from(matches!(feed.life.state, "running" | "lingering" | "paused"))));
    each("voyandz_feed_up", "Whether the feed delivers media.", Gauge, &is_up);
    each("voyandz_feed_starts_total", "Starts of the feed.", Counter, &|feed| number(feed.life.starts));
    let help = "Starts of the feed after a failure.";
    each("voyandz_feed_restarts_total", help, Counter, &|feed| number(feed.life.restarts));
    let help = "Bytes read from a command or named pipe.";
    each("voyandz_feed_bytes_total", help, Counter, &|feed| feed.bytes_in.and_then(number));
    let help = "Time since the last bytes of a command or named pipe.";
    each("voyandz_feed_last_bytes_age_seconds", help, Gauge, &|feed| feed.idle_seconds);
    published(text, feeds);
    linked(text, feeds);
    let mut each = |name: &str, help: &str, kind, value: &dyn Fn(&Feed) -> Option<f64>| {
        let labels: Vec<_> = feeds.iter().map(|feed| [("feed", feed.name.as_str())]).collect();
        text.family(name, help, kind, labels.iter().map(|labels| &labels[..]).zip(feeds.iter().map(value)));
    };
    let used = |feed: &Feed| proc_stats::of(feed.life.worker_pid?);
    let help = "Memory of the process that runs the feed; feeds of one group share it.";
    each("voyandz_worker_resident_memory_bytes", help, Gauge, &|feed| number(used(feed)?.resident));
    let help = "CPU time of that process.";
    each("voyandz_worker_cpu_seconds_total", help, Counter, &|feed| Some(used(feed)?.cpu.as_secs_f64()));
}

/// The feeds that come over links.
fn linked(text: &mut Text, feeds: &[Feed]) {
    let links = || feeds.iter().filter_map(|feed| Some((feed.name.as_str(), feed.link.as_ref()?)));
    let packets = links().flat_map(|(name, link)| {
        let Linked { received, lost, recovered, ignored, .. } = *link;
        let counts = [("received", received), ("lost", lost), ("recovered", recovered), ("ignored", ignored)];
        counts.map(|(what, count)| ([("feed", name), ("what", what)], count))
    });
    let packets: Vec<_> = packets.collect();
    let series = packets.iter().map(|(labels, count)| (&labels[..], Some(*count)));
    text.family("voyandz_link_packets_total", "Packets of the feed's link.", Kind::Counter, series);
    let bytes: Vec<_> = links().map(|(name, link)| ([("feed", name)], link.bytes)).collect();
    let series = bytes.iter().map(|(labels, count)| (&labels[..], Some(*count)));
    text.family("voyandz_link_bytes_total", "Bytes of samples that came over the feed's link.", Kind::Counter, series);
}

/// The feeds that are published to.
fn published(text: &mut Text, feeds: &[Feed]) {
    use Kind::{Counter, Gauge};
    let feeds: Vec<_> = feeds.iter().filter_map(|feed| Some((feed.name.as_str(), feed.publish.as_ref()?))).collect();
    let labels: Vec<_> = feeds.iter().map(|(name, _)| [("feed", *name)]).collect();
    let mut each = |name: &str, help: &str, kind, value: &dyn Fn(&Published) -> Option<f64>| {
        let values = feeds.iter().map(|(_, published)| value(published));
        text.family(name, help, kind, labels.iter().map(|labels| &labels[..]).zip(values));
    };
    let help = "Whether somebody publishes to the feed.";
    each("voyandz_publisher_connected", help, Gauge, &|published| {
        Some(f64::from(u8::from(published.publisher.is_some())))
    });
    each("voyandz_publishers_total", "Publishers of the feed.", Counter, &|published| {
        number(published.publishers_ever)
    });
    let help = "Publishers that were refused because the feed had one, or for their protocol.";
    each("voyandz_publishers_refused_total", help, Counter, &|published| number(published.refused));
    let help = "Bytes of samples that were published.";
    each("voyandz_published_bytes_total", help, Counter, &|published| number(published.bytes));
    let help = "Samples whose time stamps could not be right.";
    each("voyandz_published_repaired_stamps_total", help, Counter, &|published| number(published.repaired));
    let ends = feeds.iter().flat_map(|(name, published)| {
        published.ended.iter().map(move |(reason, count)| ([("feed", *name), ("reason", *reason)], *count))
    });
    let ends: Vec<_> = ends.collect();
    let help = "Publishers that ended, by the reason.";
    let series = ends.iter().map(|(labels, count)| (&labels[..], number(*count)));
    text.family("voyandz_publishers_ended_total", help, Counter, series);
}

fn streams(text: &mut Text, streams: &[Stream]) {
    use Kind::{Counter, Gauge};
    let states = streams.iter().map(|stream| [("stream", stream.name.as_str()), ("state", stream.life.state)]);
    let states: Vec<_> = states.collect();
    let states = states.iter().map(|labels| (&labels[..], Some(1)));
    text.family("voyandz_stream_state", "The state that the stream is in, as a label.", Gauge, states);
    let labels: Vec<_> = streams.iter().map(|stream| [("stream", stream.name.as_str())]).collect();
    let mut each = |name: &str, help: &str, kind, value: &dyn Fn(&Stream) -> Option<f64>| {
        text.family(name, help, kind, labels.iter().map(|labels| &labels[..]).zip(streams.iter().map(value)));
    };
    let help = "Starts of the stream after a failure.";
    each("voyandz_stream_restarts_total", help, Counter, &|stream| number(stream.life.restarts));
    let help = "Packets of the stream.";
    each("voyandz_stream_packets_total", help, Counter, &|stream| stream.written.packets.and_then(number));
    let help = "Bytes of the stream.";
    each("voyandz_stream_bytes_total", help, Counter, &|stream| stream.written.bytes.and_then(number));
    let help = "Join points among the packets.";
    each("voyandz_stream_join_points_total", help, Counter, &|stream| stream.written.join_points.and_then(number));
    let help = "Time since the stream's last packet.";
    each("voyandz_stream_last_packet_age_seconds", help, Gauge, &|stream| stream.written.idle_seconds);
    let help = "Viewers of the stream.";
    each("voyandz_stream_readers", help, Gauge, &|stream| number(stream.viewers.readers as u64));
    let help = "Viewers of the stream so far.";
    each("voyandz_stream_readers_total", help, Counter, &|stream| number(stream.viewers.readers_ever));
    let help = "Bytes sent to viewers.";
    each("voyandz_stream_sent_bytes_total", help, Counter, &|stream| number(stream.viewers.bytes_out));
    let help = "Times that a viewer lagged and lost data.";
    each("voyandz_stream_gaps_total", help, Counter, &|stream| number(stream.viewers.gaps));
    let help = "Packets that lagging viewers lost.";
    each("voyandz_stream_lost_packets_total", help, Counter, &|stream| number(stream.viewers.lost_packets));
    let help = "Times that a viewer was reduced to keyframes because it lagged repeatedly.";
    each("voyandz_stream_reductions_total", help, Counter, &|stream| number(stream.viewers.reductions));
    let help = "Viewers that get keyframes only.";
    each("voyandz_stream_reduced_readers", help, Gauge, &|stream| number(stream.viewers.reduced_readers as u64));
    let help = "Viewers that were dropped because they made no progress.";
    each("voyandz_stream_dropped_readers_total", help, Counter, &|stream| number(stream.viewers.dropped_readers));
    let ended = streams.iter().flat_map(|stream| {
        let name = stream.name.as_str();
        let ended = &stream.viewers.ended;
        // There from the start, so that the first one is seen to be one more.
        let none = (!ended.iter().any(|(reason, _)| *reason == LEFT)).then_some((LEFT, 0));
        ended.iter().copied().chain(none).map(move |(reason, count)| ([("stream", name), ("reason", reason)], count))
    });
    let ended: Vec<_> = ended.collect();
    let help = "Viewers that left, by the reason that the log has.";
    let series = ended.iter().map(|(labels, count)| (&labels[..], Some(*count)));
    text.family("voyandz_stream_readers_ended_total", help, Counter, series);
    let labelled = || labels.iter().map(|labels| &labels[..]).zip(streams);
    let help = "Time from the arrival of media at the server to its write to a waiting viewer.";
    let spreads = labelled().filter_map(|(labels, stream)| Some((labels, stream.viewers.latency.figures.spread()?)));
    text.histograms("voyandz_stream_latency_seconds", help, spreads);
    let help = "Time from the capture of media to its packet.";
    let figures = labelled().map(|(labels, stream)| (labels, stream.written.capture_latency.figures));
    text.summaries("voyandz_stream_capture_latency_seconds", help, figures);
}

/// A Prometheus number: a count beyond 2^53 is not exact.
#[allow(
    clippy::cast_precision_loss,
    clippy::unnecessary_wraps,
    reason = "see above; fits where a value may be missing"
)]
fn number(count: u64) -> Option<f64> {
    Some(count as f64)
}

/// The text of the response.
#[derive(Default)]
struct Text(String);

impl Text {
    /// A metric with all its series; a series without a value is omitted, and the metric when none is left.
    fn family<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: Kind,
        series: impl IntoIterator<Item = (&'a [(&'a str, &'a str)], Option<impl Display>)>,
    ) {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let mut head = Some(format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (labels, value) in series {
            let Some(value) = value else { continue };
            self.0.push_str(&head.take().unwrap_or_default());
            self.sample(name, labels, None, value);
        }
    }

    /// Histograms with their labels; without any, the metric is omitted.
    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        histograms: impl IntoIterator<Item = (&'a [(&'a str, &'a str)], Spread)>,
    ) {
        let mut head = Some(format!("# HELP {name} {help}\n# TYPE {name} histogram\n"));
        for (labels, Spread { up_to, count, sum }) in histograms {
            self.0.push_str(&head.take().unwrap_or_default());
            for (bound, count) in up_to {
                self.sample(&format!("{name}_bucket"), labels, Some(("le", &bound.to_string())), count);
            }
            self.sample(&format!("{name}_bucket"), labels, Some(("le", "+Inf")), count);
            self.sample(&format!("{name}_sum"), labels, None, sum);
            self.sample(&format!("{name}_count"), labels, None, count);
        }
    }

    /// Quantiles of the last minute, and total sums; those without a value are omitted.
    fn summaries<'a>(
        &mut self,
        name: &str,
        help: &str,
        summaries: impl IntoIterator<Item = (&'a [(&'a str, &'a str)], Figures)>,
    ) {
        let mut head = Some(format!("# HELP {name} {help}\n# TYPE {name} summary\n"));
        for (labels, figures) in summaries {
            let Some(Spread { count, sum, .. }) = figures.spread() else { continue };
            self.0.push_str(&head.take().unwrap_or_default());
            for (quantile, value) in [("0.5", figures.median), ("0.99", figures.p99)] {
                if let Some(value) = value {
                    self.sample(name, labels, Some(("quantile", quantile)), value.as_secs_f64());
                }
            }
            self.sample(&format!("{name}_sum"), labels, None, sum);
            self.sample(&format!("{name}_count"), labels, None, count);
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], more: Option<(&str, &str)>, value: impl Display) {
        self.0.push_str(name);
        let labels = labels.iter().chain(&more).map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        if !labels.is_empty() {
            self.0.push_str(&format!("{{{labels}}}"));
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, " {value}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Latency;
    use std::time::{Duration, Instant};

    #[test]
    fn a_family_has_one_head_and_no_series_without_value() {
        let mut text = Text::default();
        let labels = [[("feed", "a\"\\\n")], [("feed", "b")]];
        let series = [(&labels[0][..], Some(1.5)), (&labels[1][..], None)];
        text.family("x_total", "Some.", Kind::Counter, series);
        text.family("y", "None.", Kind::Gauge, [(&[][..], None::<u64>)]);
        text.family("z", "One.", Kind::Gauge, [(&[][..], Some(7))]);
        let expect = "# HELP x_total Some.\n# TYPE x_total counter\nx_total{feed=\"a\\\"\\\\\\n\"} 1.5\n\
            # HELP z One.\n# TYPE z gauge\nz 7\n";
        assert_eq!(text.0, expect);
    }

    #[test]
    fn a_histogram_has_all_its_parts() {
        let mut text = Text::default();
        let labels = [[("stream", "a")], [("stream", "b")]];
        let spread = || Spread { up_to: vec![(0.025, 0), (0.05, 1)], count: 2, sum: 0.53 };
        text.histograms("h_seconds", "Some.", labels.iter().map(|labels| (&labels[..], spread())));
        text.histograms("none", "None.", []);
        let one = "h_seconds_bucket{stream=\"a\",le=\"0.025\"} 0\nh_seconds_bucket{stream=\"a\",le=\"0.05\"} 1\n\
            h_seconds_bucket{stream=\"a\",le=\"+Inf\"} 2\nh_seconds_sum{stream=\"a\"} 0.53\nh_seconds_count{stream=\"a\"} 2\n";
        let other = one.replace("stream=\"a\"", "stream=\"b\"");
        assert_eq!(text.0, format!("# HELP h_seconds Some.\n# TYPE h_seconds histogram\n{one}{other}"));
    }

    #[test]
    fn a_summary_has_quantiles_only_of_recent_values() {
        let (mut latency, mut text, now) = (Latency::default(), Text::default(), Instant::now());
        text.summaries("s", "Some.", [(&[][..], latency.read(now))]);
        assert_eq!(text.0, "");
        latency.add(Duration::from_millis(30), now);
        text.summaries("s", "Some.", [(&[][..], latency.read(now))]);
        let sums = "s_sum 0.03\ns_count 1\n";
        let head = "# HELP s Some.\n# TYPE s summary\n";
        assert_eq!(text.0, format!("{head}s{{quantile=\"0.5\"}} 0.03\ns{{quantile=\"0.99\"}} 0.03\n{sums}"));
        let (mut text, later) = (Text::default(), now + Duration::from_secs(3600));
        text.summaries("s", "Some.", [(&[][..], latency.read(later))]);
        assert_eq!(text.0, format!("{head}{sums}"));
    }
}
