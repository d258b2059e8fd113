//! A connection on a thread of its own.

use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::error::Error;
use crate::session::Session;

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// A connection. Where it is dropped, its transaction is taken back and it ends, as soon as the call that it is in has
/// come back.
pub struct Connection {
    jobs: mpsc::Sender<Job>,
}

impl Connection {
    /// Connects as a connection string says: `Driver={…};Server=…;…` or `DSN=…;…`.
    ///
    /// # Errors
    /// There is no driver manager, or the driver or the database refuses.
    pub async fn open(string: String) -> Result<Self, Error> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (opened, outcome) = oneshot::channel();
        let run = move || {
            let mut session = match Session::connect(&string) {
                Ok(session) => {
                    drop(string);
                    let _ = opened.send(Ok(()));
                    session
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return;
                }
            };
            while let Ok(job) = work.recv() {
                job(&mut session);
            }
        };
        let thread = std::thread::Builder::new().name("odbc".to_owned());
        thread.spawn(run).map_err(|_| Error::Form("no further thread"))?;
        outcome.await.map_err(|_| Error::Ended)??;
        Ok(Connection { jobs })
    }

    /// Does work with it, after what was asked for before.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (done, outcome) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            let _ = done.send(work(session));
        });
        self.jobs.send(job).map_err(|_| Error::Ended)?;
        outcome.await.map_err(|_| Error::Ended)?
    }
}
