//! From trust flags to trust, and from paths to bytes.

use crate::cli::Common;
use crate::output::Problem;
use counterfoil_audit::{Anchor, Trust, parse_time};
use counterfoil_proof::{Hash, NOTE_LEN_MAX, POLICY_LEN_MAX, SignedCheckpoint, Timestamp, TrustPolicy, VerifierKey};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

const VKEY_LEN_MAX: usize = 4096;

/// Reads a file of at most `len_max` bytes; one byte more is read of a longer one, so that its parser refuses it.
pub(crate) fn read(path: &Path, len_max: usize) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    open(path)
        .and_then(|file| file.take(len_max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Problem::unreadable(path, &error))?;
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "files named on the command line are opened here and nowhere else")]
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

impl Common {
    /// What the flags say to trust.
    pub(crate) fn trust(&self) -> Result<Trust, Problem> {
        let anchor = match (&self.key, &self.policy, self.self_asserted) {
            (Some(key), None, false) => Anchor::Policy(single(key)?),
            (None, Some(path), false) => Anchor::Policy(policy(path)?),
            (None, None, true) => Anchor::SelfAsserted,
            _ => {
                return Err(Problem::usage(
                    "exactly one of --key VKEY, --policy FILE and --self-asserted is required",
                    "give --key with the verifier key you got from the operator over another channel",
                ));
            }
        };
        let genesis = self.genesis.as_deref().map(|text| {
            Hash::from_hex(text).map_err(|error| {
                Problem::usage(
                    format!("--genesis is {error}"),
                    "give the 64 digits that `counterfoil init` printed as ledger_id",
                )
            })
        });
        let seen = self.seen.iter().map(|path| seen(path)).collect::<Result<_, _>>()?;
        Ok(Trust { anchor, genesis: genesis.transpose()?, seen })
    }
}

fn single(key: &str) -> Result<TrustPolicy, Problem> {
    let wrong =
        |message: String| Problem::usage(message, "a verifier key reads name+id+key, as `counterfoil init` printed it");
    let parsed = match VerifierKey::parse(key) {
        Ok(key) => key,
        Err(_) if Path::new(key).exists() => {
            let bytes = read(Path::new(key), VKEY_LEN_MAX)?;
            let text = String::from_utf8_lossy(&bytes);
            VerifierKey::parse(text.trim()).map_err(|error| wrong(format!("--key {key}: {error}")))?
        }
        Err(error) => return Err(wrong(format!("--key: {error}, and no file has this name"))),
    };
    TrustPolicy::single(parsed).map_err(|error| wrong(format!("--key: {error}")))
}

fn policy(path: &Path) -> Result<TrustPolicy, Problem> {
    TrustPolicy::parse(&read(path, POLICY_LEN_MAX)?).map_err(|error| {
        Problem::usage(format!("--policy {}: {error}", path.display()), "a policy has the form of C2SP tlog-policy")
    })
}

fn seen(path: &Path) -> Result<SignedCheckpoint, Problem> {
    SignedCheckpoint::parse(&read(path, NOTE_LEN_MAX)?).map_err(|error| {
        Problem::usage(
            format!("--seen {}: {error}", path.display()),
            "give a file that `counterfoil checkpoint` printed",
        )
    })
}

/// The moment of `--as-of`.
pub(crate) fn as_of(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let parse = |text: &str| {
        let wrong = || Problem::usage(format!("--as-of {text}: not a time"), "write it as 2026-03-01T09:30:00Z");
        parse_time(text).ok_or_else(wrong)
    };
    text.map(parse).transpose()
}
