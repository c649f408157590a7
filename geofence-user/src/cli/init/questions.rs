//! The questions of `geofence init` on a terminal. Each has an answer that Enter accepts, and is asked again until the
//! answer is valid.

use std::io::{BufRead, Write};

use anyhow::bail;

use super::answers::{Answers, entries};

/// What Enter accepts.
pub(super) struct Suggested {
    pub(super) interfaces: Vec<String>,
    /// Addresses of SSH sessions.
    pub(super) management: Vec<String>,
}

/// Asks for what the options leave open.
pub(super) fn ask(
    answers: &mut Answers,
    suggested: &Suggested,
    present: &[String],
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if answers.interfaces.is_empty() {
        writeln!(out, "The interfaces here: {}", present.join(", "))?;
        let question = "Which interfaces face the internet?";
        answers.interfaces = list(question, &suggested.interfaces, input, out, |interfaces| {
            if interfaces.is_empty() {
                return Err("name at least one".to_owned());
            }
            if let Some(unknown) = interfaces.iter().find(|name| !present.contains(name)) {
                return Err(format!("there is no interface {unknown:?}"));
            }
            check(Answers {
                interfaces,
                ..Answers::default()
            })
        })?;
    }
    if answers.block.is_empty() {
        let default = ["RU", "UA", "BY", "CN", "KP"].map(String::from);
        let question = "Which countries are blocked? (codes, or groups such as south-america)";
        answers.block = list(question, &default, input, out, |block| {
            check(Answers {
                block,
                ..Answers::default()
            })
        })?;
    }
    if answers.databases.is_empty() {
        let question = "Which GeoIP databases? (paths of MMDB files; none for the embedded one)";
        let databases = list(question, &[], input, out, |databases| {
            let missing = databases
                .iter()
                .find(|path| !std::path::Path::new(path).is_file());
            missing.map_or(Ok(()), |path| Err(format!("there is no file {path}")))
        })?;
        let databases = databases.iter().map(std::path::absolute);
        answers.databases = databases.collect::<std::io::Result<_>>()?;
    }
    if answers.management.is_empty() {
        let question = "From which addresses do you log in? They always pass";
        answers.management = list(question, &suggested.management, input, out, |management| {
            check(Answers {
                management,
                ..Answers::default()
            })
        })?;
    }
    Ok(())
}

fn check(answers: Answers) -> Result<(), String> {
    let checked = answers.config("the answer");
    checked.map(drop).map_err(|errors| errors.render(false))
}

/// Asks until the answer is a valid list. An empty line is the suggestion.
fn list(
    question: &str,
    suggested: &[String],
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    check: impl Fn(Vec<String>) -> Result<(), String>,
) -> anyhow::Result<Vec<String>> {
    loop {
        let shown = if suggested.is_empty() {
            "none".to_owned()
        } else {
            suggested.join(", ")
        };
        write!(out, "{question} [{shown}] ")?;
        out.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            bail!("the input ended before all questions were answered; nothing was written");
        }
        let mut answer = entries(line.trim());
        if answer.is_empty() {
            answer = suggested.to_vec();
        }
        match check(answer.clone()) {
            Ok(()) => return Ok(answer),
            Err(why) => writeln!(out, "{}\n", why.trim_end())?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &str) -> (anyhow::Result<Answers>, String) {
        let mut answers = Answers::default();
        let suggested = Suggested {
            interfaces: vec!["eth0".to_owned()],
            management: vec!["198.51.100.7".to_owned()],
        };
        let mut out = Vec::new();
        let present = ["eth0", "eth1"].map(String::from);
        let result = ask(
            &mut answers,
            &suggested,
            &present,
            &mut lines.as_bytes(),
            &mut out,
        );
        let said = String::from_utf8(out).unwrap();
        (result.map(|()| answers), said)
    }

    #[test]
    fn enter_accepts_what_is_suggested() {
        let (answers, _) = asked("\n\n\n\n");
        let answers = answers.unwrap();
        assert_eq!(answers.interfaces, ["eth0"]);
        assert_eq!(answers.block, ["RU", "UA", "BY", "CN", "KP"]);
        assert_eq!(answers.management, ["198.51.100.7"]);
        assert!(answers.databases.is_empty());
    }

    #[test]
    fn an_invalid_answer_is_asked_for_again() {
        let (answers, said) = asked("eth7\neth1\nUK\nGB\n\n\n");
        let answers = answers.unwrap();
        assert_eq!(
            (answers.interfaces, answers.block),
            (vec!["eth1".to_owned()], vec!["GB".to_owned()])
        );
        assert!(said.contains("there is no interface \"eth7\""), "{said}");
        assert!(said.contains("did you mean"), "{said}");
    }

    #[test]
    fn the_end_of_the_input_writes_nothing() {
        let (answers, _) = asked("eth1\n");
        let error = answers.unwrap_err().to_string();
        assert!(error.contains("nothing was written"), "{error}");
    }
}
