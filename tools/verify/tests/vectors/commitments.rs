//! Both commitments, over payloads of lengths where blocks begin and end.

use crate::sample::{counting, payload};
use crate::store::check;
use counterfoil_proof::{CommitmentAlgorithm, Salt, hex};
use serde_json::json;

const LENGTHS: [usize; 22] =
    [0, 1, 7, 8, 23, 24, 25, 31, 32, 63, 64, 65, 127, 128, 129, 959, 960, 961, 1023, 1024, 1025, 65_536];

#[test]
fn commitments_are_those_of_the_vectors() {
    let salt = Salt(counting(0x20));
    let cases = LENGTHS.map(|len| {
        let digest = |algorithm: CommitmentAlgorithm| {
            let commitment = algorithm.commit(&salt, &payload(len));
            assert!(commitment.opens_to(&salt, &payload(len)));
            assert!(!commitment.opens_to(&salt, &payload(len + 1)));
            commitment.digest.to_string()
        };
        json!({
            "payload_bytes": len,
            "blake3": digest(CommitmentAlgorithm::Blake3),
            "hmac-sha256": digest(CommitmentAlgorithm::HmacSha256),
        })
    });
    check("commitments.json", &json!({ "salt": hex(&salt.0), "payload_rule": "byte i is i mod 251", "cases": cases }));
}
