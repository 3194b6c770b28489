//! Payloads of answers: rows of a table, the list of maps, text.

use std::mem::offset_of;

use super::{Header, ListEntry, NAME_BYTES, Request, SPEC_BYTES, Spec, UUID_BYTES};
use super::{c_bytes, decode_device, flag, long, text_of, word};
use crate::ParseError;
use crate::dm::Target;

/// Reads the answer of `DM_LIST_DEVICES`, header included, as a trace or a recorder holds it.
pub fn decode_list(answer: &[u8]) -> Result<Vec<ListEntry>, ParseError> {
    Request(answer.to_vec()).list()
}

/// Reads the answer of `DM_TABLE_STATUS`, header included.
pub fn decode_targets(answer: &[u8]) -> Result<Vec<Target>, ParseError> {
    Request(answer.to_vec()).targets()
}

impl Request {
    /// The targets of a table or of a status: here `next` counts from the start of the payload.
    pub(in crate::dm) fn targets(&self) -> Result<Vec<Target>, ParseError> {
        let payload = self.payload()?;
        let count = word(&self.0, offset_of!(Header, target_count)).unwrap_or(0);
        let mut targets = Vec::new();
        let mut at = 0;
        for index in 0..count {
            let wrong =
                || ParseError::new("dm_target_spec", format!("target {index} at {at} is not in the answer"));
            let (target, next) = decode_target(payload, at).ok_or_else(wrong)?;
            targets.push(target);
            if index + 1 < count && next < at + SPEC_BYTES {
                return Err(wrong());
            }
            at = next;
        }
        Ok(targets)
    }

    /// The list of maps; `next` counts from each record's own start, zero ends it.
    pub(in crate::dm) fn list(&self) -> Result<Vec<ListEntry>, ParseError> {
        let payload = self.payload()?;
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            let wrong = || ParseError::new("dm_name_list", format!("record at {at} is not in the answer"));
            let device = long(payload, at).ok_or_else(wrong)?;
            let next = word(payload, at + 8).ok_or_else(wrong)? as usize;
            if device != 0 {
                entries.push(decode_entry(payload, at, device).ok_or_else(wrong)?);
            }
            match next {
                0 => return Ok(entries),
                1..16 => return Err(wrong()),
                step => at = at.saturating_add(step),
            }
        }
    }

    /// The text a message answered with.
    pub(in crate::dm) fn answer(&self) -> Result<Option<String>, ParseError> {
        if self.flags() & flag::DATA_OUT == 0 { Ok(None) } else { Ok(Some(text_of(self.payload()?))) }
    }
}

/// The target at `at`, and where the next one starts; its parameters end there too.
fn decode_target(payload: &[u8], at: usize) -> Option<(Target, usize)> {
    let spec = payload.get(at..)?;
    let next = word(spec, offset_of!(Spec, next))? as usize;
    let end = next.min(payload.len());
    let target = Target {
        start_sector: long(spec, offset_of!(Spec, sector_start))?,
        sectors: long(spec, offset_of!(Spec, length))?,
        kind: text_of(spec.get(offset_of!(Spec, target_type)..SPEC_BYTES)?),
        parameters: text_of(payload.get(at + SPEC_BYTES..end)?),
    };
    Some((target, next))
}

/// Name, then at the next multiple of eight the event number and flags, then the UUID where the flags say so.
fn decode_entry(payload: &[u8], at: usize, device: u64) -> Option<ListEntry> {
    const HAS_UUID: u32 = 1;
    let name = c_bytes(payload.get(at + 12..)?, NAME_BYTES);
    let event_at = (at + 12 + name.len() + 1).next_multiple_of(8);
    let event_nr = word(payload, event_at).unwrap_or(0);
    let has_uuid = word(payload, event_at + 4).is_some_and(|flags| flags & HAS_UUID != 0);
    let uuid =
        payload.get(event_at + 8..).filter(|_| has_uuid).map(|rest| text_of(c_bytes(rest, UUID_BYTES)));
    Some(ListEntry { name: text_of(name), uuid, device: decode_device(device), event_nr })
}
