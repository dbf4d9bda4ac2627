//! Tests of the whole program from outside: its command line, its port, its log and its processes.
//!
//! A test is named after the requirement it shows. `rig` starts real servers on free ports and looks at them through
//! real sockets, ffmpeg, Chromium and Firefox; nothing in here sees the inside of the server.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends where its expectations do"
)]

mod rig;

mod access;
mod acme;
mod addresses;
mod api;
mod api_rights;
mod architecture;
mod auth_services;
mod broken;
mod browsers;
mod chains;
mod changes;
mod client_certificates;
mod clients;
mod codecs;
mod coming_from;
mod command_line;
mod control;
mod ctl;
mod dash;
mod delivery;
mod documents;
mod editor;
mod embedding;
mod encoders;
mod encryption;
mod error_correction;
mod events;
mod examples;
mod faults;
mod feeds;
mod ffmpeg9;
mod files;
mod firefox;
mod fragments;
mod generated_client;
mod history;
mod hls;
mod hls_cache;
mod hls_input;
mod hls_players;
mod hook_programs;
mod hooks;
mod http2;
mod join_matrix;
mod joins;
mod journal;
mod keyboard;
mod kicks;
mod ladder;
mod licenses;
mod limits;
mod linked;
mod links;
mod live_edits;
mod log;
mod login;
mod manage;
mod metrics;
mod oddities;
mod original;
mod origins;
mod outputs;
mod overlays;
mod pages;
mod pause;
mod pictures;
mod placeholder;
mod players;
mod private;
mod publish;
mod publish_raw;
mod publish_websocket;
mod push;
mod push_asked;
mod push_whip;
mod python_client;
mod readme;
mod recording_archive;
mod recording_clips;
mod recording_clock;
mod recording_disk;
mod recording_dvr;
mod recording_edits;
mod recording_index;
mod recording_players;
mod recording_power;
mod recording_stills;
mod recordings;
mod reload;
mod resilience;
mod rtmp;
mod rtmp_pull;
mod rtsp;
mod rtsp_multicast;
mod rtsp_peers;
mod rtsp_publish;
mod rtsp_tunnel;
mod rtsp_vlc;
mod saves;
mod screens;
mod service;
mod sites;
mod slow_network;
mod source_clients;
mod sources;
mod srs_api;
mod srt;
mod srt_clients;
mod srt_loss;
mod status;
mod timestamps;
mod traces;
mod tracks;
mod viewers;
mod webrtc;
mod webrtc_bad_input;
mod webrtc_bars;
mod webrtc_channels;
mod webrtc_layers;
mod webrtc_pages;
mod webrtc_simulcast;
