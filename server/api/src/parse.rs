//! Parsing of single fields into types that cannot be wrong. Each function takes the name of the field for the error.

use crate::error::{ConversionError, Problem};
use crate::v1;
use counterfoil_proof::{
    CommitmentAlgorithm, ConsistencyFile, Envelope, Hash, InclusionFile, Kind, LINKS_MAX, Link, Media, Origin, Salt,
    SignedCheckpoint, StreamName, Subject, VerifierKey,
};

/// What parsing a field gives.
pub type Parsed<T> = Result<T, ConversionError>;

fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Parsed<[u8; N]> {
    bytes.try_into().map_err(|_| ConversionError::new(field, Problem::Length { expected: N, found: bytes.len() }))
}

/// 32 bytes of a hash.
///
/// # Errors
/// [`Problem::Length`] for any other length.
pub fn hash(field: &'static str, bytes: &[u8]) -> Parsed<Hash> {
    array(field, bytes).map(Hash)
}

/// 32 bytes of salt.
///
/// # Errors
/// [`Problem::Length`] for any other length.
pub fn salt(field: &'static str, bytes: &[u8]) -> Parsed<Salt> {
    array(field, bytes).map(Salt)
}

/// 16 bytes that name a request or session.
///
/// # Errors
/// [`Problem::Length`] for any other length.
pub fn id(field: &'static str, bytes: &[u8]) -> Parsed<[u8; 16]> {
    array(field, bytes)
}

/// 16 bytes that name a request, or nothing.
///
/// # Errors
/// [`Problem::Length`] for any other length.
pub fn optional_id(field: &'static str, bytes: &[u8]) -> Parsed<Option<[u8; 16]>> {
    if bytes.is_empty() { Ok(None) } else { id(field, bytes).map(Some) }
}

/// 16 bytes of a data subject's pseudonym, or nothing.
///
/// # Errors
/// [`Problem::Length`] for any other length.
pub fn subject(field: &'static str, bytes: &[u8]) -> Parsed<Option<Subject>> {
    Ok(optional_id(field, bytes)?.map(Subject))
}

/// A media type in a request, where unspecified means JSON.
///
/// # Errors
/// [`Problem::UnknownValue`] for a number that this version does not define.
pub fn media(field: &'static str, value: i32) -> Parsed<Media> {
    match v1::Media::try_from(value) {
        Ok(v1::Media::Unspecified | v1::Media::Json) => Ok(Media::Json),
        Ok(v1::Media::Cbor) => Ok(Media::Cbor),
        Ok(v1::Media::Protobuf) => Ok(Media::Protobuf),
        Ok(v1::Media::Text) => Ok(Media::Text),
        Ok(v1::Media::Bytes) => Ok(Media::Bytes),
        Err(_) => Err(ConversionError::new(field, Problem::UnknownValue { found: value.into() })),
    }
}

/// The links of a receipt.
///
/// # Errors
/// [`Problem::TooMany`], or what is wrong with one of them.
pub fn links(field: &'static str, links: Vec<v1::Link>) -> Parsed<Vec<Link>> {
    if links.len() > LINKS_MAX {
        return Err(ConversionError::new(field, Problem::TooMany { max: LINKS_MAX, found: links.len() }));
    }
    let one = |(at, link)| Link::try_from(link).map_err(|error: ConversionError| error.in_list(field, at));
    links.into_iter().enumerate().map(one).collect()
}

macro_rules! parse_text {
    ($($(#[$doc:meta])* $function:ident: $type:ty = $parse:expr, $problem:path;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`ConversionError`] says which rule the text breaks.
        pub fn $function(field: &'static str, text: &str) -> Parsed<$type> {
            $parse(text).map_err(|error| ConversionError::new(field, $problem(error)))
        }
    )*};
}

parse_text! {
    /// The name of a stream.
    stream: StreamName = StreamName::new, Problem::Name;
    /// The kind of a receipt.
    kind: Kind = Kind::new, Problem::Name;
    /// A ledger's name in its checkpoints.
    origin: Origin = Origin::new, Problem::Name;
    /// A C2SP verifier key.
    vkey: VerifierKey = VerifierKey::parse, Problem::Key;
    /// A signed checkpoint, nothing of it verified.
    checkpoint: SignedCheckpoint = |text: &str| SignedCheckpoint::parse(text.as_bytes()), Problem::Checkpoint;
    /// An inclusion proof, nothing of it verified.
    inclusion: InclusionFile = |text: &str| InclusionFile::parse(text.as_bytes()), Problem::Proof;
    /// A consistency proof, nothing of it verified.
    consistency: ConsistencyFile = |text: &str| ConsistencyFile::parse(text.as_bytes()), Problem::Proof;
}

/// An envelope in its canonical bytes.
///
/// # Errors
/// [`Problem::Envelope`] says which rule the bytes break.
pub fn envelope(field: &'static str, bytes: &[u8]) -> Parsed<Envelope> {
    Envelope::decode(bytes).map_err(|error| ConversionError::new(field, Problem::Envelope(error)))
}

/// The name of a commitment algorithm.
///
/// # Errors
/// [`Problem::UnknownWord`] for a name that this version does not define.
pub fn commitment(field: &'static str, name: &str) -> Parsed<CommitmentAlgorithm> {
    CommitmentAlgorithm::from_name(name).ok_or_else(|| ConversionError::new(field, Problem::UnknownWord))
}

/// A part of an answer that must be there.
///
/// # Errors
/// [`Problem::Missing`] when it is not.
pub fn required<T>(field: &'static str, value: Option<T>) -> Parsed<T> {
    value.ok_or_else(|| ConversionError::new(field, Problem::Missing))
}
