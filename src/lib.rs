//! voyandz, a live audio/video server. `docs/ARCHITECTURE.md` is the map of this crate.
//!
//! # The server inside another program
//!
//! A program that makes media itself can have the server in its own process. Here an `appsrc` draws frames, a pipeline of the program encodes
//! them into a named pipe, and a viewer gets the stream. What runs in workers (feeds with `pipeline:`, encodings of the server, stills) needs the
//! program `voyandz` itself, so such a program encodes what it serves. Interfaces may change with each version before 1.0.
//!
//! ```
//! use gstreamer::{self as gst, prelude::*};
//! use std::{io::{Read, Write}, net::TcpStream, sync::Arc};
//! use tokio_util::sync::CancellationToken;
//! use voyandz::{api::configurator::configurator, app::App, config::{self, Origin}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let (pipe, file) = (folder.path().join("own.ts"), folder.path().join("voyandz.yaml"));
//! assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
//! std::fs::write(
//!     &file,
//!     "listenport: 0\napi: {socket: off}\nfeeds: {own: {file: own.ts}}\nstreams: {own.ts: {feed: own}}\n",
//! )?;
//!
//! // The server, in threads of its own.
//! let runtime = tokio::runtime::Runtime::new()?;
//! let loaded = config::load(&Origin::File(file))?;
//! let (configurator, _orders) = configurator(Arc::new(loaded.clone()));
//! let (address, stop, serving) = runtime.block_on(async {
//!     let app = App::load(loaded.config, configurator)?;
//!     let (address, stop) = (app.address()?, CancellationToken::new());
//!     let (changes, coming) = tokio::sync::mpsc::channel(1);
//!     let serving = tokio::spawn(app.run(stop.clone(), coming));
//!     anyhow::Ok((address, stop, (serving, changes)))
//! })?;
//!
//! // The source, which the program feeds.
//! gst::init()?;
//! let text = "appsrc name=source is-live=true do-timestamp=true format=time \
//!             caps=video/x-raw,format=GRAY8,width=64,height=64,framerate=25/1 ! videoconvert \
//!             ! x264enc tune=zerolatency key-int-max=5 ! mpegtsmux ! filesink name=sink sync=false buffer-mode=unbuffered";
//! let pipeline = gst::parse::launch(text)?.downcast::<gst::Pipeline>().map_err(|_| "no pipeline")?;
//! let named = |name: &str| pipeline.by_name(name).ok_or("no such element");
//! named("sink")?.set_property("location", pipe.to_str().ok_or("no text")?);
//! let source = named("source")?.downcast::<gstreamer_app::AppSrc>().map_err(|_| "no appsrc")?;
//! let playing = pipeline.clone();
//! // A named pipe opens when it is read, which is when somebody watches.
//! let drawing = std::thread::spawn(move || {
//!     let _ = playing.set_state(gst::State::Playing);
//!     let mut gray = 0_u8;
//!     while source.push_buffer(gst::Buffer::from_slice(vec![gray; 64 * 64])).is_ok() {
//!         gray = gray.wrapping_add(8);
//!         std::thread::sleep(std::time::Duration::from_millis(40));
//!     }
//! });
//!
//! // A viewer.
//! let mut viewer = TcpStream::connect(address)?;
//! viewer.write_all(b"GET /own.ts HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
//! let mut got = vec![0; 4000];
//! viewer.read_exact(&mut got)?;
//! let head = String::from_utf8_lossy(&got);
//! assert!(head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), "{head}");
//! let body = head.find("\r\n\r\n").ok_or("no head")? + 4;
//! assert_eq!(got[body], 0x47, "packets of MPEG-TS begin so");
//!
//! stop.cancel();
//! drop(viewer);
//! runtime.block_on(serving.0)?;
//! pipeline.set_state(gst::State::Null)?;
//! drawing.join().map_err(|_| "the source failed")?;
//! # Ok(())
//! # }
//! ```

pub mod access;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod ctl;
pub mod doctor;
pub mod engine;
pub mod hooks;
pub mod ipc;
pub mod journal;
pub mod link;
pub mod load;
pub mod manpage;
pub mod media;
pub mod net;
pub mod otlp;
pub mod output;
pub mod reload;
pub mod run;
pub mod source;
pub mod status;
pub mod still;
pub mod store;
pub mod stream;
pub mod sys;
pub mod telemetry;
pub mod web;
pub mod worker;
