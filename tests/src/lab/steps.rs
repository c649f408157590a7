//! The steps of the mail laboratory, in order.

use anyhow::{Context as _, Result, ensure};

use super::filter::Mode;
use super::laboratory::Lab;
use super::report::Row;
use super::scale::Scale;
use super::{delivery, fetched, flood, forged, own_names, scan};

/// Runs the steps chosen, or all; `say` hears what is done next.
///
/// The calling thread is left in a mount namespace of its own.
pub fn mail(scale: Scale, mode: Mode, steps: &[u8], say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    say("building the network and starting its servers");
    let lab = Lab::open(mode)?;
    let mut rows = Vec::new();
    for (numbers, what, step) in STEPS {
        if steps.is_empty() || numbers.iter().any(|number| steps.contains(number)) {
            say(what);
            rows.extend(step(&lab, scale).with_context(|| what.to_owned())?);
        }
    }
    lab.filter.stop()?;
    ensure!(!rows.is_empty(), "no step was chosen, so nothing was seen");
    Ok(rows)
}

type Step = fn(&Lab, Scale) -> Result<Vec<Row>>;

const STEPS: [(&[u8], &str, Step); 7] = [
    (&[1], "step 1: mail in", delivery::inbound),
    (&[2], "step 2: mail out", delivery::outbound),
    (
        &[3, 4],
        "steps 3 and 4: long messages, and scans meanwhile",
        scan::long_messages_under_scan,
    ),
    (&[5], "step 5: forged ICMP errors", forged::errors),
    (&[6], "step 6: floods", flood::floods),
    (
        &[7],
        "step 7: senders who ask our own name server",
        own_names::senders_ask_us,
    ),
    (&[8], "step 8: fetched mail", fetched::mail),
];
