//! Lines in memory: no spool, nothing survives the process.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use foretell_flow::{Demand, EPHEMERAL_LOG, Records, RecordsBuilder, StageError};
use parking_lot::{Condvar, Mutex};

use super::lines::Lines;
use super::log::{Extent, Log, TOPIC};

/// A bounded queue that keeps what some sink still lacks, so that a sink that fails can be served again.
#[derive(Debug)]
pub(super) struct Memory {
    identity: String,
    room: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Lines and the offset of the first of them.
    groups: VecDeque<(i64, Lines)>,
    memory: usize,
    first: i64,
    end: i64,
    closed: bool,
}

impl Memory {
    /// For this many bytes. Offsets begin at the time in microseconds, so that none ever comes twice: neither after a
    /// restart nor in another process.
    pub(super) fn new(room: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let begin = i64::try_from(now).unwrap_or_default();
        Memory {
            identity: format!("{EPHEMERAL_LOG}socket {}", uuid::Uuid::new_v4()),
            room,
            state: Mutex::new(State { groups: VecDeque::new(), memory: 0, first: begin, end: begin, closed: false }),
            freed: Condvar::new(),
        }
    }
}

/// The offset behind the last of these lines.
fn behind(first: i64, lines: &Lines) -> i64 {
    first.saturating_add(lines.len() as i64)
}

impl Log for Memory {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn extent(&self) -> Extent {
        let state = self.state.lock();
        Extent { first: state.first, end: state.end, committed: Some(state.first) }
    }

    fn append(&self, group: Vec<Lines>) -> Result<bool, StageError> {
        let full = |state: &mut State| state.memory >= self.room && !state.closed;
        let mut state = self.state.lock();
        self.freed.wait_while(&mut state, full);
        for lines in group.into_iter().filter(|lines| !lines.is_empty()) {
            let first = state.end;
            state.memory = state.memory.saturating_add(lines.memory());
            state.end = behind(first, &lines);
            state.groups.push_back((first, lines));
        }
        Ok(!state.closed)
    }

    fn read(&self, from: i64, demand: Demand) -> Result<Option<Records>, StageError> {
        let state = self.state.lock();
        let mut records = RecordsBuilder::new(TOPIC.into());
        let mut offset = from;
        let begin = state.groups.partition_point(|(first, lines)| behind(*first, lines) <= from);
        'full: for (first, lines) in state.groups.range(begin..) {
            for line in lines.iter_from(usize::try_from(offset.saturating_sub(*first)).unwrap_or_default()) {
                let more = records.bytes().saturating_add(line.bytes.len()) > demand.bytes && !records.is_empty();
                if more || records.len() >= demand.rows {
                    break 'full;
                }
                line.push(&mut records, offset);
                offset = offset.saturating_add(1);
            }
        }
        Ok((!records.is_empty()).then(|| records.finish()))
    }

    fn begin(&self, next: i64) {
        self.commit(next);
    }

    fn commit(&self, next: i64) {
        let mut state = self.state.lock();
        state.first = state.first.max(next.min(state.end));
        while let Some((first, lines)) = state.groups.front() {
            if behind(*first, lines) > state.first {
                break;
            }
            let memory = lines.memory();
            state.groups.pop_front();
            state.memory = state.memory.saturating_sub(memory);
        }
        self.freed.notify_all();
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    fn lines(texts: &[&str]) -> Lines {
        let mut lines = Lines::default();
        texts.iter().for_each(|text| lines.push(text.as_bytes(), None));
        lines
    }

    fn read(memory: &Memory, from: i64, rows: usize, bytes: usize) -> Vec<String> {
        let demand = Demand { rows, bytes, wait: Duration::ZERO };
        let Some(records) = memory.read(from, demand).unwrap() else { return Vec::new() };
        assert_eq!(records.offsets.value(0), from);
        records.values.iter().map(|value| String::from_utf8(value.unwrap().to_vec()).unwrap()).collect()
    }

    #[test]
    fn what_is_not_committed_is_there_again() {
        let memory = Memory::new(1000);
        let begin = memory.extent().first;
        memory.append(vec![lines(&["a", "b"]), Lines::default(), lines(&["c"])]).unwrap();
        assert_eq!(read(&memory, begin, 10, 100), ["a", "b", "c"]);
        assert_eq!(read(&memory, begin + 1, 1, 100), ["b"]);
        assert_eq!(read(&memory, begin + 1, 9, 1), ["b"], "no more bytes than demanded");
        assert_eq!(read(&memory, begin + 1, 9, 0), ["b"], "a larger one comes alone");
        memory.commit(begin + 1);
        assert_eq!(memory.extent(), Extent { first: begin + 1, end: begin + 3, committed: Some(begin + 1) });
        assert_eq!(read(&memory, begin + 1, 10, 100), ["b", "c"]);
        memory.commit(begin + 3);
        assert_eq!(memory.state.lock().memory, 0);
        assert!(read(&memory, begin + 3, 10, 100).is_empty());
    }

    #[test]
    fn a_full_log_waits_for_a_commit_or_its_end() {
        let memory = Arc::new(Memory::new(1));
        let begin = memory.extent().first;
        memory.append(vec![lines(&["a"])]).unwrap();
        let append = |memory: &Arc<Memory>| {
            let memory = memory.clone();
            std::thread::spawn(move || memory.append(vec![lines(&["b"])]).unwrap())
        };
        let waits = append(&memory);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waits.is_finished(), "no room");
        memory.commit(begin + 1);
        assert!(waits.join().unwrap());
        let waits = append(&memory);
        memory.close();
        assert!(!waits.join().unwrap(), "closed");
    }
}
