//! Every opcode on a wrong operand.

use std::collections::BTreeSet;

use foretell_pickle::Limits;

use crate::asm::{cat, global, refused, refused_with, text};

/// The opcodes of `pickletools`, by the order of their bytes.
const OPCODES: &str = "MARK EMPTY_TUPLE STOP POP POP_MARK DUP BINBYTES SHORT_BINBYTES FLOAT BINFLOAT INT BININT BININT1 \
    LONG BININT2 NONE PERSID BINPERSID REDUCE STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE EMPTY_LIST APPEND \
    BUILD GLOBAL DICT APPENDS GET BINGET INST LONG_BINGET LIST OBJ PUT BINPUT LONG_BINPUT SETITEM TUPLE SETITEMS \
    EMPTY_DICT PROTO NEWOBJ EXT1 EXT2 EXT4 TUPLE1 TUPLE2 TUPLE3 NEWTRUE NEWFALSE LONG1 LONG4 SHORT_BINUNICODE \
    BINUNICODE8 BINBYTES8 EMPTY_SET ADDITEMS FROZENSET NEWOBJ_EX STACK_GLOBAL MEMOIZE FRAME BYTEARRAY8 NEXT_BUFFER \
    READONLY_BUFFER";

/// What stands after `PROTO 4`, and what it is refused with. Opcodes that take nothing get a stack of no room.
fn cases() -> Vec<(Vec<u8>, &'static str)> {
    let basket = global("shop", "Basket");
    vec![
        (b".".into(), "byte 2 (STOP): the stack is empty"),
        (b"NN.".into(), "byte 4 (STOP): 1 values are left on the stack"),
        (b"(N.".into(), "byte 4 (STOP): 1 values are left on the stack"),
        (b"0".into(), "byte 2 (POP): the stack is empty"),
        (b"N1".into(), "byte 3 (POP_MARK): there is no mark"),
        (b"N(2".into(), "byte 4 (DUP): the stack is empty"),
        (b"Fone\n".into(), "byte 2 (FLOAT): this is not a float"),
        (b"city,name\nBern,9001\n".into(), "byte 2 (GLOBAL): this is not a name of a global"),
        (b"G\0\0\0".into(), "byte 2 (BINFLOAT): 8 bytes are needed and 3 are left in the file"),
        (b"I1_0\n".into(), "byte 2 (INT): this is not an integer"),
        (b"I1".into(), "byte 2 (INT): the line has no end"),
        (b"J\0".into(), "byte 2 (BININT): 4 bytes are needed and 1 are left in the file"),
        (b"K".into(), "byte 2 (BININT1): 1 bytes are needed and 0 are left in the file"),
        (b"M\0".into(), "byte 2 (BININT2): 2 bytes are needed and 1 are left in the file"),
        (b"L0x1L\n".into(), "byte 2 (LONG): this is not an integer"),
        (b"\x8a\x05\0".into(), "byte 2 (LONG1): 5 bytes are needed and 1 are left in the file"),
        (b"\x8b\xff\xff\xff\xff".into(), "byte 2 (LONG4): the length -1 is negative"),
        (b"Pid\n".into(), "byte 2 (PERSID): persistent ids are not allowed"),
        (b"NQ".into(), "byte 3 (BINPERSID): persistent ids are not allowed"),
        (b"Sbare\n".into(), "byte 2 (STRING): this is not a quoted string"),
        (b"S'\\xZZ'\n".into(), "byte 2 (STRING): this is not a quoted string"),
        (b"T\xff\xff\xff\xff".into(), "byte 2 (BINSTRING): the length -1 is negative"),
        (b"U\x09abc".into(), "byte 2 (SHORT_BINSTRING): 9 bytes are needed and 3 are left in the file"),
        (b"V\\u12G4\n".into(), "byte 2 (UNICODE): this is not a unicode string"),
        (b"V\\ud800\n".into(), "byte 2 (UNICODE): this is not a unicode string"),
        (b"X\x01\0\0\0\xff".into(), "byte 2 (BINUNICODE): the text is not valid UTF-8"),
        (b"\x8c\x02\xc3(".into(), "byte 2 (SHORT_BINUNICODE): the text is not valid UTF-8"),
        (
            b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff".into(),
            "byte 2 (BINUNICODE8): 18446744073709551615 bytes are needed and 0 are left in the file",
        ),
        (
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f".into(),
            "byte 2 (BINBYTES8): 9223372036854775807 bytes are needed and 0 are left in the file",
        ),
        (b"\x96\x09\0\0\0\0\0\0\0abc".into(), "byte 2 (BYTEARRAY8): 9 bytes are needed and 3 are left in the file"),
        (b"B\xff\xff\xff\xff".into(), "byte 2 (BINBYTES): 4294967295 bytes are needed and 0 are left in the file"),
        (b"C\x03a".into(), "byte 2 (SHORT_BINBYTES): 3 bytes are needed and 1 are left in the file"),
        (b"}Na".into(), "byte 4 (APPEND): expected a list, found a dict"),
        (b"(Na".into(), "byte 4 (APPEND): the stack is empty"),
        (b"\x8f(Ne".into(), "byte 5 (APPENDS): expected a list, found a set"),
        (b"](N\x90".into(), "byte 5 (ADDITEMS): expected a set, found a list"),
        (b"\x8f(]\x90".into(), "byte 5 (ADDITEMS): a list cannot be a key"),
        (b"]NNs".into(), "byte 5 (SETITEM): expected a dict, found a list"),
        (b"}]Ns".into(), "byte 5 (SETITEM): a list cannot be a key"),
        (b"}(Nu".into(), "byte 5 (SETITEMS): a key has no value"),
        (b"}(}Nu".into(), "byte 6 (SETITEMS): a dict cannot be a key"),
        (b"](NNu".into(), "byte 6 (SETITEMS): expected a dict, found a list"),
        (b"(Nd".into(), "byte 4 (DICT): a key has no value"),
        (b"Nl".into(), "byte 3 (LIST): there is no mark"),
        (b"Nt".into(), "byte 3 (TUPLE): there is no mark"),
        (b"\x85".into(), "byte 2 (TUPLE1): the stack is empty"),
        (b"N(N\x86".into(), "byte 5 (TUPLE2): the stack is empty"),
        (b"NN\x87".into(), "byte 4 (TUPLE3): the stack is empty"),
        (b"(}\x91".into(), "byte 4 (FROZENSET): a dict cannot be a key"),
        (b"g7\n".into(), "byte 2 (GET): the memo has no entry 7"),
        (b"gx\n".into(), "byte 2 (GET): this is not a memo entry"),
        (b"h\x07".into(), "byte 2 (BINGET): the memo has no entry 7"),
        (b"j\xff\xff\xff\xff".into(), "byte 2 (LONG_BINGET): the memo has no entry 4294967295"),
        (b"p0\n".into(), "byte 2 (PUT): the stack is empty"),
        (b"Np-1\n".into(), "byte 3 (PUT): this is not a memo entry"),
        (b"Nq\xff".into(), "byte 3 (BINPUT): memo entry 255 is out of range: 3 opcodes have run"),
        (
            b"Nr\xff\xff\xff\xff".into(),
            "byte 3 (LONG_BINPUT): memo entry 4294967295 is out of range: 3 opcodes have run",
        ),
        (b"\x94".into(), "byte 2 (MEMOIZE): the stack is empty"),
        (b"cos\nsystem\n".into(), "byte 2 (GLOBAL): global `os.system` is not allowed"),
        (b"cos".into(), "byte 2 (GLOBAL): the line has no end"),
        (b"c\xff\nx\n".into(), "byte 2 (GLOBAL): the text is not valid UTF-8"),
        (b"(ios\nsystem\n".into(), "byte 3 (INST): global `os.system` is not allowed"),
        (b"ishop\nBasket\n".into(), "byte 2 (INST): there is no mark"),
        (b"(o".into(), "byte 3 (OBJ): the stack is empty"),
        (b"(No".into(), "byte 4 (OBJ): expected a class or function, found None"),
        (cat![text("os"), b"K\x01\x93"], "byte 11 (STACK_GLOBAL): expected a text, found an integer"),
        (cat![text("os"), text("system"), b"\x93"], "byte 20 (STACK_GLOBAL): global `os.system` is not allowed"),
        (b"N)R".into(), "byte 4 (REDUCE): expected a class or function, found None"),
        (cat![basket, b"]R"], "byte 16 (REDUCE): expected a tuple, found a list"),
        (b"])\x81".into(), "byte 4 (NEWOBJ): expected a class or function, found a list"),
        (cat![basket, b"}\x81"], "byte 16 (NEWOBJ): expected a tuple, found a dict"),
        (cat![basket, b")]\x92"], "byte 17 (NEWOBJ_EX): expected a dict, found a list"),
        (b"]}b".into(), "byte 4 (BUILD): expected an object, found a list"),
        (b"\x82\x01".into(), "byte 2 (EXT1): extension codes are not allowed"),
        (b"\x83\x01\0".into(), "byte 2 (EXT2): extension codes are not allowed"),
        (b"\x84\x01\0\0\0".into(), "byte 2 (EXT4): extension codes are not allowed"),
        (b"\x97".into(), "byte 2 (NEXT_BUFFER): buffers outside of the file are not allowed"),
        (b"N\x98".into(), "byte 3 (READONLY_BUFFER): buffers outside of the file are not allowed"),
        (b"\x80\x06".into(), "byte 2 (PROTO): protocol 6 does not exist"),
        (b"\x80\x04".into(), "byte 2 (PROTO): the protocol is declared in mid-stream"),
        (b"\x95\x09\0\0\0\0\0\0\0N.".into(), "byte 2 (FRAME): 9 bytes are needed and 2 are left in the file"),
        (b"\x99".into(), "byte 2 (?): 0x99 is not an opcode"),
        (b"N".into(), "byte 3 (end): the file ends without STOP"),
    ]
}

#[test]
fn every_opcode_refuses_a_wrong_operand() {
    for (bytes, expected) in cases() {
        assert_eq!(refused(cat![b"\x80\x04", bytes]), expected);
    }
}

#[test]
fn opcodes_without_operands_are_bound_by_the_stack() {
    for (bytes, name) in [
        (b'N', "NONE"),
        (0x88, "NEWTRUE"),
        (0x89, "NEWFALSE"),
        (b')', "EMPTY_TUPLE"),
        (b']', "EMPTY_LIST"),
        (b'}', "EMPTY_DICT"),
        (0x8f, "EMPTY_SET"),
    ] {
        let text = refused_with(vec![0x80, 4, bytes], &Limits { stack: 0, ..Limits::default() });
        assert_eq!(text, format!("byte 2 ({name}): more than 0 values on the stack"));
    }
    let text = refused_with(b"\x80\x04((".to_vec(), &Limits { marks: 1, ..Limits::default() });
    assert_eq!(text, "byte 3 (MARK): more than 1 open marks");
}

#[test]
fn no_opcode_is_left_out() {
    let named = |text: &str| text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).unwrap().0.to_owned();
    let mut tested: BTreeSet<String> = cases().iter().map(|(_, text)| named(text)).collect();
    tested
        .extend("MARK NONE NEWTRUE NEWFALSE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET".split(' ').map(String::from));
    let missing: Vec<&str> = OPCODES.split_whitespace().filter(|name| !tested.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    assert_eq!(OPCODES.split_whitespace().count(), 68);
}
