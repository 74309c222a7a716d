//! C2SP signed notes: text with signature lines, and the keys that make them.

use crate::hash::{hex, unhex};
use crate::names::{NameError, Origin};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// Longest note read, in bytes.
pub const NOTE_LEN_MAX: usize = 64 * 1024;
/// Most signature lines read; C2SP asks for at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 64;

const SIGNATURE_PREFIX: &str = "\u{2014} ";
const KEY_ID_LEN: usize = 4;

/// First four bytes of `SHA-256(key name ‖ 0x0A ‖ signature type ‖ public key)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; KEY_ID_LEN]);

/// Signature types of C2SP that this product reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SignatureType {
    /// Ed25519 over the note text: logs and officers.
    Ed25519 = 0x01,
    /// Timestamped Ed25519 over a checkpoint: witnesses (C2SP tlog-cosignature).
    CosignatureV1 = 0x04,
}

impl SignatureType {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureV1].into_iter().find(|kind| kind.byte() == byte)
    }

    /// Its identifier byte.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// A public key in C2SP vkey form, `name+id+key`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: Origin,
    id: KeyId,
    kind: SignatureType,
    key: VerifyingKey,
}

impl VerifierKey {
    /// The verifier key of a named Ed25519 public key.
    #[must_use]
    pub fn new(name: Origin, kind: SignatureType, key: VerifyingKey) -> Self {
        let digest = Sha256::new()
            .chain_update(name.as_str())
            .chain_update([b'\n', kind.byte()])
            .chain_update(key.as_bytes())
            .finalize();
        let id = KeyId([digest[0], digest[1], digest[2], digest[3]]);
        Self { name, id, kind, key }
    }

    /// Reads `name+hex(id)+base64(type ‖ key)`.
    ///
    /// # Errors
    /// [`NoteError`] when a part is malformed, the type is unknown or the id does not belong to name and key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key { part: "shape: expected name+id+key" });
        };
        let name = Origin::new(name).map_err(NoteError::KeyName)?;
        let id = unhex(id).ok().and_then(|id| id.try_into().ok()).ok_or(NoteError::Key { part: "id" })?;
        let key = decode_base64(key).ok_or(NoteError::Key { part: "base64" })?;
        let (kind, key) = key.split_first().ok_or(NoteError::Key { part: "length" })?;
        let kind = SignatureType::from_byte(*kind).ok_or(NoteError::Key { part: "signature type" })?;
        let key: [u8; 32] = key.try_into().map_err(|_| NoteError::Key { part: "length" })?;
        let key = VerifyingKey::from_bytes(&key).map_err(|_| NoteError::Key { part: "public key" })?;
        let found = Self::new(name, kind, key);
        if found.id == KeyId(id) { Ok(found) } else { Err(NoteError::Key { part: "id (it belongs to another key)" }) }
    }

    /// The key's name; for a log key this is the origin.
    #[must_use]
    pub fn name(&self) -> &Origin {
        &self.name
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What the key signs.
    #[must_use]
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// `verify_strict` over raw bytes.
    #[must_use]
    pub fn verifies_raw(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    /// True when a signature line claims to be of this key.
    #[must_use]
    pub fn claims(&self, signature: &NoteSignature) -> bool {
        self.name == signature.name && self.id == signature.key_id
    }

    /// Checks a signature line over a note's text, in the way of the key's type.
    #[must_use]
    pub fn verifies(&self, text: &str, signature: &NoteSignature) -> bool {
        if !self.claims(signature) {
            return false;
        }
        match self.kind {
            SignatureType::Ed25519 => {
                signature.bytes.as_slice().try_into().is_ok_and(|bytes| self.verifies_raw(text.as_bytes(), bytes))
            }
            SignatureType::CosignatureV1 => {
                let Some((time, bytes)) = signature.bytes.split_first_chunk::<8>() else { return false };
                let time = u64::from_be_bytes(*time);
                let message = format!("cosignature/v1\ntime {time}\n{text}");
                i64::try_from(time).is_ok()
                    && bytes.try_into().is_ok_and(|bytes| self.verifies_raw(message.as_bytes(), bytes))
            }
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(&self.id.0), STANDARD.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One signature line of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: Origin,
    /// Id of the key.
    pub key_id: KeyId,
    /// The signature, in the form its type defines.
    pub bytes: Vec<u8>,
}

/// Text with signature lines. Nothing in it is trusted until a policy verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// Why text is not a signed note, or why a key is not a verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteError {
    /// More bytes than [`NOTE_LEN_MAX`].
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// The bytes are not UTF-8.
    NotUtf8,
    /// A control character other than a newline.
    ControlCharacter,
    /// No empty line followed by signature lines, or the text does not end in a newline.
    Shape,
    /// A signature line is malformed.
    SignatureLine {
        /// 1-based number among the signature lines.
        line: usize,
    },
    /// No signature line, or more than [`NOTE_SIGNATURES_MAX`].
    SignatureCount {
        /// Lines found.
        found: usize,
    },
    /// A key name breaks its rules.
    KeyName(NameError),
    /// A verifier key is malformed.
    Key {
        /// Which part.
        part: &'static str,
    },
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => write!(f, "{found} bytes are more than the {NOTE_LEN_MAX} a note may have"),
            Self::NotUtf8 => f.write_str("a note is UTF-8 text, this is not"),
            Self::ControlCharacter => f.write_str("a note holds no control characters other than newlines"),
            Self::Shape => f.write_str("a note is text, an empty line and signature lines, each ended by a newline"),
            Self::SignatureLine { line } => write!(f, "signature line {line} is malformed"),
            Self::SignatureCount { found } => write!(f, "{found} signature lines, expected 1 to {NOTE_SIGNATURES_MAX}"),
            Self::KeyName(error) => write!(f, "the key name {error}"),
            Self::Key { part } => write!(f, "not a verifier key (name+id+key): wrong {part}"),
        }
    }
}

impl core::error::Error for NoteError {}

impl SignedNote {
    /// A note from its parts.
    ///
    /// # Errors
    /// [`NoteError`] when the parts do not form a note.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Shape);
        }
        if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::ControlCharacter);
        }
        if signatures.is_empty() || signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::SignatureCount { found: signatures.len() });
        }
        Ok(Self { text, signatures })
    }

    /// Reads a note. Only the canonical form is accepted.
    ///
    /// # Errors
    /// [`NoteError`] says what is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_LEN_MAX {
            return Err(NoteError::TooLong { found: bytes.len() });
        }
        let note = core::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        let split = note.rfind("\n\n").ok_or(NoteError::Shape)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape)?;
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(at, line)| parse_signature(line).ok_or(NoteError::SignatureLine { line: at + 1 }))
            .collect::<Result<_, _>>()?;
        Self::new(text.to_owned(), signatures)
    }

    /// The signed text, its last newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let mut bytes = signature.key_id.0.to_vec();
            bytes.extend(&signature.bytes);
            writeln!(f, "{SIGNATURE_PREFIX}{} {}", signature.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, signature) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let name = Origin::new(name).ok()?;
    let signature = decode_base64(signature)?;
    let (key_id, bytes) = signature.split_first_chunk()?;
    Some(NoteSignature { name, key_id: KeyId(*key_id), bytes: bytes.to_vec() })
}

/// Standard base64 with padding; the `base64` crate refuses non-canonical trailing bits by default.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_example_of_the_signed_note_specification_verifies() {
        let key = VerifierKey::parse(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        let note = SignedNote::parse(NOTE.as_bytes()).unwrap();
        assert_eq!(note.to_string(), NOTE);
        assert!(key.verifies(note.text(), &note.signatures()[0]));
        assert!(!key.verifies("This is another message.\n", &note.signatures()[0]));
    }

    #[test]
    fn a_key_whose_id_belongs_to_another_is_refused() {
        let error = NoteError::Key { part: "id (it belongs to another key)" };
        assert_eq!(VerifierKey::parse(&KEY.replace("530d903a", "530d903b")), Err(error));
    }

    #[test]
    fn malformed_notes_are_refused() {
        for (bad, error) in [
            (NOTE.replace("\n\n", "\n"), NoteError::Shape),
            (NOTE.trim_end().to_owned(), NoteError::Shape),
            (NOTE.replace("This", "\tThis"), NoteError::ControlCharacter),
            (NOTE.replace("\u{2014} ", "- "), NoteError::SignatureLine { line: 1 }),
            (NOTE.replace("aQM=", "aQN="), NoteError::SignatureLine { line: 1 }),
        ] {
            assert_eq!(SignedNote::parse(bad.as_bytes()), Err(error), "{bad}");
        }
    }
}
