//! A WebSocket behind a data channel: each message is one there, text or binary.

use super::{
    super::hooked::Message,
    client::{Client, MAX_MESSAGE},
};
use crate::{
    access::Secret,
    net::{self, HttpClient},
};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{self, Utf8Bytes, client::IntoClientRequest, protocol::WebSocketConfig},
};

/// How long it may take until it is connected.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// Most bytes that wait to be written.
const MAX_UNSENT: usize = 1 << 20;

/// Connects to it, and hands messages on until one side closes.
///
/// # Errors
/// Why it failed.
pub(super) async fn run(
    client: &HttpClient,
    url: &Secret,
    about: &[(&'static str, String)],
    mut messages: mpsc::Receiver<Message>,
    to: &Client,
) -> Result<(), String> {
    let connect = async {
        let uri: Uri = url.expose().parse().map_err(|_| "its address cannot be read".to_owned())?;
        let place = net::target(&uri).map_err(|error| error.to_string())?;
        let connection = client.connect(place).await.map_err(|error| crate::telemetry::chain(&error).to_string())?;
        let mut request = uri.into_client_request().map_err(|error| error.to_string())?;
        for (name, value) in about {
            // `VOYANDZ_STREAM` is `x-voyandz-stream`.
            let name = format!("x-{}", name.to_ascii_lowercase().replace('_', "-"));
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
                request.headers_mut().insert(name, value);
            }
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .max_write_buffer_size(MAX_UNSENT);
        let connected = client_async_with_config(request, connection, Some(config)).await;
        connected.map(|(socket, _)| socket).map_err(|error| error.to_string())
    };
    let socket = tokio::time::timeout(BEGINS_WITHIN, connect).await;
    let mut socket = socket.map_err(|_| "it does not answer".to_owned())??;
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else {
                    let _ = socket.close(None).await;
                    return Ok(());
                };
                socket.send(outgoing(message)?).await.map_err(|error| error.to_string())?;
            }
            message = socket.next() => match message {
                None => return Ok(()),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(message)) => if let Some(message) = incoming(message) {
                    to.say(message).await;
                },
            },
        }
    }
}

fn outgoing(message: Message) -> Result<tungstenite::Message, String> {
    match message.is_text {
        true => {
            let text = Utf8Bytes::try_from(message.data).map_err(|_| "the client sent what is no text".to_owned())?;
            Ok(tungstenite::Message::Text(text))
        }
        false => Ok(tungstenite::Message::Binary(message.data.into())),
    }
}

/// A message for the client, if it is one.
fn incoming(message: tungstenite::Message) -> Option<Message> {
    match message {
        tungstenite::Message::Text(text) => Some(Message { is_text: true, data: text.as_bytes().to_vec() }),
        tungstenite::Message::Binary(data) => Some(Message { is_text: false, data: data.to_vec() }),
        _ => None,
    }
}
