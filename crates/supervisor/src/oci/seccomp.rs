//! Which system calls a container may make: an allow-list; anything else fails with EPERM (ENOSYS for calls that are
//! newer than the list, so that programs fall back).
//!
//! The list is of calls that act only on what a container owns. Calls that need a capability are allowed with it.

use serde_json::{Value, json};

use super::capability;

/// Calls any container may make.
const ALWAYS: &str = "accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir chmod chown chroot \
    clock_adjtime clock_getres clock_gettime clock_nanosleep clone3 close close_range connect copy_file_range creat dup \
    dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old \
    eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir \
    fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr \
    fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat getcpu getcwd \
    getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid \
    getpriority getrandom getresgid getresuid getrlimit get_robust_list getrusage getsid getsockname getsockopt \
    get_thread_area gettid gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch \
    io_cancel ioctl io_destroy io_getevents io_pgetevents ioprio_get ioprio_set io_setup io_submit kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr \
    llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore \
    mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive \
    mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at \
    nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free \
    pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2 \
    read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat \
    renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
    rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam \
    sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_setaffinity \
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile \
    sendmmsg sendmsg sendto setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid \
    setresuid setreuid setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setxattr shmat \
    shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statx symlink symlinkat \
    sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime \
    timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime \
    utimensat utimes vfork vmsplice wait4 waitid write writev";

/// Calls that come with an added capability.
const BY_CAPABILITY: [(&str, &str); 12] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount open_tree \
         perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_MODULE", "delete_module finit_module init_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "clock_settime settimeofday stime"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
];

/// `clone` with one of the flags that make a namespace.
const CLONE_NAMESPACES: u64 = 0x7E02_0000;
const EPERM: u32 = libc::EPERM as u32;
const ENOSYS: u32 = libc::ENOSYS as u32;
/// AF_VSOCK reaches the hypervisor, not the network.
const AF_VSOCK: u64 = 40;

/// The `seccomp` object, given the capabilities added to the default ones.
pub fn profile(added: &[String]) -> Value {
    let full = capability::names(added, "SYS_ADMIN");
    let mut always: Vec<&str> = ALWAYS.split_whitespace().collect();
    if !full {
        always.retain(|name| *name != "clone3");
    }
    // Since Linux 4.8 a tracer cannot undo the rules, so tracing one's own children is safe.
    always.extend(["ptrace", "process_vm_readv", "process_vm_writev"]);
    let mut rules = vec![
        json!({"names": always, "action": "SCMP_ACT_ALLOW"}),
        json!({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [argument(0, AF_VSOCK, "SCMP_CMP_NE")]}),
    ];
    for persona in [0u64, 8, 0x20000, 0x20008, 0xffff_ffff] {
        let args = json!([argument(0, persona, "SCMP_CMP_EQ")]);
        rules.push(json!({"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": args}));
    }
    if !full {
        let args = json!([{"index": 0, "value": CLONE_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]);
        rules.push(json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": args}));
        // Its flags are in memory where no rule sees them: programs fall back to clone.
        rules.push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}));
    }
    let granted = BY_CAPABILITY.iter().filter(|(name, _)| capability::names(added, name));
    rules.extend(granted.map(|(_, calls)| {
        let names: Vec<&str> = calls.split_whitespace().collect();
        json!({"names": names, "action": "SCMP_ACT_ALLOW"})
    }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": architectures(),
        "syscalls": rules,
    })
}

fn argument(index: u32, value: u64, op: &str) -> Value {
    json!({"index": index, "value": value, "op": op})
}

/// The machine's own only. Programs of its 32-bit forefather are killed: their calls would need a list of their own, and
/// a filter for three kinds takes the runtime seven milliseconds more to make.
fn architectures() -> Value {
    match std::env::consts::ARCH {
        "x86_64" => json!(["SCMP_ARCH_X86_64"]),
        "aarch64" => json!(["SCMP_ARCH_AARCH64"]),
        _ => json!([]),
    }
}
