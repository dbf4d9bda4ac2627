//! The states of a feed over the last minutes as a bar, with words for those who do not see it. Pure.

use super::tile::told;
use crate::status::{
    history::{FeedSample, LENGTH, PERIOD},
    human::readable,
};
use maud::{Markup, html};

/// What a page with such bars needs: a state has its colour and its height, so that more than the colour shows it.
pub const STYLE: &str = "
.history{display:block;width:100%;height:1.5rem;background:var(--well);border-radius:.25rem;margin:.25rem 0;shape-rendering:crispEdges}
.history .good{fill:var(--good)}.history .busy{fill:var(--busy)}.history .calm{fill:var(--soft)}.history .bad{fill:var(--bad)}
.states{list-style:none;display:flex;flex-wrap:wrap;gap:0 1rem;margin:0;padding:0;font-size:.8125rem;color:var(--soft)}
.states .good{color:var(--good)}.states .busy{color:var(--busy)}.states .bad{color:var(--bad)}
";

/// How a state is shown: a shape, a word, and a class.
type Shown = (&'static str, &'static str, &'static str);

/// What is shown of a sample: a failure goes before the state that it has ended in.
fn shown(sample: &FeedSample) -> Shown {
    told(if sample.failed { "backoff" } else { sample.state })
}

/// A time in which one thing is shown.
#[derive(Debug, PartialEq, Eq)]
struct Span {
    shown: Shown,
    /// In samples, from the oldest that there could be.
    begin: usize,
    length: usize,
}

/// Equal samples that follow each other. The newest is at the end of [`LENGTH`].
fn spans(samples: &[FeedSample]) -> Vec<Span> {
    let begin = LENGTH.saturating_sub(samples.len());
    let mut spans: Vec<Span> = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        match spans.last_mut() {
            Some(span) if span.shown == shown(sample) => span.length += 1,
            _ => spans.push(Span { shown: shown(sample), begin: begin + at, length: 1 }),
        }
    }
    spans
}

/// How long each state was in all, in the order in which they came.
fn sums(spans: &[Span]) -> Vec<(Shown, usize)> {
    let mut sums: Vec<(Shown, usize)> = Vec::new();
    for span in spans {
        match sums.iter_mut().find(|(shown, _)| *shown == span.shown) {
            Some((_, sum)) => *sum += span.length,
            None => sums.push((span.shown, span.length)),
        }
    }
    sums
}

/// `5 min 20 s` of so many samples.
fn time(samples: usize) -> String {
    readable("time_seconds", &(samples as u64 * PERIOD.as_secs()).into())
}

/// What the bar shows, from the oldest on. A feed that flaps has too many states for a sentence: the newest are said.
fn words(spans: &[Span]) -> String {
    const SAID: usize = 12;
    let earlier = spans.len().saturating_sub(SAID);
    let said = spans.iter().skip(earlier).map(|span| format!("{} for {}", span.shown.1, time(span.length)));
    let said = said.collect::<Vec<_>>().join(", then ");
    match earlier {
        0 => format!("State in the last ten minutes: {said}."),
        1 => format!("State in the last ten minutes: 1 earlier change, then {said}."),
        n => format!("State in the last ten minutes: {n} earlier changes, then {said}."),
    }
}

/// Where a state begins and how high it is, in hundredths from above.
fn height(class: &str) -> (u8, u8) {
    match class {
        "calm" => (75, 25),
        "busy" => (40, 60),
        _ => (0, 100),
    }
}

/// The states of `samples`, the oldest first, as a bar and as a list of how long each was.
pub fn history_bar(samples: &[FeedSample]) -> Markup {
    let spans = spans(samples);
    let percent = |count: usize| format!("{:.2}%", count as f64 * 100.0 / LENGTH as f64);
    html! {
        @if !spans.is_empty() {
            p.kind { "Last ten minutes" }
            svg.history role="img" aria-label=(words(&spans)) {
                @for span in &spans {
                    @let (_, word, class) = span.shown;
                    @let (top, height) = height(class);
                    rect class=(class) x=(percent(span.begin)) width=(percent(span.length)) y=(format!("{top}%")) height=(format!("{height}%")) {
                        title { (word) " for " (time(span.length)) }
                    }
                    // A failure is notched.
                    @if class == "bad" {
                        rect x=(percent(span.begin)) width=(percent(span.length)) y="42%" height="16%" fill="var(--card)" {}
                    }
                }
            }
            ul.states {
                @for ((shape, word, class), sum) in sums(&spans) {
                    li { span class=(class) { span aria-hidden="true" { (shape) } " " (word) } " " (time(sum)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(states: &[(&'static str, usize)]) -> Vec<FeedSample> {
        let of = |(state, count): &(&'static str, usize)| {
            vec![FeedSample { state: state.trim_end_matches('!'), failed: state.ends_with('!') }; *count]
        };
        states.iter().flat_map(of).collect()
    }

    #[test]
    fn equal_samples_are_one_span_and_the_newest_is_at_the_end() {
        let found = spans(&samples(&[("idle", 2), ("running", 1), ("lingering", 2), ("running!", 1), ("backoff", 1)]));
        let span = |state, begin, length| Span { shown: told(state), begin, length };
        let end = LENGTH - 7;
        assert_eq!(found, [span("idle", end, 2), span("running", end + 2, 3), span("backoff", end + 5, 2)]);
        assert_eq!(spans(&[]), []);
    }

    #[test]
    fn the_words_say_what_is_to_be_seen() {
        let found = spans(&samples(&[("idle", 12), ("starting", 1), ("running", 106), ("running!", 1)]));
        let all = "State in the last ten minutes: Idle for 1 min 0 s, then Starting for 5 s, then Live for 8 min 50 s, then Trying again for 5 s.";
        assert_eq!(words(&found), all);
        let flapping: Vec<_> = (0..20).flat_map(|_| samples(&[("running", 1), ("backoff", 2)])).collect();
        let found = spans(&flapping);
        assert!(words(&found).starts_with("State in the last ten minutes: 28 earlier changes, then Live for 5 s,"));
        assert_eq!(sums(&found), [(told("running"), 20), (told("backoff"), 40)]);
    }

    #[test]
    fn a_bar_is_as_wide_as_its_times() {
        let drawn = history_bar(&samples(&[("idle", 30), ("running", 90)])).into_string();
        assert!(drawn.contains("class=\"calm\" x=\"0.00%\" width=\"25.00%\" y=\"75%\""), "{drawn}");
        assert!(drawn.contains("class=\"good\" x=\"25.00%\" width=\"75.00%\" y=\"0%\""), "{drawn}");
        assert!(drawn.contains("Idle</span> 2 min 30 s") && drawn.contains("role=\"img\""), "{drawn}");
        assert_eq!(history_bar(&[]).into_string(), "");
    }
}
