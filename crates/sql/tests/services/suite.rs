//! What every sink must hold: the suite of `foretell_flow::testing`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use foretell_connect::kind::SinkContext;
use foretell_flow::testing::sinks::{self, Scissors, Subject};
use foretell_flow::{Checkpoint, Claim, Reset, Sink, SinkTraits, StageError, Write, Written};
use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::target::{Server, Target, context, parse};

pub async fn holds_what_every_sink_must(target: &mut Target) {
    sinks::run(target).await;
}

impl Target {
    async fn open_at(&self, url: &str, pipeline: &str, sink: &str) -> Box<dyn Sink> {
        let settings: Value = self.settings(json!({ "url": self.told(url) }));
        let context = SinkContext { pipeline: pipeline.into(), sink: sink.into(), ..context(&sinks::schema()) };
        parse(settings).open(&context).await.expect("the table is there")
    }
}

#[async_trait]
impl Subject for Target {
    fn traits(&self) -> SinkTraits {
        parse(self.settings(json!({}))).traits()
    }

    fn fences_by_claim(&self) -> bool {
        false
    }

    async fn renew(&mut self) {
        for table in ["result", "foretell_progress", "foretell_plans", "foretell_rejected"] {
            self.run(&format!("DROP TABLE IF EXISTS {table}")).await;
        }
        let q = self.quote();
        let end = if self.server == Server::MariaDb { " ENGINE=InnoDB" } else { "" };
        self.run(&format!("CREATE TABLE result ({q}partition{q} INT, {q}offset{q} BIGINT){end}")).await;
    }

    async fn open(&mut self) -> Box<dyn Sink> {
        self.open_at(&self.url, sinks::PIPELINE, sinks::SINK).await
    }

    async fn open_mortal(&mut self, nth: usize) -> Option<Box<dyn Sink>> {
        if self.server == Server::Sqlite {
            let inner = self.open_at(&self.url, sinks::PIPELINE, sinks::SINK).await;
            return Some(Box::new(Mortal { inner: Some(inner), left: nth }));
        }
        let proxy = Proxy::new(&self.url).await;
        let sink = self.open_at(&proxy.url, sinks::PIPELINE, sinks::SINK).await;
        proxy.kill_at(nth);
        Some(sink)
    }

    async fn open_cuttable(&mut self) -> Option<(Box<dyn Sink>, Scissors)> {
        if self.server == Server::Sqlite {
            // A file has no connection.
            return None;
        }
        let proxy = Proxy::new(&self.url).await;
        let sink = self.open_at(&proxy.url, sinks::PIPELINE, sinks::SINK).await;
        Some((sink, Box::new(proxy.cutter())))
    }

    async fn open_as(&mut self, pipeline: &str, sink: &str) -> Option<Box<dyn Sink>> {
        Some(self.open_at(&self.url, pipeline, sink).await)
    }

    async fn landed(&mut self) -> Vec<(i32, i64)> {
        let q = self.quote();
        let order = format!("result ORDER BY {q}result{q}.{q}partition{q}, {q}result{q}.{q}offset{q}");
        let rows = self.rows(&["partition", "offset"], &order).await;
        let number = |text: &str| text.parse().unwrap();
        rows.iter().map(|row| row.split_once('|').map(|(p, o)| (number(p) as i32, number(o))).unwrap()).collect()
    }
}

/// A sink of SQLite that dies while it waits for the `left`-th time: what it is at may still be done, what comes next is
/// not.
struct Mortal {
    inner: Option<Box<dyn Sink>>,
    left: usize,
}

impl Mortal {
    fn dead() -> StageError {
        StageError::unavailable("it is dead")
    }
}

/// A piece of a life; `None` where it ends in it.
struct Life<'a, F> {
    work: Pin<Box<F>>,
    left: &'a mut usize,
}

impl<F: Future> Future for Life<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if *self.left == 0 => Poll::Ready(None),
            Poll::Pending => {
                *self.left -= 1;
                Poll::Pending
            }
        }
    }
}

#[async_trait]
impl Sink for Mortal {
    async fn positions(&mut self) -> Result<Vec<Checkpoint>, StageError> {
        Err(StageError::defect("the suite asks the living"))
    }

    async fn claim(&mut self, claims: &[Claim]) -> Result<Vec<Checkpoint>, StageError> {
        let Some(mut inner) = self.inner.take() else { return Err(Mortal::dead()) };
        let claimed = Life { work: Box::pin(inner.claim(claims)), left: &mut self.left }.await;
        let claimed = claimed.ok_or_else(Mortal::dead)?;
        self.inner = Some(inner);
        claimed
    }

    async fn write(&mut self, write: &Write) -> Result<Written, StageError> {
        let Some(mut inner) = self.inner.take() else { return Err(Mortal::dead()) };
        let written = Life { work: Box::pin(inner.write(write)), left: &mut self.left }.await;
        let written = written.ok_or_else(Mortal::dead)?;
        self.inner = Some(inner);
        written
    }

    async fn reset(&mut self, _: &Reset) -> Result<(), StageError> {
        Err(StageError::defect("the suite asks the living"))
    }
}
