//! Gives each path one spelling, and makes file names.

use std::path::Path;

use super::{Error, ErrorKind};

/// A path on this machine, relative to `base`, in its one spelling.
///
/// # Errors
/// It is empty or not UTF-8.
pub fn local(path: &str, base: &Path) -> Result<String, Error> {
    let settings = |what: &str| Error::new(ErrorKind::Settings, path, what);
    if path.is_empty() {
        return Err(settings("the path is empty"));
    }
    let whole = std::path::absolute(base.join(path)).map_err(|error| settings(&error.to_string()))?;
    Ok(clean_local(whole.to_str().ok_or_else(|| settings("the path is not UTF-8"))?))
}

/// One spelling of a path: without doubled and trailing slashes, `.` and `..`.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// As [`clean`], of a path on this machine, where `..` behind a symbolic link leads elsewhere than the text says.
pub fn clean_local(path: &str) -> String {
    let Some(at) = path.rfind("/..").filter(|at| matches!(path.as_bytes().get(at + 3), None | Some(b'/'))) else {
        return clean(path);
    };
    let (up, rest) = path.split_at(at + 3);
    let Ok(real) = std::fs::canonicalize(up) else { return clean(path) };
    // Where no link is on the way, the text is right, and is the spelling that the same path has without `..`.
    if std::fs::canonicalize(clean(up)).is_ok_and(|same| same == real) {
        return clean(path);
    }
    match real.to_str() {
        Some(real) => clean(&format!("{real}/{rest}")),
        None => clean(path),
    }
}

/// A host in the one spelling that it has; the name of a service, which has no port, stays as it is.
pub fn host(authority: &str) -> String {
    if authority.contains(':') { authority.to_ascii_lowercase() } else { authority.to_string() }
}

/// The one spelling of a URL that was stored before spellings were made one.
pub fn one_spelling(url: &str) -> String {
    match url.split_once("://") {
        None => clean_local(url),
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{scheme}://{}{}", host(authority), clean(&format!("/{path}")))
        }
    }
}

/// The folder that a path is in.
pub fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Any text as one file name: letters, digits, `-`, `_` and inner `.` stay, other bytes become `%XX`; cut and made
/// unique by a checksum where it would be longer than file systems allow.
pub fn escape(text: &str) -> String {
    const LONGEST: usize = 150;
    let mut name = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(byte as char),
            // A name that begins with these is hidden from, or means something to, other tools.
            b'_' | b'.' if at > 0 => name.push(byte as char),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.is_empty() {
        return "%".into();
    }
    if name.len() > LONGEST {
        let mut sum = flate2::Crc::new();
        sum.update(text.as_bytes());
        name.truncate(LONGEST);
        name.push_str(&format!("%{:08x}{:x}", sum.sum(), text.len()));
    }
    name
}

/// The text that [`escape`] turned into this name; `None` if the name was cut.
pub fn unescape(name: &str) -> Option<String> {
    let mut text = Vec::with_capacity(name.len());
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(text).ok().filter(|text| escape(text) == name)
}
