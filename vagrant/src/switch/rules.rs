//! What happens to a frame between two parties.

use std::collections::HashMap;
use std::time::Duration;

/// What the switch does with one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The frame is lost.
    Drop,
    /// The frame arrives after this time.
    Pass(Duration),
}

#[derive(Debug, Clone, Copy, Default)]
struct Rule {
    cut: bool,
    delay: Duration,
    /// Share of lost frames, 0.0 to 1.0.
    loss: f64,
}

/// The rules of the network, one per ordered pair of parties; no rule means an untouched link.
#[derive(Debug)]
pub struct Rules {
    pairs: HashMap<(String, String), Rule>,
    dice: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { pairs: HashMap::new(), dice: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Rules {
    /// Nothing from `from` reaches `to` any more.
    pub fn cut(&mut self, from: &str, to: &str) {
        self.rule(from, to).cut = true;
    }

    /// Frames from `from` to `to` take `delay` longer, and the share `loss` (0.0 to 1.0) of them gets lost.
    pub fn slow(&mut self, from: &str, to: &str, delay: Duration, loss: f64) {
        let rule = self.rule(from, to);
        (rule.delay, rule.loss) = (delay, loss);
    }

    /// The link from `from` to `to` is whole again.
    pub fn mend(&mut self, from: &str, to: &str) {
        self.pairs.remove(&(from.to_owned(), to.to_owned()));
    }

    /// All links are whole again.
    pub fn heal(&mut self) {
        self.pairs.clear();
    }

    /// One line for every touched link.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.pairs.iter().map(|((from, to), rule)| format!("{from} -> {to}: {}", shown(rule))).collect();
        lines.sort();
        lines
    }

    pub(super) fn judge(&mut self, from: &str, to: &str) -> Verdict {
        if self.pairs.is_empty() {
            return Verdict::Pass(Duration::ZERO);
        }
        let rule = self.pairs.get(&(from.to_owned(), to.to_owned())).copied().unwrap_or_default();
        if rule.cut || (rule.loss > 0.0 && self.throw() < rule.loss) {
            return Verdict::Drop;
        }
        Verdict::Pass(rule.delay)
    }

    fn rule(&mut self, from: &str, to: &str) -> &mut Rule {
        self.pairs.entry((from.to_owned(), to.to_owned())).or_default()
    }

    /// The next number of 0.0..1.0 (xorshift64; always the same row, so that a run can be repeated).
    fn throw(&mut self) -> f64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let top = u32::try_from(self.dice >> 32).unwrap_or_default();
        f64::from(top) / 4_294_967_296.0
    }
}

fn shown(rule: &Rule) -> String {
    if rule.cut {
        return "cut".into();
    }
    format!("slow by {} ms, {:.1} % lost", rule.delay.as_millis(), rule.loss * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_about_what_was_asked() {
        let mut rules = Rules::default();
        rules.slow("a", "b", Duration::ZERO, 0.25);
        let lost = (0..10_000).filter(|_| rules.judge("a", "b") == Verdict::Drop).count();
        assert!((2_300..2_700).contains(&lost), "{lost}");
        assert_eq!(rules.judge("b", "a"), Verdict::Pass(Duration::ZERO));
    }

    #[test]
    fn heal_forgets_everything() {
        let mut rules = Rules::default();
        rules.cut("a", "b");
        rules.cut("b", "a");
        rules.mend("b", "a");
        assert_eq!(rules.lines(), ["a -> b: cut"]);
        rules.heal();
        assert_eq!(rules.judge("a", "b"), Verdict::Pass(Duration::ZERO));
    }
}
