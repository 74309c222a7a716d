//! The fold that judges control receipts one after another.

use crate::canonical::{CanonicalError, from_canonical};
use crate::exported::{EXPORTED_KIND, Exported, ExportedError};
use crate::genesis::{GENESIS_KIND, Genesis, GenesisError};
use crate::ledger_writer;
use crate::recovered::{RECOVERED_KIND, Recovered};
use counterfoil_proof::{ClassId, Envelope, LeafIndex, Media, Timestamp, TreeSize};

/// Name of class 0, which every ledger has.
const FOREVER: &str = "forever";

/// A control receipt with its payload. Payloads of control receipts are never erased.
#[derive(Clone, Copy, Debug)]
pub struct ControlReceipt<'a> {
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// Its payload.
    pub payload: &'a [u8],
}

/// The rules in force after some control receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    genesis: Genesis,
    recovered: Vec<Recovered>,
    recovered_at: Vec<Timestamp>,
}

/// Why a control receipt may not stand where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The first control receipt is no genesis, or a genesis stands behind index 0.
    #[error("index {index}: a ledger begins with one genesis, and has no other")]
    Genesis {
        /// Where.
        index: LeafIndex,
    },
    /// The genesis is malformed.
    #[error("index 0: {0}")]
    MalformedGenesis(#[from] GenesisError),
    /// A kind this version does not know.
    #[error("index {index}: control kind {kind} is unknown to this version; judge the ledger with a newer one")]
    UnknownKind {
        /// Where.
        index: LeafIndex,
        /// The kind.
        kind: String,
    },
    /// The payload is malformed.
    #[error("index {index}: {error}")]
    Malformed {
        /// Where.
        index: LeafIndex,
        /// What is wrong.
        error: CanonicalError,
    },
    /// A record of a recovery names a size that the ledger did not have.
    #[error("index {index}: the recovery says it kept {kept} receipts, but it stands behind fewer")]
    ImpossibleRecovery {
        /// Where.
        index: LeafIndex,
        /// Size it says was kept.
        kept: TreeSize,
    },
    /// The envelope of a control receipt is not as the ledger writes it.
    #[error("index {index}: {rule}")]
    Envelope {
        /// Where.
        index: LeafIndex,
        /// What it breaks.
        rule: &'static str,
    },
    /// The statement of an export is malformed.
    #[error("index {index}: the export: {error}")]
    MalformedExport {
        /// Where.
        index: LeafIndex,
        /// What is wrong.
        error: ExportedError,
    },
    /// The statement of an export counts receipts behind itself.
    #[error("index {index}: the export says what was there at size {size}, but it stands behind fewer receipts")]
    ImpossibleExport {
        /// Where.
        index: LeafIndex,
        /// Size it says it counted at.
        size: TreeSize,
    },
}

impl Rules {
    /// The rules after genesis, the receipt at index 0.
    ///
    /// # Errors
    /// [`Violation`] when it is no genesis.
    pub fn begin(receipt: ControlReceipt<'_>) -> Result<Self, Violation> {
        let index = receipt.envelope.index;
        if receipt.envelope.kind.as_str() != GENESIS_KIND || index != LeafIndex(0) {
            return Err(Violation::Genesis { index });
        }
        check_envelope(receipt.envelope)?;
        let genesis = Genesis::from_payload(receipt.payload)?;
        if genesis.created != receipt.envelope.time {
            return Err(Violation::Envelope { index, rule: "the time of genesis is the time of creation in it" });
        }
        Ok(Self { genesis, recovered: Vec::new(), recovered_at: Vec::new() })
    }

    /// The rules after one more control receipt.
    ///
    /// # Errors
    /// [`Violation`] when it may not stand there.
    pub fn apply(mut self, receipt: ControlReceipt<'_>) -> Result<Self, Violation> {
        let index = receipt.envelope.index;
        check_envelope(receipt.envelope)?;
        match receipt.envelope.kind.as_str() {
            GENESIS_KIND => Err(Violation::Genesis { index }),
            RECOVERED_KIND => {
                let recovered: Recovered =
                    from_canonical(receipt.payload).map_err(|error| Violation::Malformed { index, error })?;
                let malformed =
                    |what: &str| Violation::Malformed { index, error: CanonicalError::Json(what.to_owned()) };
                let (kept, _) = recovered.kept().ok_or(malformed("kept_size or kept_root is malformed"))?;
                if !recovered.names_its_file() {
                    return Err(malformed("cut_digest is no digest, or cut_file is not the name of that file"));
                }
                if kept.0 > index.0 {
                    return Err(Violation::ImpossibleRecovery { index, kept });
                }
                self.recovered.push(recovered);
                self.recovered_at.push(receipt.envelope.time);
                Ok(self)
            }
            EXPORTED_KIND => {
                let malformed = |error| Violation::MalformedExport { index, error };
                let Exported { size, .. } = Exported::from_payload(receipt.payload).map_err(malformed)?;
                if size.0 > index.0 { Err(Violation::ImpossibleExport { index, size }) } else { Ok(self) }
            }
            kind => Err(Violation::UnknownKind { index, kind: kind.to_owned() }),
        }
    }

    /// What the ledger has been from its first receipt on.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Every recovery so far that had to cut bytes.
    #[must_use]
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// When the ledger recorded the cut of a file with this BLAKE3 digest; the latest time if it did so more than once.
    #[must_use]
    pub fn recovered_at(&self, cut_digest: &str) -> Option<Timestamp> {
        let recorded = self.recovered.iter().zip(&self.recovered_at).rev();
        recorded.into_iter().find(|(recovered, _)| recovered.cut_digest == cut_digest).map(|(_, time)| *time)
    }

    /// The retention class of this name, if there is one.
    #[must_use]
    pub fn class_by_name(&self, name: &str) -> Option<ClassId> {
        (name == FOREVER).then_some(ClassId::FOREVER)
    }

    /// The name of a retention class, if there is one.
    #[must_use]
    pub fn class_name(&self, class: ClassId) -> Option<&str> {
        (class == ClassId::FOREVER).then_some(FOREVER)
    }
}

/// No control receipt of this version is signed: the ledger writes them, as JSON.
fn check_envelope(envelope: &Envelope) -> Result<(), Violation> {
    let broken = |rule| Err(Violation::Envelope { index: envelope.index, rule });
    match (envelope.writer == ledger_writer(), envelope.media) {
        (true, Media::Json) => Ok(()),
        (false, _) => broken("a control receipt that nobody signed is written by the ledger"),
        (true, _) => broken("the payload of a control receipt is JSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_canonical;
    use crate::{ExportScope, ledger_writer};
    use counterfoil_proof::{
        CommitmentAlgorithm, Hash, Kind, Media, Origin, Salt, SignatureType, StreamName, StreamSeq, Timestamp,
        VerifierKey,
    };
    use ed25519_dalek::SigningKey;

    fn genesis() -> Vec<u8> {
        let key = SigningKey::from_bytes(&[1; 32]).verifying_key();
        let origin = Origin::new("example.com/a").unwrap();
        let genesis = Genesis {
            checkpoint_key: VerifierKey::new(origin.clone(), SignatureType::Ed25519, key),
            origin,
            commitment: CommitmentAlgorithm::Blake3,
            roots: Vec::new(),
            root_threshold: 0,
            release_delay: crate::RELEASE_DELAY_DEFAULT,
            created: Timestamp(1),
            random: [0; 32],
        };
        genesis.to_payload().unwrap()
    }

    fn envelope(index: u64, kind: &str, payload: &[u8]) -> Envelope {
        let some = if index == 0 { Hash::ZERO } else { Hash([1; 32]) };
        let seq = StreamSeq(u64::from(index > 0));
        Envelope {
            index: LeafIndex(index),
            time: Timestamp(1),
            prev: some,
            control_seq: seq,
            control_head: some,
            stream: StreamName::control(),
            stream_seq: seq,
            stream_prev: some,
            kind: Kind::new(kind).unwrap(),
            class: ClassId::FOREVER,
            writer: ledger_writer(),
            writer_signature: None,
            closes_stream: false,
            media: Media::Json,
            links: Vec::new(),
            subject: None,
            commitment: CommitmentAlgorithm::Blake3.commit(&Salt([0; 32]), payload),
        }
    }

    fn begin() -> Rules {
        let payload = genesis();
        Rules::begin(ControlReceipt { envelope: &envelope(0, GENESIS_KIND, &payload), payload: &payload }).unwrap()
    }

    fn apply(index: u64, kind: &str, payload: &[u8]) -> Result<Rules, Violation> {
        begin().apply(ControlReceipt { envelope: &envelope(index, kind, payload), payload })
    }

    #[test]
    fn a_ledger_has_exactly_one_genesis() {
        let payload = genesis();
        let second = apply(4, GENESIS_KIND, &payload);
        assert_eq!(second, Err(Violation::Genesis { index: LeafIndex(4) }));
        let other = envelope(0, RECOVERED_KIND, &payload);
        let first = Rules::begin(ControlReceipt { envelope: &other, payload: &payload });
        assert_eq!(first, Err(Violation::Genesis { index: LeafIndex(0) }));
    }

    #[test]
    fn an_unknown_control_kind_is_a_violation() {
        let error = Violation::UnknownKind { index: LeafIndex(4), kind: "ledger.magic/1".into() };
        assert_eq!(apply(4, "ledger.magic/1", b"{}"), Err(error));
    }

    #[test]
    fn a_recovery_cannot_keep_more_than_there_was() {
        let recovered = Recovered {
            cut_file: format!("{:020}-8192-{}.cut", 0, "01".repeat(8)),
            cut_digest: Hash([1; 32]).to_string(),
            cut_bytes: 4096,
            kept_size: "5".into(),
            kept_root: Hash([2; 32]).to_string(),
        };
        let payload = to_canonical(&recovered).unwrap();
        assert_eq!(apply(5, RECOVERED_KIND, &payload).unwrap().recovered(), [recovered]);
        let error = Violation::ImpossibleRecovery { index: LeafIndex(4), kept: TreeSize(5) };
        assert_eq!(apply(4, RECOVERED_KIND, &payload), Err(error));
    }

    #[test]
    fn a_recovery_names_the_file_with_its_digest() {
        let good = format!("{:020}-8192-{}.cut", 7, "01".repeat(8));
        let names = [good.as_str(), "x.cut", &good[1..], &good.replace("8192", "08192")];
        let apply = |file: &str, digest: String| {
            let (cut_file, cut_bytes, kept_size) = (file.to_owned(), 4096, "5".into());
            let kept_root = Hash([2; 32]).to_string();
            let recovered = Recovered { cut_file, cut_digest: digest, cut_bytes, kept_size, kept_root };
            apply(5, RECOVERED_KIND, &to_canonical(&recovered).unwrap()).is_ok()
        };
        let digest = Hash([1; 32]).to_string();
        assert_eq!(names.map(|name| apply(name, digest.clone())), [true, false, false, false]);
        assert!(!apply(&good, Hash([3; 32]).to_string()));
        assert!(!apply(&good, "01".repeat(31)));
    }

    #[test]
    fn a_control_receipt_is_json_written_by_the_ledger() {
        let payload = genesis();
        let begin = |envelope: &Envelope| Rules::begin(ControlReceipt { envelope, payload: &payload });
        let envelope = envelope(0, GENESIS_KIND, &payload);
        assert!(begin(&envelope).is_ok());
        assert!(matches!(begin(&Envelope { media: Media::Text, ..envelope.clone() }), Err(Violation::Envelope { .. })));
        let writer = counterfoil_proof::Principal::new("ann").unwrap();
        assert!(matches!(begin(&Envelope { writer, ..envelope.clone() }), Err(Violation::Envelope { .. })));
        let time = Timestamp(envelope.time.0 + 1);
        assert!(matches!(begin(&Envelope { time, ..envelope }), Err(Violation::Envelope { .. })));
    }

    #[test]
    fn an_export_counts_nothing_behind_itself() {
        let scope = ExportScope::Stream(StreamName::new("a").unwrap());
        let exported = Exported { scope, size: TreeSize(5), count: 2, head: Hash([3; 32]) };
        let payload = exported.to_payload().unwrap();
        assert_eq!(apply(5, EXPORTED_KIND, &payload), Ok(begin()));
        let error = Violation::ImpossibleExport { index: LeafIndex(4), size: TreeSize(5) };
        assert_eq!(apply(4, EXPORTED_KIND, &payload), Err(error));
        assert!(matches!(apply(5, EXPORTED_KIND, b"{}"), Err(Violation::MalformedExport { .. })));
    }

    #[test]
    fn only_forever_exists_from_the_start() {
        assert_eq!(begin().class_by_name("forever"), Some(ClassId(0)));
        assert_eq!(begin().class_by_name("short"), None);
        assert_eq!(begin().class_name(ClassId(1)), None);
    }
}
