//! Figures of several rounds: medians, ratios within a round and their spread, as a table and as JSON.

use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// The figures of one run of one system, by name.
pub type Figures = BTreeMap<&'static str, f64>;

/// All runs of one mode at one size.
#[derive(Debug)]
pub struct Table {
    title: String,
    /// In the order of the first round; the last one is what the others are compared with, and so is each named one.
    systems: Vec<(&'static str, Vec<Figures>)>,
    /// A figure, of one system and of another.
    ratios: Vec<(&'static str, &'static str, &'static str)>,
}

impl Table {
    /// An empty one.
    pub fn new(title: String, ratios: &[(&'static str, &'static str, &'static str)]) -> Self {
        Self { title, systems: Vec::new(), ratios: ratios.to_vec() }
    }

    /// A run of `system`, in the newest round.
    pub fn add(&mut self, system: &'static str, figures: Figures) {
        match self.systems.iter_mut().find(|(name, _)| *name == system) {
            Some((_, runs)) => runs.push(figures),
            None => self.systems.push((system, vec![figures])),
        }
    }

    /// All values of a figure, in the order of the rounds.
    fn values(&self, system: &str, figure: &str) -> Vec<f64> {
        let runs = self.systems.iter().find(|(name, _)| *name == system).map(|(_, runs)| runs.as_slice());
        runs.unwrap_or_default().iter().filter_map(|figures| figures.get(figure).copied()).collect()
    }

    /// The ratios of each round.
    fn paired(&self, (figure, one, other): (&str, &str, &str)) -> Vec<f64> {
        let pairs = self.values(one, figure).into_iter().zip(self.values(other, figure));
        pairs.map(|(one, other)| one / other).collect()
    }

    /// For people.
    pub fn print(&self) {
        println!("\n{}", self.title);
        for (system, runs) in &self.systems {
            println!("  {system}");
            for figure in runs.iter().flat_map(Figures::keys).collect::<std::collections::BTreeSet<_>>() {
                println!("    {figure:<24} {}", spread(&self.values(system, figure)));
            }
        }
        for &(figure, one, other) in &self.ratios {
            let paired = self.paired((figure, one, other));
            if !paired.is_empty() {
                println!("  {figure}: {one} / {other} = {}", spread(&paired));
            }
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let systems = self.systems.iter().map(|(system, runs)| ((*system).to_owned(), json!(runs)));
        let ratios = self.ratios.iter().map(|&(figure, one, other)| {
            let paired = self.paired((figure, one, other));
            json!({"figure": figure, "of": one, "to": other, "median": median(&paired), "rounds": paired})
        });
        json!({
            "title": self.title,
            "systems": systems.collect::<serde_json::Map<_, _>>(),
            "ratios": ratios.collect::<Vec<_>>(),
        })
    }
}

/// The median, and the least and most of several rounds.
fn spread(values: &[f64]) -> String {
    let (least, most) =
        values.iter().fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)));
    match values {
        [] => "-".to_owned(),
        [one] => format!("{one:.3}"),
        _ => format!("{:.3} ({least:.3} to {most:.3})", median(values)),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A part of some times, in milliseconds: `quantile(times, 0.99)`.
pub fn quantile(times: &[Duration], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 - 1.0) * part).round().max(0.0) as usize;
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds() {
        let mut table = Table::new("t".to_owned(), &[("cpu", "a", "b")]);
        for (one, other) in [(2.0, 1.0), (30.0, 10.0), (1.0, 1.0)] {
            table.add("a", Figures::from([("cpu", one)]));
            table.add("b", Figures::from([("cpu", other)]));
        }
        assert_eq!(table.paired(("cpu", "a", "b")), [2.0, 3.0, 1.0]);
        assert_eq!(table.json()["ratios"][0]["median"], 2.0);
        assert_eq!(spread(&[2.0, 3.0, 1.0]), "2.000 (1.000 to 3.000)");
    }

    #[test]
    fn quantiles_of_times() {
        let times: Vec<Duration> = (0..=100).rev().map(Duration::from_millis).collect();
        assert_eq!((quantile(&times, 0.5), quantile(&times, 0.99), quantile(&times, 1.0)), (50.0, 99.0, 100.0));
        assert!(quantile(&[], 0.5).is_nan());
    }
}
