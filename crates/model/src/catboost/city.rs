//! CityHash64, version 1: what a category becomes.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "wrapping arithmetic, and lengths are looked at first"
)]

use std::num::Wrapping;

type Word = Wrapping<u64>;

const K0: Word = Wrapping(0xc3a5_c85c_97cb_3127);
const K1: Word = Wrapping(0xb492_b66f_be98_f273);
const K2: Word = Wrapping(0x9ae1_6a3b_2f90_404f);
const K3: Word = Wrapping(0xc949_d7c7_509e_6557);
const MIX: Word = Wrapping(0x9ddf_ea08_eb38_2d69);

/// Eight bytes from `at` on, as a little-endian number.
fn eight(bytes: &[u8], at: usize) -> Word {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    Wrapping(u64::from_le_bytes(word))
}

/// Four bytes from `at` on.
fn four(bytes: &[u8], at: usize) -> Word {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    Wrapping(u32::from_le_bytes(word).into())
}

fn turn(word: Word, by: u32) -> Word {
    Wrapping(word.0.rotate_right(by))
}

fn fold(word: Word) -> Word {
    word ^ (word >> 47)
}

/// Two words made one.
fn both(low: Word, high: Word) -> Word {
    let first = fold((low ^ high) * MIX);
    fold((high ^ first) * MIX) * MIX
}

/// Two words of state and 32 bytes made two words.
fn weak(bytes: &[u8], at: usize, a: Word, b: Word) -> (Word, Word) {
    let [w, x, y, z] = [0, 8, 16, 24].map(|step| eight(bytes, at + step));
    let a = a + w;
    let b = turn(b + a + z, 21);
    let sum = a + x + y;
    (sum + z, b + turn(sum, 44) + a)
}

/// The hash of a text.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let length = Wrapping(bytes.len() as u64);
    let end = bytes.len();
    let hash = match end {
        0 => K2,
        1..4 => {
            let [first, middle, last] = [0, end >> 1, end - 1].map(|at| Wrapping(u64::from(bytes[at])));
            fold(((first + (middle << 8)) * K2) ^ ((length + (last << 2)) * K3)) * K2
        }
        4..=8 => both(length + (four(bytes, 0) << 3), four(bytes, end - 4)),
        9..=16 => {
            let last = eight(bytes, end - 8);
            both(eight(bytes, 0), turn(last + length, end as u32)) ^ last
        }
        17..=32 => {
            let (a, b) = (eight(bytes, 0) * K1, eight(bytes, 8));
            let (c, d) = (eight(bytes, end - 8) * K2, eight(bytes, end - 16) * K0);
            both(turn(a - b, 43) + turn(c, 30) + d, a + turn(b ^ K3, 20) - c + length)
        }
        33..=64 => middle(bytes),
        _ => long(bytes),
    };
    hash.0
}

/// Of 33 to 64 bytes.
fn middle(bytes: &[u8]) -> Word {
    let (end, length) = (bytes.len(), Wrapping(bytes.len() as u64));
    // The first half and the second are mixed alike.
    let mix = |start: Word, steps: [Word; 3]| {
        let [one, two, z] = steps;
        let (b, mut c, mut a) = (turn(start + z, 52), turn(start, 37), start);
        a += one;
        c += turn(a, 7);
        a += two;
        (a + z, b + turn(a, 31) + c)
    };
    let start = eight(bytes, 0) + (length + eight(bytes, end - 16)) * K0;
    let (vf, vs) = mix(start, [eight(bytes, 8), eight(bytes, 16), eight(bytes, 24)]);
    let start = eight(bytes, 16) + eight(bytes, end - 32);
    let (wf, ws) = mix(start, [eight(bytes, end - 24), eight(bytes, end - 16), eight(bytes, end - 8)]);
    fold(fold((vf + ws) * K2 + (wf + vs) * K0) * K0 + vs) * K2
}

/// Of more than 64 bytes: the end first, then blocks of 64.
fn long(bytes: &[u8]) -> Word {
    let (end, length) = (bytes.len(), Wrapping(bytes.len() as u64));
    let mut x = eight(bytes, 0);
    let mut y = eight(bytes, end - 16) ^ K1;
    let mut z = eight(bytes, end - 56) ^ K0;
    let mut v = weak(bytes, end - 64, length, y);
    let mut w = weak(bytes, end - 32, length * K1, K0);
    z += fold(v.1) * K1;
    x = turn(z + x, 39) * K1;
    y = turn(y, 33) * K1;
    for at in (0..(end - 1) & !63).step_by(64) {
        x = turn(x + y + v.0 + eight(bytes, at + 16), 37) * K1;
        y = turn(y + v.1 + eight(bytes, at + 48), 42) * K1;
        x ^= w.1;
        y ^= v.0;
        z = turn(z ^ w.0, 33);
        v = weak(bytes, at, v.1 * K1, x + w.0);
        w = weak(bytes, at + 32, z + w.1, y);
        std::mem::swap(&mut x, &mut z);
    }
    both(both(v.0, w.0) + fold(y) * K1 + z, both(v.1, w.1) + x)
}
