//! What happened when, and how long writes waited meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::fault::KINDS;

/// Writes that wait shorter than this are not worth a line.
const TOLD: Duration = Duration::from_secs(1);
/// What begins so soon after a wait began may have caused it: acknowledgements are looked for now and then.
const CAUSE: Duration = Duration::from_millis(500);
/// A volume on its way from one node to another.
pub(super) const WAY: &str = "attach elsewhere";

/// Everything since the start.
pub(super) struct TimeLine {
    start: Instant,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    spans: Vec<Span>,
    waits: Vec<Wait>,
    /// How often the schedule had each kind of fault.
    drawn: BTreeMap<&'static str, u32>,
    refused: u32,
    /// Faults that could not be begun or wishes that nobody could be asked for.
    left_out: u32,
}

/// Something that lasted; without an end it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    kind: &'static str,
    /// Of [`WAY`]: which volume.
    volume: Option<&'static str>,
    begin: Duration,
    end: Option<Duration>,
    happened: bool,
}

/// Nothing of a volume was acknowledged.
#[derive(Debug, Clone, Copy)]
struct Wait {
    volume: &'static str,
    from: Duration,
    to: Duration,
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

    /// A fault of this kind is due; whether it happens is another matter.
    pub(super) fn drawn(&self, kind: &'static str) {
        *self.notes().drawn.entry(kind).or_default() += 1;
    }

    /// The kinds of fault that were drawn and never happened.
    pub(super) fn never_happened(&self) -> Vec<&'static str> {
        self.notes().never_happened()
    }

    pub(super) fn begin(&self, kind: &'static str) -> Begun {
        self.begin_span(kind, None)
    }

    /// From here on `volume` is on its way.
    pub(super) fn begin_way(&self, volume: &'static str) -> Begun {
        self.begin_span(WAY, Some(volume))
    }

    fn begin_span(&self, kind: &'static str, volume: Option<&'static str>) -> Begun {
        let span = Span { kind, volume, begin: self.now(), end: None, happened: true };
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
    pub(super) fn stalled(&self, volume: &'static str, waited: Duration) {
        let to = self.now();
        self.notes().waits.push(Wait { volume, from: to.saturating_sub(waited), to });
        if waited >= TOLD {
            self.say(&format!("{volume}: no write was acknowledged for {:.1} s", waited.as_secs_f64()));
        }
    }

    /// The summary: a row per kind.
    pub(super) fn summary(&self) -> String {
        self.notes().summary()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    /// Every kind of fault has a row, then what users asked for.
    fn summary(&self) -> String {
        let rows = self.rows();
        let mut text = format!(
            "{:25} {:>6} {:>8}   longest wait of any volume's writes that began meanwhile\n",
            "kind", "drawn", "happened"
        );
        for kind in KINDS {
            let (drawn, row) = (self.times_drawn(kind), rows.get(kind).copied().unwrap_or_default());
            text += &row.told(kind, &drawn.to_string());
        }
        for (kind, row) in rows.iter().filter(|(kind, _)| !KINDS.contains(kind)) {
            text += &row.told(kind, "");
        }
        write!(text, "refused verbs: {}, left out: {}", self.refused, self.left_out).ok();
        text
    }

    fn times_drawn(&self, kind: &str) -> u32 {
        self.drawn.get(kind).copied().unwrap_or_default()
    }

    fn never_happened(&self) -> Vec<&'static str> {
        let rows = self.rows();
        KINDS.into_iter().filter(|kind| self.times_drawn(kind) > 0 && !rows.contains_key(kind)).collect()
    }

    /// Where several things go on when a wait begins, it counts for each; that of a volume on its way, whose writer was ended,
    /// for that alone.
    fn rows(&self) -> BTreeMap<&'static str, Row> {
        let mut rows: BTreeMap<&'static str, Row> = BTreeMap::new();
        for span in self.spans.iter().filter(|span| span.happened) {
            let row = rows.entry(span.kind).or_default();
            row.count += 1;
            let waits = self.waits.iter().filter(|wait| self.counts_for(wait, span));
            let longest = waits.map(|wait| wait.to.saturating_sub(wait.from)).max();
            row.longest = row.longest.max(longest.unwrap_or_default());
        }
        rows
    }

    fn counts_for(&self, wait: &Wait, span: &Span) -> bool {
        if self.spans.iter().any(|way| way.is_way_of(wait)) {
            return span.is_way_of(wait);
        }
        span.volume.is_none() && span.begin <= wait.from + CAUSE && span.end_or_never() >= wait.from
    }
}

impl Row {
    fn told(self, kind: &str, drawn: &str) -> String {
        format!("{kind:25} {drawn:>6} {:8} {:8.1} s\n", self.count, self.longest.as_secs_f64())
    }
}

impl Span {
    fn end_or_never(&self) -> Duration {
        self.end.unwrap_or(Duration::MAX)
    }

    fn is_way_of(&self, wait: &Wait) -> bool {
        self.volume == Some(wait.volume) && self.begin <= wait.to && self.end_or_never() >= wait.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn span(kind: &'static str, begin: u64, end: u64) -> Span {
        Span { kind, volume: None, begin: seconds(begin), end: Some(seconds(end)), happened: true }
    }

    fn wait(volume: &'static str, from: u64, to: u64) -> Wait {
        Wait { volume, from: seconds(from), to: seconds(to) }
    }

    #[test]
    fn a_wait_counts_for_what_goes_on_when_it_begins() {
        let notes = Notes {
            spans: vec![
                span("cut", 10, 12),
                span("cut", 40, 41),
                span("pause", 11, 20),
                span("full", 13, 20),
            ],
            waits: vec![wait("raw", 11, 14), wait("raw", 30, 39)],
            ..Notes::default()
        };
        let rows = notes.rows();
        assert_eq!(rows["cut"], Row { count: 2, longest: seconds(3) });
        assert_eq!(rows["pause"], Row { count: 1, longest: seconds(3) });
        assert_eq!(rows["full"], Row { count: 1, longest: seconds(0) });
    }

    #[test]
    fn a_volume_on_its_way_waits_for_nothing_else() {
        let way = Span { volume: Some("raw"), ..span(WAY, 12, 30) };
        let notes = Notes {
            spans: vec![span("cut", 10, 40), way],
            waits: vec![wait("raw", 11, 31), wait("xfs", 11, 13)],
            ..Notes::default()
        };
        let rows = notes.rows();
        assert_eq!(rows["cut"].longest, seconds(2));
        assert_eq!(rows[WAY].longest, seconds(20));
    }

    #[test]
    fn a_kind_that_was_drawn_and_forgotten_never_happened() {
        let forgotten = Span { happened: false, ..span("drive pulled", 10, 12) };
        let notes = Notes {
            spans: vec![forgotten, span("power cut", 20, 30), span("move", 5, 6)],
            drawn: BTreeMap::from([("drive pulled", 2), ("power cut", 3)]),
            ..Notes::default()
        };
        assert_eq!(notes.never_happened(), ["drive pulled"]);
        let summary = notes.summary();
        let row = |kind: &str| {
            let line = summary.lines().find(|line| line.starts_with(kind)).unwrap();
            line[kind.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("drive pulled"), ["2", "0", "0.0", "s"]);
        assert_eq!(row("power cut"), ["3", "1", "0.0", "s"]);
        assert_eq!(row("store full"), ["0", "0", "0.0", "s"]);
        assert_eq!(row("move"), ["1", "0.0", "s"]);
    }
}
