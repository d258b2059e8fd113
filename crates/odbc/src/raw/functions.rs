//! The functions, the library that they are in, and what they answer.

use std::ffi::c_void;
use std::rc::Rc;
use std::sync::OnceLock;

use crate::error::{Diagnostic, Error};

/// A handle of ODBC's.
pub(super) type Raw = *mut c_void;

macro_rules! functions {
    ($($name:ident($($kind:ty),*);)+) => {
        /// The functions by their names in C, for texts in UTF-16 where there are two.
        #[allow(non_snake_case)]
        pub(super) struct Functions {
            $(pub(super) $name: unsafe extern "system" fn($($kind),*) -> i16,)+
            /// The functions are in it.
            _library: libloading::Library,
        }

        impl Functions {
            fn of(library: libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Functions {
                    // SAFETY: these are the signatures that ODBC 3.8 gives to these names, with lengths as wide as pointers; the
                    // library lives as long as the pointers.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,)+
                    _library: library,
                })
            }
        }
    };
}

functions! {
    SQLAllocHandle(i16, Raw, *mut Raw);
    SQLBindParameter(Raw, u16, i16, i16, i16, usize, i16, *mut c_void, isize, *mut isize);
    SQLColAttributeW(Raw, u16, u16, *mut c_void, i16, *mut i16, *mut isize);
    SQLColumnsW(Raw, *const u16, i16, *const u16, i16, *const u16, i16, *const u16, i16);
    SQLDescribeColW(Raw, u16, *mut u16, i16, *mut i16, *mut i16, *mut usize, *mut i16, *mut i16);
    SQLDisconnect(Raw);
    SQLDriverConnectW(Raw, Raw, *const u16, i16, *mut u16, i16, *mut i16, u16);
    SQLEndTran(i16, Raw, i16);
    SQLExecDirectW(Raw, *const u16, i32);
    SQLExecute(Raw);
    SQLFetch(Raw);
    SQLFreeHandle(i16, Raw);
    SQLFreeStmt(Raw, u16);
    SQLGetData(Raw, u16, i16, *mut c_void, isize, *mut isize);
    SQLGetDiagRecW(i16, Raw, i16, *mut u16, *mut i32, *mut u16, i16, *mut i16);
    SQLGetInfoW(Raw, u16, *mut c_void, i16, *mut i16);
    SQLMoreResults(Raw);
    SQLNumResultCols(Raw, *mut i16);
    SQLPrepareW(Raw, *const u16, i32);
    SQLPrimaryKeysW(Raw, *const u16, i16, *const u16, i16, *const u16, i16);
    SQLRowCount(Raw, *mut isize);
    SQLSetConnectAttrW(Raw, i32, *mut c_void, i32);
    SQLSetEnvAttr(Raw, i32, *mut c_void, i32);
    SQLSetStmtAttrW(Raw, i32, *mut c_void, i32);
    SQLStatisticsW(Raw, *const u16, i16, *const u16, i16, *const u16, i16, u16, u16);
    SQLTablesW(Raw, *const u16, i16, *const u16, i16, *const u16, i16, *const u16, i16);
}

/// Where the driver manager is: its names on Linux, macOS and Windows.
const NAMES: &[&str] = if cfg!(windows) {
    &["odbc32.dll"]
} else if cfg!(target_os = "macos") {
    &["libodbc.2.dylib", "/opt/homebrew/lib/libodbc.2.dylib", "/usr/local/lib/libodbc.2.dylib"]
} else {
    &["libodbc.so.2", "libodbc.so.1", "libodbc.so"]
};

/// The driver manager's functions. What was loaded stays so; what was not is looked for again.
pub(super) fn functions() -> Result<&'static Functions, Error> {
    static LOADED: OnceLock<Functions> = OnceLock::new();
    if let Some(loaded) = LOADED.get() {
        return Ok(loaded);
    }
    let mut why = String::new();
    for name in NAMES {
        // SAFETY: what runs when the library is loaded is the driver manager's own beginning.
        match unsafe { libloading::Library::new(*name) }.and_then(Functions::of) {
            Ok(functions) => return Ok(LOADED.get_or_init(|| functions)),
            Err(error) if why.is_empty() => why = error.to_string(),
            Err(_) => {}
        }
    }
    Err(Error::Missing(why))
}

pub(super) const ENVIRONMENT: i16 = 1;
pub(super) const CONNECTION: i16 = 2;
pub(super) const STATEMENT: i16 = 3;

pub(super) const NO_DATA: i16 = 100;

/// A handle, freed where nothing needs it any more; never another thread's.
pub(super) struct Handle {
    pub(super) functions: &'static Functions,
    pub(super) kind: i16,
    pub(super) raw: Raw,
    /// It was made from this one, which goes after it.
    _parent: Option<Rc<Handle>>,
}

impl Handle {
    pub(super) fn new(functions: &'static Functions, kind: i16, parent: Option<Rc<Handle>>) -> Result<Self, Error> {
        let mut raw = std::ptr::null_mut();
        let from = parent.as_ref().map_or(std::ptr::null_mut(), |parent| parent.raw);
        // SAFETY: the parent's handle lives, since it is owned; what is written is one pointer.
        let answer = unsafe { (functions.SQLAllocHandle)(kind, from, &mut raw) };
        match (answer, &parent) {
            (0 | 1, _) if !raw.is_null() => Ok(Handle { functions, kind, raw, _parent: parent }),
            (_, Some(parent)) => Err(parent.refusal()),
            _ => Err(Error::Form("the driver manager gives no handle")),
        }
    }

    /// Whether something was said beside; an error where the call did not work.
    pub(super) fn check(&self, answer: i16) -> Result<bool, Error> {
        match answer {
            0 | NO_DATA => Ok(false),
            1 => Ok(true),
            _ => Err(self.refusal()),
        }
    }

    pub(super) fn refusal(&self) -> Error {
        let said = self.said();
        match said.is_empty() {
            true => Error::Form("the driver refuses, and does not say why"),
            false => Error::Refused(said),
        }
    }

    /// What was said of the last call.
    pub(super) fn said(&self) -> Vec<Diagnostic> {
        let mut all = Vec::new();
        for record in 1..=16 {
            let (mut state, mut text) = ([0_u16; 6], [0_u16; 1_024]);
            let (mut native, mut length) = (0, 0);
            // SAFETY: the handle lives; the buffers are as long as is said of them, the state's six units are what ODBC writes.
            let answer = unsafe {
                (self.functions.SQLGetDiagRecW)(
                    self.kind,
                    self.raw,
                    record,
                    state.as_mut_ptr(),
                    &mut native,
                    text.as_mut_ptr(),
                    1_024,
                    &mut length,
                )
            };
            if !matches!(answer, 0 | 1) {
                break;
            }
            all.push(Diagnostic { state: ended(&state), native, text: ended(&text) });
        }
        all
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by this driver manager, freed once; what was made from it is gone, since it would own this.
        unsafe { (self.functions.SQLFreeHandle)(self.kind, self.raw) };
    }
}

/// The text before the first NUL.
pub(super) fn ended(units: &[u16]) -> String {
    let text = units.split(|unit| *unit == 0).next().unwrap_or_default();
    String::from_utf16_lossy(text)
}

/// A text in UTF-16, ended by NUL.
pub(super) fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}
