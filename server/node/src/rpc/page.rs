//! Page tokens: where to go on reading, bound to what is read.

use crate::status::Failure;
use counterfoil_engine::{Cursor, Selection};
use counterfoil_proof::{LeafIndex, hex, unhex};

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

/// Tells a token of another request from ours; nothing depends on its being hard to forge.
fn fingerprint(ledger: &str, selection: &Selection) -> [u8; 4] {
    let (stream, from) = match selection {
        Selection::Ledger { from } => ("", from.0),
        Selection::Stream { stream, from } => (stream.as_str(), from.0),
    };
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&from.to_be_bytes());
    for text in [stream, ledger] {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_proof::{StreamName, StreamSeq};

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
    fn text_that_is_no_token_is_refused() {
        for text in ["x", "00", "zz0000000000000000000000", &"0".repeat(26)] {
            assert!(matches!(cursor("main", &stream("a"), text), Err(Failure::PageToken)), "{text}");
        }
    }
}
