//! The auditor's offline verifier.
