//! A database record: the fields that are wanted, picked out while the whole record is decoded; or all of it as JSON.
//!
//! Records are input: a field of an unexpected type counts as absent. maxminddb bounds what one record may expand to;
//! `cost` lets the caller bound the sum.

use std::fmt;

use geofence_common::country::Country;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The country in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::data) enum CountryField {
    Country(Country),
    /// A code that is not in ISO 3166-1.
    Foreign(String),
    Absent,
}

/// The wanted fields of a record.
#[derive(Default)]
pub(in crate::data) struct Record {
    /// What decoding cost, roughly: one for each value and one for 16 bytes of text.
    pub(super) cost: u64,
    country_code: Option<String>,
    country_iso_code: Option<String>,
    country: Option<String>,
    as_number: Option<u32>,
    as_organization: Option<String>,
    as_name: Option<String>,
    name: Option<String>,
}

impl Record {
    /// The AS number and the name of its organisation; the name may be empty.
    pub(in crate::data) fn autonomous_system(self) -> Option<(u32, String)> {
        let number = self.as_number.filter(|number| *number != 0)?;
        let names = [self.as_organization, self.as_name, self.name];
        let name = names.into_iter().flatten().find(|text| !text.is_empty());
        Some((number, name.unwrap_or_default()))
    }

    pub(in crate::data) fn country(self) -> CountryField {
        // Some vendors put the country's name under this key, which is not a code.
        let country = self
            .country
            .filter(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()));
        let code = [self.country_code, self.country_iso_code, country]
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty());
        match code {
            None => CountryField::Absent,
            Some(text) => <[u8; 2]>::try_from(text.as_bytes())
                .ok()
                .and_then(Country::from_code)
                .map_or(CountryField::Foreign(text), CountryField::Country),
        }
    }

    fn set(&mut self, field: Field, text: &str) {
        // Longer than any code and nearly every name; a longer text is cut.
        const TEXT_MAX: usize = 128;
        let text_field = match field {
            // "AS64500", or the digits alone.
            Field::AsNumber => {
                let digits = text.strip_prefix("AS").unwrap_or(text);
                self.as_number = digits.parse().ok();
                return;
            }
            Field::Record | Field::Other => return,
            Field::CountryCode => &mut self.country_code,
            Field::CountryIsoCode => &mut self.country_iso_code,
            Field::Country => &mut self.country,
            Field::AsOrganization => &mut self.as_organization,
            Field::AsName => &mut self.as_name,
            Field::Name => &mut self.name,
        };
        *text_field = Some(text.chars().take(TEXT_MAX).collect());
    }

    fn spend(&mut self, bytes: usize) {
        self.cost += 1 + bytes as u64 / 16;
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

/// The field of a record that a value belongs to.
#[derive(Clone, Copy)]
enum Field {
    Record,
    CountryCode,
    Country,
    CountryIsoCode,
    AsNumber,
    AsOrganization,
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
            (Self::Record, "autonomous_system_number" | "asn") => Self::AsNumber,
            (Self::Record, "autonomous_system_organization") => Self::AsOrganization,
            (Self::Record, "as_name") => Self::AsName,
            (Self::Record, "name") => Self::Name,
            _ => Self::Other,
        }
    }
}

/// Decodes one value of a record.
struct Walk<'a> {
    record: &'a mut Record,
    field: Field,
}

impl Walk<'_> {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "every visitor method returns a result"
    )]
    fn scalar<E>(self) -> Result<(), E> {
        self.record.spend(0);
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
        if matches!(self.field, Field::AsNumber) {
            self.record.as_number = u32::try_from(number).ok();
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
        self.record.spend(bytes.len());
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.record.set(self.field, text);
        self.record.spend(text.len());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        self.record.spend(0);
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
        self.record.spend(0);
        while let Some(key) = map.next_key::<&str>()? {
            self.record.spend(key.len());
            map.next_value_seed(Walk {
                record: &mut *self.record,
                field: self.field.under(key),
            })?;
        }
        Ok(())
    }
}

/// A whole record as JSON. What JSON cannot express becomes text.
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
