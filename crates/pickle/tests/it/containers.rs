//! What files are packed with: recognised by content, unpacked under a budget.

use foretell_pickle::{Container, Limits, scan};

use crate::asm::{cat, good, refused, refused_with};
use crate::pack::{PACKED, lzma, xz, zf, zlib};

#[test]
fn every_container_is_told_by_its_content() {
    for (container, pack) in PACKED {
        let packed = pack(b"\x80\x02K\x07.");
        assert_eq!(Container::sniff(&packed), Some(*container));
        let document = good(packed);
        assert_eq!(document.container(), *container);
        assert_eq!(document.root().as_i64().unwrap(), 7);
    }
}

#[test]
fn bombs() {
    for (container, pack) in PACKED {
        let packed = match container {
            Container::Lz4 => pack(&cat![b"\x80\x02N.", vec![0; 5_000_000]]),
            _ => std::fs::read(crate::files::folder().join(format!("bomb.{container}"))).unwrap(),
        };
        let len = packed.len();
        // A small file may unpack to 4 MiB, a larger one to its ratio: deflate and lz4 never pass that, because an
        // array of zeros may be honest.
        let limit = (4u64 << 20).max(1100 * len as u64);
        if limit < 5_000_000 {
            let expected = format!(
                "the {container} stream unpacks to more than {limit} bytes ({len} packed); raise `ratio` if it may"
            );
            assert_eq!(refused(packed.clone()), expected);
        } else {
            assert_eq!(good(packed.clone()).trailing(), 5_000_000, "{container}");
        }
        let unpacked = Limits { unpacked: 1_000_000, ..Limits::default() };
        let expected = format!(
            "the {container} stream unpacks to more than 1000000 bytes ({len} packed); raise `unpacked` if it may"
        );
        assert_eq!(refused_with(packed, &unpacked), expected);
    }
}

#[test]
fn streams_that_end_too_early_or_are_damaged() {
    let value = cat![b"\x80\x02U\xff", (0..255u8).collect::<Vec<_>>(), b"."];
    for (container, pack) in PACKED {
        let packed = pack(&value);
        let half = packed[..packed.len() / 2].to_vec();
        let text = refused(half);
        let known = text.starts_with(&format!("the {container} stream is damaged: ")) || text.starts_with("byte ");
        assert!(known, "{container}: {text}");
        let mut flipped = packed.clone();
        let middle = packed.len() / 2;
        flipped[middle] ^= 0x55;
        // lz4 and lzma have no checksum that must be there: then the values differ, and nothing else happens.
        if let Err(e) = crate::asm::read_with(flipped, &Limits::default()) {
            let text = e.to_string();
            let known = text.starts_with(&format!("the {container} stream is damaged: ")) || text.starts_with("byte ");
            assert!(known, "{container}: {text}");
        }
    }
}

#[test]
fn a_damaged_stream_is_scanned_up_to_there() {
    // Python would call what stands before the damage, and fail then.
    let mut state = 1u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..400_000).map(|_| noise()).collect();
    let value = cat![b"\x80\x02cos\nsystem\n0B", 400_000u32.to_le_bytes(), noise, b"."];
    // bzip2 and lz4 unpack whole blocks, of which this is one.
    let whole = |container: &Container| matches!(container, Container::Bz2 | Container::Lz4);
    for (container, pack) in PACKED.iter().filter(|(container, _)| !whole(container)) {
        let packed = pack(&value);
        let half = packed[..packed.len() / 2].to_vec();
        let scan = scan(half, &Limits::default()).unwrap();
        assert_eq!(scan.globals.len(), 1, "{container}");
        let stopped = scan.stopped.unwrap().to_string();
        let known =
            stopped.starts_with(&format!("the {container} stream is damaged: ")) || stopped.starts_with("byte ");
        assert!(known, "{container}: {stopped}");
    }
}

#[test]
fn a_zf_header_that_lies() {
    let honest = zf(b"\x80\x02N.");
    let lying = cat![b"ZF0x5               ", b" ", &honest[21..]];
    assert_eq!(refused(lying), "the ZF stream is damaged: it unpacks to 4 bytes, its header says 5");
    let none = cat![b"ZFfive              ", &honest[20..]];
    assert_eq!(refused(none), "the ZF stream is damaged: its header has no length");
    assert_eq!(refused(b"ZF".to_vec()), "the ZF stream is damaged: its header has no length");
    // joblib until 0.8.4 wrote one space more.
    good(cat![&honest[..21], b" ", &honest[21..]]);
}

#[test]
fn an_xz_dictionary_that_no_preset_asks_for() {
    // lzma's header names the dictionary: 4 GiB of it would be taken before the first byte.
    let mut huge = lzma(b"\x80\x02N.");
    huge[1..5].copy_from_slice(&0xffff_0000u32.to_le_bytes());
    let expected =
        |container: &str| format!("the {container} stream is damaged: needed memory too big for mem_limit_kb");
    assert_eq!(refused(huge), expected("lzma"));
    // xz has it in a block's header, in one byte, with a checksum: 40 is 4 GiB, 28 the 64 MiB of the strongest preset.
    let of = |size: u8| {
        let mut packed = xz(b"\x80\x02N.");
        assert_eq!((packed[14], packed[15]), (0x21, 1));
        packed[16] = size;
        let mut crc = flate2::Crc::new();
        crc.update(&packed[12..20]);
        packed[20..24].copy_from_slice(&crc.sum().to_le_bytes());
        packed
    };
    assert_eq!(refused(of(40)), expected("xz"));
    assert_eq!(refused(of(29)), expected("xz"));
    good(of(28));
}

#[test]
fn files_that_are_something_else() {
    assert_eq!(refused(b"PK\x03\x04rest".to_vec()), "the zip file has no directory at its end");
    assert_eq!(
        refused(b"{\"learner\": {}}".to_vec()),
        "not a pickle or joblib file: no such file starts with the bytes 7b 22 6c 65"
    );
    assert_eq!(
        refused(b"tree\nversion=v4\n".to_vec()),
        "not a pickle or joblib file: no such file starts with the bytes 74 72 65 65"
    );
    assert_eq!(
        refused(b"binf\0\0".to_vec()),
        "not a pickle or joblib file: no such file starts with the bytes 62 69 6e 66"
    );
    assert_eq!(refused(Vec::new()), "not a pickle or joblib file: no such file starts with nothing: it is empty");
    assert_eq!(refused(b"\x80\x09N.".to_vec()), "byte 0 (PROTO): protocol 9 does not exist");
}

#[test]
fn a_container_inside_of_a_container() {
    assert_eq!(refused(zlib(&zlib(b"\x80\x02N."))), "byte 0 (?): 0x78 is not an opcode");
}
