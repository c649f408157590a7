//! The data path's own log: faults of the program, never a packet.

use std::time::Duration;

use aya_log::EbpfLogger;

use super::filter::Filter;

/// How often the log is read.
const PERIOD: Duration = Duration::from_secs(1);

impl Filter {
    /// Passes what the program logs to this process's log; never ends.
    pub fn diagnostics(&mut self) -> impl Future<Output = ()> + use<> {
        let logger = EbpfLogger::init(self.ebpf());
        async move {
            match logger {
                Err(error) => tracing::warn!(
                    "cannot read the log of the data path: {error}. Faults of the program will not be logged; \
                     filtering is not affected"
                ),
                Ok(mut logger) => {
                    let mut ticks = tokio::time::interval(PERIOD);
                    loop {
                        ticks.tick().await;
                        logger.flush();
                    }
                }
            }
            std::future::pending().await
        }
    }
}
