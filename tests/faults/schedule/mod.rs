//! The faults: each with a name, what it does to which services, and how long it lasts.

mod databases;
mod kafka;
mod machine;
mod storage;

use std::time::Duration;

use super::pipelines::World;
use super::proxy::{Mode, Trigger, When};

/// How long all sinks may stand still together, after a fault is over, before they have everything.
pub(crate) const STILL: Duration = Duration::from_secs(120);

/// How long they may take in all, however busy the machine is. What they took is measured and told.
pub(crate) const BACK_WITHIN: Duration = Duration::from_secs(600);

/// How long it is waited for that a cut connection comes to pass.
pub(crate) const HAPPENS_WITHIN: Duration = Duration::from_secs(180);

/// What happens to services, and is undone when the fault is over. Names are those of `dev/services` or of proxies;
/// `brokers` are all there are.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    Nothing,
    /// `kill -9`, and started again.
    Kill(&'static [&'static str]),
    /// Stopped, and continued.
    Freeze(&'static [&'static str]),
    /// What proxies do with what passes.
    Proxy(&'static [&'static str], Mode),
    /// Connections are cut at the next requests of a kind: it lasts until one was.
    Cut(&'static [&'static str], Trigger, When),
}

/// A fault.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// How long it lasts, in seconds.
    pub(crate) seconds: u64,
    /// Whether the representative run has it.
    pub(crate) short: bool,
    /// Whether only the whole run has what it needs.
    pub(crate) whole: bool,
    /// Whether it is about databases with a replica.
    pub(crate) replicas: bool,
    /// Which services it is about: two of one area would undo each other.
    pub(crate) area: usize,
    /// Workers that were started before its end may end with an error that has this in it.
    pub(crate) may_end: Option<&'static str>,
    pub(crate) act: Act,
    pub(crate) begin: fn(&mut World),
    /// It lasts until this is so.
    pub(crate) until: fn(&World) -> bool,
    /// Once a second meanwhile.
    pub(crate) step: fn(&mut World, u64),
    pub(crate) end: fn(&mut World),
}

const NONE: Fault = Fault {
    name: "",
    seconds: 8,
    short: false,
    whole: false,
    replicas: false,
    area: 0,
    may_end: None,
    act: Act::Nothing,
    begin: |_| (),
    until: |_| true,
    step: |_, _| (),
    end: |_| (),
};

impl Fault {
    const fn of(name: &'static str, act: Act) -> Fault {
        let seconds = match act {
            Act::Nothing | Act::Kill(_) => 8,
            Act::Freeze(_) | Act::Proxy(..) => 12,
            Act::Cut(..) => 6,
        };
        Fault { name, act, seconds, ..NONE }
    }

    const fn short(self) -> Fault {
        Fault { short: true, ..self }
    }

    const fn whole(self) -> Fault {
        Fault { whole: true, ..self }
    }

    const fn lasting(self, seconds: u64) -> Fault {
        Fault { seconds, ..self }
    }

    pub(crate) fn start(&self, world: &mut World) {
        match self.act {
            Act::Nothing => {}
            Act::Kill(names) => world.meant(names).iter().for_each(|name| world.services.kill(name)),
            Act::Freeze(names) => world.meant(names).iter().for_each(|name| world.services.freeze(name)),
            Act::Proxy(names, mode) => world.meant(names).iter().for_each(|name| world.proxy(name).set(mode)),
            Act::Cut(names, trigger, when) => {
                world.meant(names).iter().for_each(|name| world.proxy(name).cut_at(trigger, when, 2));
            }
        }
        (self.begin)(world);
    }

    /// Whether it came to pass: a cut waits for its request, and what is to be lost must be there.
    pub(crate) fn happened(&self, world: &World) -> bool {
        match self.act {
            Act::Cut(names, ..) => world.meant(names).iter().any(|name| world.proxy(name).cuts() > 0),
            _ => (self.until)(world),
        }
    }

    pub(crate) fn finish(&self, world: &mut World) {
        match self.act {
            Act::Nothing => {}
            Act::Kill(names) => world.services.start(&world.meant(names)),
            Act::Freeze(names) => world.meant(names).iter().for_each(|name| world.services.thaw(name)),
            Act::Proxy(names, _) | Act::Cut(names, ..) => {
                world.meant(names).iter().for_each(|name| world.proxy(name).mend());
            }
        }
        (self.end)(world);
    }
}

/// All of them.
pub(crate) fn faults() -> Vec<Fault> {
    let areas = [kafka::FAULTS, databases::FAULTS, storage::FAULTS, machine::FAULTS];
    let of = |(area, faults): (usize, &&[Fault])| faults.iter().map(move |fault| Fault { area, ..*fault }).collect();
    let faults: Vec<Vec<Fault>> = areas.iter().enumerate().map(of).collect();
    faults.concat()
}

/// Takes the next faults, some at once, of which no two are of one area.
pub(crate) fn round(faults: &mut Vec<Fault>, at_once: usize) -> Vec<Fault> {
    // Of the area that has most left first: what is left at the end would come alone.
    let left = |area: usize| faults.iter().filter(|fault| fault.area == area).count();
    let mut areas: Vec<usize> = (0..4).filter(|area| left(*area) > 0).collect();
    areas.sort_by_key(|area| std::cmp::Reverse(left(*area)));
    let mut round = Vec::new();
    for area in areas.into_iter().take(at_once.max(1)) {
        if let Some(at) = faults.iter().position(|fault| fault.area == area) {
            round.push(faults.remove(at));
        }
    }
    round
}
