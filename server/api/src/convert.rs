//! Whole messages to and from the types of `counterfoil-proof`.

use crate::error::ConversionError;
use crate::{parse, v1};
use bytes::Bytes;
use counterfoil_proof::{LeafIndex, Link, Media};

impl TryFrom<v1::Link> for Link {
    type Error = ConversionError;

    fn try_from(link: v1::Link) -> Result<Self, ConversionError> {
        Ok(Self { index: LeafIndex(link.index), leaf: parse::hash("leaf_hash", &link.leaf_hash)? })
    }
}

impl From<Link> for v1::Link {
    fn from(link: Link) -> Self {
        Self { index: link.index.0, leaf_hash: Bytes::copy_from_slice(&link.leaf.0) }
    }
}

impl From<Media> for v1::Media {
    fn from(media: Media) -> Self {
        match media {
            Media::Json => Self::Json,
            Media::Cbor => Self::Cbor,
            Media::Protobuf => Self::Protobuf,
            Media::Text => Self::Text,
            Media::Bytes => Self::Bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Problem;
    use counterfoil_proof::{Hash, LINKS_MAX, NameError};

    #[test]
    fn links_survive_the_round_trip() {
        let link = Link { index: LeafIndex(u64::MAX), leaf: Hash([7; 32]) };
        assert_eq!(Link::try_from(v1::Link::from(link)), Ok(link));
    }

    #[test]
    fn media_survive_the_round_trip_and_unspecified_means_json() {
        for media in [Media::Json, Media::Cbor, Media::Protobuf, Media::Text, Media::Bytes] {
            assert_eq!(parse::media("media", v1::Media::from(media).into()), Ok(media));
        }
        assert_eq!(parse::media("media", 0), Ok(Media::Json));
        assert_eq!(parse::media("media", 6).unwrap_err().problem, Problem::UnknownValue { found: 6 });
    }

    #[test]
    fn a_hash_of_31_bytes_is_refused_with_the_path_to_it() {
        let bad = v1::Link { index: 1, leaf_hash: vec![0; 31].into() };
        let good = v1::Link { index: 1, leaf_hash: vec![0; 32].into() };
        let error = parse::links("links", vec![good, bad]).unwrap_err().in_list("receipts", 3);
        assert_eq!(error.to_string(), "receipts[3].links[1].leaf_hash has 31 bytes, expected 32");
    }

    #[test]
    fn more_links_than_an_envelope_holds_are_refused() {
        let one = v1::Link { index: 1, leaf_hash: vec![0; 32].into() };
        let error = parse::links("links", vec![one; LINKS_MAX + 1]).unwrap_err();
        assert_eq!(error.problem, Problem::TooMany { max: 16, found: 17 });
    }

    #[test]
    fn ids_and_subjects_have_16_bytes_or_none() {
        assert_eq!(parse::optional_id("request_id", &[]), Ok(None));
        assert_eq!(parse::optional_id("request_id", &[1; 16]), Ok(Some([1; 16])));
        assert_eq!(parse::subject("subject", &[1; 15]).unwrap_err().to_string(), "subject has 15 bytes, expected 16");
        assert_eq!(parse::id("session", &[]).unwrap_err().to_string(), "session has 0 bytes, expected 16");
    }

    #[test]
    fn a_bad_name_says_which_field_and_which_rule() {
        let error = parse::stream("stream", "").unwrap_err();
        assert_eq!(error.problem, Problem::Name(NameError::Empty));
        assert_eq!(error.to_string(), "stream is empty");
    }

    #[test]
    fn bytes_that_are_no_envelope_are_refused() {
        let error = parse::envelope("envelope", &[1; 40]).unwrap_err();
        assert!(error.to_string().starts_with("envelope is no envelope: "), "{error}");
    }
}
