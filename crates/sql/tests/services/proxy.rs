//! A TCP proxy that cuts the connection at COMMIT, as a failing network would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees the COMMIT.
    Before = 1,
    /// The server sees it, the client never hears of it.
    After = 2,
}

pub struct Proxy {
    pub url: String,
    /// The next cut; 0 is none.
    cut: Arc<AtomicU8>,
}

impl Proxy {
    /// In front of the server that a URL names.
    pub async fn new(url: &str) -> Self {
        let at = url.find('@').unwrap() + 1;
        let end = at + url[at..].find('/').unwrap();
        let server = url[at..end].to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicU8::new(0));
        let shared = cut.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, shared.clone()));
            }
        });
        Proxy { url: format!("{}{here}{}", &url[..at], &url[end..]), cut }
    }

    /// The next COMMIT is cut so; then no more.
    pub fn cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::SeqCst);
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, cut: Arc<AtomicU8>) {
    let (mut asked, mut answered) = ([0; 65_536], [0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                let commit = asked[..n].windows(6).any(|w| w == b"COMMIT");
                let how = if commit { cut.swap(0, Ordering::SeqCst) } else { 0 };
                if how == Cut::Before as u8 {
                    return;
                }
                if server.write_all(&asked[..n]).await.is_err() {
                    return;
                }
                if how == Cut::After as u8 {
                    // The answer is there, so the commit has landed; nobody hears of it.
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(n @ 1..) = read else { return };
                if client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
