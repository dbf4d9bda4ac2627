//! A program behind a data channel: a text is a line of its standard input, and each line of its standard output is one.

use super::{
    super::hooked::Message,
    client::{Client, MAX_MESSAGE},
};
use crate::sys::guard::{self, Guarded};
use futures_util::StreamExt;
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_util::codec::{FramedRead, LinesCodec};

/// How long it may take to end once its input has.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// What is kept of its messages, in bytes: the first ones.
const MESSAGES: u64 = 4 << 10;

/// Runs it until the channel is closed or it ends. Its guard ends it when this is dropped.
///
/// # Errors
/// Why it failed.
pub(super) async fn run(
    words: &[String],
    about: &[(&'static str, String)],
    mut messages: mpsc::Receiver<Message>,
    client: &Client,
) -> Result<(), String> {
    let mut command = guard::command(words, Vec::new(), None).map_err(|error| error.to_string())?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(about.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    drop(command);
    let guarded = Guarded::new(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        let Some(mut stdin) = stdin else { return Ok::<_, String>(()) };
        while let Some(message) = messages.recv().await {
            let line = line(message)?;
            if stdin.write_all(&line).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let read = async {
        let Some(stdout) = stdout else { return Ok(()) };
        let mut lines = FramedRead::new(stdout, LinesCodec::new_with_max_length(MAX_MESSAGE));
        while let Some(line) = lines.next().await {
            let line = line.map_err(|error| format!("its output is not made of lines: {error}"))?;
            client.say(Message { is_text: true, data: line.into_bytes() }).await;
        }
        Ok::<_, String>(())
    };
    let complaints = first_messages(stderr);
    let wait = async {
        let ended = async { tokio::join!(read, complaints, child.wait()) };
        let mut ended = std::pin::pin!(ended);
        tokio::select! {
            ended = &mut ended => Ok(Some(ended)),
            written = write => {
                written?;
                // The client has closed the channel: the program has the end of its input now.
                Ok::<_, String>(tokio::time::timeout(ENDS_WITHIN, ended).await.ok())
            }
        }
    };
    let Some((read, complaints, status)) = wait.await? else { return Ok(()) };
    guarded.has_ended();
    read?;
    let status = status.map_err(|error| error.to_string())?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => {
            let first = complaints.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(format!("the program exited with code {code}: {}", first.chars().take(300).collect::<String>()))
        }
        None => Err("the guard of the program was killed".to_owned()),
    }
}

/// A message as a line.
fn line(message: Message) -> Result<Vec<u8>, String> {
    let Message { is_text, mut data } = message;
    if !is_text || data.contains(&b'\n') {
        return Err("the client sent what is no line of text".to_owned());
    }
    data.push(b'\n');
    Ok(data)
}

/// What a program complains of, which is read to its end: what is not read would stop it.
async fn first_messages(stderr: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut first = Vec::new();
    let _ = (&mut stderr).take(MESSAGES).read_to_end(&mut first).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&first).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_line() {
        let of = |is_text, data: &str| line(Message { is_text, data: data.into() }).ok();
        assert_eq!(of(true, "hello"), Some(b"hello\n".to_vec()));
        assert_eq!(of(true, ""), Some(b"\n".to_vec()));
        assert_eq!((of(true, "a\nb"), of(false, "hello")), (None, None));
    }
}
