//! Users of this machine.

use nix::unistd::User;

/// The number of a user, by name or by number; none if there is no such user.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let user = User::from_name(name).ok()??;
    Some(user.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_name_and_by_number() {
        assert_eq!(number("root"), Some(0));
        assert_eq!(number("4711"), Some(4711));
        assert_eq!(number("no-user-has-this-name"), None);
    }
}
