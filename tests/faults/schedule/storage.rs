//! HDFS, S3 and this machine's disk.

use super::{Act, Fault, Mode, NONE, Trigger, When};
use crate::pipelines::World;

const RENAME: Trigger = Trigger::Text(b"rename");
/// A record that is put where none is.
const PUT: Trigger = Trigger::Text(b"if-none-match");

pub(super) const FAULTS: &[Fault] = &[
    Fault::of("HDFS: the NameNode restarted", Act::Kill(&["namenode"])),
    Fault::of("HDFS: the NameNode frozen", Act::Freeze(&["namenode"])),
    Fault::of("HDFS: a DataNode killed in mid-block", Act::Kill(&["datanode2"])).whole(),
    Fault::of("HDFS: a DataNode frozen", Act::Freeze(&["datanode"])),
    Fault {
        name: "HDFS: safe mode",
        begin: |world| world.services.safe_mode("enter"),
        end: |world| world.services.safe_mode("leave"),
        ..NONE
    },
    Fault::of("a worker cut off from the NameNode only", Act::Proxy(&["namenode"], Mode::Cut)),
    Fault::of("half-open connections to the NameNode", Act::Proxy(&["namenode"], Mode::HalfOpen)),
    Fault::of("the NameNode's answers held back", Act::Proxy(&["namenode"], Mode::HoldAnswers)),
    Fault::of("HDFS: a rename done and its answer lost", Act::Cut(&["namenode"], RENAME, When::After)).short(),
    Fault::of("HDFS: a rename cut before it arrives", Act::Cut(&["namenode"], RENAME, When::Before)),
    Fault::of("S3 killed", Act::Kill(&["s3"])),
    Fault::of("S3 frozen", Act::Freeze(&["s3"])),
    Fault::of("a worker cut off from S3 only", Act::Proxy(&["s3"], Mode::Cut)),
    Fault::of("half-open connections to S3", Act::Proxy(&["s3"], Mode::HalfOpen)),
    Fault::of("S3 at 1 KB/s", Act::Proxy(&["s3"], Mode::Slow(1024))).lasting(15),
    Fault::of("S3: a put done and its answer lost", Act::Cut(&["s3"], PUT, When::After)).short(),
    Fault::of("S3: a put cut before it arrives", Act::Cut(&["s3"], PUT, When::Before)),
    Fault { name: "a full disk", short: true, begin: fill, end: empty, ..NONE },
    Fault {
        name: "a disk that can only be read",
        may_end: Some("Read-only file system"),
        begin: |world| {
            world.worker("single-a").kill();
            remount(world, "ro");
            world.worker("single-a").start();
        },
        end: |world| remount(world, "rw"),
        ..NONE
    },
];

/// As much as goes in.
fn fill(world: &mut World) {
    if world.small {
        let full = std::process::Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", &format!("of={}/ballast", world.disk.display())])
            .output();
        drop(full);
    }
}

fn empty(world: &mut World) {
    let _ = std::fs::remove_file(world.disk.join("ballast"));
}

fn remount(world: &World, how: &str) {
    if world.small {
        let options = format!("remount,{how}");
        let done = std::process::Command::new("mount").args(["-o", &options]).arg(&world.disk).status();
        assert!(done.is_ok_and(|done| done.success()), "the disk is mounted again, {how}");
    }
}
