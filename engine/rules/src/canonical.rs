//! Canonical JSON: RFC 8785, behind a guard that refuses what its writers round or reorder silently.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const INTEGER_MAX: u64 = (1 << 53) - 1;
const DEPTH_MAX: usize = 64;

/// Why a value has no canonical JSON form, or bytes are not in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON, or not of the expected shape.
    #[error("not the expected JSON: {0}")]
    Json(String),
    /// A fraction or exponent.
    #[error("fractions are not allowed; use integers of a smaller unit")]
    Float,
    /// An integer that some JSON readers round.
    #[error("integers beyond 2^53-1 are not allowed; use strings")]
    LargeInteger,
    /// More than 64 levels.
    #[error("more than {DEPTH_MAX} levels of nesting")]
    Depth,
    /// The bytes are another spelling of the same value.
    #[error("not in canonical form (RFC 8785)")]
    NotCanonical,
}

impl From<serde_json::Error> for CanonicalError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

/// Writes a value in canonical form.
///
/// # Errors
/// [`CanonicalError`] when the guard refuses it.
pub fn to_canonical(value: &impl Serialize) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value)?;
    guard(&value, DEPTH_MAX)?;
    Ok(serde_json_canonicalizer::to_vec(&value)?)
}

/// Reads a value; any other spelling than the canonical one is refused, duplicate keys included.
///
/// # Errors
/// [`CanonicalError`] says why.
pub fn from_canonical<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value: Value = serde_json::from_slice(bytes)?;
    guard(&value, DEPTH_MAX)?;
    if serde_json_canonicalizer::to_vec(&value)? != bytes {
        return Err(CanonicalError::NotCanonical);
    }
    Ok(serde_json::from_value(value)?)
}

fn guard(value: &Value, depth: usize) -> Result<(), CanonicalError> {
    let depth = depth.checked_sub(1).ok_or(CanonicalError::Depth)?;
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(positive), _) if positive <= INTEGER_MAX => Ok(()),
            (None, Some(negative)) if negative.unsigned_abs() <= INTEGER_MAX => Ok(()),
            (None, None) => Err(CanonicalError::Float),
            _ => Err(CanonicalError::LargeInteger),
        },
        Value::Array(items) => items.iter().try_for_each(|item| guard(item, depth)),
        Value::Object(fields) => fields.values().try_for_each(|field| guard(field, depth)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_white_space_is_gone() {
        assert_eq!(to_canonical(&json!({"b": 1, "a": [true, null]})).unwrap(), br#"{"a":[true,null],"b":1}"#);
    }

    #[test]
    fn what_writers_round_silently_is_refused() {
        assert_eq!(to_canonical(&json!(0.5)), Err(CanonicalError::Float));
        assert_eq!(to_canonical(&json!(9_007_199_254_740_992u64)), Err(CanonicalError::LargeInteger));
        assert_eq!(to_canonical(&json!(-9_007_199_254_740_992i64)), Err(CanonicalError::LargeInteger));
        assert!(to_canonical(&json!(9_007_199_254_740_991u64)).is_ok());
        let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(to_canonical(&deep), Err(CanonicalError::Depth));
    }

    #[test]
    fn another_spelling_is_refused() {
        for bad in [r#"{"a":1,"a":1}"#, r#"{ "a":1}"#, r#"{"b":1,"a":1}"#, r#""\u0041""#] {
            assert_eq!(from_canonical::<Value>(bad.as_bytes()), Err(CanonicalError::NotCanonical), "{bad}");
        }
        assert!(from_canonical::<Value>(b"\xff").is_err());
    }
}
