//! The brokers to begin with, named once more.

use std::ffi::CString;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka_sys as sys;

/// Names them again where the client knows none any more. A broker that has just started again may say that the cluster
/// has no brokers; librdkafka then forgets all of them, those of the settings too, and asks nobody ever again (its issue
/// 5301, in every version so far).
pub(crate) fn begin_again<C: ClientContext>(client: &Client<C>, brokers: &str) {
    // SAFETY: the client is alive throughout.
    unsafe { name(client.native_ptr(), brokers) }
}

/// As [`begin_again`].
///
/// # Safety
/// The client is alive.
pub(super) unsafe fn name(client: *mut sys::rd_kafka_t, brokers: &str) {
    let Ok(brokers) = CString::new(brokers) else { return };
    let mut known = 0;
    // SAFETY: the caller's promise; the list of ids is ours, and freed once; the text is copied.
    unsafe {
        let ids = sys::rd_kafka_brokers_learned_ids(client, &raw mut known);
        sys::rd_kafka_mem_free(client, ids.cast());
        if known == 0 {
            sys::rd_kafka_brokers_add(client, brokers.as_ptr());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use rdkafka::config::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};

    use super::*;

    /// Answers two requests: which it knows, and what there is in the cluster, itself.
    fn broker() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || while answer(&stream, port).is_ok() {});
            }
        });
        port
    }

    fn answer(mut stream: &TcpStream, port: u16) -> std::io::Result<()> {
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut request = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut request)?;
        let [_, key, _, version, correlation @ ..] = request.first_chunk::<8>().unwrap();
        let mut body = correlation.to_vec();
        match (key, version) {
            // ApiVersions, as of version 3 with lengths and tags of the newer kind.
            (18, 3..) => body.extend([0, 0, 3, 0, 3, 0, 0, 0, 1, 0, 0, 18, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0]),
            (18, _) => {
                body.extend([0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 1, 0, 18, 0, 0, 0, 3]);
                body.extend([0; 4]);
            }
            // Metadata of version 1.
            _ => {
                let host = b"127.0.0.1";
                body.extend([0, 0, 0, 1, 0, 0, 0, 7, 0, host.len() as u8]);
                body.extend(host);
                body.extend(u32::from(port).to_be_bytes());
                body.extend([255, 255, 0, 0, 0, 7, 0, 0, 0, 0]);
            }
        }
        stream.write_all(&(body.len() as u32).to_be_bytes())?;
        stream.write_all(&body)
    }

    #[test]
    fn a_client_that_knows_no_brokers_finds_those_it_is_told_again() {
        let brokers = format!("127.0.0.1:{}", broker());
        // As one that has forgotten them.
        let client: BaseConsumer = ClientConfig::new().create().unwrap();
        let found = || {
            let metadata = client.fetch_metadata(None, Duration::from_secs(1));
            metadata.is_ok_and(|metadata| metadata.brokers().len() == 1)
        };
        assert!(!found());
        let since = Instant::now();
        loop {
            begin_again(client.client(), &brokers);
            if found() {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(60), "it finds the broker");
        }
    }
}
