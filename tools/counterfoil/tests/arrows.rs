//! Who may depend on whom, as a test: the table of arrows between our crates, and what must stay out of each of them.
//!
//! Every rule is a pure function from a dependency graph to what breaks it, and is shown to fail on a made-up graph.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An arrow: the crate may use each of these, and whatever they may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("counterfoil-proof", &[]),
    ("counterfoil-rules", &["counterfoil-proof"]),
    ("counterfoil-format", &["counterfoil-proof"]),
    ("counterfoil-audit", &["counterfoil-format", "counterfoil-rules"]),
    ("counterfoil-engine", &["counterfoil-format", "counterfoil-rules", "counterfoil-audit"]),
    ("counterfoil-sim", &["counterfoil-engine"]),
    ("counterfoil-api", &["counterfoil-proof"]),
    ("counterfoil-server", &["counterfoil-engine", "counterfoil-api", "counterfoil-receipts"]),
    ("counterfoil-client", &["counterfoil-api", "counterfoil-proof"]),
    ("counterfoil-receipts", &["counterfoil-proof", "counterfoil-rules"]),
    ("counterfoil-mu", &["counterfoil-receipts"]),
    ("counterfoil-decision", &["counterfoil-client", "counterfoil-mu"]),
    ("counterfoil-runner", &["counterfoil-client", "counterfoil-receipts"]),
    ("counterfoil-verify", &["counterfoil-audit", "counterfoil-receipts", "counterfoil-mu"]),
];

/// Roots of the tree: they may use every other crate, and no crate may use them.
const ROOTS: &[&str] = &["counterfoil", "counterfoil-benches"];

/// All that the trusted core may use.
const PROOF_DEPENDENCIES: &[&str] = &["base64", "blake3", "ed25519-dalek", "sha2"];
const ENGINE: &[&str] =
    &["counterfoil-proof", "counterfoil-rules", "counterfoil-format", "counterfoil-audit", "counterfoil-engine"];
/// Kept out of the engine, with everything named `tokio-…` or `tonic-…`.
const OUT_OF_ENGINE: &[&str] = &["tokio", "tonic"];
/// Kept out of the auditor's binary, with everything of the same families.
const OUT_OF_VERIFIER: &[&str] = &["tokio", "tonic", "sled", "hyper", "prost"];

const PROOF_LINES_MAX: usize = 2000;

/// A package of the graph, by the id cargo gives it: two versions of one crate are two packages.
#[derive(Default)]
struct Package {
    name: String,
    /// One of our own crates.
    member: bool,
    /// Names in the manifest, development dependencies left out, those of other platforms and features included.
    declared: BTreeSet<String>,
    /// Ids of what is linked into it.
    linked: BTreeSet<String>,
}

type Graph = BTreeMap<String, Package>;

/// Rule 1: our crates use each other only along the arrows.
fn arrows_broken(graph: &Graph, arrows: &[(&str, &[&str])], roots: &[&str]) -> Vec<String> {
    let members: BTreeSet<&str> = graph.values().filter(|one| one.member).map(|one| one.name.as_str()).collect();
    let mut broken = Vec::new();
    for from in graph.values().filter(|one| one.member && !roots.contains(&one.name.as_str())) {
        if !arrows.iter().any(|(name, _)| *name == from.name) {
            broken.push(format!("{} has no row in the table of arrows", from.name));
            continue;
        }
        let allowed = reachable(&from.name, arrows);
        for to in from.declared.iter().filter(|to| members.contains(to.as_str())) {
            if !allowed.contains(to.as_str()) {
                broken.push(format!("{} may not depend on {to}", from.name));
            }
        }
    }
    broken
}

/// Everything a crate may use, directly or through another.
fn reachable<'a>(from: &str, arrows: &[(&str, &'a [&'a str])]) -> BTreeSet<&'a str> {
    let direct = |name: &str| arrows.iter().find(|(from, _)| *from == name).map_or(&[][..], |(_, to)| to);
    let mut reached = BTreeSet::new();
    let mut next = direct(from).to_vec();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(direct(name));
        }
    }
    reached
}

/// Rule 2: the manifest of one of our crates names nothing but these.
fn undeclared(graph: &Graph, of: &str, allowed: &[&str]) -> Vec<String> {
    let package = member(graph, of).map(|(_, package)| package);
    let Some(package) = package else { return vec![format!("{of} is not in the workspace")] };
    let extra = package.declared.iter().filter(|name| !allowed.contains(&name.as_str()));
    extra.map(|name| format!("{of} may not depend on {name}")).collect()
}

/// Rule 3: none of these crates, nor of their families, is linked into one of ours. Names the way it came in.
fn linked_in(graph: &Graph, of: &str, banned: &[&str]) -> Vec<String> {
    let Some((root, _)) = member(graph, of) else { return vec![format!("{of} is not in the workspace")] };
    let mut seen = BTreeSet::from([root]);
    let mut next = vec![(root, of.to_owned())];
    let mut found = Vec::new();
    while let Some((id, path)) = next.pop() {
        let package = &graph[id];
        if banned.iter().any(|name| is_of_family(&package.name, name)) {
            found.push(path);
            continue;
        }
        for id in &package.linked {
            if seen.insert(id) {
                next.push((id, format!("{path} → {}", graph[id].name)));
            }
        }
    }
    found
}

fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn member<'a>(graph: &'a Graph, name: &str) -> Option<(&'a String, &'a Package)> {
    graph.iter().find(|(_, package)| package.member && package.name == name)
}

/// Lines of code of a source file before its test module; blank lines and comments do not count.
fn lines_without_tests(source: &str) -> usize {
    let code = source.lines().map(str::trim).take_while(|line| *line != "#[cfg(test)]");
    code.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// The graph out of `cargo metadata`.
fn graph(metadata: &Value) -> Graph {
    let members: BTreeSet<&str> = items(&metadata["workspace_members"]).map(text).collect();
    let mut graph = Graph::new();
    for package in items(&metadata["packages"]) {
        let id = text(&package["id"]);
        let declared = items(&package["dependencies"])
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]).to_owned())
            .collect();
        let (name, member) = (text(&package["name"]).to_owned(), members.contains(id));
        graph.insert(id.to_owned(), Package { name, member, declared, linked: BTreeSet::new() });
    }
    for node in items(&metadata["resolve"]["nodes"]) {
        let linked = items(&node["deps"])
            .filter(|dependency| items(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()))
            .map(|dependency| text(&dependency["pkg"]).to_owned())
            .collect();
        graph.get_mut(text(&node["id"])).expect("every node is a package").linked = linked;
    }
    graph
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("cargo metadata has a list here").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has text here")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn our_graph() -> Graph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", "host-tuple"])
        .current_dir(workspace())
        .output()
        .expect("cargo runs");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}\nrun `cargo fetch --locked` once, then this test needs no network");
    graph(&serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().expect("the source folder is readable") {
        let path = entry.expect("the source folder is readable").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn our_crates_depend_on_each_other_only_along_the_arrows() {
    assert_eq!(arrows_broken(&our_graph(), ARROWS, ROOTS), [""; 0]);
}

#[test]
fn the_trusted_core_depends_on_four_crates() {
    assert_eq!(undeclared(&our_graph(), "counterfoil-proof", PROOF_DEPENDENCIES), [""; 0]);
}

#[test]
fn the_verifier_links_no_network_and_no_database() {
    assert_eq!(linked_in(&our_graph(), "counterfoil-verify", OUT_OF_VERIFIER), [""; 0]);
}

#[test]
fn the_engine_links_no_async_runtime() {
    let graph = our_graph();
    let found: Vec<String> = ENGINE.iter().flat_map(|name| linked_in(&graph, name, OUT_OF_ENGINE)).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_trusted_core_has_at_most_2000_lines_without_tests() {
    let mut lines = 0;
    for path in rust_files(&workspace().join("engine/proof/src")) {
        if path.file_name().is_some_and(|name| name != "tests.rs") {
            lines += lines_without_tests(&std::fs::read_to_string(path).expect("source files are UTF-8"));
        }
    }
    assert!(lines > 0, "no source found");
    assert!(lines <= PROOF_LINES_MAX, "{lines} lines without tests are more than {PROOF_LINES_MAX}");
}

/// A graph of our own crates (`ours`) and foreign ones, from pairs of *name* and *names it links*.
fn made_up(ours: &[&str], edges: &[(&str, &[&str])]) -> Graph {
    let names = edges.iter().flat_map(|(from, to)| to.iter().chain([from])).copied().chain(ours.iter().copied());
    let mut graph: Graph = names
        .map(|name| {
            (name.to_owned(), Package { name: name.to_owned(), member: ours.contains(&name), ..<_>::default() })
        })
        .collect();
    for (from, to) in edges {
        let package = graph.get_mut(*from).expect("every name is a package");
        package.declared = to.iter().map(|name| (*name).to_owned()).collect();
        package.linked = package.declared.clone();
    }
    graph
}

#[test]
fn an_arrow_against_the_table_is_named() {
    let graph = made_up(&["core", "disk", "net"], &[("core", &["disk", "serde"]), ("net", &["disk", "core"])]);
    let arrows: &[(&str, &[&str])] = &[("core", &[]), ("disk", &["core"]), ("net", &["disk"])];
    assert_eq!(arrows_broken(&graph, arrows, &[]), ["core may not depend on disk"]);
}

#[test]
fn a_crate_without_a_row_is_named() {
    let graph = made_up(&["core", "new"], &[("new", &["core"])]);
    assert_eq!(arrows_broken(&graph, &[("core", &[])], &[]), ["new has no row in the table of arrows"]);
}

#[test]
fn nobody_may_use_a_root() {
    let graph = made_up(&["core", "tool"], &[("core", &["tool"]), ("tool", &["core"])]);
    assert_eq!(arrows_broken(&graph, &[("core", &[])], &["tool"]), ["core may not depend on tool"]);
}

#[test]
fn a_new_dependency_of_a_closed_crate_is_named() {
    let graph = made_up(&["core"], &[("core", &["sha2", "rand"])]);
    assert_eq!(undeclared(&graph, "core", &["sha2"]), ["core may not depend on rand"]);
    assert_eq!(undeclared(&graph, "gone", &["sha2"]), ["gone is not in the workspace"]);
}

#[test]
fn a_banned_crate_is_found_however_deep_with_the_way_it_came_in() {
    let graph =
        made_up(&["tool"], &[("tool", &["a", "b"]), ("a", &["c"]), ("c", &["tokio-util"]), ("b", &["tokiox", "c"])]);
    let [found] = linked_in(&graph, "tool", &["tokio"]).try_into().expect("one way is named");
    assert!(found.starts_with("tool → ") && found.ends_with(" → c → tokio-util"), "{found}");
    assert_eq!(linked_in(&graph, "tool", &["sled"]), [""; 0]);
    assert_eq!(linked_in(&graph, "gone", &["sled"]), ["gone is not in the workspace"]);
}

#[test]
fn development_dependencies_are_neither_declared_nor_linked() {
    let metadata = serde_json::json!({
        "workspace_members": ["ours"],
        "packages": [
            { "id": "ours", "name": "core", "dependencies": [
                { "name": "made", "kind": "build" }, { "name": "used", "kind": null }, { "name": "tried", "kind": "dev" },
            ] },
            { "id": "theirs", "name": "used", "dependencies": [] },
        ],
        "resolve": { "nodes": [
            { "id": "ours", "deps": [
                { "pkg": "theirs", "dep_kinds": [{ "kind": "dev" }, { "kind": null }] },
                { "pkg": "tried", "dep_kinds": [{ "kind": "dev" }] },
                { "pkg": "made", "dep_kinds": [{ "kind": "build" }] },
            ] },
            { "id": "theirs", "deps": [] },
        ] },
    });
    let graph = graph(&metadata);
    assert!(graph["ours"].member && !graph["theirs"].member);
    assert_eq!(graph["ours"].declared, BTreeSet::from(["made".to_owned(), "used".to_owned()]));
    assert_eq!(graph["ours"].linked, BTreeSet::from(["theirs".to_owned()]));
}

#[test]
fn comments_and_lines_from_the_test_module_on_do_not_count() {
    assert_eq!(lines_without_tests("//! x\nfn a() {}\n\n#[cfg(test)]\nmod tests {}\n"), 1);
    assert_eq!(lines_without_tests("fn a() {}\n"), 1);
}
