//! A database record: its country and its autonomous system, found while every value in it is decoded, or the whole
//! of it as JSON.
//!
//! Records are input. Nothing here trusts their shape: a field of another type than expected is an absent field. How
//! much one record may unfold to is bounded by maxminddb; what it cost is told, so that the caller can bound the sum.

use std::fmt;

use geofence_common::country::Country;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What a record says of the country.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Country(Country),
    /// A code that is not of ISO 3166-1.
    Foreign(String),
    Nothing,
}

/// What was kept of a record when all its values had been decoded.
#[derive(Default)]
pub(super) struct Record {
    /// Values, and sixteenths of string bytes: about what decoding it cost.
    pub(super) cost: u64,
    country_code: Option<String>,
    country_iso_code: Option<String>,
    country: Option<String>,
    system: Option<u32>,
    organization: Option<String>,
    as_name: Option<String>,
    name: Option<String>,
}

impl Record {
    /// The number of the autonomous system and the name of its organisation, if it has one.
    pub(super) fn system(self) -> Option<(u32, String)> {
        let number = self.system.filter(|number| *number != 0)?;
        let names = [self.organization, self.as_name, self.name];
        let name = names.into_iter().flatten().find(|text| !text.is_empty());
        Some((number, name.unwrap_or_default()))
    }

    pub(super) fn answer(self) -> Answer {
        // Some vendors put the country's name under this key, which is no code at all.
        let country = self
            .country
            .filter(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()));
        let said = [self.country_code, self.country_iso_code, country]
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty());
        match said {
            None => Answer::Nothing,
            Some(text) => <[u8; 2]>::try_from(text.as_bytes())
                .ok()
                .and_then(Country::from_code)
                .map_or(Answer::Foreign(text), Answer::Country),
        }
    }

    fn keep(&mut self, field: Field, text: &str) {
        // Longer than any code and nearly every name; a longer text is cut.
        const TEXT_MAX: usize = 128;
        let kept = || Some(text.chars().take(TEXT_MAX).collect());
        match field {
            Field::CountryCode => self.country_code = kept(),
            Field::CountryIsoCode => self.country_iso_code = kept(),
            Field::Country => self.country = kept(),
            // "AS64500", or the digits alone.
            Field::System => {
                let digits = text.strip_prefix("AS").unwrap_or(text);
                self.system = digits.parse().ok();
            }
            Field::Organization => self.organization = kept(),
            Field::AsName => self.as_name = kept(),
            Field::Name => self.name = kept(),
            Field::Record | Field::Other => {}
        }
    }

    fn spend(&mut self, values: u64, bytes: usize) {
        self.cost += values + bytes as u64 / 16;
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut record = Self::default();
        Walk {
            record: &mut record,
            field: Field::Record,
        }
        .deserialize(deserializer)?;
        Ok(record)
    }
}

/// Where in a record a value stands.
#[derive(Clone, Copy)]
enum Field {
    Record,
    CountryCode,
    Country,
    CountryIsoCode,
    System,
    Organization,
    AsName,
    Name,
    Other,
}

impl Field {
    fn under(self, key: &str) -> Self {
        match (self, key) {
            (Self::Record, "country_code") => Self::CountryCode,
            (Self::Record, "country") => Self::Country,
            (Self::Country, "iso_code") => Self::CountryIsoCode,
            (Self::Record, "autonomous_system_number" | "asn") => Self::System,
            (Self::Record, "autonomous_system_organization") => Self::Organization,
            (Self::Record, "as_name") => Self::AsName,
            (Self::Record, "name") => Self::Name,
            _ => Self::Other,
        }
    }
}

/// Decodes one value, wherever it stands.
struct Walk<'a> {
    record: &'a mut Record,
    field: Field,
}

impl Walk<'_> {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every visitor method answers with a result"
    )]
    fn scalar<E>(self) -> Result<(), E> {
        self.record.spend(1, 0);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any MMDB value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        if matches!(self.field, Field::System) {
            self.record.system = u32::try_from(number).ok();
        }
        self.scalar()
    }

    fn visit_u128<E>(self, _: u128) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<(), E> {
        self.record.spend(1, bytes.len());
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.record.keep(self.field, text);
        self.record.spend(1, text.len());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.record.spend(1, 0);
        let mut element = || {
            values.next_element_seed(Walk {
                record: &mut *self.record,
                field: Field::Other,
            })
        };
        while element()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.record.spend(1, 0);
        while let Some(key) = map.next_key::<&str>()? {
            self.record.spend(1, key.len());
            map.next_value_seed(Walk {
                record: &mut *self.record,
                field: self.field.under(key),
            })?;
        }
        Ok(())
    }
}

/// A whole record as JSON. What JSON has no form for becomes text.
pub(super) struct Json(pub(super) Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(Self)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any MMDB value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(value)
            .map_or_else(|| value.to_string().into(), Value::from))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(Json(value)) = values.next_element()? {
            out.push(value);
        }
        Ok(out.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = serde_json::Map::new();
        while let Some((key, Json(value))) = map.next_entry::<String, Json>()? {
            out.insert(key, value);
        }
        Ok(out.into())
    }
}
