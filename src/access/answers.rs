//! Answers of a hook that are remembered, and questions that are under way: equal questions are asked once. Pure.

use super::hook::Answer;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Most answers and questions.
const MAX: usize = 1024;
/// How long a denial, or that there is no answer, is remembered.
const DENIED_FOR: Duration = Duration::from_secs(1);

/// The answers, by a keyed digest of the question.
#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<[u8; 32], Entry>);

#[derive(Debug)]
enum Entry {
    Asked(watch::Receiver<Option<Answer>>),
    Known(Answer, Instant),
}

/// What is known of a question.
#[derive(Debug)]
pub(super) enum Look {
    /// The answer.
    Known(Answer),
    /// It is asked already: the answer comes here.
    Wait(watch::Receiver<Option<Answer>>),
    /// It is to be asked, and the answer to be sent here.
    Ask(watch::Sender<Option<Answer>>),
    /// Too much is asked at a time.
    Full,
}

impl Answers {
    /// Looks a question up.
    pub(super) fn look(&mut self, question: [u8; 32], now: Instant) -> Look {
        match self.0.get(&question) {
            Some(Entry::Known(answer, until)) if *until > now => return Look::Known(*answer),
            // Whoever asked may have ended without an answer.
            Some(Entry::Asked(coming)) if coming.has_changed().is_ok() => return Look::Wait(coming.clone()),
            _ => {}
        }
        if self.0.len() >= MAX {
            self.0.retain(|_, entry| match entry {
                Entry::Known(_, until) => *until > now,
                Entry::Asked(coming) => coming.has_changed().is_ok(),
            });
        }
        let oldest = || {
            let known = self.0.iter().filter_map(|(question, entry)| match entry {
                Entry::Known(_, until) => Some((*question, *until)),
                Entry::Asked(_) => None,
            });
            known.min_by_key(|(_, until)| *until).map(|(question, _)| question)
        };
        if self.0.len() >= MAX {
            let Some(oldest) = oldest() else { return Look::Full };
            self.0.remove(&oldest);
        }
        let (answered, coming) = watch::channel(None);
        self.0.insert(question, Entry::Asked(coming));
        Look::Ask(answered)
    }

    /// Remembers an answer; a permission for `keep`.
    pub(super) fn put(&mut self, question: [u8; 32], answer: Answer, keep: Duration, now: Instant) {
        let keep = if answer == Answer::Permitted { keep } else { DENIED_FOR };
        self.0.insert(question, Entry::Known(answer, now + keep));
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(10);

    fn question(number: usize) -> [u8; 32] {
        std::array::from_fn(|at| number.to_be_bytes().get(at).copied().unwrap_or_default())
    }

    #[test]
    fn equal_questions_are_asked_once_and_answers_are_remembered() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        let Look::Ask(sender) = answers.look(question(1), now) else { panic!() };
        assert!(matches!(answers.look(question(1), now), Look::Wait(_)));
        assert!(matches!(answers.look(question(2), now), Look::Ask(_)), "another one is asked");
        answers.put(question(1), Answer::Permitted, KEEP, now);
        sender.send_replace(Some(Answer::Permitted));
        let later = now + KEEP - Duration::from_millis(1);
        assert!(matches!(answers.look(question(1), later), Look::Known(Answer::Permitted)));
        assert!(matches!(answers.look(question(1), now + KEEP), Look::Ask(_)));
        for answer in [Answer::Denied, Answer::None] {
            answers.put(question(3), answer, KEEP, now);
            assert!(matches!(answers.look(question(3), now), Look::Known(known) if known == answer));
            assert!(matches!(answers.look(question(3), now + DENIED_FOR), Look::Ask(_)));
        }
    }

    #[test]
    fn a_question_whose_asker_is_gone_is_asked_again() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        drop(answers.look(question(1), now));
        assert!(matches!(answers.look(question(1), now), Look::Ask(_)));
    }

    #[test]
    fn they_are_bounded() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        let asked: Vec<_> = (0..MAX).map(|number| answers.look(question(number), now)).collect();
        assert!(matches!(answers.look(question(MAX), now), Look::Full));
        answers.put(question(0), Answer::Denied, KEEP, now);
        assert!(matches!(answers.look(question(MAX), now), Look::Ask(_)), "an answer makes room");
        assert_eq!(answers.0.len(), MAX);
        drop(asked);
    }
}
