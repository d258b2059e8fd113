//! What the tests of the Kafka source and sink share: a real broker from the environment, topics of their own.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

/// The broker for tests.
pub(crate) fn brokers() -> String {
    std::env::var("FORETELL_KAFKA")
        .expect("FORETELL_KAFKA must name a Kafka broker: `dev/services up kafka` starts one")
}

pub(crate) fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap()
}

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

/// A topic of its own.
pub(crate) async fn topic(name: &str, partitions: i32) -> String {
    let name = unique(name);
    create(&name, partitions, &[]).await;
    name
}

pub(crate) async fn create(name: &str, partitions: i32, config: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    topic.config = config.to_vec();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    for outcome in admin().create_topics([&topic], &options).await.unwrap() {
        outcome.unwrap();
    }
}

pub(crate) async fn delete(name: &str) {
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    for outcome in admin().delete_topics(&[name], &options).await.unwrap() {
        outcome.unwrap();
    }
}
