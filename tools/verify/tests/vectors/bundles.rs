//! Golden bundles, exported from a copy of the golden ledger, and what the verifier says of damaged copies of them.

use crate::golden::{exporting, stored, vkey};
use crate::store::{check, path, write, writing};
use counterfoil_audit::{Anchor, Options, Severity, Trust, verify_bundle};
use counterfoil_proof::{LeafIndex, StreamName, TreeSize, TrustPolicy};
use counterfoil_rules::ExportScope;
use serde_json::{Value, json};
use std::fs;

const STREAM: &str = "bundle-stream.tar";
const RANGE: &str = "bundle-range.tar";
const BLOCK: usize = 512;

/// One copy of a bundle, with one change or none.
struct Case {
    name: &'static str,
    change: Change,
}

enum Change {
    None,
    Flip(usize),
    Truncate(usize),
}

fn case(name: &'static str, change: Change) -> Case {
    Case { name, change }
}

/// Where the content of an entry begins.
fn content_of(bundle: &[u8], name: &str) -> usize {
    let mut header = name.as_bytes().to_vec();
    header.resize(100, 0);
    let at = bundle.chunks(BLOCK).position(|block| block.starts_with(&header)).expect("the entry is there");
    (at + 1) * BLOCK
}

fn cases(bundle: &[u8], first: &str) -> Vec<Case> {
    let content = |name| content_of(bundle, name);
    let receipts = content(first);
    vec![
        case("as exported", Change::None),
        case("a byte of a receipt's envelope", Change::Flip(receipts + 100)),
        case("a byte of a proof, behind the first receipt", {
            let len = u32::from_le_bytes(bundle[receipts + 12..receipts + 16].try_into().unwrap());
            Change::Flip(receipts + usize::try_from(len).unwrap() + 30)
        }),
        case("a byte of the checkpoint's signature", Change::Flip(content("checkpoint") + 120)),
        case("a byte of genesis", Change::Flip(content("control") + 300)),
        case("a byte of control.proof", Change::Flip(content("control.proof") + 40)),
        case("a byte of bundle.json", Change::Flip(content("bundle.json") + 30)),
        case("a byte of format.md", Change::Flip(content("format.md") + 2)),
        case("a byte of a header", Change::Flip(content("checkpoint") - BLOCK + 130)),
        case("the last block is missing", Change::Truncate(bundle.len() - BLOCK)),
    ]
}

fn judged(file: &str, bundle: &[u8], case: &Case) -> Value {
    let (shown, changed) = match case.change {
        Change::None => (Value::Null, bundle.to_vec()),
        Change::Flip(at) => {
            (json!({ "do": "flip", "at": at, "mask": 1 }), crate::store::with_byte(bundle, at, bundle[at] ^ 1))
        }
        Change::Truncate(len) => (json!({ "do": "truncate", "length": len }), bundle[..len].to_vec()),
    };
    let trust = Trust::new(Anchor::Policy(TrustPolicy::single(vkey()).unwrap()));
    let report = verify_bundle(changed.as_slice(), &trust, &Options::default()).unwrap();
    let failures = report.findings.iter().filter(|finding| finding.severity == Severity::Failure);
    let harmless = matches!(case.change, Change::None) || case.name == "a byte of format.md";
    assert_eq!(failures.clone().count() == 0, harmless, "{file}, {}: {:?}", case.name, report.findings);
    json!({
        "bundle": file,
        "name": case.name,
        "change": shown,
        "outcome": {
            "verified": failures.count() == 0,
            "verdicts": harmless.then_some(report.verdicts),
            "complete": report.complete,
            "size": report.size.map(|size| size.0),
            "statement": report.statement.map(|index| index.0),
        },
    })
}

fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Golden: written where there is none, and never again.
fn written() {
    let scopes = [
        (STREAM, ExportScope::Stream(StreamName::new("incident/INC-42").unwrap())),
        (RANGE, ExportScope::Range { from: LeafIndex(3), to: TreeSize(9) }),
    ];
    for (name, scope) in scopes.into_iter().filter(|(name, _)| writing() && !path(name).exists()) {
        exporting(&stored(), |ledger| {
            let pieces = ledger.export(scope.clone(), &[TreeSize(8)]).unwrap();
            let bundle: Vec<u8> = pieces.flat_map(|piece| piece.unwrap().to_vec()).collect();
            write(&path(name), &bundle);
        });
    }
}

#[test]
fn golden_bundles_are_judged_as_in_the_vectors() {
    written();
    let shown =
        [(STREAM, "receipts/00000000000000000001"), (RANGE, "receipts/00000000000000000003")].map(|(file, first)| {
            let bundle = read(file);
            cases(&bundle, first).iter().map(|case| judged(file, &bundle, case)).collect::<Vec<_>>()
        });
    check("bundles.json", &json!({ "cases": shown.concat() }));
}
