//! Keeps docs/format.md true: its layout tables, its limits and its worked examples are compared with the code.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod examples;

use counterfoil_format::frame::{
    COMMIT_SIGNATURES_MAX, FRAME_BATCHES_MAX, FRAME_HEADER_LEN, FRAME_LEN_MAX, FRAME_NAMES_MAX, FRAME_RECEIPTS_MAX,
};
use counterfoil_format::{
    BUNDLE_CHUNK_TARGET, BUNDLE_CONSISTENCY_MAX, BUNDLE_HEAD_LEN_MAX, FOOTER_TRAILER_LEN, FORMAT_DOCUMENT_LEN_MAX,
    FRAME_ALIGN, HEAD_FILE_LEN, HEAD_SLOT_LEN, LEAF_BLOCK, PREAMBLE_LEN, PROOF_RECORD_LEN_MAX, RECEIPT_RECORD_LEN_MAX,
    SEGMENT_HEADER_LEN, STREAM_BLOCK_LEN_MAX, STREAM_BLOCK_TARGET, STREAM_DIRECTORY_LEN_MAX, STREAM_RECORD_POSITIONS,
    STREAM_TRAILER_LEN, TAR_BLOCK, TAR_END_LEN, TAR_ENTRY_LEN_MAX, TAR_NAME_LEN_MAX,
};
use counterfoil_proof::{
    ENVELOPE_LEN_MAX, LINKS_MAX, NOTE_LEN_MAX, NOTE_SIGNATURES_MAX, ORIGIN_LEN_MAX, POLICY_LEN_MAX, PROOF_FILE_LEN_MAX,
    PROOF_HASHES_MAX, STREAM_LEN_MAX,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

type Table<'a> = Vec<&'a str>;

/// First rows of tables that describe bytes; a table of the document that begins so must come from the code.
const LAYOUT_HEADINGS: [&str; 2] = ["| offset | bytes | field |", "| bytes | field |"];
const LIMITS_HEADING: &str = "| limit | value | constant |";
const EXAMPLE_FENCE: &str = "```text ";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = workspace().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> String {
    read("docs/format.md")
}

/// The sources whose doc comments hold layout tables.
fn layout_sources() -> Vec<String> {
    let mut sources = vec![read("engine/proof/src/envelope.rs")];
    let mut folders = vec![workspace().join("engine/format/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(fs::read_to_string(path).unwrap());
            }
        }
    }
    sources
}

/// Runs of table rows among lines.
fn tables<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Table<'a>> {
    let mut tables: Vec<Table<'_>> = vec![Vec::new()];
    for line in lines {
        match tables.last_mut() {
            Some(table) if line.starts_with('|') => table.push(line),
            _ => tables.push(Vec::new()),
        }
    }
    tables.retain(|table| !table.is_empty());
    tables
}

fn tables_of_document(document: &str) -> Vec<Table<'_>> {
    tables(document.lines())
}

fn tables_of_source(source: &str) -> Vec<Table<'_>> {
    tables(source.lines().map(|line| {
        let line = line.trim_start();
        line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map_or("", str::trim)
    }))
}

/// Where the layout tables of a document and of the code differ, in both directions.
fn disagreements(document: &str, sources: &[String]) -> Vec<String> {
    let shown = tables_of_document(document);
    let coded: Vec<Table<'_>> = sources.iter().flat_map(|source| tables_of_source(source)).collect();
    let mut found = Vec::new();
    for table in coded.iter().filter(|table| !shown.contains(table)) {
        let missing = table.iter().find(|row| !shown.iter().any(|shown| shown.contains(row)));
        found.push(match missing {
            Some(row) => format!("the document lacks the row {row}"),
            None => format!("the document has the rows of this table, but not together: {}", table.join("\n")),
        });
    }
    let is_layout = |table: &&Table<'_>| LAYOUT_HEADINGS.contains(&table[0]);
    for table in shown.iter().filter(is_layout).filter(|table| !coded.contains(table)) {
        let extra = table.iter().find(|row| !coded.iter().any(|coded| coded.contains(row)));
        found.push(format!("no doc comment has the row {}", extra.unwrap_or(&table[0])));
    }
    found
}

/// Name and value of each row of the document's table of limits.
fn limits_of(document: &str) -> BTreeMap<String, u64> {
    let tables = tables_of_document(document);
    let table = tables.iter().find(|table| table[0] == LIMITS_HEADING).expect("the document has a table of limits");
    table[2..]
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let value = cells[2].replace(' ', "").parse().unwrap_or_else(|error| panic!("{row}: {error}"));
            (cells[3].trim_matches('`').to_owned(), value)
        })
        .collect()
}

/// Value of `const NAME: TYPE = A * B;` in a source file.
fn private_constant(path: &str, name: &str) -> (String, u64) {
    let source = read(path);
    let after = source.split(&format!("const {name}: ")).nth(1).unwrap_or_else(|| panic!("{path} has no {name}"));
    let value = after.split_once(" = ").and_then(|(_, rest)| rest.split_once(';')).expect("a constant has a value").0;
    let factors = value.split('*').map(|factor| factor.trim().replace('_', "").parse::<u64>());
    (name.to_owned(), factors.map(|factor| factor.unwrap_or_else(|error| panic!("{name}: {error}"))).product())
}

fn limits_of_code() -> BTreeMap<String, u64> {
    let public = [
        ("ENVELOPE_LEN_MAX", ENVELOPE_LEN_MAX as u64),
        ("LINKS_MAX", LINKS_MAX as u64),
        ("STREAM_LEN_MAX", STREAM_LEN_MAX as u64),
        ("ORIGIN_LEN_MAX", ORIGIN_LEN_MAX as u64),
        ("NOTE_LEN_MAX", NOTE_LEN_MAX as u64),
        ("NOTE_SIGNATURES_MAX", NOTE_SIGNATURES_MAX as u64),
        ("POLICY_LEN_MAX", POLICY_LEN_MAX as u64),
        ("PROOF_FILE_LEN_MAX", PROOF_FILE_LEN_MAX as u64),
        ("PROOF_HASHES_MAX", PROOF_HASHES_MAX as u64),
        ("PREAMBLE_LEN", PREAMBLE_LEN as u64),
        ("FRAME_ALIGN", FRAME_ALIGN),
        ("SEGMENT_HEADER_LEN", SEGMENT_HEADER_LEN as u64),
        ("FOOTER_TRAILER_LEN", FOOTER_TRAILER_LEN as u64),
        ("FRAME_HEADER_LEN", FRAME_HEADER_LEN as u64),
        ("FRAME_LEN_MAX", FRAME_LEN_MAX as u64),
        ("FRAME_RECEIPTS_MAX", FRAME_RECEIPTS_MAX as u64),
        ("FRAME_BATCHES_MAX", FRAME_BATCHES_MAX as u64),
        ("FRAME_NAMES_MAX", FRAME_NAMES_MAX as u64),
        ("COMMIT_SIGNATURES_MAX", COMMIT_SIGNATURES_MAX as u64),
        ("HEAD_SLOT_LEN", HEAD_SLOT_LEN as u64),
        ("HEAD_FILE_LEN", HEAD_FILE_LEN as u64),
        ("LEAF_BLOCK", LEAF_BLOCK),
        ("STREAM_BLOCK_TARGET", STREAM_BLOCK_TARGET as u64),
        ("STREAM_BLOCK_LEN_MAX", STREAM_BLOCK_LEN_MAX as u64),
        ("STREAM_RECORD_POSITIONS", STREAM_RECORD_POSITIONS as u64),
        ("STREAM_DIRECTORY_LEN_MAX", STREAM_DIRECTORY_LEN_MAX as u64),
        ("STREAM_TRAILER_LEN", STREAM_TRAILER_LEN as u64),
        ("RECEIPT_RECORD_LEN_MAX", RECEIPT_RECORD_LEN_MAX as u64),
        ("TAR_BLOCK", TAR_BLOCK as u64),
        ("TAR_END_LEN", TAR_END_LEN as u64),
        ("TAR_NAME_LEN_MAX", TAR_NAME_LEN_MAX as u64),
        ("TAR_ENTRY_LEN_MAX", TAR_ENTRY_LEN_MAX),
        ("FORMAT_DOCUMENT_LEN_MAX", FORMAT_DOCUMENT_LEN_MAX),
        ("BUNDLE_HEAD_LEN_MAX", BUNDLE_HEAD_LEN_MAX),
        ("BUNDLE_CHUNK_TARGET", BUNDLE_CHUNK_TARGET),
        ("BUNDLE_CONSISTENCY_MAX", BUNDLE_CONSISTENCY_MAX as u64),
        ("PROOF_RECORD_LEN_MAX", PROOF_RECORD_LEN_MAX as u64),
    ];
    let private = [
        ("engine/proof/src/names.rs", "KIND_LEN_MAX"),
        ("engine/proof/src/names.rs", "PRINCIPAL_LEN_MAX"),
        ("engine/proof/src/policy.rs", "ENTRIES_MAX"),
        ("engine/format/src/frame/mod.rs", "SIGNATURE_LEN_MAX"),
        ("engine/format/src/frame/table.rs", "BATCH_LEN"),
        ("engine/format/src/segment.rs", "FOOTER_LEN_MAX"),
        ("engine/format/src/segment.rs", "PEAKS_MAX"),
        ("engine/format/src/leaves.rs", "HEAD_LEN_MAX"),
        ("engine/format/src/manifest.rs", "MANIFEST_LEN_MAX"),
        ("engine/rules/src/genesis.rs", "ROOTS_MAX"),
        ("engine/rules/src/canonical.rs", "DEPTH_MAX"),
        ("engine/store/src/types.rs", "PAYLOAD_BYTES_CEILING"),
    ];
    let public = public.into_iter().map(|(name, value)| (name.to_owned(), value));
    public.chain(private.into_iter().map(|(path, name)| private_constant(path, name))).collect()
}

/// Label and text of each labelled block of the document.
fn examples_of(document: &str) -> BTreeMap<&str, String> {
    let mut blocks = BTreeMap::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(label) = line.strip_prefix(EXAMPLE_FENCE) {
            let text: String = lines.by_ref().take_while(|line| *line != "```").flat_map(|line| [line, "\n"]).collect();
            assert!(blocks.insert(label, text).is_none(), "two examples are labelled {label}");
        }
    }
    blocks
}

#[test]
fn every_layout_table_of_the_code_stands_in_the_document() {
    assert_eq!(disagreements(&document(), &layout_sources()), Vec::<String>::new());
}

#[test]
fn a_row_that_differs_is_noticed() {
    let row = "/// | 8 | 4 | height |";
    let source = ["/// A box.", "///", "/// | offset | bytes | field |", "/// |---|---|---|", row].join("\n");
    let same = ["| offset | bytes | field |", "|---|---|---|", "| 8 | 4 | height |"].join("\n");
    assert_eq!(disagreements(&same, std::slice::from_ref(&source)), Vec::<String>::new());
    let moved = same.replace("| 8 |", "| 12 |");
    let both = ["the document lacks the row | 8 | 4 | height |", "no doc comment has the row | 12 | 4 | height |"];
    assert_eq!(disagreements(&moved, std::slice::from_ref(&source)), both);
    let fabricated = [layout_sources(), vec![source]].concat();
    assert_eq!(disagreements(&document(), &fabricated), [both[0]]);
}

#[test]
fn limits_are_those_of_the_code() {
    assert_eq!(limits_of(&document()), limits_of_code());
}

#[test]
fn worked_examples_are_what_the_code_computes() {
    let document = document();
    let shown = examples_of(&document);
    let computed = examples::all();
    for (label, text) in &computed {
        assert_eq!(shown.get(label), Some(text), "example {label}; it should read:\n{text}");
    }
    assert_eq!(shown.len(), computed.len(), "every labelled example is computed");
}
