//! SQLite's file system interface over [`Disk`].
//!
//! One file system, `longshore-disk`, is registered for the process. File names are `NUMBER/NAME`; the number says which disk.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;

use parking_lot::Mutex;
use rusqlite::ffi;

use crate::medium::Trace;
use crate::{Disk, Trouble};

/// Disks by number.
static DISKS: Mutex<Vec<Trace>> = Mutex::new(Vec::new());

const NAME: &CStr = c"longshore-disk";

/// Longest file name, in bytes.
const LONGEST_NAME: c_int = 256;

pub fn path(disk: &Disk, name: &str) -> PathBuf {
    register();
    let mut disks = DISKS.lock();
    let number = disks.len();
    disks.push(disk.trace());
    PathBuf::from(format!("file:{number}/{name}?vfs={}", NAME.to_string_lossy()))
}

/// An open file, as SQLite holds it: it allots `szOsFile` bytes for it.
#[repr(C)]
struct Open {
    methods: *const ffi::sqlite3_io_methods,
    /// From `Box::into_raw`; given back in `close`.
    file: *mut Place,
}

/// Where a file lies.
struct Place {
    disk: Disk,
    name: String,
}

fn place(path: &str) -> Option<Place> {
    let (number, name) = path.split_once('/')?;
    let disk = DISKS.lock().get(number.parse::<usize>().ok()?)?.disk()?;
    Some(Place { disk, name: name.to_owned() })
}

fn register() {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        let vfs = Box::leak(Box::new(vfs()));
        // SAFETY: the structure is whole, and lives as long as the process.
        let registered = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(registered, ffi::SQLITE_OK, "the file system is registered");
    });
}

fn vfs() -> ffi::sqlite3_vfs {
    ffi::sqlite3_vfs {
        iVersion: 1,
        szOsFile: size_of::<Open>() as c_int,
        mxPathname: LONGEST_NAME,
        pNext: std::ptr::null_mut(),
        zName: NAME.as_ptr(),
        pAppData: std::ptr::null_mut(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_pathname),
        xDlOpen: None,
        xDlError: None,
        xDlSym: None,
        xDlClose: None,
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: None,
        xCurrentTimeInt64: None,
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// SQLite's code for an outcome; `code` is that of a failure of this kind of operation.
fn code(outcome: Result<(), Trouble>, code: c_int) -> c_int {
    match outcome {
        Ok(()) => ffi::SQLITE_OK,
        Err(Trouble::Full) => ffi::SQLITE_FULL,
        Err(Trouble::Sync) => ffi::SQLITE_IOERR_FSYNC,
        Err(Trouble::Off | Trouble::NoFile) => code,
    }
}

/// # Safety
/// `name` is null or a C string.
unsafe fn named(name: *const c_char) -> Option<Place> {
    if name.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    place(unsafe { CStr::from_ptr(name) }.to_str().ok()?)
}

/// # Safety
/// `file` was filled in by [`open`] and is not closed.
unsafe fn opened<'a>(file: *mut ffi::sqlite3_file) -> &'a Place {
    // SAFETY: `open` stored a `Box` there, which only `close` frees.
    unsafe { &*(*file.cast::<Open>()).file }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let open = file.cast::<Open>();
    // SAFETY: SQLite allotted `szOsFile` bytes; null methods mean that there is nothing to close.
    unsafe { (*open).methods = std::ptr::null() };
    // SAFETY: SQLite passes a C string, or null for a temporary file, which this disk does not have.
    let Some(place) = (unsafe { named(name) }) else { return ffi::SQLITE_CANTOPEN };
    let outcome = place.disk.open(&place.name, flags & ffi::SQLITE_OPEN_CREATE != 0);
    if outcome.is_ok() {
        // SAFETY: as above; `out_flags` is null or SQLite's own variable.
        unsafe {
            (*open).file = Box::into_raw(Box::new(place));
            (*open).methods = &raw const METHODS;
            if let Some(out_flags) = out_flags.as_mut() {
                *out_flags = flags;
            }
        }
    }
    code(outcome, ffi::SQLITE_CANTOPEN)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `open` stored the `Box`, and SQLite closes a file once.
    drop(unsafe { Box::from_raw((*file.cast::<Open>()).file) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite passes a C string.
    let Some(place) = (unsafe { named(name) }) else { return ffi::SQLITE_IOERR_DELETE };
    match place.disk.delete(&place.name, sync != 0) {
        Err(Trouble::NoFile) => ffi::SQLITE_IOERR_DELETE_NOENT,
        outcome => code(outcome, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(_: *mut ffi::sqlite3_vfs, name: *const c_char, _flags: c_int, answer: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a C string and its own variable.
    unsafe { *answer = c_int::from(named(name).is_some_and(|place| place.disk.exists(&place.name))) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    into: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a C string, and `room` bytes to copy it into.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), into, bytes.len());
    }
    ffi::SQLITE_OK
}

/// Zeros: runs repeat.
unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, count: c_int, into: *mut c_char) -> c_int {
    // SAFETY: SQLite passes `count` bytes to fill.
    unsafe { std::ptr::write_bytes(into, 0, count as usize) };
    count
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, into: *mut f64) -> c_int {
    // SAFETY: SQLite's own variable.
    unsafe { *into = 2_460_000.5 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, count: c_int, at: i64) -> c_int {
    // SAFETY: an open file, and `count` bytes to fill.
    let (place, into) = unsafe { (opened(file), std::slice::from_raw_parts_mut(into.cast::<u8>(), count as usize)) };
    match place.disk.read(&place.name, at as usize, into) {
        Ok(read) if read == into.len() => ffi::SQLITE_OK,
        Ok(read) => {
            into[read..].fill(0);
            ffi::SQLITE_IOERR_SHORT_READ
        }
        Err(trouble) => code(Err(trouble), ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, count: c_int, at: i64) -> c_int {
    // SAFETY: an open file, and `count` bytes to read.
    let (place, from) = unsafe { (opened(file), std::slice::from_raw_parts(from.cast::<u8>(), count as usize)) };
    code(place.disk.write(&place.name, at as usize, from), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: an open file.
    let place = unsafe { opened(file) };
    code(place.disk.truncate(&place.name, length as usize), ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file.
    let place = unsafe { opened(file) };
    code(place.disk.sync(&place.name), ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, answer: *mut i64) -> c_int {
    // SAFETY: an open file.
    let place = unsafe { opened(file) };
    let size = place.disk.size(&place.name);
    // SAFETY: SQLite's own variable.
    unsafe { *answer = size.unwrap_or(0) as i64 };
    code(size.map(drop), ffi::SQLITE_IOERR_FSTAT)
}

unsafe extern "C" fn lock(_: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_: *mut ffi::sqlite3_file, answer: *mut c_int) -> c_int {
    // SAFETY: SQLite's own variable.
    unsafe { *answer = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _operation: c_int, _argument: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

/// As SQLite has it on Linux.
unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As SQLite has it on Linux.
unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}
