//! A desk with a ledger on it, and programs run at it.

use assert_cmd::Command;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_counterfoil");
/// A hanging program fails its test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a ledger, a root key, and the state of the clients run at it.
pub(crate) struct Desk {
    folder: TempDir,
}

/// What a program said.
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Desk {
    /// A desk with a new ledger `ledger`.
    pub(crate) fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.run(&[
            "init",
            &desk.text("ledger"),
            "--origin",
            "test.example/ledger",
            "--root-key",
            &desk.text("root.pem"),
        ])
        .expect_code(0);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        write(&self.path(name), bytes.as_ref());
        self.text(name)
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.run_with(args, b"")
    }

    /// Runs the program to its end with these bytes on its stdin.
    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Answer {
        let mut command = Command::new(PROGRAM);
        command.args(args).env("XDG_STATE_HOME", self.path("state")).env_remove("COUNTERFOIL_LOG");
        let output = command.write_stdin(stdin).timeout(PATIENCE).output().unwrap();
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Serves the ledger on a free port.
    pub(crate) fn serve(&self) -> Serving<'_> {
        self.serve_with(&[])
    }

    pub(crate) fn serve_with(&self, args: &[&str]) -> Serving<'_> {
        Serving::start(self, &self.text("ledger"), args)
    }

    /// Puts one ledger directory in the place of another, which is kept as `name`.
    pub(crate) fn swap_ledger(&self, with: &str, keep_as: &str) {
        rename(&self.path("ledger"), &self.path(keep_as));
        rename(&self.path(with), &self.path("ledger"));
    }

    /// Copies the ledger directory, that nobody has open.
    pub(crate) fn copy_ledger(&self, to: &str) {
        copy_folder(&self.path("ledger"), &self.path(to));
    }

    /// Flips one bit where these bytes stand in a segment.
    pub(crate) fn flip_bit_of(&self, payload: &[u8]) {
        let segments = std::fs::read_dir(self.path("ledger/segments")).unwrap().map(|entry| entry.unwrap().path());
        for path in segments.filter(|path| path.extension().is_some_and(|extension| extension == "seg")) {
            let bytes = std::fs::read(&path).unwrap();
            if let Some(at) = bytes.windows(payload.len()).position(|window| window == payload) {
                return write_at(&path, bytes[at] ^ 1, at as u64);
            }
        }
        panic!("the payload is in no segment");
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        let stdout = String::from_utf8_lossy(&self.stdout);
        assert_eq!(self.code, code, "stdout: {stdout}\nstderr: {}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let text = self.text();
        assert!(text.ends_with('\n') && !text.trim_end().contains('\n'), "one line of JSON: {text}");
        serde_json::from_str(text).unwrap()
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        core::str::from_utf8(&self.stdout).unwrap()
    }

    /// The error document of a failure with this exit code.
    #[track_caller]
    pub(crate) fn error(self, code: i32) -> Failure {
        let json = self.expect_code(code).json();
        assert_eq!(keys(&json), ["error"]);
        let error = &json["error"];
        assert_eq!(keys(error), ["code", "message", "next"]);
        let text = |name: &str| error[name].as_str().unwrap().to_owned();
        let failure = Failure { code: text("code"), message: text("message"), next: text("next") };
        assert!(!failure.message.is_empty() && !failure.next.is_empty(), "{error}");
        failure
    }
}

/// The error document.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) next: String,
}

/// Keys of an object, sorted.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A server that is stopped with the test.
pub(crate) struct Serving<'a> {
    desk: &'a Desk,
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) url: String,
}

impl<'a> Serving<'a> {
    fn start(desk: &'a Desk, ledger: &str, args: &[&str]) -> Self {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["serve", ledger, "--listen", "127.0.0.1:0"]).args(args);
        command.env("COUNTERFOIL_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("not listening: {line}"));
        let url = format!("http://{address}");
        Self { desk, child, stdout, url }
    }

    /// The next line the server prints.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Runs a client command at this server.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.run_with(args, b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Answer {
        let mut all = args.to_vec();
        all.extend(["--server", &self.url]);
        self.desk.run_with(&all, stdin)
    }

    /// Runs a client command with `--json` that must succeed.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.json_with(args, b"")
    }

    #[track_caller]
    pub(crate) fn json_with(&self, args: &[&str], stdin: &[u8]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        self.run_with(&all, stdin).expect_code(0).json()
    }

    /// Runs a client command with `--json` that must fail.
    #[track_caller]
    pub(crate) fn error(&self, code: i32, args: &[&str]) -> Failure {
        self.error_with(code, args, b"")
    }

    #[track_caller]
    pub(crate) fn error_with(&self, code: i32, args: &[&str], stdin: &[u8]) -> Failure {
        let mut all = vec!["--json"];
        all.extend(args);
        self.run_with(&all, stdin).error(code)
    }

    /// Runs a client command with `--json` that must fail because of what happens meanwhile.
    #[track_caller]
    pub(crate) fn error_while(&self, code: i32, args: &[&str], meanwhile: impl FnOnce(&Self)) -> Failure {
        std::thread::scope(|scope| {
            let running = scope.spawn(|| self.run(&[&["--json"], args].concat()));
            meanwhile(self);
            running.join().unwrap().error(code)
        })
    }

    /// Receipts in the ledger now.
    pub(crate) fn size(&self) -> u64 {
        self.json(&["checkpoint", "--state", &self.desk.text("observer")])["size"].as_u64().unwrap()
    }

    /// Ends the server at once, as the power does.
    pub(crate) fn kill(&self) {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
    }

    /// Appends one JSON payload to a stream.
    #[track_caller]
    pub(crate) fn append(&self, stream: &str, payload: &str) -> Value {
        self.json_with(&["append", "-", "--stream", stream, "--kind", "test.note/1"], payload.as_bytes())
    }

    /// Asks it to stop, as an operator does, and gives its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        // It may have stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "tests set files up behind the back of the engine")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "tests set files up behind the back of the engine")]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "tests damage files behind the back of the engine")]
fn write_at(path: &Path, byte: u8, offset: u64) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[byte], offset).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
