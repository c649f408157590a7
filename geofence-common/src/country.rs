//! Countries as the data path counts them: a number for each ISO 3166-1 code, and three for "no country".
//!
//! The numbers index the counters and are stored in policy images. A change to the list is a new `image::LAYOUT`.

/// The ISO 3166-1 alpha-2 codes in alphabetical order, with Kosovo's user-assigned `XK`.
pub const CODES: [[u8; 2]; 250] = [
    *b"AD", *b"AE", *b"AF", *b"AG", *b"AI", *b"AL", *b"AM", *b"AO", *b"AQ", *b"AR", *b"AS", *b"AT",
    *b"AU", *b"AW", *b"AX", *b"AZ", *b"BA", *b"BB", *b"BD", *b"BE", *b"BF", *b"BG", *b"BH", *b"BI",
    *b"BJ", *b"BL", *b"BM", *b"BN", *b"BO", *b"BQ", *b"BR", *b"BS", *b"BT", *b"BV", *b"BW", *b"BY",
    *b"BZ", *b"CA", *b"CC", *b"CD", *b"CF", *b"CG", *b"CH", *b"CI", *b"CK", *b"CL", *b"CM", *b"CN",
    *b"CO", *b"CR", *b"CU", *b"CV", *b"CW", *b"CX", *b"CY", *b"CZ", *b"DE", *b"DJ", *b"DK", *b"DM",
    *b"DO", *b"DZ", *b"EC", *b"EE", *b"EG", *b"EH", *b"ER", *b"ES", *b"ET", *b"FI", *b"FJ", *b"FK",
    *b"FM", *b"FO", *b"FR", *b"GA", *b"GB", *b"GD", *b"GE", *b"GF", *b"GG", *b"GH", *b"GI", *b"GL",
    *b"GM", *b"GN", *b"GP", *b"GQ", *b"GR", *b"GS", *b"GT", *b"GU", *b"GW", *b"GY", *b"HK", *b"HM",
    *b"HN", *b"HR", *b"HT", *b"HU", *b"ID", *b"IE", *b"IL", *b"IM", *b"IN", *b"IO", *b"IQ", *b"IR",
    *b"IS", *b"IT", *b"JE", *b"JM", *b"JO", *b"JP", *b"KE", *b"KG", *b"KH", *b"KI", *b"KM", *b"KN",
    *b"KP", *b"KR", *b"KW", *b"KY", *b"KZ", *b"LA", *b"LB", *b"LC", *b"LI", *b"LK", *b"LR", *b"LS",
    *b"LT", *b"LU", *b"LV", *b"LY", *b"MA", *b"MC", *b"MD", *b"ME", *b"MF", *b"MG", *b"MH", *b"MK",
    *b"ML", *b"MM", *b"MN", *b"MO", *b"MP", *b"MQ", *b"MR", *b"MS", *b"MT", *b"MU", *b"MV", *b"MW",
    *b"MX", *b"MY", *b"MZ", *b"NA", *b"NC", *b"NE", *b"NF", *b"NG", *b"NI", *b"NL", *b"NO", *b"NP",
    *b"NR", *b"NU", *b"NZ", *b"OM", *b"PA", *b"PE", *b"PF", *b"PG", *b"PH", *b"PK", *b"PL", *b"PM",
    *b"PN", *b"PR", *b"PS", *b"PT", *b"PW", *b"PY", *b"QA", *b"RE", *b"RO", *b"RS", *b"RU", *b"RW",
    *b"SA", *b"SB", *b"SC", *b"SD", *b"SE", *b"SG", *b"SH", *b"SI", *b"SJ", *b"SK", *b"SL", *b"SM",
    *b"SN", *b"SO", *b"SR", *b"SS", *b"ST", *b"SV", *b"SX", *b"SY", *b"SZ", *b"TC", *b"TD", *b"TF",
    *b"TG", *b"TH", *b"TJ", *b"TK", *b"TL", *b"TM", *b"TN", *b"TO", *b"TR", *b"TT", *b"TV", *b"TW",
    *b"TZ", *b"UA", *b"UG", *b"UM", *b"US", *b"UY", *b"UZ", *b"VA", *b"VC", *b"VE", *b"VG", *b"VI",
    *b"VN", *b"VU", *b"WF", *b"WS", *b"XK", *b"YE", *b"YT", *b"ZA", *b"ZM", *b"ZW",
];

/// How many countries a counter table has room for.
pub const COUNTRIES_MAX: usize = 256;

/// A country, or one of three values for an address that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(u8);

/// The number of the first entry of `CODES`.
const FIRST: u8 = 3;

impl Country {
    /// No source address was read.
    pub const NONE: Self = Self(0);
    /// The address is in no database.
    pub const UNKNOWN: Self = Self(1);
    /// Special-use space, which belongs to no country.
    pub const SPECIAL: Self = Self(2);

    /// The country with this ISO 3166-1 alpha-2 code, upper case.
    #[must_use]
    pub fn from_code(code: [u8; 2]) -> Option<Self> {
        let at = CODES.binary_search(&code).ok()?;
        u8::try_from(at).ok()?.checked_add(FIRST).map(Self)
    }

    /// The country with this number, as counters and images store it.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }

    /// The number that counters and images store.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The alpha-2 code, if this is a country.
    #[must_use]
    pub fn code(self) -> Option<&'static str> {
        let code = CODES.get(usize::from(self.0.checked_sub(FIRST)?))?;
        core::str::from_utf8(code).ok()
    }

    /// The spelling used in metrics and JSON: the code, or `none`, `unknown`, `special`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NONE => "none",
            Self::SPECIAL => "special",
            country => country.code().unwrap_or("unknown"),
        }
    }

    /// Every country of `CODES`.
    pub fn all() -> impl Iterator<Item = Self> {
        (FIRST..=u8::MAX).take(CODES.len()).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_round_trip() {
        assert!(CODES.is_sorted_by(|a, b| a < b));
        assert!(CODES.len() + usize::from(FIRST) <= COUNTRIES_MAX);
        for country in Country::all() {
            let code = country.code().unwrap();
            assert_eq!(
                Country::from_code(code.as_bytes().try_into().unwrap()),
                Some(country)
            );
        }
        assert_eq!(Country::from_code(*b"UK"), None);
        assert_eq!(Country::from_number(255).name(), "unknown");
    }
}
