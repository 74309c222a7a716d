//! Bodies of the fuzz targets; they also run as unit tests. Whatever the bytes are, there is a verdict.

use crate::{Anchor, Options, Trust, verify_bundle};
use counterfoil_format::{BundleEntry, FORMAT_DOCUMENT, TarHeader};
use std::io::Read as _;

/// A bundle.
pub fn bundle(bytes: &[u8]) {
    verdict(bytes);
}

/// A bundle from its second entry on, so that a fuzzer need not find the document.
pub fn bundle_after_document(bytes: &[u8]) {
    let document = FORMAT_DOCUMENT.as_bytes();
    let header = TarHeader::new(&BundleEntry::Document.name(), document.len() as u64);
    let begin = header.encode();
    let padding = vec![0; header.padding()];
    verdict(begin.chain(document).chain(padding.as_slice()).chain(bytes));
}

fn verdict(bundle: impl std::io::Read) {
    let trust = Trust::new(Anchor::SelfAsserted);
    let report = verify_bundle(bundle, &trust, &Options::default()).expect("bytes in memory can be read");
    assert_eq!(report.verified(), report.complete.is_some());
    assert!(report.checkpoint.is_some() || !report.verified(), "nothing is verified without a signature");
}
