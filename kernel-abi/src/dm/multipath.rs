//! What a multipath map says of itself (drivers/md/dm-mpath.c `multipath_status`).

use std::str::{FromStr, SplitAsciiWhitespace};

use crate::{DevNum, ParseError};

/// The live status: which paths work. Whether I/O is held for want of a path stands in [`MultipathTable`], not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipathStatus {
    /// I/O waits for the initialisation of a path group (`MPATHF_QUEUE_IO`); not `queue_if_no_path`.
    pub queue_io: bool,
    /// Path groups in order.
    pub groups: Vec<PathGroup>,
}

/// One priority group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGroup {
    /// Its state.
    pub state: GroupState,
    /// Its paths.
    pub paths: Vec<PathStatus>,
}

/// State letter of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// `A`: in use.
    Active,
    /// `E`: could be used.
    Enabled,
    /// `D`: bypassed.
    Disabled,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStatus {
    /// The device below.
    pub device: DevNum,
    /// `A` is true, `F` (failed) is false.
    pub is_active: bool,
    /// How often it failed since it was loaded.
    pub fail_count: u32,
}

/// The live table as far as the kernel changes it: messages switch `queue_if_no_path` on and off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipathTable {
    /// I/O without a path is held, not failed.
    pub queue_if_no_path: bool,
    /// `bio`, `mq`; `None` for the kernel's default.
    pub queue_mode: Option<String>,
    /// Devices below, over all groups.
    pub paths: Vec<DevNum>,
}

impl MultipathStatus {
    /// The only path of a leg; `None` when there is not exactly one.
    #[must_use]
    pub fn only_path(&self) -> Option<&PathStatus> {
        let mut paths = self.groups.iter().flat_map(|group| &group.paths);
        paths.next().filter(|_| paths.next().is_none())
    }

    /// Whether some path works.
    #[must_use]
    pub fn has_active_path(&self) -> bool {
        self.groups.iter().flat_map(|group| &group.paths).any(|path| path.is_active)
    }
}

impl FromStr for MultipathStatus {
    type Err = ParseError;

    /// Reads the parameters of [`super::Control::status`]: `2 0 0 0 1 1 A 0 1 0 259:4 A 0`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = Words::new("multipath status", text);
        let features = words.counted("features")?;
        let queue_io = features.first().is_some_and(|&word| word == "1");
        words.counted("hardware handler")?;
        let group_count = words.number("group count")?;
        words.number("next group")?;
        let groups = (0..group_count).map(|_| words.group_status()).collect::<Result<_, _>>()?;
        Ok(Self { queue_io, groups })
    }
}

impl FromStr for MultipathTable {
    type Err = ParseError;

    /// Reads the parameters of [`super::Control::table`]:
    /// `3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 259:4 1`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut words = Words::new("multipath table", text);
        let features = words.counted("features")?;
        let mode = features.iter().skip_while(|&&word| word != "queue_mode").nth(1);
        words.counted("hardware handler")?;
        let group_count = words.number("group count")?;
        words.number("first group")?;
        let mut paths = Vec::new();
        for _ in 0..group_count {
            words.group_table(&mut paths)?;
        }
        let queue_if_no_path = features.contains(&"queue_if_no_path");
        Ok(Self { queue_if_no_path, queue_mode: mode.map(ToString::to_string), paths })
    }
}

/// The words of a line, where counts say how many follow. Every count is paid for in words, so a hostile one ends at the
/// end of the line.
struct Words<'a> {
    what: &'static str,
    rest: SplitAsciiWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn new(what: &'static str, text: &'a str) -> Self {
        Self { what, rest: text.split_ascii_whitespace() }
    }

    fn next(&mut self, field: &'static str) -> Result<&'a str, ParseError> {
        self.rest.next().ok_or_else(|| ParseError::new(self.what, format!("ends before {field}")))
    }

    fn parsed<T: FromStr>(&mut self, field: &'static str) -> Result<T, ParseError> {
        let word = self.next(field)?;
        word.parse().map_err(|_| ParseError::new(self.what, format!("{field} is {word:?}")))
    }

    fn number(&mut self, field: &'static str) -> Result<u32, ParseError> {
        self.parsed(field)
    }

    /// A count and that many words.
    fn counted(&mut self, field: &'static str) -> Result<Vec<&'a str>, ParseError> {
        let count = self.number(field)?;
        (0..count).map(|_| self.next(field)).collect()
    }

    fn skip(&mut self, count: u32, field: &'static str) -> Result<(), ParseError> {
        (0..count).try_for_each(|_| self.next(field).map(drop))
    }

    /// `A 0 1 0` and the paths: state, selector's words, path count, words per path.
    fn group_status(&mut self) -> Result<PathGroup, ParseError> {
        let state = match self.next("group state")? {
            "A" => GroupState::Active,
            "E" => GroupState::Enabled,
            "D" => GroupState::Disabled,
            other => return Err(ParseError::new(self.what, format!("group state is {other:?}"))),
        };
        self.counted("selector status")?;
        let path_count = self.number("path count")?;
        let extra = self.number("words per path")?;
        let paths = (0..path_count).map(|_| self.path_status(extra)).collect::<Result<_, _>>()?;
        Ok(PathGroup { state, paths })
    }

    fn path_status(&mut self, extra: u32) -> Result<PathStatus, ParseError> {
        let device = self.parsed("path device")?;
        let is_active = match self.next("path state")? {
            "A" => true,
            "F" => false,
            other => return Err(ParseError::new(self.what, format!("path state is {other:?}"))),
        };
        let fail_count = self.number("fail count")?;
        self.skip(extra, "selector's word of a path")?;
        Ok(PathStatus { device, is_active, fail_count })
    }

    /// `round-robin 0 1 1` and the paths: selector with its words, path count, words per path.
    fn group_table(&mut self, paths: &mut Vec<DevNum>) -> Result<(), ParseError> {
        self.next("selector")?;
        self.counted("selector arguments")?;
        let path_count = self.number("path count")?;
        let extra = self.number("words per path")?;
        for _ in 0..path_count {
            paths.push(self.parsed("path device")?);
            self.skip(extra, "argument of a path")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEVICE: DevNum = DevNum { major: 259, minor: 4 };

    #[test]
    fn a_failed_leg_shows_its_path() {
        let status: MultipathStatus = "2 0 0 0 1 1 E 0 1 0 259:4 F 3 ".parse().unwrap();
        let path = PathStatus { device: DEVICE, is_active: false, fail_count: 3 };
        assert_eq!(status.only_path(), Some(&path));
        assert!(!status.has_active_path());
        assert_eq!(status.groups[0].state, GroupState::Enabled);
    }

    #[test]
    fn the_words_of_other_selectors_are_skipped() {
        let text = "2 1 0 0 2 1 A 0 1 2 8:0 A 0 0 1 E 0 2 2 8:16 F 1 0 1 8:32 A 0 0 1";
        let status: MultipathStatus = text.parse().unwrap();
        assert!(status.queue_io && status.has_active_path());
        assert_eq!(status.only_path(), None);
        assert_eq!(status.groups[1].paths[1].device, DevNum { major: 8, minor: 32 });
    }

    #[test]
    fn the_table_tells_whether_io_is_held() {
        let holding: MultipathTable =
            "3 queue_if_no_path queue_mode bio 0 1 1 round-robin 0 1 1 259:4 1 ".parse().unwrap();
        assert!(holding.queue_if_no_path);
        assert_eq!((holding.queue_mode.as_deref(), holding.paths), (Some("bio"), vec![DEVICE]));
        let failing: MultipathTable = "2 queue_mode bio 0 1 1 round-robin 0 1 1 259:4 1".parse().unwrap();
        assert!(!failing.queue_if_no_path);
        let handler: MultipathTable = "0 1 alua 1 1 service-time 0 1 2 8:0 1 1".parse().unwrap();
        assert_eq!(handler.queue_mode, None);
    }

    #[test]
    fn a_hostile_count_ends_with_the_line() {
        assert!("4294967295 a b".parse::<MultipathStatus>().is_err());
        assert!("0 0 4294967295 1 A 0 4294967295 4294967295".parse::<MultipathStatus>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in any::<String>(), words in "([0-9AFED:]{1,3} ){0,30}") {
            for line in [text, words] {
                let _ = line.parse::<MultipathStatus>();
                let _ = line.parse::<MultipathTable>();
            }
        }
    }
}
