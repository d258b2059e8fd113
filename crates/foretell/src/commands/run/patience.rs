//! `--wait`: a service that is away when a pipeline starts.

use std::time::Duration;

use anyhow::Result;
use foretell_flow::{Fault, StageError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::pipeline_file::{FileError, FileErrors};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Between two lines that say what is waited for.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// How long services that are away are waited for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience(pub(crate) Duration);

impl Patience {
    /// Tries until it works, until something other than a service is wrong, or until patience is at its end. `None` where
    /// it was told to stop meanwhile.
    ///
    /// # Errors
    /// The last attempt's.
    pub(crate) async fn wait<T>(
        self,
        shutdown: &CancellationToken,
        mut attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<Option<T>> {
        let since = Instant::now();
        let mut said: Option<Instant> = None;
        loop {
            let error = match attempt().await {
                Ok(value) => {
                    if said.is_some() {
                        info!(seconds = since.elapsed().as_secs(), "every service is there now");
                    }
                    return Ok(Some(value));
                }
                Err(error) => error,
            };
            if !is_away(&error) || since.elapsed() + PAUSE > self.0 {
                return Err(error);
            }
            if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                said = Some(Instant::now());
                let left = self.0.saturating_sub(since.elapsed()).as_secs();
                warn!(seconds = since.elapsed().as_secs(), left, "waiting for a service: {}", crate::one_line(&error));
            }
            tokio::select! {
                () = shutdown.cancelled() => return Ok(None),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Whether a service being away is all that is wrong.
pub(crate) fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let all = cause.downcast_ref::<FileErrors>().is_some_and(|errors| errors.0.iter().all(|error| error.away));
        let one = cause.downcast_ref::<FileError>().is_some_and(|error| error.away);
        let stage = cause.downcast_ref::<StageError>().is_some_and(|error| error.fault == Fault::Unavailable);
        all || one || stage
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn services_are_waited_for_and_mistakes_are_not() {
        let away = || anyhow::Error::from(StageError::unavailable("no answer")).context("sink `db`");
        let never = CancellationToken::new();
        let mut tries = 0;
        let mut third = async || {
            tries += 1;
            if tries < 3 { Err(away()) } else { Ok(tries) }
        };
        assert_eq!(Patience(Duration::from_secs(60)).wait(&never, &mut third).await.unwrap(), Some(3));
        let mut tries = 0;
        let mut wrong = async || -> Result<()> {
            tries += 1;
            Err(StageError::settings("no such table").into())
        };
        assert!(Patience(Duration::from_secs(60)).wait(&never, &mut wrong).await.is_err());
        assert_eq!(tries, 1);
        let begun = Instant::now();
        let error = Patience(Duration::from_secs(1)).wait(&never, async || Err::<(), _>(away())).await.unwrap_err();
        assert!(begun.elapsed() >= PAUSE && error.to_string() == "sink `db`");
        assert!(Patience::default().wait(&never, async || Err::<(), _>(away())).await.is_err());
        never.cancel();
        assert_eq!(Patience(Duration::from_secs(60)).wait(&never, async || Err::<(), _>(away())).await.unwrap(), None);
    }
}
