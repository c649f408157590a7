//! What is wrong with a runtime exception before it is added, by the option of the command that says it.

use crate::config::configuration::Config;
use crate::config::error::{ConfigErrors, Fault, Problem, quoted};
use crate::config::exception_spec::ExceptionSpec;
use crate::config::value::{Value, joined};
use crate::config::{asn, targets};
use crate::model::units::UnixSeconds;

impl ExceptionSpec {
    /// Checks that it can be added beside a configuration.
    ///
    /// # Errors
    /// All that is wrong, each under the option that says it.
    pub fn check(&self, config: &Config, now: UnixSeconds) -> Result<(), ConfigErrors> {
        self.check_beside(Some(config), now)
    }

    /// Checks what is wrong beside every configuration: which tenants there are, and whether there is a database of
    /// autonomous systems, is not known.
    ///
    /// # Errors
    /// All that is wrong, each under the option that says it.
    pub fn check_alone(&self, now: UnixSeconds) -> Result<(), ConfigErrors> {
        self.check_beside(None, now)
    }

    fn check_beside(&self, config: Option<&Config>, now: UnixSeconds) -> Result<(), ConfigErrors> {
        let mut result = Ok(());
        let mut check = |option: &str, text: &str, read: &dyn Fn(&mut Vec<Fault>)| {
            let mut faults = Vec::new();
            read(&mut faults);
            let before = std::mem::replace(&mut result, Ok(()));
            result = ConfigErrors::both(before, ConfigErrors::of(option, text, faults));
        };
        check("ID", &self.id, &|faults| {
            Value::from_option(&self.id).one(faults, targets::name);
        });
        let list = |texts: &[String]| texts.join(" ");
        check("--from", &list(&self.from), &|faults| {
            let from = joined(self.from.iter().map(String::as_str));
            let (_, systems) = targets::origins(&from, faults);
            if config.is_some_and(|config| config.asn_database.is_none()) {
                let systems = systems.into_iter();
                faults.extend(systems.map(|(name, span)| asn::no_database(&name).at(span)));
            }
            refuse_none("--from", &self.from, faults);
        });
        let tenants = config.map_or(&[][..], |config| &config.policy.tenants);
        let is_known =
            |text: &String| config.is_some() || !targets::is_missing_tenant(tenants, text);
        let to: Vec<String> = self.to.iter().filter(|to| is_known(to)).cloned().collect();
        check("--to", &list(&to), &|faults| {
            let to = joined(to.iter().map(String::as_str));
            targets::destinations(tenants, &to, true, faults);
            refuse_none("--to", &self.to, faults);
        });
        check("--proto and --port", &list(&self.services), &|faults| {
            let services = joined(self.services.iter().map(String::as_str));
            Value::List(services, 0..0).many(faults, targets::traffic);
        });
        for (option, text) in [("--owner", &self.owner), ("--reason", &self.reason)] {
            check(option, text, &|faults| {
                Value::from_option(text).one(faults, targets::words);
            });
        }
        ConfigErrors::both(result, self.check_until(now).map(|_| ()))
    }

    /// When it expires, if it does.
    ///
    /// # Errors
    /// When the text is no time.
    pub fn expiry(&self) -> Result<Option<UnixSeconds>, ConfigErrors> {
        self.check_until(UnixSeconds(0))
    }

    /// The same, and the time must be in the future.
    ///
    /// # Errors
    /// When the text is no time, or one in the past.
    pub fn check_until(&self, now: UnixSeconds) -> Result<Option<UnixSeconds>, ConfigErrors> {
        let Some(text) = &self.until else {
            return Ok(None);
        };
        let mut faults = Vec::new();
        let until = Value::from_option(text).one(&mut faults, targets::expiry);
        if let Some(until) = until.filter(|until| *until <= now) {
            let problem = Problem::new(
                format!("{} is in the past", quoted(text)),
                format!("that was {until}; it is {now}"),
                "give a time in the future: --until 2027-03-31, or --expires 30d",
            );
            faults.push(problem.at(0..text.len()));
        }
        ConfigErrors::of("--until", text, faults).map(|()| until)
    }
}

fn refuse_none(option: &str, texts: &[String], faults: &mut Vec<Fault>) {
    if texts.is_empty() {
        let problem = Problem::new(format!("{option} is missing"), "", "name at least one");
        faults.push(Fault::whole(problem));
    }
}
