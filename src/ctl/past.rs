//! How a feed or stream did in the last minutes, as a table.

use super::{
    client::Client,
    error::CtlError,
    options::What,
    print::{print, print_json},
    table::{self, Column, field, rate, span, text},
};
use serde_json::{Value, json};

/// Rows of a stream are of so many seconds.
const ROW: u64 = 60;

const FEED: &[Column] = &[
    Column { title: "AGO", value: |item| span(field(item, "ago")) },
    Column { title: "STATE", value: |item| text(field(item, "state")) },
    Column { title: "FOR", value: |item| span(field(item, "for")) },
    Column { title: "FAILURES", value: |item| text(field(item, "failures")) },
];

const STREAM: &[Column] = &[
    Column { title: "AGO", value: |item| span(field(item, "ago")) },
    Column { title: "RATE", value: |item| rate(field(item, "bit_rate")) },
    Column { title: "VIEWERS", value: |item| text(field(item, "viewers")) },
    Column { title: "GAPS", value: |item| text(field(item, "gaps")) },
];

/// Prints it.
pub(super) async fn run(client: &Client, is_json: bool, what: What, name: &str) -> Result<(), CtlError> {
    let found = client.get(&["api", "v1", what.section(), name, "history"], &[]).await?;
    if is_json {
        return print_json(&found);
    }
    let seconds = field(&found, "seconds").as_u64().unwrap_or_default();
    let samples = field(&found, "samples").as_array().map(Vec::as_slice).unwrap_or_default();
    let (columns, rows) = match what {
        What::Feed => (FEED, states(samples, seconds)),
        What::Stream => (STREAM, minutes(samples, seconds)),
    };
    print(&table::table(columns, &rows, table::width()))
}

/// The states one after the other, the oldest first: how many seconds ago each began, how long it was, and in how many samples it failed.
fn states(samples: &[Value], seconds: u64) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let state = field(first, "state");
        let count = rest.iter().take_while(|sample| field(sample, "state") == state).count();
        let (run, later) = rest.split_at(count);
        let failures = run.iter().filter(|sample| *field(sample, "failed") == true).count();
        let (ago, length) = (rest.len() as u64 * seconds, count as u64 * seconds);
        rows.push(json!({"ago": ago, "state": state, "for": length, "failures": failures}));
        rest = later;
    }
    rows
}

/// Means of the rate, the most viewers and the sum of the gaps in each minute, the oldest first. The newest is whole.
fn minutes(samples: &[Value], seconds: u64) -> Vec<Value> {
    let size = usize::try_from(ROW.checked_div(seconds).unwrap_or(1)).unwrap_or(1).max(1);
    let row = |at: usize, part: &[Value]| {
        let of = |name: &'static str| part.iter().filter_map(move |sample| field(sample, name).as_u64());
        let mean = of("bit_rate").sum::<u64>() / part.len().max(1) as u64;
        let ago = (at * size + part.len()) as u64 * seconds;
        json!({"ago": ago, "bit_rate": mean, "viewers": of("viewers").max(), "gaps": of("gaps").sum::<u64>()})
    };
    let mut rows: Vec<_> = samples.rchunks(size).enumerate().map(|(at, part)| row(at, part)).collect();
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_a_row() {
        let sample = |state: &str, failed: bool| json!({"state": state, "failed": failed});
        let samples = [
            sample("idle", false),
            sample("idle", false),
            sample("backoff", true),
            sample("running", true),
            sample("running", false),
        ];
        let expect = json!([
            {"ago": 25, "state": "idle", "for": 10, "failures": 0},
            {"ago": 15, "state": "backoff", "for": 5, "failures": 1},
            {"ago": 10, "state": "running", "for": 10, "failures": 1},
        ]);
        assert_eq!(Value::Array(states(&samples, 5)), expect);
        assert_eq!(states(&[], 5), [Value::Null; 0]);
    }

    #[test]
    fn a_minute_is_a_row() {
        let sample = |rate: u64, viewers: u64, gaps: u64| json!({"bit_rate": rate, "viewers": viewers, "gaps": gaps});
        let samples = [sample(9, 9, 9), sample(100, 1, 0), sample(200, 3, 2), sample(300, 2, 1)];
        let expect = json!([
            {"ago": 80, "bit_rate": 9, "viewers": 9, "gaps": 9},
            {"ago": 60, "bit_rate": 200, "viewers": 3, "gaps": 3},
        ]);
        assert_eq!(Value::Array(minutes(&samples, 20)), expect);
        // Whatever a server says.
        assert_eq!(minutes(&samples, 0).len(), 4);
        assert_eq!(minutes(&samples, 3600).len(), 4);
    }
}
