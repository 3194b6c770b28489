//! Until when a caller waits.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// Where the caller does not say.
const DEFAULT: Duration = Duration::from_mins(1);

/// The moment by which an answer has to be there for the caller to hear it: nine tenths of the time it gives. What it waits for can
/// then be said; a call that the transport ends says nothing.
#[must_use]
pub fn of(metadata: &MetadataMap) -> Instant {
    let given = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse);
    let time = given.map_or(DEFAULT, |time| time / 10 * 9);
    // A caller that waits for centuries is one that says nothing.
    Instant::now().checked_add(time).unwrap_or_else(|| Instant::now() + DEFAULT)
}

/// At most eight digits and a unit (gRPC over HTTP/2, `Timeout`).
fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok().filter(|_| number.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        for (text, millis) in [("2H", 7_200_000), ("1M", 60_000), ("15S", 15_000), ("10m", 10), ("5000u", 5)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("1000000n"), Some(Duration::from_millis(1)));
        for text in ["", "S", "5", "5s", "-1S", "123456789S", "1ß"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_comes_before_the_caller_gives_up() {
        let mut metadata = MetadataMap::new();
        assert_eq!(of(&metadata) - Instant::now(), DEFAULT);
        metadata.insert("grpc-timeout", "10S".parse().unwrap());
        assert_eq!(of(&metadata) - Instant::now(), Duration::from_secs(9));
    }
}
