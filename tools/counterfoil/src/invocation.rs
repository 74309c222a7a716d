//! Commands for a person to type next, as they work on this machine.

use std::env;
use std::path::{Path, PathBuf};

const VERIFIER: &str = "counterfoil-verify";

/// This program as it can be called again: by its name if it was found on the PATH, else by its absolute path.
pub(crate) fn program() -> String {
    let typed = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if typed.components().count() == 1 && !typed.is_absolute() {
        return quote(&typed.to_string_lossy());
    }
    this_file().map_or_else(|| "counterfoil".to_owned(), |path| quote(&path.to_string_lossy()))
}

/// The auditor's program: the file beside this one, or cargo's call of it when cargo started this one, or its name.
pub(crate) fn verifier() -> String {
    let beside = this_file().map(|path| path.with_file_name(VERIFIER)).filter(|path| path.is_file());
    if let Some(path) = beside {
        return quote(&path.to_string_lossy());
    }
    match env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).and_then(workspace_manifest) {
        Some(manifest) => {
            format!("cargo run --release -q -p {VERIFIER} --manifest-path {} --", quote(&manifest.to_string_lossy()))
        }
        None => VERIFIER.to_owned(),
    }
}

fn this_file() -> Option<PathBuf> {
    env::current_exe().ok()
}

/// The manifest two folders above that of this package.
fn workspace_manifest(package: PathBuf) -> Option<PathBuf> {
    let manifest = package.parent()?.parent()?.join("Cargo.toml");
    manifest.is_file().then_some(manifest)
}

/// A path as one word of a shell.
pub(crate) fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_read_otherwise_are_quoted() {
        assert_eq!(quote("/tmp/a-b.c"), "/tmp/a-b.c");
        assert_eq!(quote("/tmp/a b"), "'/tmp/a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
