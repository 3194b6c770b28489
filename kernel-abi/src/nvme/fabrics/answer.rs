//! What `/dev/nvme-fabrics` says.

use std::collections::BTreeSet;

use crate::ParseError;
use crate::nvme::ControllerName;

/// A connection that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected {
    /// The controller on this host.
    pub controller: ControllerName,
    /// The number that the target gave it.
    pub cntlid: u16,
}

/// Reads `instance=3,cntlid=1` (`__nvmf_dev_show`). Unknown keys are passed over.
pub fn parse_answer(answer: &[u8]) -> Result<Connected, ParseError> {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim_matches(['\n', '\0', ' ']);
    let instance = number(text, "instance").ok_or_else(|| wrong(text, "instance"))?;
    let cntlid = number(text, "cntlid").ok_or_else(|| wrong(text, "cntlid"))?;
    Ok(Connected { controller: ControllerName(instance), cntlid })
}

fn number<N: std::str::FromStr>(text: &str, key: &str) -> Option<N> {
    let mut values = text.split(',').filter_map(|field| field.trim().split_once('='));
    let (_, value) = values.find(|(name, _)| *name == key)?;
    if value.bytes().all(|byte| byte.is_ascii_digit()) { value.parse().ok() } else { None }
}

/// Only the first 80 characters are quoted.
fn wrong(text: &str, key: &str) -> ParseError {
    let start: String = text.chars().take(80).collect();
    ParseError::new("nvme-fabrics answer", format!("no number for {key} in {start:?}"))
}

/// Reads `instance=-1,cntlid=-1` or `transport=%s,traddr=%s,…,duplicate_connect`: the names before the `=`.
#[must_use]
pub fn parse_supported(answer: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(answer);
    let names = text.split([',', '\n']).filter_map(|field| field.split('=').next());
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty() && name != "instance" && name != "cntlid").collect()
}
