//! Versions that programs print.

/// Picks the first two numbers of the version out of `bpf-linker 0.13.0` or `mdbook v0.5.4`.
pub(super) fn version_of(text: &str) -> Option<(u32, u32)> {
    let version = text.split_whitespace().last()?.trim_start_matches('v');
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(version_of("bpf-linker 0.13.0"), Some((0, 13)));
        assert!(version_of("bpf-linker 0.9.15") < version_of("0.13.0"));
        assert_eq!(version_of("mdbook v0.5.4"), Some((0, 5)));
        assert_eq!(version_of(""), None);
        assert_eq!(version_of("bpf-linker devel"), None);
    }
}
