//! A statement: prepared or not, with rows of values, and the rows that it gives.

use std::ffi::c_void;
use std::rc::Rc;

use super::functions::{Handle, NO_DATA, STATEMENT, ended, wide};
use crate::answer::{Column, Done, Place};
use crate::error::{Diagnostic, Error};
use crate::parameter::{Cells, Parameter};

/// What the catalog is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Catalog {
    Columns,
    PrimaryKey,
    Tables,
    UniqueIndexes,
}

/// A statement; freed before its connection.
pub(crate) struct Statement {
    handle: Handle,
}

/// Of a text that comes in pieces: the UTF-16 units of one.
const PIECE: usize = 2_048;

/// What a driver may say of a row of values that did not go in, or was not tried.
const FAILED: [u16; 2] = [5, 7];

impl Statement {
    pub(super) fn new(connection: Rc<Handle>) -> Result<Self, Error> {
        let functions = connection.functions;
        Ok(Statement { handle: Handle::new(functions, STATEMENT, Some(connection))? })
    }

    fn set(&self, attribute: i32, value: *mut c_void) -> Result<(), Error> {
        // SAFETY: a number in the pointer's place, or a pointer that lives until it is taken back (`run`).
        let answer = unsafe { (self.handle.functions.SQLSetStmtAttrW)(self.handle.raw, attribute, value, 0) };
        self.handle.check(answer).map(drop)
    }

    pub(crate) fn prepare(&mut self, sql: &str) -> Result<(), Error> {
        let sql = wide(sql);
        // SAFETY: the text ends in NUL (-3), and is read before the call returns.
        let answer = unsafe { (self.handle.functions.SQLPrepareW)(self.handle.raw, sql.as_ptr(), -3) };
        self.handle.check(answer).map(drop)
    }

    /// Runs a statement without values. Whether it did anything, and what was said beside.
    pub(crate) fn direct(&mut self, sql: &str) -> Result<(bool, Vec<Diagnostic>), Error> {
        let sql = wide(sql);
        // SAFETY: the text ends in NUL (-3), and is read before the call returns.
        let answer = unsafe { (self.handle.functions.SQLExecDirectW)(self.handle.raw, sql.as_ptr(), -3) };
        self.settled(answer)
    }

    fn settled(&self, answer: i16) -> Result<(bool, Vec<Diagnostic>), Error> {
        let said = if self.handle.check(answer)? { self.handle.said() } else { Vec::new() };
        Ok((answer != NO_DATA, said))
    }

    /// Runs what is prepared with rows of values.
    pub(crate) fn run(&mut self, mut values: Vec<Parameter>) -> Result<(bool, Vec<Diagnostic>), Error> {
        let rows = values.first().map_or(1, Parameter::rows);
        if values.iter().any(|column| column.rows() != rows) || rows == 0 {
            return Err(Error::Form("columns of values have several lengths"));
        }
        let mut statuses = vec![0_u16; rows];
        let mut processed = 0_usize;
        self.set(18, std::ptr::null_mut())?;
        self.set(22, rows as *mut c_void)?;
        if rows > 1 {
            self.set(20, statuses.as_mut_ptr().cast())?;
            self.set(21, (&raw mut processed).cast())?;
        }
        let outcome = self.bind(&mut values).and_then(|()| {
            // SAFETY: what is bound lies in `values`, which is neither moved nor changed until it is taken back below.
            let answer = unsafe { (self.handle.functions.SQLExecute)(self.handle.raw) };
            let failed = rows > 1 && statuses.iter().any(|status| FAILED.contains(status));
            if failed { Err(self.handle.refusal()) } else { self.settled(answer) }
        });
        // SAFETY: nothing bound is used after this (3: parameters).
        unsafe { (self.handle.functions.SQLFreeStmt)(self.handle.raw, 3) };
        if rows > 1 {
            self.set(20, std::ptr::null_mut())?;
            self.set(21, std::ptr::null_mut())?;
        }
        drop(values);
        outcome
    }

    fn bind(&self, values: &mut [Parameter]) -> Result<(), Error> {
        for (nth, column) in (1_u16..).zip(values.iter_mut()) {
            let cells: *mut c_void = match &mut column.cells {
                Cells::Ints(cells) => cells.as_mut_ptr().cast(),
                Cells::Doubles(cells) => cells.as_mut_ptr().cast(),
                Cells::Bits(cells) | Cells::Bytes(cells) => cells.as_mut_ptr().cast(),
                Cells::Units(cells) => cells.as_mut_ptr().cast(),
                Cells::Dates(cells) => cells.as_mut_ptr().cast(),
                Cells::Times(cells) => cells.as_mut_ptr().cast(),
            };
            // SAFETY: cells and lengths have as many rows as is said (`run`), of this stride; they live until they are taken back.
            let answer = unsafe {
                (self.handle.functions.SQLBindParameter)(
                    self.handle.raw,
                    nth,
                    1,
                    column.c_type,
                    column.sql_type,
                    column.size,
                    column.digits,
                    cells,
                    isize::try_from(column.stride).unwrap_or_default(),
                    column.lengths.as_mut_ptr(),
                )
            };
            self.handle.check(answer)?;
        }
        Ok(())
    }

    /// Runs what is prepared with rows of values, and counts the rows that it hit.
    pub(crate) fn execute(&mut self, values: Vec<Parameter>) -> Result<Done, Error> {
        let (did, mut notes) = self.run(values)?;
        let rows = if did { self.counted_with(&mut notes)? } else { Some(0) };
        self.close();
        Ok(Done { rows, notes })
    }

    /// How many rows were hit, by all results of the statement.
    pub(crate) fn counted(&mut self) -> Result<Option<u64>, Error> {
        self.counted_with(&mut Vec::new())
    }

    fn counted_with(&mut self, notes: &mut Vec<Diagnostic>) -> Result<Option<u64>, Error> {
        let mut all = Some(0_u64);
        loop {
            let mut rows = 0_isize;
            // SAFETY: one number is written.
            let answer = unsafe { (self.handle.functions.SQLRowCount)(self.handle.raw, &mut rows) };
            let rows = if matches!(answer, 0 | 1) { u64::try_from(rows).ok() } else { None };
            all = all.zip(rows).map(|(all, rows)| all.saturating_add(rows));
            // SAFETY: the statement lives.
            let answer = unsafe { (self.handle.functions.SQLMoreResults)(self.handle.raw) };
            if answer == NO_DATA {
                return Ok(all);
            }
            let (_, said) = self.settled(answer)?;
            notes.extend(said);
        }
    }

    fn close(&self) {
        // SAFETY: the statement lives (0: its cursor, if it has one).
        unsafe { (self.handle.functions.SQLFreeStmt)(self.handle.raw, 0) };
    }

    /// The columns of what is prepared or has run.
    pub(crate) fn columns(&mut self) -> Result<Vec<Column>, Error> {
        let mut count = 0_i16;
        // SAFETY: one number is written.
        let answer = unsafe { (self.handle.functions.SQLNumResultCols)(self.handle.raw, &mut count) };
        self.handle.check(answer)?;
        let count = u16::try_from(count).unwrap_or_default();
        (1..=count).map(|nth| self.column(nth)).collect()
    }

    fn column(&self, nth: u16) -> Result<Column, Error> {
        let mut name = [0_u16; 512];
        let (mut length, mut code, mut size, mut digits, mut nullable) = (0, 0, 0, 0, 0);
        // SAFETY: the name's buffer has 512 units, as is said; each other pointer is to one number.
        let answer = unsafe {
            (self.handle.functions.SQLDescribeColW)(
                self.handle.raw,
                nth,
                name.as_mut_ptr(),
                512,
                &mut length,
                &mut code,
                &mut size,
                &mut digits,
                &mut nullable,
            )
        };
        self.handle.check(answer)?;
        let (type_name, _) = self.attribute(nth, 14);
        let (_, numbered) = self.attribute(nth, 11);
        Ok(Column { name: ended(&name), code, type_name, numbered: numbered == 1 })
    }

    /// What a column has of an attribute, where the driver knows it.
    fn attribute(&self, nth: u16, attribute: u16) -> (String, isize) {
        let (mut text, mut length, mut number) = ([0_u16; 256], 0, 0);
        // SAFETY: the buffer has 512 bytes, as is said; each other pointer is to one number.
        let answer = unsafe {
            (self.handle.functions.SQLColAttributeW)(
                self.handle.raw,
                nth,
                attribute,
                text.as_mut_ptr().cast(),
                512,
                &mut length,
                &mut number,
            )
        };
        if matches!(answer, 0 | 1) { (ended(&text), number) } else { (String::new(), 0) }
    }

    /// The rows that are left, with all their columns.
    pub(crate) fn all(&mut self) -> Result<Vec<Vec<Option<String>>>, Error> {
        let columns = self.columns()?;
        self.rows(&columns)
    }

    pub(crate) fn rows(&mut self, columns: &[Column]) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut all = Vec::new();
        if columns.is_empty() {
            return Ok(all);
        }
        loop {
            // SAFETY: the statement lives; no columns are bound.
            let answer = unsafe { (self.handle.functions.SQLFetch)(self.handle.raw) };
            if answer == NO_DATA {
                return Ok(all);
            }
            self.handle.check(answer)?;
            let row: Result<_, Error> = (1..).zip(columns).map(|(nth, column)| self.value(nth, column.code)).collect();
            all.push(row?);
        }
    }

    fn value(&self, nth: u16, code: i16) -> Result<Option<String>, Error> {
        match code {
            // Floats by their bits: a driver's own text of one may lack digits.
            7 => Ok(self.fixed::<f32>(nth, 7)?.map(|value| value.to_string())),
            6 | 8 => Ok(self.fixed::<f64>(nth, 8)?.map(|value| value.to_string())),
            -4..=-2 => match self.text(nth)? {
                None => Ok(None),
                Some(_) => Err(Error::Form("a column holds bytes, which are no text")),
            },
            // A UUID, as RFC 9562 has it written.
            -11 => Ok(self.text(nth)?.map(|text| text.to_lowercase())),
            _ => self.text(nth),
        }
    }

    fn fixed<T: Default + Copy>(&self, nth: u16, c_type: i16) -> Result<Option<T>, Error> {
        let (mut value, mut length) = (T::default(), 0_isize);
        let size = isize::try_from(size_of::<T>()).unwrap_or_default();
        let to = (&raw mut value).cast();
        // SAFETY: the value is of the C type that is named, of this many bytes.
        let answer = unsafe { (self.handle.functions.SQLGetData)(self.handle.raw, nth, c_type, to, size, &mut length) };
        self.handle.check(answer)?;
        Ok((length >= 0).then_some(value))
    }

    fn text(&self, nth: u16) -> Result<Option<String>, Error> {
        let mut units: Vec<u16> = Vec::new();
        loop {
            let (mut piece, mut length) = ([0_u16; PIECE], 0_isize);
            let size = isize::try_from(size_of_val(&piece)).unwrap_or_default();
            let to = piece.as_mut_ptr().cast();
            // SAFETY: the buffer has this many bytes; the driver ends what it writes with NUL.
            let answer = unsafe { (self.handle.functions.SQLGetData)(self.handle.raw, nth, -8, to, size, &mut length) };
            if answer == NO_DATA {
                break;
            }
            self.handle.check(answer)?;
            if length == -1 {
                return Ok(None);
            }
            // What did not fit comes with the next piece; the last unit of a full one is NUL.
            let whole = usize::try_from(length).ok().map(|bytes| bytes / 2).filter(|there| *there < PIECE);
            let there = whole.unwrap_or(PIECE.saturating_sub(1));
            units.extend(piece.get(..there).unwrap_or_default());
            if answer == 0 {
                break;
            }
        }
        Ok(Some(String::from_utf16_lossy(&units)))
    }

    /// Asks the catalog.
    pub(crate) fn catalog(&mut self, what: Catalog, place: &Place) -> Result<(), Error> {
        let text = |text: &Option<String>| text.as_deref().map(wide);
        // They live until the call has returned.
        let (in_catalog, in_schema, of_table) = (text(&place.catalog), text(&place.schema), wide(&place.table));
        let pointer = |text: &Option<Vec<u16>>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
        let (catalog, schema) = (pointer(&in_catalog), pointer(&in_schema));
        let (table, none) = (of_table.as_ptr(), std::ptr::null());
        let Handle { functions, raw, .. } = self.handle;
        // SAFETY: each text is NULL or ends in NUL (-3), and lives until the call returns.
        let answer = unsafe {
            match what {
                Catalog::Columns => (functions.SQLColumnsW)(raw, catalog, -3, schema, -3, table, -3, none, 0),
                Catalog::PrimaryKey => (functions.SQLPrimaryKeysW)(raw, catalog, -3, schema, -3, table, -3),
                Catalog::Tables => (functions.SQLTablesW)(raw, none, 0, none, 0, table, -3, none, 0),
                Catalog::UniqueIndexes => (functions.SQLStatisticsW)(raw, catalog, -3, schema, -3, table, -3, 0, 1),
            }
        };
        self.handle.check(answer).map(drop)
    }
}
