//! Ending on SIGTERM. The first process of a container has no default action for it, and the standard library none at
//! all, so the two C functions are declared here.

use std::ffi::c_int;

const SIGTERM: c_int = 15;

unsafe extern "C" {
    fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn _exit(status: c_int) -> !;
}

extern "C" fn end(_: c_int) {
    // SAFETY: `_exit` is async-signal-safe and takes any status.
    unsafe { _exit(0) }
}

/// From now on SIGTERM ends the process with exit code 0.
pub fn end_on_sigterm() {
    // SAFETY: SIGTERM may be handled, and `end` calls nothing but an async-signal-safe function.
    unsafe { signal(SIGTERM, end) };
}
