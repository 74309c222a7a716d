//! Keys of people, in files: PKCS#8 PEM, and the public verifier key beside it as `FILE.vkey`, which carries the name.

use crate::failure::{Exit, Failure};
use crate::files;
use counterfoil_engine::{OsRandomness, Randomness as _};
use counterfoil_proof::{Origin, Principal, SignatureType, VerifierKey};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

const KEY_FILE_LEN_MAX: usize = 4096;
const PRIVATE: u32 = 0o600;
const VKEY_SUFFIX: &str = ".vkey";

/// Name of a person or service that holds a key: the rules of a principal and those of a key name together.
pub(crate) fn parse_name(name: &str) -> Result<Origin, counterfoil_proof::NameError> {
    Principal::new(name)?;
    Origin::new(name)
}

/// Creates a key in a file that does not exist.
pub(crate) fn create(path: &Path, name: &Origin) -> Result<VerifierKey, Failure> {
    let mut seed = Zeroizing::new([0; 32]);
    OsRandomness.fill(&mut *seed).map_err(|error| {
        let message = format!("this machine gives no random bytes: {error}");
        Failure::new(Exit::Incomplete, "NO_RANDOMNESS", message, "wait until the system's random source is ready")
    })?;
    let key = SigningKey::from_bytes(&seed);
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| Failure::file("encoding the key for", path, &io::Error::other(error.to_string())))?;
    files::create_new(path, pem.as_bytes(), PRIVATE)?;
    let vkey = verifier(name, &key);
    write_vkey(path, &vkey)?;
    Ok(vkey)
}

/// The verifier key of an existing key file. The name stands in `FILE.vkey`; without that file it is the file's stem, and
/// the file is written.
pub(crate) fn read(path: &Path) -> Result<VerifierKey, Failure> {
    let key = read_private(path)?;
    let vkey_path = files::beside(path, VKEY_SUFFIX);
    let Some(text) = files::read_text_if_there(&vkey_path, KEY_FILE_LEN_MAX)? else {
        let vkey = verifier(&name_of_file(path)?, &key);
        write_vkey(path, &vkey)?;
        return Ok(vkey);
    };
    let bad = |problem: String| {
        let message = format!("{}: {problem}", vkey_path.display());
        let next = "put the verifier key that `keygen` printed back, or remove the file to name the key after its file";
        Failure::new(Exit::Incomplete, "BAD_KEY_FILE", message, next)
    };
    let vkey = VerifierKey::parse(text.trim_end()).map_err(|error| bad(error.to_string()))?;
    if *vkey.public_key() != key.verifying_key().to_bytes() {
        return Err(bad(format!("it belongs to another key than {}", path.display())));
    }
    parse_name(vkey.name().as_str()).map_err(|error| bad(format!("the name {error}")))?;
    Ok(vkey)
}

/// A key file, and whether it was there before.
pub(crate) enum Found {
    Existing(VerifierKey),
    Created(VerifierKey),
}

impl Found {
    pub(crate) fn into_vkey(self) -> VerifierKey {
        match self {
            Self::Existing(vkey) | Self::Created(vkey) => vkey,
        }
    }
}

/// Reads the key file, or creates one that is named after it.
pub(crate) fn read_or_create(path: &Path) -> Result<Found, Failure> {
    let exists = path.try_exists().map_err(|error| Failure::file("reading", path, &error))?;
    if exists { read(path).map(Found::Existing) } else { create(path, &name_of_file(path)?).map(Found::Created) }
}

fn read_private(path: &Path) -> Result<SigningKey, Failure> {
    let bytes = Zeroizing::new(files::read(path, KEY_FILE_LEN_MAX)?);
    let text = core::str::from_utf8(&bytes).ok();
    text.and_then(|text| SigningKey::from_pkcs8_pem(text).ok()).ok_or_else(|| {
        let message = format!("{} is not an Ed25519 private key in PKCS#8 PEM form", path.display());
        Failure::new(Exit::Incomplete, "BAD_KEY_FILE", message, "make one with `counterfoil keygen NAME -o FILE`")
    })
}

fn name_of_file(path: &Path) -> Result<Origin, Failure> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    parse_name(&stem).map_err(|error| {
        let message = format!("the key would be named after its file, and {stem:?} {error}");
        Failure::usage(
            message,
            "name the file after the person, or make the key with `counterfoil keygen NAME -o FILE`",
        )
    })
}

fn verifier(name: &Origin, key: &SigningKey) -> VerifierKey {
    VerifierKey::new(name.clone(), SignatureType::Ed25519, key.verifying_key())
}

fn write_vkey(path: &Path, vkey: &VerifierKey) -> Result<(), Failure> {
    files::replace(&files::beside(path, VKEY_SUFFIX), format!("{vkey}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Origin {
        parse_name(name).unwrap()
    }

    #[test]
    fn a_key_keeps_its_name_when_its_file_has_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let created = create(&path, &name("alice")).unwrap();
        assert_eq!(read(&path).unwrap(), created);
        assert_eq!(created.name().as_str(), "alice");
    }

    #[test]
    fn a_key_without_a_name_beside_it_is_named_after_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bob.pem");
        create(&path, &name("alice")).unwrap();
        std::fs::remove_file(folder.path().join("bob.pem.vkey")).unwrap();
        assert_eq!(read(&path).unwrap().name().as_str(), "bob");
        assert!(folder.path().join("bob.pem.vkey").exists());
    }

    #[test]
    fn the_name_of_another_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.pem"), folder.path().join("b.pem"));
        create(&a, &name("a")).unwrap();
        create(&b, &name("b")).unwrap();
        std::fs::copy(folder.path().join("a.pem.vkey"), folder.path().join("b.pem.vkey")).unwrap();
        assert_eq!(read(&b).unwrap_err().report.code, "BAD_KEY_FILE");
    }
}
