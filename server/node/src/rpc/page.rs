//! Page tokens: where to go on reading or listing, bound to what is read or listed.

use crate::status::Failure;
use counterfoil_engine::{Cursor, Selection};
use counterfoil_proof::{LeafIndex, StreamName, hex, unhex};

/// Where the token of a read holds its first index or position, that of a listing holds this.
const STREAMS: u64 = u64::MAX;

/// The token that asks for the page beginning at `cursor`: 24 hexadecimal digits, opaque to callers.
pub(crate) fn token(ledger: &str, selection: &Selection, cursor: Cursor) -> String {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&cursor.0.0.to_be_bytes());
    bytes[8..].copy_from_slice(&fingerprint(ledger, selection));
    hex(&bytes)
}

/// Reads a token; `None` for the first page.
pub(crate) fn cursor(ledger: &str, selection: &Selection, token: &str) -> Result<Option<Cursor>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes: [u8; 12] = unhex(token).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Failure::PageToken)?;
    let (cursor, stated) = bytes.split_first_chunk::<8>().expect("12 bytes hold 8");
    if stated != fingerprint(ledger, selection) {
        return Err(Failure::PageToken);
    }
    Ok(Some(Cursor(LeafIndex(u64::from_be_bytes(*cursor)))))
}

/// The token that asks for the streams behind `last`: hexadecimal digits, opaque to callers.
pub(crate) fn stream_token(ledger: &str, prefix: &str, last: &StreamName) -> String {
    hex(&[&checksum(STREAMS, [prefix, ledger]), last.as_str().as_bytes()].concat())
}

/// Reads a token of [`stream_token`]; `None` for the first page.
pub(crate) fn after_stream(ledger: &str, prefix: &str, token: &str) -> Result<Option<StreamName>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = unhex(token).map_err(|_| Failure::PageToken)?;
    match bytes.split_first_chunk() {
        Some((stated, name)) if *stated == checksum(STREAMS, [prefix, ledger]) => {
            StreamName::from_bytes(name).map(Some).map_err(|_| Failure::PageToken)
        }
        _ => Err(Failure::PageToken),
    }
}

fn fingerprint(ledger: &str, selection: &Selection) -> [u8; 4] {
    match selection {
        Selection::Ledger { from } => checksum(from.0, ["", ledger]),
        Selection::Stream { stream, from } => checksum(from.0, [stream.as_str(), ledger]),
    }
}

/// Tells a token of another request from ours; nothing depends on its being hard to forge.
fn checksum(number: u64, texts: [&str; 2]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_be_bytes());
    for text in texts {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_proof::StreamSeq;

    fn stream(name: &str) -> Selection {
        Selection::Stream { stream: StreamName::new(name).unwrap(), from: StreamSeq(0) }
    }

    #[test]
    fn a_token_reads_back() {
        let token = token("main", &stream("a"), Cursor(LeafIndex(77)));
        assert_eq!(cursor("main", &stream("a"), &token).unwrap(), Some(Cursor(LeafIndex(77))));
        assert_eq!(cursor("main", &stream("a"), "").unwrap(), None);
    }

    #[test]
    fn a_token_of_another_request_is_refused() {
        let token = token("main", &stream("a"), Cursor(LeafIndex(77)));
        assert!(cursor("main", &stream("b"), &token).is_err());
        assert!(cursor("other", &stream("a"), &token).is_err());
        assert!(cursor("main", &Selection::Ledger { from: LeafIndex(0) }, &token).is_err());
    }

    #[test]
    fn a_token_of_a_listing_reads_back_for_its_own_prefix_only() {
        let last = StreamName::new("in/é").unwrap();
        let token = stream_token("main", "in/", &last);
        assert_eq!(after_stream("main", "in/", &token).unwrap(), Some(last));
        assert_eq!(after_stream("main", "in/", "").unwrap(), None);
        for (ledger, prefix) in [("main", "in"), ("other", "in/")] {
            assert!(matches!(after_stream(ledger, prefix, &token), Err(Failure::PageToken)));
        }
        for text in ["x", "00", &token[..8], &format!("{token}ff")] {
            assert!(matches!(after_stream("main", "in/", text), Err(Failure::PageToken)), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_token_is_refused() {
        for text in ["x", "00", "zz0000000000000000000000", &"0".repeat(26)] {
            assert!(matches!(cursor("main", &stream("a"), text), Err(Failure::PageToken)), "{text}");
        }
    }
}
