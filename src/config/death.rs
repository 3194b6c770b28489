//! `MDFABRIC_TEST_DIE`: where a daemon under test kills itself. Only tests set it, so neither file nor flag knows it.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

/// The moments at which a daemon sends SIGKILL to itself. The file has a line for each step it died at before: at those
/// it lives on, so that a daemon that is started again and again dies once at every step but routine. The daemon adds
/// the line before it dies; who takes the file away lets it die anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Death {
    /// A step that is not in the file is about to begin: what came before it has been heard and recorded.
    Before(PathBuf),
    /// A step that is not in the file is done in the kernel, and nobody has heard of it yet.
    After(PathBuf),
}

impl FromStr for Death {
    type Err = String;

    /// `before:FILE` or `after:FILE`, the file with an absolute path.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("before", file)) if file.starts_with('/') => Ok(Self::Before(file.into())),
            Some(("after", file)) if file.starts_with('/') => Ok(Self::After(file.into())),
            _ => Err("no moment to die: use before:/FILE or after:/FILE".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_or_refused() {
        assert_eq!("after:/tmp/d".parse(), Ok(Death::After("/tmp/d".into())));
        assert_eq!("before:/tmp/d".parse(), Ok(Death::Before("/tmp/d".into())));
        for bad in ["", "/tmp/d", "after", "after:", "after:d", "never:/tmp/d"] {
            assert!(bad.parse::<Death>().unwrap_err().contains("before:/FILE"), "{bad}");
        }
    }
}
