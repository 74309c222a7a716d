//! The string at a JSON pointer (RFC 6901), found in one pass that keeps nothing else.

use core::fmt;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;

/// A JSON pointer, such as `/incident/id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    steps: Vec<Step>,
}

/// A key of an object, which is also a place in an array where it reads as one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    key: String,
    place: Option<usize>,
}

/// What a pointer found in a JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A value that is no string.
    NoString,
    /// Nothing.
    Nothing,
}

impl Pointer {
    /// Reads a pointer: empty, or steps that each begin with `/`; `~1` stands for `/` and `~0` for `~`.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self { steps: Vec::new() });
        }
        let steps = text.strip_prefix('/').ok_or("a JSON pointer begins with `/`, for example /incident/id")?;
        let steps = steps.split('/').map(Step::parse).collect::<Result<_, _>>()?;
        Ok(Self { steps })
    }

    /// Looks into a JSON text, all of which must be valid. Of a key that is given twice the last one counts.
    pub(super) fn find<'a>(&self, json: &'a [u8]) -> serde_json::Result<Found<'a>> {
        let mut json = serde_json::Deserializer::from_slice(json);
        let found = Seek(&self.steps).deserialize(&mut json)?;
        json.end()?;
        Ok(found)
    }
}

impl Step {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut rest = text.split('~');
        let mut key = rest.next().unwrap_or_default().to_owned();
        for part in rest {
            let (c, part) = match part.as_bytes().first() {
                Some(b'0') => ('~', &part[1..]),
                Some(b'1') => ('/', &part[1..]),
                _ => return Err("in a JSON pointer `~` is followed by 0 or 1"),
            };
            key.push(c);
            key.push_str(part);
        }
        let place = key.parse().ok().filter(|place: &usize| place.to_string() == key);
        Ok(Self { key, place })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "/{}", step.key.replace('~', "~0").replace('/', "~1")))
    }
}

/// Walks the rest of a pointer into a value.
struct Seek<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seek<'_> {
    /// A value that has no parts: it is what was looked for, or there is nothing below it.
    fn leaf<'a>(&self) -> Found<'a> {
        if self.0.is_empty() { Found::NoString } else { Found::Nothing }
    }

    fn text<'a>(&self, text: impl Into<Cow<'a, str>>) -> Found<'a> {
        if self.0.is_empty() { Found::Text(text.into()) } else { Found::Nothing }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(self.leaf())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(self.leaf())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<'de>, E> {
        Ok(self.leaf())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<'de>, E> {
        Ok(self.leaf())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<'de>, E> {
        Ok(self.leaf())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Found<'de>, E> {
        Ok(self.text(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Found<'de>, E> {
        Ok(self.text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = self.leaf();
        while let Some(key) = map.next_key_seed(Text)? {
            match self.0.split_first() {
                Some((step, rest)) if step.key == key => found = map.next_value_seed(Seek(rest))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found<'de>, A::Error> {
        let mut found = self.leaf();
        let wanted = self.0.split_first();
        let mut place = 0;
        loop {
            match wanted {
                Some((step, rest)) if step.place == Some(place) => match list.next_element_seed(Seek(rest))? {
                    Some(value) => found = value,
                    None => return Ok(found),
                },
                _ if list.next_element::<IgnoredAny>()?.is_none() => return Ok(found),
                _ => {}
            }
            place += 1;
        }
    }
}

/// A string, borrowed where it holds no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text.into())
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Self::Value, E> {
        Err(E::custom("a key is text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pointer: &str, json: &str) -> Option<String> {
        match Pointer::parse(pointer).unwrap().find(json.as_bytes()).unwrap() {
            Found::Text(text) => Some(text.into_owned()),
            Found::NoString => Some("no string".into()),
            Found::Nothing => None,
        }
    }

    #[test]
    fn finds_what_serde_json_finds() {
        let json = r#"{"a":{"b":["x",{"c/d":"y","~":"z","é\n":"w"}]},"n":1.5e3,"t":"top","":"empty","a~1":"q"}"#;
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        for pointer in [
            "",
            "/a",
            "/a/b/0",
            "/a/b/1/c~1d",
            "/a/b/1/~0",
            "/a/b/1/é\n",
            "/a/b/01",
            "/a/b/2",
            "/n",
            "/t",
            "/t/x",
            "/",
            "/a~01",
            "/q",
        ] {
            let expected = value.pointer(pointer).map(|found| found.as_str().unwrap_or("no string").to_owned());
            assert_eq!(find(pointer, json), expected, "{pointer}");
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        assert_eq!(find("/a", r#"{"a":"x","a":"y"}"#).as_deref(), Some("y"));
    }

    #[test]
    fn the_whole_text_must_be_json() {
        let pointer = Pointer::parse("/a").unwrap();
        for bad in ["", "{\"a\":\"x\"} y", "{\"a\":\"x\",}", "{\"a\":\"x\"", "nope"] {
            assert!(pointer.find(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn pointers_are_read_strictly_and_shown_as_typed() {
        assert!(Pointer::parse("a").is_err());
        assert!(Pointer::parse("/a~2").is_err());
        assert_eq!(Pointer::parse("/a~1b/~0").unwrap().to_string(), "/a~1b/~0");
    }
}
