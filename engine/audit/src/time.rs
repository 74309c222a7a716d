//! Times as people read them.

use counterfoil_proof::Timestamp;

/// RFC 3339 in UTC with nine decimals, for example `2026-03-01T09:30:00.000000001Z`.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(time.0.into()).expect("2^64 ns after 1970 is the year 2554");
    format!("{time:.9}")
}

/// Reads any RFC 3339 time from 1970 on; `None` for anything else.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_nanosecond()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_decimals_and_read_back() {
        for (nanoseconds, text) in [(0, "1970-01-01T00:00:00.000000000Z"), (u64::MAX, "2554-07-21T23:34:33.709551615Z")]
        {
            assert_eq!(time_text(Timestamp(nanoseconds)), text);
            assert_eq!(parse_time(text), Some(Timestamp(nanoseconds)));
        }
        assert_eq!(parse_time("1970-01-01T01:00:00+01:00"), Some(Timestamp(0)));
        assert_eq!(parse_time("1969-12-31T23:59:59Z"), None);
        assert_eq!(parse_time("yesterday"), None);
    }
}
