//! Wakes requests for what has changed, and those for media first. Pure.
//!
//! Thousands of players may wait for one part and for the playlist that lists it. What one plays next is the part, so the playlist comes
//! after it for all; and what waits for the other kind of track is not woken.

use crate::media::MediaKind;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Notify, futures::Notified};

/// What a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Segments and parts of this kind.
    Media(MediaKind),
    /// Playlists of this kind.
    Playlist(MediaKind),
    /// All of them.
    All,
}

/// The requests that wait for changes of a stream.
#[derive(Debug, Default)]
pub struct Changes {
    /// The newest version that was reported, of video and audio.
    known: Mutex<[u64; 2]>,
    media: [Notify; 2],
    playlists: [Notify; 2],
    all: Notify,
}

impl Changes {
    /// Resolves at the next change after this call. Cancel-safe.
    pub fn next(&self, topic: Topic) -> Notified<'_> {
        let [video_media, audio_media] = &self.media;
        let [video_lists, audio_lists] = &self.playlists;
        match topic {
            Topic::Media(MediaKind::Video) => video_media,
            Topic::Media(MediaKind::Audio) => audio_media,
            Topic::Playlist(MediaKind::Video) => video_lists,
            Topic::Playlist(MediaKind::Audio) => audio_lists,
            Topic::All => &self.all,
        }
        .notified()
    }

    /// These are the versions of video and audio now.
    pub fn set(&self, versions: [u64; 2]) {
        let [video, audio] = versions;
        let [old_video, old_audio] =
            std::mem::replace(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner), versions);
        self.wake([video != old_video, audio != old_audio]);
    }

    /// Wakes everybody: there is nothing more to wait for, or something of another kind.
    pub fn wake_all(&self) {
        self.wake([true, true]);
    }

    fn wake(&self, is_changed: [bool; 2]) {
        let changed = |notifies: &[Notify; 2]| {
            notifies
                .iter()
                .zip(is_changed)
                .filter(|(_, is_changed)| *is_changed)
                .for_each(|(notify, _)| notify.notify_waiters());
        };
        changed(&self.media);
        if is_changed.contains(&true) {
            self.all.notify_waiters();
        }
        changed(&self.playlists);
    }
}
