//! Trust from outside: which keys a verifier accepts (C2SP tlog-policy), and the checkpoints they vouch for.

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::names::Origin;
use crate::note::{NoteError, SignatureType, VerifierKey};
use core::fmt;

/// Longest policy file in bytes.
pub const POLICY_LEN_MAX: usize = 256 * 1024;
const ENTRIES_MAX: usize = 1024;

/// Which logs are accepted and which witnesses must have cosigned.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    logs: Vec<VerifierKey>,
    members: Vec<Member>,
    quorum: Option<usize>,
}

/// A witness or a group of earlier members, by position in `TrustPolicy::members`.
#[derive(Clone, Debug)]
struct Member {
    name: Vec<u8>,
    kind: MemberKind,
}

#[derive(Clone, Debug)]
enum MemberKind {
    Witness(VerifierKey),
    Group { threshold: usize, members: Vec<usize> },
}

/// A checkpoint whose signatures satisfied a trust policy. There is no other constructor than
/// [`SignedCheckpoint::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    signed: SignedCheckpoint,
    witnesses: Vec<Origin>,
}

impl VerifiedCheckpoint {
    /// What the checkpoint states.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        self.signed.unverified()
    }

    /// The note, with every signature line it came with.
    #[must_use]
    pub fn signed(&self) -> &SignedCheckpoint {
        &self.signed
    }

    /// Known witnesses whose cosignature is valid.
    #[must_use]
    pub fn witnesses(&self) -> &[Origin] {
        &self.witnesses
    }
}

/// Why a policy file is refused or a checkpoint does not satisfy it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// More bytes than [`POLICY_LEN_MAX`] or more entries than 1 024.
    TooLarge,
    /// A line is not a policy line.
    Line {
        /// 1-based line number.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// There is no quorum line.
    NoQuorum,
    /// A log key is not of type Ed25519 or a witness key not of type cosignature/v1.
    KeyType {
        /// Name of the key.
        key: Origin,
    },
    /// No signature of an accepted log key with the checkpoint's origin.
    NoTrustedSignature {
        /// The checkpoint's origin.
        origin: Origin,
    },
    /// A signature claims a known key and does not verify.
    BadSignature {
        /// Name of the key.
        key: Origin,
    },
    /// Too few cosignatures.
    Quorum {
        /// Witnesses that did cosign.
        found: Vec<Origin>,
    },
}

/// What is wrong with one line of a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineProblem {
    /// A byte that policies do not hold.
    Byte,
    /// The first word is none of log, witness, group, quorum.
    Keyword,
    /// Too many or too few words.
    Words,
    /// A verifier key is malformed.
    Key(NoteError),
    /// The same public key stands in an earlier line, or the name is taken.
    Duplicate,
    /// The name is not defined on an earlier line.
    UnknownName,
    /// The threshold is not between 1 and the number of members.
    Threshold,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "a policy has at most {POLICY_LEN_MAX} bytes and {ENTRIES_MAX} entries"),
            Self::Line { line, problem } => {
                write!(f, "policy line {line}: ")?;
                match problem {
                    LineProblem::Byte => f.write_str("control characters other than tab are not allowed"),
                    LineProblem::Keyword => f.write_str("expected log, witness, group or quorum"),
                    LineProblem::Words => f.write_str("too many or too few words"),
                    LineProblem::Key(error) => error.fmt(f),
                    LineProblem::Duplicate => f.write_str("this key or name stands on an earlier line"),
                    LineProblem::UnknownName => f.write_str("this name is not defined on an earlier line"),
                    LineProblem::Threshold => f.write_str("the threshold is not between 1 and the number of members"),
                }
            }
            Self::NoQuorum => f.write_str("a policy needs one quorum line; `quorum none` asks for no witness"),
            Self::KeyType { key } => write!(f, "{key} has the wrong signature type for its use"),
            Self::NoTrustedSignature { origin } => {
                write!(f, "no trusted key signed this checkpoint of origin {origin}")
            }
            Self::BadSignature { key } => write!(f, "the signature of the known key {key} does not verify"),
            Self::Quorum { found } => write!(f, "the quorum of witnesses is not reached: {} cosigned", found.len()),
        }
    }
}

impl core::error::Error for PolicyError {}

impl TrustPolicy {
    /// Trusts one log key and asks for no witness.
    ///
    /// # Errors
    /// [`PolicyError::KeyType`] when the key is a witness key.
    pub fn single(key: VerifierKey) -> Result<Self, PolicyError> {
        if key.kind() != SignatureType::Ed25519 {
            return Err(PolicyError::KeyType { key: key.name().clone() });
        }
        Ok(Self { logs: vec![key], members: Vec::new(), quorum: None })
    }

    /// Reads a C2SP tlog-policy file.
    ///
    /// # Errors
    /// [`PolicyError`] names the line.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > POLICY_LEN_MAX {
            return Err(PolicyError::TooLarge);
        }
        let mut policy = Self { logs: Vec::new(), members: Vec::new(), quorum: None };
        let mut has_quorum = false;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let fail = |problem| PolicyError::Line { line: at + 1, problem };
            if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
                return Err(fail(LineProblem::Byte));
            }
            let words: Vec<&[u8]> =
                line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with(b"#") => {}
                [b"log", rest @ ..] => policy.add_log(rest).map_err(fail)?,
                [b"witness", rest @ ..] => policy.add_witness(rest).map_err(fail)?,
                [b"group", rest @ ..] => policy.add_group(rest).map_err(fail)?,
                [b"quorum", name] if !has_quorum => {
                    has_quorum = true;
                    policy.quorum = if *name == b"none" { None } else { Some(policy.find(name).map_err(fail)?) };
                }
                [b"quorum", _] => return Err(fail(LineProblem::Duplicate)),
                [b"quorum", ..] => return Err(fail(LineProblem::Words)),
                _ => return Err(fail(LineProblem::Keyword)),
            }
            if policy.logs.len() + policy.members.len() > ENTRIES_MAX {
                return Err(PolicyError::TooLarge);
            }
        }
        if has_quorum { Ok(policy) } else { Err(PolicyError::NoQuorum) }
    }

    /// The accepted log keys.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// True when a checkpoint needs cosignatures of witnesses to satisfy this policy.
    #[must_use]
    pub fn asks_for_witnesses(&self) -> bool {
        !self.quorum_is_reached(&vec![false; self.members.len()])
    }

    /// The same log keys, without witnesses: for checkpoints as the ledger itself stores them, which nobody cosigned.
    #[must_use]
    pub fn without_witnesses(&self) -> Self {
        Self { logs: self.logs.clone(), members: Vec::new(), quorum: None }
    }

    fn add_log(&mut self, words: &[&[u8]]) -> Result<(), LineProblem> {
        let ([key] | [key, _]) = words else { return Err(LineProblem::Words) };
        let key = parse_key(key, SignatureType::Ed25519)?;
        if self.logs.iter().any(|known| known.public_key() == key.public_key()) {
            return Err(LineProblem::Duplicate);
        }
        self.logs.push(key);
        Ok(())
    }

    fn add_witness(&mut self, words: &[&[u8]]) -> Result<(), LineProblem> {
        let ([name, key] | [name, key, _]) = words else { return Err(LineProblem::Words) };
        let key = parse_key(key, SignatureType::CosignatureV1)?;
        let known = |member: &Member| match &member.kind {
            MemberKind::Witness(known) => known.public_key() == key.public_key(),
            MemberKind::Group { .. } => false,
        };
        if self.members.iter().any(known) {
            return Err(LineProblem::Duplicate);
        }
        self.add_member(name, MemberKind::Witness(key))
    }

    fn add_group(&mut self, words: &[&[u8]]) -> Result<(), LineProblem> {
        let [name, threshold, names @ ..] = words else { return Err(LineProblem::Words) };
        if names.is_empty() {
            return Err(LineProblem::Words);
        }
        let members = names.iter().map(|name| self.find(name)).collect::<Result<Vec<_>, _>>()?;
        let grouped = |at: &usize| {
            self.members.iter().any(|member| match &member.kind {
                MemberKind::Group { members, .. } => members.contains(at),
                MemberKind::Witness(_) => false,
            })
        };
        let repeated = members.iter().enumerate().any(|(at, member)| members[..at].contains(member));
        if repeated || members.iter().any(grouped) {
            return Err(LineProblem::Duplicate);
        }
        let threshold = match *threshold {
            b"any" => 1,
            b"all" => members.len(),
            number => core::str::from_utf8(number)
                .ok()
                .and_then(crate::checkpoint::parse_decimal)
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| (1..=members.len()).contains(number))
                .ok_or(LineProblem::Threshold)?,
        };
        self.add_member(name, MemberKind::Group { threshold, members })
    }

    fn add_member(&mut self, name: &[u8], kind: MemberKind) -> Result<(), LineProblem> {
        if name == b"none" || self.find(name).is_ok() {
            return Err(LineProblem::Duplicate);
        }
        self.members.push(Member { name: name.to_vec(), kind });
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<usize, LineProblem> {
        self.members.iter().position(|member| member.name == name).ok_or(LineProblem::UnknownName)
    }

    /// Which members count as having witnessed, given the witnesses that cosigned. Members only refer to earlier ones.
    fn quorum_is_reached(&self, cosigned: &[bool]) -> bool {
        let mut reached: Vec<bool> = Vec::with_capacity(self.members.len());
        for (at, member) in self.members.iter().enumerate() {
            reached.push(match &member.kind {
                MemberKind::Witness(_) => cosigned[at],
                MemberKind::Group { threshold, members } => {
                    members.iter().filter(|member| reached[**member]).count() >= *threshold
                }
            });
        }
        self.quorum.is_none_or(|at| reached[at])
    }
}

fn parse_key(word: &[u8], kind: SignatureType) -> Result<VerifierKey, LineProblem> {
    let text = core::str::from_utf8(word).map_err(|_| LineProblem::Key(NoteError::NotUtf8))?;
    let key = VerifierKey::parse(text).map_err(LineProblem::Key)?;
    if key.kind() == kind { Ok(key) } else { Err(LineProblem::Key(NoteError::Key { part: "signature type" })) }
}

impl SignedCheckpoint {
    /// Checks the signatures against a policy. A known key whose signature fails rejects the whole note (C2SP
    /// signed-note, *Signatures*).
    ///
    /// # Errors
    /// [`PolicyError`] says which signature is missing or wrong.
    pub fn verify(self, policy: &TrustPolicy) -> Result<VerifiedCheckpoint, PolicyError> {
        let origin = &self.unverified().origin;
        let checks = |key: &VerifierKey| {
            let mut claimed = self.note().signatures().iter().filter(|signature| key.claims(signature)).peekable();
            let present = claimed.peek().is_some();
            match claimed.all(|signature| key.verifies(self.note().text(), signature)) {
                true => Ok(present),
                false => Err(PolicyError::BadSignature { key: key.name().clone() }),
            }
        };
        let mut trusted = false;
        for key in policy.logs.iter().filter(|key| key.name() == origin) {
            trusted |= checks(key)?;
        }
        if !trusted {
            return Err(PolicyError::NoTrustedSignature { origin: origin.clone() });
        }
        let mut cosigned = vec![false; policy.members.len()];
        let mut witnesses = Vec::new();
        for (at, member) in policy.members.iter().enumerate() {
            if let MemberKind::Witness(key) = &member.kind
                && checks(key)?
            {
                cosigned[at] = true;
                witnesses.push(key.name().clone());
            }
        }
        if !policy.quorum_is_reached(&cosigned) {
            return Err(PolicyError::Quorum { found: witnesses });
        }
        Ok(VerifiedCheckpoint { signed: self, witnesses })
    }
}

#[cfg(test)]
mod tests;
