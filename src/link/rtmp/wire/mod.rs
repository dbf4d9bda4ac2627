//! The protocol RTMP without IO: bytes go in, events and bytes come out (Adobe RTMP 1.0, Enhanced RTMP v2). Pure.
//!
//! [`handshake`] is the exchange at the begin, [`chunk`] cuts messages into chunks and puts them together, [`command`] has the commands in
//! AMF0, [`tag_body`] the media in messages, [`control`] answers what both sides treat alike, [`server`] is one connection of a client, and
//! [`client`] the other side of one.

pub mod chunk;
pub mod client;
pub mod command;
pub mod control;
pub mod handshake;
pub mod server;
pub mod tag_body;

/// Types of messages (sections 5.4 and 7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control Messages.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW: u8 = 5;
    /// Set Peer Bandwidth.
    pub const BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3.
    pub const DATA_AMF3: u8 = 15;
    /// A command in AMF3: AMF0 after a zero.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA: u8 = 18;
    /// A command in AMF0.
    pub const COMMAND: u8 = 20;
    /// Several messages in one, as tags of FLV.
    pub const AGGREGATE: u8 = 22;
}
