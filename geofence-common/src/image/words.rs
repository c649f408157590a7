//! `Words`: how both sides read an image, a word or a line at a time.

use crate::image::class::Class;
use crate::image::layout::{LINE_SHIFT, LINE_WORDS, Line, header};
use crate::image::node::MAY_BE_HOST;
use crate::image::settings::{Flags, PortRule};
use crate::opaque::Barrier;

/// Reads an image.
pub trait Words: Barrier {
    /// Whether the reader judges by rules: tenants, exceptions, protected ports, rate limits, third-party lists and a
    /// host table. The program for policies that have none is smaller and faster.
    const HAS_RULES: bool = true;

    /// Whether the reader, which has no rules, judges only the packets that none concerns, and tells the others apart.
    const IS_FAST_PATH: bool = false;

    /// The word at this position, or nothing beyond the end.
    fn word(&self, at: u32) -> Option<u32>;

    /// Four words from this position, with one bounds check.
    #[inline(always)]
    fn quad(&self, at: u32) -> Option<[u32; 4]> {
        Some([
            self.word(at)?,
            self.word(at.wrapping_add(1))?,
            self.word(at.wrapping_add(2))?,
            self.word(at.wrapping_add(3))?,
        ])
    }

    /// A line from this position, with one bounds check.
    #[inline(always)]
    fn line(&self, at: u32) -> Option<Line> {
        let mut line = [0; LINE_WORDS];
        for (word, at) in line.iter_mut().zip(at..) {
            *word = self.word(at)?;
        }
        Some(line)
    }

    /// The header's settings.
    #[inline(always)]
    fn flags(&self) -> Option<Flags> {
        self.word(header::FLAGS as u32).map(Flags)
    }

    /// Whether the image was on trial and the trial has expired. The clock is read only for an image on trial.
    #[inline(always)]
    fn is_past_trial(&self, now: impl FnOnce() -> u64) -> bool {
        if !self.flags().is_some_and(Flags::is_on_trial) {
            return false;
        }
        let word = |at: usize| self.word(at as u32).map_or(0, u64::from);
        let ends = word(header::TRIAL_ENDS) | word(header::TRIAL_ENDS + 1) << 32;
        now() >= ends
    }

    /// The rule for a port, in the section that starts at this line.
    #[inline(always)]
    fn port_rule(&self, section: u32, port: u16) -> Option<PortRule> {
        let word = self.word((section << LINE_SHIFT).wrapping_add(u32::from(port >> 4)))?;
        Some(match (word >> ((u32::from(port) & 15) * 2)) & 3 {
            1 => PortRule::Mail,
            2 => PortRule::Service,
            3 => PortRule::Protected,
            _ => PortRule::None,
        })
    }

    /// The class at a position that a look-up returned.
    #[inline(always)]
    fn class_at(&self, position: u32) -> Option<Class> {
        if !Self::IS_FAST_PATH {
            return self.word(position).map(Class::from_word);
        }
        let class = self.word(position & !MAY_BE_HOST).map(Class::from_word)?;
        Some(class.with_host(position >> MAY_BE_HOST.trailing_zeros()))
    }
}

impl Words for &[u32] {
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        self.get(at as usize).copied()
    }
}

impl Words for &[Line] {
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        self.get(at as usize / LINE_WORDS)?
            .get(at as usize % LINE_WORDS)
            .copied()
    }
}
