//! What a first configuration says, and its text. The readers of the configuration decide what is valid.

use std::path::PathBuf;

use crate::config::{Config, ConfigErrors};

/// What a first configuration says. An empty list leaves the key at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) interfaces: Vec<String>,
    pub(super) block: Vec<String>,
    pub(super) databases: Vec<PathBuf>,
    pub(super) management: Vec<String>,
}

impl Answers {
    /// The text of the configuration.
    pub(super) fn text(&self) -> String {
        let databases = self.databases.iter();
        let databases: Vec<_> = databases.map(|path| path.display().to_string()).collect();
        let keys = [
            (
                "The network interfaces to protect.",
                line("interfaces", &self.interfaces),
            ),
            (
                "The countries whose packets are dropped.",
                line("block", &self.block),
            ),
            (
                "GeoIP databases (MMDB files); without any, the embedded one is used.",
                line("databases", &databases),
            ),
            (
                "Where the machine is managed from: these addresses pass before anything can drop them.",
                line("management", &self.management),
            ),
        ];
        let mut text = String::from(
            "# The configuration of geofence, as `geofence init` wrote it. A key that is left out has its default.\n\
             # `geofence check` says what this file means; `geofence schema` prints all keys.\n",
        );
        for (meaning, line) in keys {
            if let Some(line) = line {
                text += &format!("\n# {meaning}\n{line}\n");
            }
        }
        text
    }

    /// The configuration that the text means.
    ///
    /// # Errors
    /// All that is wrong with the answers.
    pub(super) fn config(&self, file: &str) -> Result<Config, ConfigErrors> {
        Config::parse(&self.text(), file)
    }
}

/// The line that sets a key to a list.
fn line(key: &str, values: &[String]) -> Option<String> {
    let list = toml::Value::from(values.to_vec());
    (!values.is_empty()).then(|| format!("{key} = {list}"))
}

/// The entries of an answer, which commas or blanks separate.
pub(super) fn entries(text: &str) -> Vec<String> {
    let words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    words.map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_a_configuration_that_says_what_was_answered() {
        let answers = Answers {
            interfaces: vec!["eth0".to_owned()],
            block: entries("RU, BY"),
            databases: vec!["/var/lib/geofence/a \"b\".mmdb".into()],
            management: entries("198.51.100.7 2001:db8::/48"),
        };
        let config = answers.config("new").unwrap();
        assert_eq!(config.interfaces, ["eth0"]);
        assert_eq!(config.databases, answers.databases);
        assert_eq!(config.policy.management.len(), 2);
        let empty = Answers::default();
        assert_eq!(
            empty.config("new").unwrap().policy,
            Config::default().policy
        );
    }

    #[test]
    fn invalid_answers_are_named() {
        let answers = Answers {
            block: entries("UK"),
            ..Answers::default()
        };
        let errors = answers.config("new").unwrap_err().render(false);
        assert!(errors.contains("GB"), "{errors}");
    }
}
