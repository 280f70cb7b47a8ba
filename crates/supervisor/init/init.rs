//! The init of a container (`initProcessEnabled`): PID 1 that starts one child, passes signals on, reaps what is
//! orphaned and exits as its child did.
//!
//! It has to run in any root file system, also an empty one, so it is a static program without a C library that speaks
//! to the kernel directly; `build.rs` compiles it on its own and the supervisor carries it inside itself. It is given
//! `argv = [itself, "--", command, argument…]` and finds the command in `PATH` as `execvp` does.
//!
//! Without any argument it has no child: it holds a namespace of processes for the containers of a task, reaps what is
//! orphaned there and takes no signal.
//!
//! The child gets its own process group, in the foreground of the terminal if there is one. Exit code 127: command not
//! found; 126: it could not be executed.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor %ebp, %ebp",
    "mov %rsp, %rdi",
    "and $-16, %rsp",
    "call longshore_init",
    "ud2",
    options(att_syntax)
);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x0, sp", "bl longshore_init", "brk #1");

#[cfg(target_arch = "x86_64")]
mod number {
    pub const WRITE: usize = 1;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const IOCTL: usize = 16;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const SETPGID: usize = 109;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
    pub const GETPID: usize = 39;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub const WRITE: usize = 64;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const IOCTL: usize = 29;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const WAIT4: usize = 260;
    pub const KILL: usize = 129;
    pub const SETPGID: usize = 154;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const EXIT_GROUP: usize = 94;
    pub const GETPID: usize = 172;
}

/// No process has this id.
const NO_CHILD: isize = 0;
const SIGCHLD: isize = 17;
const SIG_SETMASK: usize = 2;
const TIOCSPGRP: usize = 0x5410;
const WNOHANG: usize = 1;
const ENOENT: isize = -2;
const ENOTDIR: isize = -20;
const PATH_MAX: usize = 4096;

/// SAFETY: the caller passes what the system call of this number expects.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention; only rcx and r11 are lost.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// SAFETY: the caller passes what the system call of this number expects.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention.
    unsafe {
        asm!("svc 0", in("x8") n, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, options(nostack));
    }
    result
}

fn exit(code: i32) -> ! {
    loop {
        // SAFETY: takes a number only, does not return.
        unsafe { syscall(number::EXIT_GROUP, code as usize, 0, 0, 0, 0) };
    }
}

fn say(text: &[u8]) {
    // SAFETY: pointer and length of a live slice.
    unsafe { syscall(number::WRITE, 2, text.as_ptr() as usize, text.len(), 0, 0) };
}

fn set_mask(mask: u64) {
    // SAFETY: points at eight live bytes, the size given.
    unsafe { syscall(number::RT_SIGPROCMASK, SIG_SETMASK, &raw const mask as usize, 0, 8, 0) };
}

/// SAFETY: called by `_start` only, with the stack as the kernel left it: argc, argv…, 0, envp…, 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn longshore_init(stack: *const usize) -> ! {
    // SAFETY: the kernel's layout of the first stack.
    let (argc, argv) = unsafe { (*stack, stack.add(1) as *const *const u8) };
    if argc == 1 {
        set_mask(u64::MAX);
        watch(NO_CHILD);
    }
    if argc < 3 {
        say(b"init: no command\n");
        exit(127);
    }
    // SAFETY: argc ≥ 3, and envp follows argv's zero.
    let (command, envp) = unsafe { (argv.add(2), argv.add(argc + 1)) };
    set_mask(u64::MAX);
    // SAFETY: a plain fork: no shared memory, no new stack.
    let child = unsafe { syscall(number::CLONE, SIGCHLD as usize, 0, 0, 0, 0) };
    match child {
        0 => run(command, envp),
        1.. => watch(child),
        _ => {
            say(b"init: cannot fork\n");
            exit(126)
        }
    }
}

fn run(command: *const *const u8, envp: *const *const u8) -> ! {
    // SAFETY: numbers only, and a pointer to a live integer; failures (no terminal) are of no matter.
    unsafe {
        syscall(number::SETPGID, 0, 0, 0, 0, 0);
        let pid = syscall(number::GETPID, 0, 0, 0, 0, 0) as i32;
        syscall(number::IOCTL, 0, TIOCSPGRP, &raw const pid as usize, 0, 0);
    }
    set_mask(0);
    let error = execute(command, envp);
    say(b"init: cannot run ");
    // SAFETY: argv holds zero-terminated strings.
    say(unsafe { bytes(*command) });
    say(b"\n");
    exit(if error == ENOENT || error == ENOTDIR { 127 } else { 126 })
}

/// As `execvp`: by `PATH` unless the name has a slash. Returns the error that tells most.
fn execute(command: *const *const u8, envp: *const *const u8) -> isize {
    // SAFETY: argv holds zero-terminated strings.
    let name = unsafe { bytes(*command) };
    if name.contains(&b'/') {
        // SAFETY: three zero-terminated arrays from the kernel's own stack.
        return unsafe { syscall(number::EXECVE, *command as usize, command as usize, envp as usize, 0, 0) };
    }
    let mut error = ENOENT;
    for directory in path(envp).split(|&byte| byte == b':') {
        let mut file = [0u8; PATH_MAX];
        let Some(()) = join(&mut file, directory, name) else { continue };
        // SAFETY: `file` is zero-terminated, the arrays are the kernel's own.
        let result = unsafe { syscall(number::EXECVE, file.as_ptr() as usize, command as usize, envp as usize, 0, 0) };
        if result != ENOENT && result != ENOTDIR {
            error = result;
        }
    }
    error
}

fn join(file: &mut [u8; PATH_MAX], directory: &[u8], name: &[u8]) -> Option<()> {
    let total = directory.len() + 1 + name.len();
    if total >= PATH_MAX || directory.is_empty() {
        return None;
    }
    file.get_mut(..directory.len())?.copy_from_slice(directory);
    *file.get_mut(directory.len())? = b'/';
    file.get_mut(directory.len() + 1..total)?.copy_from_slice(name);
    Some(())
}

fn path(envp: *const *const u8) -> &'static [u8] {
    let mut entry = envp;
    // SAFETY: envp ends with a zero; its strings are zero-terminated and live as long as the process.
    unsafe {
        while !(*entry).is_null() {
            if let Some(value) = bytes(*entry).strip_prefix(b"PATH=") {
                return value;
            }
            entry = entry.add(1);
        }
    }
    b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

/// SAFETY: `text` is zero-terminated and lives as long as the process.
unsafe fn bytes(text: *const u8) -> &'static [u8] {
    let mut length = 0;
    // SAFETY: stops at the zero.
    unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
        core::slice::from_raw_parts(text, length)
    }
}

fn watch(child: isize) -> ! {
    let all = u64::MAX;
    loop {
        // SAFETY: points at eight live bytes, the size given; no information and no time limit wanted.
        let signal = unsafe { syscall(number::RT_SIGTIMEDWAIT, &raw const all as usize, 0, 0, 8, 0) };
        match signal {
            SIGCHLD => reap(child),
            1.. if child != NO_CHILD => {
                // SAFETY: numbers only.
                unsafe { syscall(number::KILL, child as usize, signal as usize, 0, 0, 0) };
            }
            _ => {}
        }
    }
}

fn reap(child: isize) {
    loop {
        let mut status: i32 = 0;
        // SAFETY: points at a live integer.
        let pid = unsafe { syscall(number::WAIT4, usize::MAX, &raw mut status as usize, WNOHANG, 0, 0) };
        if pid <= 0 {
            return;
        }
        if pid == child {
            let signal = status & 0x7f;
            exit(if signal == 0 { (status >> 8) & 0xff } else { 128 + signal });
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(125)
}

/// Named by the core library's unwinding tables; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// What the compiler makes of a loop that looks for a zero.
///
/// SAFETY: as C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: stops at the zero.
    while unsafe { core::ptr::read_volatile(text.add(length)) } != 0 {
        length += 1;
    }
    length
}

/// What the compiler calls for copies; there is no C library to have it.
///
/// SAFETY: as C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut i = 0;
    while i < length {
        // SAFETY: inside both, by the caller's word.
        unsafe { core::ptr::write_volatile(to.add(i), *from.add(i)) };
        i += 1;
    }
    to
}

/// SAFETY: as C's.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    let mut i = 0;
    while i < length {
        // SAFETY: inside, by the caller's word.
        unsafe { core::ptr::write_volatile(to.add(i), byte as u8) };
        i += 1;
    }
    to
}
