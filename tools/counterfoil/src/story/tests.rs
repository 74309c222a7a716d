use super::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const SEED: u64 = 7;
const MANY: usize = 20_000;

fn story(seed: u64) -> impl Iterator<Item = StoryReceipt> {
    Story::new(seed).take(MANY)
}

/// The process of an incident, as the receipts that may follow each receipt.
fn may_follow(kind: Option<&str>) -> &'static [&'static str] {
    match kind {
        None => &["alert.received/1"],
        Some("alert.received/1") => &["incident.opened/1"],
        Some("incident.opened/1") => &["queue.enqueued/1"],
        Some("queue.enqueued/1") => &["lease.granted/1"],
        Some("lease.granted/1") => &["investigation.started/1"],
        Some("investigation.started/1") => &["evidence.captured/1"],
        Some("evidence.captured/1") => &["evidence.captured/1", "gate.evaluated/1"],
        Some("gate.evaluated/1") => &["gate.evaluated/1", "decision.refused/1", "decision.approved/1"],
        Some("decision.refused/1") => &["queue.enqueued/1", "incident.closed/1"],
        Some("decision.approved/1") => &["plan.issued/1"],
        Some("plan.issued/1") => &["step.intent/1"],
        Some("step.intent/1") => &["step.result/1"],
        Some("step.result/1") => &["step.intent/1", "decision.refused/1", "remediation.completed/1"],
        Some("remediation.completed/1") => &["verification.started/1"],
        Some("verification.started/1") => &["verification.result/1"],
        Some("verification.result/1") => &["incident.closed/1"],
        Some(_) => &[],
    }
}

fn payload(receipt: &StoryReceipt) -> Value {
    serde_json::from_str(&receipt.payload).unwrap()
}

#[test]
fn the_same_seed_tells_the_same_story() {
    assert!(story(SEED).eq(story(SEED)));
}

#[test]
fn another_seed_tells_another_story() {
    let same = story(SEED).zip(story(SEED + 1)).filter(|(one, other)| one.payload == other.payload);
    assert_eq!(same.count(), 0);
}

#[test]
fn each_stream_keeps_the_order_of_the_process_and_ends_with_its_close() {
    let mut last: BTreeMap<String, &'static str> = BTreeMap::new();
    for StoryReceipt { stream, kind, closes_stream, .. } in story(SEED) {
        let before = last.get(&stream).copied();
        assert!(may_follow(before).contains(&kind), "{stream}: {kind} after {before:?}");
        assert_eq!(closes_stream, kind == "incident.closed/1", "{stream}");
        last.insert(stream, kind);
    }
    let closed = last.values().filter(|kind| **kind == "incident.closed/1").count();
    assert!(closed > 300, "only {closed} incidents were closed");
}

#[test]
fn sixty_to_seventy_incidents_are_open_once_the_desk_is_busy() {
    let mut open = BTreeSet::new();
    let mut sizes = Vec::new();
    for receipt in story(SEED) {
        match receipt.closes_stream {
            true => open.remove(&receipt.stream),
            false => open.insert(receipt.stream),
        };
        sizes.push(open.len());
    }
    let busy = &sizes[2000..];
    assert!(busy.iter().all(|size| (55..=70).contains(size)), "{:?} to {:?}", busy.iter().min(), busy.iter().max());
    assert!(busy.iter().sum::<usize>() / busy.len() >= 60);
}

#[test]
fn every_payload_is_canonical_json_of_100_to_2048_bytes() {
    for receipt in story(SEED) {
        let sorted: BTreeMap<String, Value> = serde_json::from_str(&receipt.payload).unwrap();
        assert!(sorted.values().all(is_text_or_integers), "{}", receipt.payload);
        assert_eq!(serde_json::to_string(&sorted).unwrap(), receipt.payload, "{}", receipt.kind);
        assert!((100..=2048).contains(&receipt.payload.len()), "{} bytes: {}", receipt.payload.len(), receipt.payload);
    }
}

/// Text, an integer that every JSON reader keeps, or a list of them.
fn is_text_or_integers(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Number(number) => number.as_u64().is_some_and(|number| number < 1 << 53),
        Value::Array(items) => items.iter().all(is_text_or_integers),
        Value::Object(_) | Value::Bool(_) | Value::Null => false,
    }
}

#[test]
fn payloads_reach_from_short_to_long() {
    let sizes: Vec<usize> = story(SEED).map(|receipt| receipt.payload.len()).collect();
    assert!(sizes.iter().any(|size| *size < 200) && sizes.iter().any(|size| *size > 1700));
}

#[test]
fn every_kind_is_told_and_names_a_policy() {
    let mut kinds = BTreeSet::new();
    for receipt in story(SEED) {
        assert!(payload(&receipt)["policy_refs"][0].is_string(), "{}", receipt.payload);
        kinds.insert(receipt.kind);
    }
    assert_eq!(kinds.len(), 16);
}

#[test]
fn a_refusal_says_why_what_was_missing_and_what_is_next() {
    let refusals: Vec<Value> =
        story(SEED).filter(|one| one.kind == "decision.refused/1").map(|one| payload(&one)).collect();
    for refusal in &refusals {
        for part in ["reasons", "missing", "next"] {
            assert!(refusal[part][0].is_string(), "{refusal}");
        }
    }
    let undone = refusals.iter().filter(|refusal| refusal["reasons"][0] == "STEP_FAILED_UNDONE").count();
    assert!(undone > 0 && undone < refusals.len());
}

#[test]
fn a_decision_follows_from_its_gates() {
    let mut failed: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for receipt in story(SEED) {
        let payload = payload(&receipt);
        let failing = failed.entry(receipt.stream).or_default();
        match receipt.kind {
            "lease.granted/1" => failing.clear(),
            "gate.evaluated/1" if payload["verdict"] == "FAIL" => failing.push(payload["gate"].clone()),
            "decision.approved/1" => assert!(failing.is_empty(), "{payload}"),
            "decision.refused/1" if payload["reasons"][0] != "STEP_FAILED_UNDONE" => {
                assert_eq!(payload["reasons"], Value::Array(failing.clone()));
            }
            _ => {}
        }
    }
}

#[test]
fn what_was_done_before_a_failed_step_is_undone_in_reverse() {
    let mut done: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut undone = 0;
    for receipt in story(SEED).filter(|one| one.kind.starts_with("step.") || one.kind == "decision.refused/1") {
        let payload = payload(&receipt);
        let done = done.entry(receipt.stream).or_default();
        match (receipt.kind, payload["direction"].as_str(), payload["outcome"].as_str()) {
            ("step.intent/1", Some("UNDO"), _) => {
                assert_eq!(done.pop().as_ref(), Some(&payload["step"]));
                undone += 1;
            }
            ("step.intent/1", _, _) => done.push(payload["step"].clone()),
            ("step.result/1", _, Some("FAILED")) => drop(done.pop()),
            ("decision.refused/1", _, _) => assert!(done.is_empty(), "{payload}"),
            _ => {}
        }
    }
    assert!(undone > 0);
}

#[test]
fn a_subject_stays_with_its_incident_and_comes_back_in_others() {
    let mut of: BTreeMap<String, Option<[u8; 16]>> = BTreeMap::new();
    for receipt in story(SEED) {
        assert_eq!(*of.entry(receipt.stream).or_insert(receipt.subject), receipt.subject);
    }
    let named: Vec<[u8; 16]> = of.values().flatten().copied().collect();
    assert!(named.len() < of.len(), "some incidents concern machines alone");
    assert!(named.iter().collect::<BTreeSet<_>>().len() < named.len(), "subjects come back");
}
