//! An orderly end: the first signal asks for one, the second insists.

use tokio_util::sync::CancellationToken;

/// Two tokens for the two ways to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take no new work, finish or checkpoint what runs, leave.
    pub soft: CancellationToken,
    /// Leave now.
    pub hard: CancellationToken,
}

impl Shutdown {
    /// Listens for SIGINT and SIGTERM for the rest of the process: the first cancels
    /// `soft`, the second cancels `hard`.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::default();
        let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let tokens = shutdown.clone();
        tokio::spawn(async move {
            for token in [tokens.soft, tokens.hard] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(shutdown)
    }
}
