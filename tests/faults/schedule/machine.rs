//! Workers, their machines, and the files that people change under them.

use super::{Fault, NONE};
use crate::pipelines::World;

pub(super) const FAULTS: &[Fault] = &[
    Fault { name: "nothing but kills", seconds: 10, ..NONE },
    Fault {
        name: "a worker stopped for longer than its session",
        seconds: 10,
        short: true,
        begin: |world| STOPPED.iter().for_each(|name| world.worker(name).freeze()),
        end: |world| STOPPED.iter().for_each(|name| world.worker(name).thaw()),
        ..NONE
    },
    Fault {
        name: "a worker that joins and leaves every 2 s",
        seconds: 12,
        short: true,
        step: |world, second| {
            if second % 4 == 0 {
                world.worker("sql-c").start();
            } else if second % 4 == 2 {
                world.worker("sql-c").stop();
            }
        },
        end: |world| {
            world.worker("sql-c").stop();
        },
        ..NONE
    },
    Fault {
        name: "a clock that jumps by a day",
        seconds: 12,
        begin: |world| {
            set_clock(world, "+0");
            clocks(world, true);
        },
        step: |world, second| set_clock(world, ["+0", "+86400", "-86400"][(second / 4) as usize % 3]),
        end: |world| clocks(world, false),
        ..NONE
    },
    Fault {
        name: "descriptors exhausted",
        may_end: Some(""),
        begin: |world| {
            let worker = world.worker("files-a");
            worker.kill();
            worker.limit(Some(20 + fastrand::u64(0..40)));
            worker.start();
        },
        end: |world| {
            let worker = world.worker("files-a");
            worker.kill();
            worker.limit(None);
            worker.start();
        },
        ..NONE
    },
    Fault {
        name: "a model replaced",
        short: true,
        step: |world, second| {
            if second % 3 == 0 {
                world.new_model();
            }
        },
        ..NONE
    },
    Fault {
        name: "a model file that is half written",
        short: true,
        may_end: Some("twofold.pmml"),
        begin: |world| {
            world.half_a_model();
            world.worker("scored-a").kill();
            world.worker("scored-a").start();
        },
        end: World::new_model,
        ..NONE
    },
];

const STOPPED: [&str; 3] = ["sql-a", "files-a", "scored-a"];

fn set_clock(world: &World, jump: &str) {
    std::fs::write(world.dir.join("clock"), jump).unwrap();
}

/// The second worker of each pipeline gets a clock of its own, or the machine's again.
fn clocks(world: &mut World, own: bool) {
    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    let clock = world.dir.join("clock").display().to_string();
    for worker in world.workers.iter_mut().filter(|worker| worker.name.ends_with("-b")) {
        let settings = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &clock),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        for (name, value) in settings {
            if own && std::path::Path::new(LIBRARY).exists() {
                worker.set(name, value);
            } else {
                worker.unset(name);
            }
        }
        worker.kill();
        worker.start();
    }
}
