//! How JSON from outside becomes values: an object is an object, and an integer that does not fit is told its bounds.
//! Not what the values mean: that is their types'. Used by those types and by the bodies of requests.

use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A JSON object with `T`'s fields. (serde alone takes an array of the fields' values too.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// An integer within the bounds of its type, whose refusal ("must be an integer from 1 to 9") says them.
///
/// # Errors
/// Another value, or one out of bounds.
pub fn integer<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64, Error = String>,
{
    deserializer.deserialize_i64(Within(PhantomData))
}

struct Within<T>(PhantomData<T>);

impl<T: TryFrom<i64, Error = String>> Visitor<'_> for Within<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No type of ours takes the least integer there is.
        let bounds = T::try_from(i64::MIN).err().unwrap_or_default();
        f.write_str(bounds.strip_prefix("must be ").unwrap_or("an integer"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        T::try_from(value).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MIN))
    }
}

/// Reads the type by [`integer`].
macro_rules! bounded {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::json::integer(deserializer)
            }
        }
    };
}
pub(crate) use bounded;

#[cfg(test)]
mod tests {
    use super::Object;
    use crate::amount::Quantity;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Line {
        quantity: Quantity,
    }

    #[test]
    fn an_array_of_the_fields_is_no_object() {
        let read = |text| serde_json::from_str::<Object<Line>>(text);
        assert_eq!(read(r#"{"quantity": 3}"#).unwrap().0.quantity.get(), 3);
        for text in ["[3]", "[]", "3", "\"x\"", "null"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("expected an object"), "{text}: {error}");
        }
    }

    #[test]
    fn whatever_is_not_the_integer_is_told_the_bounds() {
        for text in [
            "0",
            "-1",
            "1001",
            "1.0",
            "1.5",
            "1e30",
            "\"1\"",
            "null",
            "true",
            "[1]",
            "{}",
            "18446744073709551615",
            "99999999999999999999999",
        ] {
            let error = serde_json::from_str::<Quantity>(text).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("an integer from 1 to 1000"),
                "{text}: {error}"
            );
        }
    }
}
