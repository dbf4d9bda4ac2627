//! The task of a hook that gets events: it reads the journal.

use super::{
    cursor::Cursor,
    delivery::Delivery,
    receiver::Receiver,
    retry::{Verdict, verdict},
    srs,
};
use crate::{
    access::Pattern,
    config::{EventForm, HookTarget},
    journal::{Journal, Lost, Record},
};
use serde_json::{Value, json};
use std::{path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Records that are looked at together.
const TOGETHER: usize = 64;

/// Delivers the events of one hook.
#[derive(Debug)]
pub(super) struct HookTask {
    pub(super) receiver: Receiver,
    /// The types of the events; empty for all.
    pub(super) events: Vec<Pattern>,
    /// The names of the feeds and streams; empty for all, and for the server.
    pub(super) names: Vec<Pattern>,
    pub(super) journal: Journal,
    pub(super) folder: Option<PathBuf>,
    pub(super) source: Arc<str>,
}

/// How the delivery of an event ended.
#[derive(Debug, PartialEq, Eq)]
enum Delivered {
    /// The next one may follow.
    Done,
    /// The journal does not have it any more.
    Fallen,
    /// There will be no more.
    End,
}

impl HookTask {
    /// Delivers until `stop`; a hook that was not known begins after `begin`.
    pub(super) async fn run(mut self, begin: u64, stop: CancellationToken) {
        let (folder, name) = (self.folder.clone(), self.receiver.hook.clone());
        let opened = tokio::task::spawn_blocking(move || Cursor::open(folder.as_deref(), &name, begin)).await;
        let mut cursor = match opened {
            Ok(Ok(cursor)) => cursor,
            Ok(Err(error)) => {
                tracing::error!(hook = self.receiver.hook, %error, "cursor of a hook not kept: it is in memory only");
                Cursor::in_memory(begin)
            }
            Err(_) => return,
        };
        self.receiver.stats.change(&self.receiver.hook, |figures| {
            figures.position = Some(cursor.number());
            (figures.error, figures.is_disabled) = (None, false);
        });
        let mut newest = self.journal.subscribe();
        loop {
            newest.borrow_and_update();
            let batch = self.journal.after(cursor.number(), TOGETHER).await;
            if let Some(lost) = batch.lost {
                self.receiver.stats.change(&self.receiver.hook, |figures| figures.given_up += 1);
                let event = self.lost(lost);
                if self.deliver(&event, &stop).await == Delivered::End {
                    return;
                }
                cursor = self.advance(cursor, lost.to).await;
                continue;
            }
            let has_more = batch.records.len() == TOGETHER;
            let mut skipped = None;
            for record in &batch.records {
                if !self.wants(record) {
                    skipped = Some(record.number);
                    continue;
                }
                let Some(event) = self.event(record) else {
                    skipped = Some(record.number);
                    continue;
                };
                match self.deliver(&event, &stop).await {
                    Delivered::Done => {
                        skipped = None;
                        cursor = self.advance(cursor, record.number).await;
                    }
                    Delivered::Fallen => {
                        skipped = None;
                        break;
                    }
                    Delivered::End => return,
                }
            }
            if let Some(number) = skipped {
                cursor = self.advance(cursor, number).await;
            }
            if has_more {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = newest.changed() => if changed.is_err() { return },
            }
        }
    }

    fn wants(&self, record: &Record) -> bool {
        let Self { receiver, events, names, .. } = self;
        // A test is for the one that it names.
        if record.kind == "hook.test" {
            return record.data.get("hook").and_then(Value::as_str) == Some(&receiver.hook);
        }
        let subject = record.name.as_deref();
        (events.is_empty() || events.iter().any(|pattern| pattern.matches(&record.kind)))
            && (names.is_empty() || subject.is_some_and(|name| names.iter().any(|pattern| pattern.matches(name))))
    }

    /// Tries until it is delivered, or there is no use in it.
    async fn deliver(&mut self, event: &Delivery, stop: &CancellationToken) -> Delivered {
        let mut tries = 0;
        loop {
            tries += 1;
            let tried = tokio::select! {
                () = stop.cancelled() => return Delivered::End,
                tried = self.receiver.attempt(event) => tried,
            };
            let Err(failure) = tried else { return Delivered::Done };
            let name = self.receiver.hook.as_str();
            let verdict = verdict(failure, tries);
            self.receiver.stats.change(name, |figures| {
                figures.is_disabled = verdict == Verdict::Disable;
                figures.given_up += u64::from(verdict == Verdict::GiveUp);
            });
            let pause = match verdict {
                Verdict::After(pause) => pause,
                Verdict::GiveUp => {
                    tracing::warn!(hook = name, event = event.id, tries, "event dropped: its program keeps failing");
                    return Delivered::Done;
                }
                Verdict::Disable => {
                    tracing::warn!(hook = name, "hook disabled: its receiver responded with 410");
                    stop.cancelled().await;
                    return Delivered::End;
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Delivered::End,
                () = tokio::time::sleep(pause) => {}
            }
            // What a receiver refuses for ever must not stop the hook for ever.
            if self.journal.oldest().is_some_and(|oldest| event.id < oldest) && event.kind != LOST {
                return Delivered::Fallen;
            }
        }
    }

    /// `None` for an event that the form of the hook has no words for.
    fn event(&self, record: &Record) -> Option<Delivery> {
        let body = match self.receiver.target {
            HookTarget::Url { form: EventForm::Srs, .. } => srs::callback(record, &self.source)?,
            _ => record.event(&self.source, true),
        };
        Some(Delivery {
            id: record.number,
            kind: record.kind.clone(),
            name: record.name.clone(),
            body: body.to_string(),
        })
    }

    /// Numbers that the journal has no more.
    fn lost(&self, lost: Lost) -> Delivery {
        let time = jiff::Timestamp::now();
        let body = json!({
            "specversion": "1.0", "id": lost.to.to_string(), "source": &*self.source, "type": LOST,
            "time": format!("{time:.6}"), "data": {"from": lost.from, "to": lost.to},
        });
        Delivery { id: lost.to, kind: LOST.to_owned(), name: None, body: body.to_string() }
    }

    async fn advance(&self, mut cursor: Cursor, number: u64) -> Cursor {
        let set = tokio::task::spawn_blocking(move || {
            let set = cursor.set(number);
            (cursor, set)
        });
        let Receiver { hook: name, stats, .. } = &self.receiver;
        stats.change(name, |figures| figures.position = Some(number));
        match set.await {
            Ok((cursor, Ok(()))) => cursor,
            Ok((cursor, Err(error))) => {
                tracing::debug!(hook = name, %error, "cursor of a hook not written");
                cursor
            }
            // A panic of it would be one of ours.
            Err(_) => Cursor::in_memory(number),
        }
    }
}

/// The type of the event about numbers that the journal has no more.
const LOST: &str = "lost";
