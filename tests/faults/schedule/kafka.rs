//! Brokers, the consumer group and the network before them.

use super::{Act, Fault, Mode, NONE, Trigger, When};
use crate::records;

/// All there are.
const BROKERS: &[&str] = &["brokers"];
const CLUSTER: &[&str] = &["broker1", "broker2", "broker3"];
const END_TXN: Trigger = Trigger::Kafka(26);
const SYNC_GROUP: Trigger = Trigger::Kafka(14);

pub(super) const FAULTS: &[Fault] = &[
    Fault::of("broker 1 killed", Act::Kill(&["broker1"])).whole(),
    Fault::of("broker 2 killed", Act::Kill(&["broker2"])).whole(),
    Fault::of("broker 3 killed", Act::Kill(&["broker3"])).whole(),
    Fault::of("broker 1 frozen", Act::Freeze(&["broker1"])).whole(),
    Fault::of("broker 2 frozen", Act::Freeze(&["broker2"])).whole(),
    Fault::of("broker 3 frozen", Act::Freeze(&["broker3"])).whole(),
    Fault::of("all brokers killed", Act::Kill(BROKERS)).short(),
    Fault::of("all brokers frozen", Act::Freeze(BROKERS)),
    Fault {
        name: "brokers restarted in turn",
        whole: true,
        seconds: 24,
        step: |world, second| {
            let broker = CLUSTER[(second / 8) as usize % 3];
            match second % 8 {
                0 => world.services.kill(broker),
                4 => world.services.start(&[broker]),
                _ => {}
            }
        },
        end: |world| world.services.start(CLUSTER),
        ..NONE
    },
    // One that takes over from a coordinator that died in a rebalance knows earlier lives of the workers only.
    Fault {
        name: "a coordinator killed while workers come back",
        whole: true,
        seconds: 24,
        step: |world, second| {
            let broker = CLUSTER[(second / 8) as usize % 3];
            match second % 8 {
                0 => {
                    for name in ["sql-a", "sql-b", "files-a", "files-b"] {
                        world.worker(name).kill();
                        world.worker(name).start();
                    }
                    world.worker("sql-c").start();
                }
                2 => world.services.kill(broker),
                5 => {
                    world.worker("sql-c").stop();
                }
                6 => world.services.start(&[broker]),
                _ => {}
            }
        },
        end: |world| {
            world.services.start(CLUSTER);
            world.worker("sql-c").stop();
        },
        ..NONE
    },
    Fault::of("a worker cut off from Kafka only", Act::Proxy(BROKERS, Mode::Cut)),
    Fault::of("half-open connections to Kafka", Act::Proxy(BROKERS, Mode::HalfOpen)),
    Fault::of("Kafka's answers held back", Act::Proxy(BROKERS, Mode::HoldAnswers)),
    Fault::of("Kafka at 1 KB/s", Act::Proxy(BROKERS, Mode::Slow(1024))).lasting(15),
    Fault::of("EndTxn cut before it arrives", Act::Cut(BROKERS, END_TXN, When::Before)),
    Fault::of("EndTxn done and its answer lost", Act::Cut(BROKERS, END_TXN, When::After)).short(),
    Fault {
        name: "SyncGroup's answer lost",
        act: Act::Cut(BROKERS, SYNC_GROUP, When::After),
        begin: |world| world.worker("sql-c").start(),
        end: |world| {
            world.worker("sql-c").stop();
        },
        ..NONE
    },
    Fault {
        name: "partitions added",
        short: true,
        begin: |world| {
            world.partitions += 1;
            records::grow(&world.brokers, "in", world.partitions);
        },
        ..NONE
    },
];
