//! What the active policy does with a packet, for the page: the decision runs over the image in memory, and over the
//! flows in the kernel that the packet may belong to. No counter changes.

use geofence_common::action::{Action, Direction};
use geofence_common::address::Address;
use geofence_common::decide::Verdict;
use geofence_common::explain::Step;
use geofence_common::flow::rate_limit::RateLimitKey;
use geofence_common::image::list_set::each_list;

use super::active::ActivePolicy;
use super::state::Daemon;
use super::sync::lock;
use crate::explain::simulated_tables::PacketHistory;
use crate::explain::{Names, Question, describe, explain_next};
use crate::model::countries;
use crate::os::clock::boot_now;

/// A decision in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub action: Action,
    pub reason: &'static str,
    /// The meaning of the reason, in a sentence.
    pub meaning: &'static str,
    pub country: String,
    /// The tenant that the packet is for.
    pub tenant: Option<String>,
    /// The exception that passes it.
    pub exception: Option<String>,
    /// The lists that the source is on.
    pub lists: Vec<String>,
    /// Whether enforce mode would drop it, and monitor mode passes it.
    pub is_monitored: bool,
    pub steps: Vec<String>,
}

impl Daemon {
    /// Decides about a packet as the filter does now.
    ///
    /// # Errors
    /// When the packet cannot be built, or the flows cannot be read.
    pub fn explain(&self, question: &Question) -> anyhow::Result<Explanation> {
        let frame = question.frame()?;
        let ActivePolicy { config, image, .. } = lock(&self.active).clone();
        let words = image.words();
        let mut history = PacketHistory {
            now: boot_now()?,
            ..PacketHistory::default()
        };
        // Without any flow, the decision names those it looks for; they are few.
        let (_, steps) = explain_next(&frame, None, words, &mut history.clone());
        self.look_up(question, &steps, &mut history)?;
        let (verdict, steps) = explain_next(&frame, None, words, &mut history);
        let names = Names(Some(&config.policy));
        Ok(Explanation {
            action: verdict.action,
            reason: verdict.reason.name(),
            meaning: verdict.reason.meaning(),
            country: countries::described(verdict.country),
            tenant: (verdict.tenant != 0).then(|| names.tenant(verdict.tenant)),
            exception: verdict
                .exception
                .checked_sub(1)
                .map(|slot| names.exception(slot)),
            lists: self.lists_of(&frame, verdict, words),
            is_monitored: verdict.action != verdict.reason.action(),
            steps: steps.iter().map(|step| describe(step, names)).collect(),
        })
    }

    /// Reads what the kernel has of the flows and the rate limit that a decision looked for.
    fn look_up(
        &self,
        question: &Question,
        steps: &[Step],
        history: &mut PacketHistory,
    ) -> anyhow::Result<()> {
        let filter = lock(&self.filter);
        for step in steps {
            if let Step::Flow { table, key, .. } = step
                && let Some(flow) = filter.flow(*table, key)?
            {
                history.flows.insert((*table, *key), flow);
            }
        }
        if filter.options().buckets > 0 {
            let key = RateLimitKey::of(&Address::from(question.source));
            if let Some(full_at) = filter.bucket(&key)? {
                history.buckets.insert(key, full_at);
            }
        }
        Ok(())
    }

    /// The names of the lists that the source of a packet is on.
    fn lists_of(&self, frame: &[u8], verdict: Verdict, words: &[u32]) -> Vec<String> {
        let found = verdict.peer.list_match(Direction::In, &words);
        let names = lock(&self.names);
        let mut lists = Vec::new();
        each_list(&frame, &found, Direction::In, &words, |list| {
            lists.push(names.list(list.identity));
        });
        lists
    }
}
