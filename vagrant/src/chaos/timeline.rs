//! What happened when, and how long writes waited meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Writes that wait shorter than this are not worth a line.
const TOLD: Duration = Duration::from_secs(1);

/// Everything since the start.
pub(super) struct TimeLine {
    start: Instant,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    spans: Vec<Span>,
    stalls: Vec<(Duration, Duration)>,
    refused: u32,
    /// Faults that could not be begun or wishes that nobody could be asked for.
    left_out: u32,
}

/// Something that lasted; without an end it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    kind: &'static str,
    begin: Duration,
    end: Option<Duration>,
    happened: bool,
}

/// One row of the summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Row {
    count: u32,
    longest: Duration,
}

/// A span that was begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun(usize);

impl TimeLine {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), notes: Mutex::default() }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Prints a line.
    pub(super) fn say(&self, text: &str) {
        println!("{:7.1} s  {}", self.now().as_secs_f64(), text.trim().replace('\n', " | "));
    }

    pub(super) fn begin(&self, kind: &'static str) -> Begun {
        let span = Span { kind, begin: self.now(), end: None, happened: true };
        let mut notes = self.notes();
        notes.spans.push(span);
        Begun(notes.spans.len() - 1)
    }

    pub(super) fn end(&self, begun: Begun) {
        let now = self.now();
        if let Some(span) = self.notes().spans.get_mut(begun.0) {
            span.end = Some(now);
        }
    }

    /// It did not happen after all.
    pub(super) fn forget(&self, begun: Begun) {
        if let Some(span) = self.notes().spans.get_mut(begun.0) {
            span.happened = false;
        }
    }

    pub(super) fn refused(&self, what: &str, why: &str) {
        self.notes().refused += 1;
        self.say(&format!("refused: {what}: {why}"));
    }

    pub(super) fn left_out(&self, what: &str, why: &str) {
        self.notes().left_out += 1;
        self.say(&format!("left out: {what}: {why}"));
    }

    /// Nothing of `volume` was acknowledged for so long until now.
    pub(super) fn stalled(&self, volume: &str, waited: Duration) {
        let now = self.now();
        self.notes().stalls.push((now.saturating_sub(waited), now));
        if waited >= TOLD {
            self.say(&format!("{volume}: no write was acknowledged for {:.1} s", waited.as_secs_f64()));
        }
    }

    /// The summary: a row per kind.
    pub(super) fn summary(&self) -> String {
        let notes = self.notes();
        let mut text =
            "kind                       times   longest wait of any volume's writes meanwhile\n".to_owned();
        for (kind, row) in notes.rows() {
            writeln!(text, "{kind:25} {:6} {:8.1} s", row.count, row.longest.as_secs_f64()).ok();
        }
        write!(text, "refused verbs: {}, left out: {}", notes.refused, notes.left_out).ok();
        text
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Where several things overlap, a wait counts for each.
    fn rows(&self) -> BTreeMap<&'static str, Row> {
        let mut rows: BTreeMap<&'static str, Row> = BTreeMap::new();
        for span in self.spans.iter().filter(|span| span.happened) {
            let row = rows.entry(span.kind).or_default();
            row.count += 1;
            let meets = |&&(from, to): &&(Duration, Duration)| {
                from <= span.end.unwrap_or(Duration::MAX) && to >= span.begin
            };
            let longest = self.stalls.iter().filter(meets).map(|(from, to)| to.saturating_sub(*from)).max();
            row.longest = row.longest.max(longest.unwrap_or_default());
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_wait_counts_for_what_it_meets() {
        let span =
            |kind, begin, end| Span { kind, begin: seconds(begin), end: Some(seconds(end)), happened: true };
        let notes = Notes {
            spans: vec![span("cut", 10, 12), span("cut", 40, 41), span("pause", 13, 20)],
            stalls: vec![(seconds(11), seconds(14)), (seconds(30), seconds(39))],
            ..Notes::default()
        };
        let rows = notes.rows();
        assert_eq!(rows["cut"], Row { count: 2, longest: seconds(3) });
        assert_eq!(rows["pause"], Row { count: 1, longest: seconds(3) });
    }
}
