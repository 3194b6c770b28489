//! Text to records.

use super::{
    Access, BitmapLine, Mdstat, MdstatArray, MdstatFlags, MdstatMember, RunState, SlotSummary, SyncLine,
    SyncProgress,
};
use crate::ParseError;

/// Reads the text of `/proc/mdstat`.
pub fn parse(text: &str) -> Result<Mdstat, ParseError> {
    let mut mdstat = Mdstat::default();
    for line in text.lines() {
        match (line.strip_prefix("Personalities :"), mdstat.arrays.last_mut()) {
            (Some(levels), _) => mdstat.personalities = personalities(levels),
            (None, Some(array)) if line.starts_with([' ', '\t']) => detail(array, line),
            (None, _) => mdstat.arrays.extend(head(line)?),
        }
    }
    Ok(mdstat)
}

fn personalities(levels: &str) -> Vec<String> {
    let names = levels.split_whitespace().map(|word| word.trim_matches(['[', ']']));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `md127 : active (read-only) raid1 sdb1[1] sda1[0]`; `None` for lines that are not about an array.
fn head(line: &str) -> Result<Option<MdstatArray>, ParseError> {
    let Some((name, rest)) = line.split_once(" : ").filter(|(name, _)| name.starts_with("md")) else {
        return Ok(None);
    };
    let mut words = rest.split_whitespace().peekable();
    let state = words.next().ok_or_else(|| wrong("an array without a state", line))?;
    let mut array = blank(name, state);
    if let Some(access) = words.next_if(|word| word.starts_with('(')) {
        array.access = access_of(access).ok_or_else(|| wrong("an unknown access", line))?;
    }
    // The level is the only word that is no member.
    array.level = words.next_if(|word| !word.contains('[')).map(str::to_owned);
    let members: Option<Vec<_>> = words.map(member).collect();
    array.members = members.ok_or_else(|| wrong("an unreadable member", line))?;
    Ok(Some(array))
}

fn wrong(why: &str, line: &str) -> ParseError {
    let shown: String = line.chars().take(200).collect();
    ParseError::new("/proc/mdstat", format_args!("{why}: {shown:?}"))
}

fn blank(name: &str, state: &str) -> MdstatArray {
    MdstatArray {
        name: name.trim().to_owned(),
        state: run_state(state),
        access: Access::ReadWrite,
        level: None,
        members: Vec::new(),
        blocks_kib: None,
        metadata: None,
        slots: None,
        sync: None,
        bitmap: None,
    }
}

fn run_state(word: &str) -> RunState {
    match word {
        "active" => RunState::Active,
        "broken" => RunState::Broken,
        "inactive" => RunState::Inactive,
        other => RunState::Unknown(other.to_owned()),
    }
}

fn access_of(word: &str) -> Option<Access> {
    match word {
        "(read-only)" => Some(Access::ReadOnly),
        "(auto-read-only)" => Some(Access::AutoReadOnly),
        _ => None,
    }
}

/// `nvme0n1p1[0](W)(F)`.
fn member(word: &str) -> Option<MdstatMember> {
    let (device, rest) = word.split_once('[')?;
    let (number, letters) = rest.split_once(']')?;
    Some(MdstatMember { device: device.to_owned(), number: number.parse().ok()?, flags: flags(letters) })
}

fn flags(letters: &str) -> MdstatFlags {
    letters.split(['(', ')']).map(flag).fold(MdstatFlags::default(), MdstatFlags::with)
}

fn flag(letter: &str) -> MdstatFlags {
    match letter {
        "W" => MdstatFlags::WRITE_MOSTLY,
        "J" => MdstatFlags::JOURNAL,
        "F" => MdstatFlags::FAULTY,
        "S" => MdstatFlags::SPARE,
        "R" => MdstatFlags::REPLACEMENT,
        _ => MdstatFlags::default(),
    }
}

/// A line below an array's head. The kernel may put two on one line (`resync=PENDING`, then a tab, then nothing).
fn detail(array: &mut MdstatArray, line: &str) {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        [blocks, "blocks", rest @ ..] => {
            array.blocks_kib = blocks.parse().ok();
            array.metadata = after(rest, "super").map(str::to_owned);
            array.slots = slots(rest);
        }
        ["bitmap:", rest @ ..] => array.bitmap = bitmap(rest),
        words => array.sync = sync(words).or(array.sync.take()),
    }
}

fn after<'a>(words: &[&'a str], word: &str) -> Option<&'a str> {
    words.iter().skip_while(|&&here| here != word).nth(1).copied()
}

/// `[3/2] [UU_]`, the last two words.
fn slots(words: &[&str]) -> Option<SlotSummary> {
    let [.., counts, letters] = words else {
        return None;
    };
    let (total, in_sync) = bracketed(counts)?.split_once('/')?;
    let up = bracketed(letters)?.chars().map(|letter| letter == 'U').collect();
    Some(SlotSummary { total: total.parse().ok()?, in_sync: in_sync.parse().ok()?, up })
}

fn bracketed(word: &str) -> Option<&str> {
    word.strip_prefix('[')?.strip_suffix(']')
}

fn sync(words: &[&str]) -> Option<SyncLine> {
    match words {
        [word] => waiting(word),
        [bar, rest @ ..] if bar.starts_with('[') => progress(rest).map(SyncLine::Running),
        rest => progress(rest).map(SyncLine::Running),
    }
}

fn waiting(word: &str) -> Option<SyncLine> {
    match word.split_once('=')?.1 {
        "DELAYED" => Some(SyncLine::Delayed),
        "PENDING" => Some(SyncLine::Pending),
        "REMOTE" => Some(SyncLine::Remote),
        _ => None,
    }
}

/// `recovery = 12.6% (1/2) finish=3.4min speed=5K/sec`; the kernel pads the percentage with blanks to three digits.
fn progress(words: &[&str]) -> Option<SyncProgress> {
    let (action, rest) = match words {
        [action, "=", rest @ ..] => (*action, rest.to_vec()),
        // `=100.0%` has no blank.
        [action, glued, rest @ ..] => (*action, [&[glued.strip_prefix('=')?], rest].concat()),
        _ => return None,
    };
    let [percent, counts, rest @ ..] = rest.as_slice() else {
        return None;
    };
    let (done, total) = counts.strip_prefix('(')?.strip_suffix(')')?.split_once('/')?;
    let value =
        |key: &str, unit: &str| rest.iter().find_map(|word| word.strip_prefix(key)?.strip_suffix(unit));
    Some(SyncProgress {
        action: action.to_owned(),
        permille: tenths(percent.strip_suffix('%')?)?.try_into().ok()?,
        done_kib: done.parse().ok()?,
        total_kib: total.parse().ok()?,
        finish_deciminutes: value("finish=", "min").and_then(tenths),
        speed_kib: value("speed=", "K/sec").and_then(|speed| speed.parse().ok()),
    })
}

/// `12.6` as 126.
fn tenths(text: &str) -> Option<u64> {
    let (whole, tenth) = text.split_once('.')?;
    let tenth: u64 = tenth.parse().ok().filter(|&tenth| tenth < 10)?;
    whole.parse::<u64>().ok()?.checked_mul(10)?.checked_add(tenth)
}

/// `0/8 pages [0KB], 65536KB chunk`; the chunk may be in `B` instead.
fn bitmap(words: &[&str]) -> Option<BitmapLine> {
    let [pages, "pages", _memory, chunk, ..] = words else {
        return None;
    };
    let (used, total) = pages.split_once('/')?;
    Some(BitmapLine {
        pages_used: used.parse().ok()?,
        pages_total: total.parse().ok()?,
        chunk_bytes: chunk_bytes(chunk)?,
    })
}

fn chunk_bytes(text: &str) -> Option<u64> {
    match text.strip_suffix("KB") {
        Some(kib) => kib.parse::<u64>().ok()?.checked_mul(1024),
        None => text.strip_suffix('B')?.parse().ok(),
    }
}
