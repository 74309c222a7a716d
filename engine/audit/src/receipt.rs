//! A receipt as JSON: what `get --json` prints and what `verify proof` takes back.

use crate::time::time_text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use counterfoil_proof::{Envelope, EnvelopeError, LeafHash, Media, Salt, hex};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Longest receipt document read, in bytes: three spellings of the largest payload, and room for the rest.
pub const RECEIPT_JSON_LEN_MAX: usize = 64 * 1024 * 1024;

const CLASS_FOREVER: &str = "forever";

/// A receipt to be shown as one JSON object on one line.
///
/// It serializes itself, so that documents with several receipts embed it as it is. The fields are `index time stream
/// stream_seq kind class writer leaf_hash prev links media`, then `subject` and `closes_stream` where there is one, then
/// `payload envelope salt payload_bytes`, the last three in base64. A JSON payload is embedded as the text it is, its
/// line breaks as spaces; any other is base64; `payload`, `salt` and `payload_bytes` are null once erased.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptView<'a> {
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// Name of its retention class.
    pub class: &'a str,
    /// Salt and payload; `None` once they are erased.
    pub content: Option<(&'a Salt, &'a [u8])>,
    /// The verifier's word on it, added as `verdict` where a verifier speaks.
    pub verdict: Option<&'a str>,
}

/// A receipt read back from JSON. Envelope and shown fields agree; whether the payload is the one committed to is not
/// checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptDocument {
    /// The envelope.
    pub envelope: Envelope,
    /// Its leaf hash, recomputed.
    pub leaf: LeafHash,
    /// Name of the retention class, as shown. The envelope holds the class's id, so only `forever` is checked.
    pub class: String,
    /// Salt and payload; `None` once they are erased.
    pub content: Option<(Salt, Vec<u8>)>,
}

/// Why a document is not a receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// More bytes than any receipt has.
    #[error("{found} bytes are more than the {RECEIPT_JSON_LEN_MAX} a receipt may have")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Not JSON, a field is missing, unknown, given twice or of the wrong type.
    #[error("not a receipt as `get --json` prints it: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is not canonical base64 of the right length.
    #[error("field {field} is not base64 of the right length")]
    Base64 {
        /// Name of the field.
        field: &'static str,
    },
    /// The envelope's bytes are no envelope.
    #[error("field envelope: {0}")]
    Envelope(EnvelopeError),
    /// One of salt and payload is null, the other is not.
    #[error("salt and payload_bytes are both present or both null")]
    HalfErased,
    /// A field shows something else than the envelope or the payload bytes say.
    #[error("field {field} differs from the receipt's own bytes: shown {shown}, the bytes say {actual}")]
    Differs {
        /// Name of the field.
        field: &'static str,
        /// What the document shows.
        shown: String,
        /// What its bytes say.
        actual: String,
    },
}

/// The fields that the envelope decides, as they are shown. Two receipts show the same exactly when these are equal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown<'a> {
    index: u64,
    time: Cow<'a, str>,
    stream: Cow<'a, str>,
    stream_seq: u64,
    kind: Cow<'a, str>,
    class: Cow<'a, str>,
    writer: Cow<'a, str>,
    leaf_hash: Cow<'a, str>,
    prev: Cow<'a, str>,
    links: Vec<ShownLink>,
    media: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closes_stream: Option<bool>,
    payload: Box<RawValue>,
    envelope: Cow<'a, str>,
    salt: Option<String>,
    payload_bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<Cow<'a, str>>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShownLink {
    index: u64,
    leaf_hash: String,
}

impl ReceiptView<'_> {
    /// The receipt as one line of JSON, without a line break.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a receipt has string keys and finite numbers only")
    }

    fn shown(&self) -> Shown<'_> {
        let envelope = self.envelope;
        let bytes = envelope.encode();
        let link = |link: &counterfoil_proof::Link| ShownLink { index: link.index.0, leaf_hash: link.leaf.to_string() };
        Shown {
            index: envelope.index.0,
            time: time_text(envelope.time).into(),
            stream: envelope.stream.as_str().into(),
            stream_seq: envelope.stream_seq.0,
            kind: envelope.kind.as_str().into(),
            class: self.class.into(),
            writer: envelope.writer.as_str().into(),
            leaf_hash: LeafHash::of_envelope(&bytes).to_string().into(),
            prev: envelope.prev.to_string().into(),
            links: envelope.links.iter().map(link).collect(),
            media: envelope.media.name().into(),
            subject: envelope.subject.map(|subject| hex(&subject.0)),
            closes_stream: envelope.closes_stream.then_some(true),
            payload: shown_payload(envelope.media, self.content.map(|(_, payload)| payload)),
            envelope: STANDARD.encode(&bytes).into(),
            salt: self.content.map(|(salt, _)| STANDARD.encode(salt.0)),
            payload_bytes: self.content.map(|(_, payload)| STANDARD.encode(payload)),
            verdict: self.verdict.map(Into::into),
        }
    }
}

impl Serialize for ReceiptView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}

/// A payload as a JSON value. Bytes that claim to be JSON and are not are shown as base64 like any others.
fn shown_payload(media: Media, payload: Option<&[u8]>) -> Box<RawValue> {
    let Some(payload) = payload else { return RawValue::NULL.to_owned() };
    let json = || {
        let text = core::str::from_utf8(payload).ok()?;
        // A line break in JSON can only stand between tokens; as a space it keeps JSON lines lines.
        let line: String = text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }).collect();
        RawValue::from_string(line.trim_matches([' ', '\t']).to_owned()).ok()
    };
    let embedded = if media == Media::Json { json() } else { None };
    embedded.unwrap_or_else(|| {
        RawValue::from_string(format!("\"{}\"", STANDARD.encode(payload))).expect("base64 needs no escapes")
    })
}

impl ReceiptDocument {
    /// Reads a receipt and compares every field it shows with the envelope and payload bytes in it.
    ///
    /// # Errors
    /// [`ReceiptError`] names the field that is malformed, unknown or differs.
    pub fn parse(json: &[u8]) -> Result<Self, ReceiptError> {
        if json.len() > RECEIPT_JSON_LEN_MAX {
            return Err(ReceiptError::TooLong { found: json.len() });
        }
        let shown: Shown<'_> = serde_json::from_slice(json)?;
        let envelope = Envelope::decode(&decode(&shown.envelope, "envelope")?).map_err(ReceiptError::Envelope)?;
        let content = match (&shown.salt, &shown.payload_bytes) {
            (None, None) => None,
            (Some(salt), Some(payload)) => {
                let salt = decode(salt, "salt")?.try_into().map_err(|_| ReceiptError::Base64 { field: "salt" })?;
                Some((Salt(salt), decode(payload, "payload_bytes")?))
            }
            _ => return Err(ReceiptError::HalfErased),
        };
        let view = ReceiptView {
            envelope: &envelope,
            class: &shown.class,
            content: content.as_ref().map(|(salt, payload)| (salt, payload.as_slice())),
            verdict: None,
        };
        shown.compare(&view.shown(), envelope.class == counterfoil_proof::ClassId::FOREVER)?;
        let leaf = envelope.leaf_hash();
        Ok(Self { leaf, class: shown.class.into_owned(), envelope, content })
    }

    /// The document as it is shown.
    #[must_use]
    pub fn view(&self) -> ReceiptView<'_> {
        ReceiptView {
            envelope: &self.envelope,
            class: &self.class,
            content: self.content.as_ref().map(|(salt, payload)| (salt, payload.as_slice())),
            verdict: None,
        }
    }
}

fn decode(text: &str, field: &'static str) -> Result<Vec<u8>, ReceiptError> {
    STANDARD.decode(text).map_err(|_| ReceiptError::Base64 { field })
}

impl Shown<'_> {
    fn compare(&self, actual: &Shown<'_>, forever: bool) -> Result<(), ReceiptError> {
        let texts = [
            ("time", &self.time, &actual.time),
            ("stream", &self.stream, &actual.stream),
            ("kind", &self.kind, &actual.kind),
            ("writer", &self.writer, &actual.writer),
            ("leaf_hash", &self.leaf_hash, &actual.leaf_hash),
            ("prev", &self.prev, &actual.prev),
            ("media", &self.media, &actual.media),
        ];
        for (field, shown, actual) in texts {
            same(field, shown, actual)?;
        }
        same("index", &self.index, &actual.index)?;
        same("stream_seq", &self.stream_seq, &actual.stream_seq)?;
        same("links", &Listed(&self.links), &Listed(&actual.links))?;
        same("subject", &Listed(&self.subject), &Listed(&actual.subject))?;
        same("closes_stream", &self.closes_stream.unwrap_or(false), &actual.closes_stream.unwrap_or(false))?;
        if (self.class == CLASS_FOREVER) != forever {
            let actual = if forever { CLASS_FOREVER } else { "another class" };
            return Err(differs("class", &self.class, &actual));
        }
        // A formatter may have changed white space or escapes: the value counts, the bytes stand in payload_bytes.
        let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).ok();
        if self.payload.get() != actual.payload.get() {
            let shown = value(&self.payload);
            if shown.is_none() || shown != value(&actual.payload) {
                return Err(differs("payload", &"another value", &"the one in payload_bytes"));
            }
        }
        Ok(())
    }
}

/// A field of several parts, as text for an error.
#[derive(PartialEq)]
struct Listed<'a, T>(&'a T);

impl<T: Serialize> core::fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&serde_json::to_string(self.0).unwrap_or_default())
    }
}

fn same<T: PartialEq + ToString>(field: &'static str, shown: &T, actual: &T) -> Result<(), ReceiptError> {
    if shown == actual { Ok(()) } else { Err(differs(field, shown, actual)) }
}

fn differs(field: &'static str, shown: &impl ToString, actual: &impl ToString) -> ReceiptError {
    ReceiptError::Differs { field, shown: shown.to_string(), actual: actual.to_string() }
}

#[cfg(test)]
mod tests;
