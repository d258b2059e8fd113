//! Against a real registry, and against what only looks like one.

use std::io::{Read, Write};
use std::net::TcpListener;

use foretell_connect::schemas::{Language, Schemas};
use foretell_flow::{Fault, StageError};
use serde_json::json;

use crate::{Registry, Settings};

fn settings(value: serde_json::Value) -> Settings {
    serde_json::from_value(value).unwrap()
}

fn open(url: &str) -> Result<Registry, StageError> {
    Registry::new(&settings(json!({ "url": url })), ".".as_ref())
}

/// A server that answers every question with these in turn.
fn server(answers: Vec<(&'static str, &'static str)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_login_belongs_into_its_own_settings() {
    let error = open("http://app:hidden@registry:8081").unwrap_err();
    assert!(error.remedy.contains("`username`") && !error.to_string().contains("hidden"), "{error}");
    for url in ["registry:8081", "ftp://registry", ""] {
        assert!(open(url).unwrap_err().message.contains("`url` is not"), "{url}");
    }
    let both = json!({ "url": "http://r", "username": "u", "token": "hidden" });
    let error = Registry::new(&settings(both.clone()), ".".as_ref()).unwrap_err();
    assert!(error.message.contains("login"), "{error}");
    assert!(!format!("{:?}", settings(both)).contains("hidden"));
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told() {
    let schema = r#"{"schema": "\"string\""}"#;
    let registry = open(&server(vec![("503 Busy", ""), ("200 OK", schema)])).unwrap();
    assert_eq!(registry.by_id(7).await.unwrap().unwrap().text, "\"string\"");
    assert!(registry.by_id(7).await.unwrap().is_some(), "nothing is asked twice");

    let registry = open(&server(vec![("503 Busy", ""); 3])).unwrap();
    assert_eq!(registry.by_id(7).await.unwrap_err().fault, Fault::Unavailable);
    let registry = open(&server(vec![("401 Unauthorized", "")])).unwrap();
    let error = registry.by_id(7).await.unwrap_err();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.remedy.contains("`username`"), "{error}");
    let registry = open(&server(vec![("404 Not Found", "<html>")])).unwrap();
    let error = registry.by_id(7).await.unwrap_err();
    assert!(error.message.contains("not as a registry does"), "{error}");
    let registry = open(&server(vec![("404 Not Found", r#"{"error_code": 40403}"#)])).unwrap();
    assert!(registry.by_id(7).await.unwrap().is_none());
    let error = open("http://127.0.0.1:1").unwrap().by_id(7).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unavailable);
    assert!(error.message.contains("cannot be reached"), "{error}");
}

mod services {
    use super::*;

    fn registry() -> Registry {
        let url = std::env::var("FORETELL_REGISTRY")
            .expect("FORETELL_REGISTRY must name a schema registry: `dev/services up registry` starts one");
        open(&url).unwrap()
    }

    const ONE: &str = r#"{"type":"record","name":"A","fields":[{"name":"x","type":"int"}]}"#;
    const TWO: &str =
        r#"{"type":"record","name":"A","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":1}]}"#;

    #[tokio::test(flavor = "multi_thread")]
    async fn schemas_are_registered_and_found() {
        let registry = registry();
        registry.check().await.unwrap();
        let subject = format!("subject-{}", uuid::Uuid::new_v4());
        assert_eq!(registry.latest(&subject).await.unwrap(), None);
        assert_eq!(registry.look_up(&subject, Language::Avro, ONE).await.unwrap(), None);
        let one = registry.register(&subject, Language::Avro, ONE).await.unwrap();
        assert_eq!(registry.register(&subject, Language::Avro, ONE).await.unwrap(), one);
        assert_eq!(registry.look_up(&subject, Language::Avro, ONE).await.unwrap(), Some(one));
        let two = registry.register(&subject, Language::Avro, TWO).await.unwrap();
        assert_ne!(one, two);
        let latest = registry.latest(&subject).await.unwrap().unwrap();
        assert_eq!((latest.id, latest.language), (two, Language::Avro));
        let known = registry.schema(one).unwrap().unwrap();
        assert!(known.text.contains("\"x\"") && !known.text.contains("\"y\""), "{}", known.text);
        for none in [i32::MAX as u32, u32::MAX] {
            assert!(registry.by_id(none).await.unwrap().is_none());
        }
        let json = r#"{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}"#;
        let json = registry.register(&format!("{subject}-json"), Language::Json, json).await.unwrap();
        assert_eq!(registry.by_id(json).await.unwrap().unwrap().language, Language::Json);
    }
}
