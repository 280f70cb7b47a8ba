//! Which system calls a container may make: an allow-list; anything else fails with EPERM (ENOSYS for calls that are
//! newer than the list, so that programs fall back).
//!
//! The list is of calls that act only on what a container owns. Calls that need a capability are allowed with it. It is
//! said in the form of the OCI ([`Profile::to_oci`]), which every runtime compiles at each start, and as the finished
//! program ([`super::filter`]).

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
const CLONE_NAMESPACES: u32 = 0x7E02_0000;
/// AF_VSOCK reaches the hypervisor, not the network.
const AF_VSOCK: u32 = 40;
/// Those of Linux with and without a randomized address space, of 32 bits, and the question which it is.
const PERSONALITIES: [u32; 5] = [0, 8, 0x20000, 0x20008, 0xffff_ffff];

/// What becomes of calls that no rule is about.
pub const REFUSED: i32 = libc::EPERM;

/// Which calls may be made.
pub struct Profile {
    pub rules: Vec<Rule>,
}

/// What becomes of calls with one of these names, if the condition holds.
pub struct Rule {
    pub names: Vec<&'static str>,
    pub when: Option<Condition>,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// It fails with this error.
    Fail(i32),
}

/// A condition on one argument, of which the kernel itself looks at no more than 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    pub argument: u32,
    pub test: Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    Is(u32),
    IsNot(u32),
    HasNoneOf(u32),
}

impl Rule {
    fn allow(names: Vec<&'static str>) -> Self {
        Self { names, when: None, verdict: Verdict::Allow }
    }

    fn allow_if(name: &'static str, argument: u32, test: Test) -> Self {
        Self { when: Some(Condition { argument, test }), ..Self::allow(vec![name]) }
    }

    fn to_oci(&self) -> Value {
        let mut rule = match self.verdict {
            Verdict::Allow => json!({"names": self.names, "action": "SCMP_ACT_ALLOW"}),
            Verdict::Fail(error) => json!({"names": self.names, "action": "SCMP_ACT_ERRNO", "errnoRet": error}),
        };
        if let Some(Condition { argument, test }) = self.when {
            rule["args"] = json!([match test {
                Test::Is(value) => json!({"index": argument, "value": value, "op": "SCMP_CMP_EQ"}),
                Test::IsNot(value) => json!({"index": argument, "value": value, "op": "SCMP_CMP_NE"}),
                Test::HasNoneOf(mask) =>
                    json!({"index": argument, "value": mask, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}),
            }]);
        }
        rule
    }
}

/// What a container may call, given the capabilities added to the default ones.
pub fn profile(added: &[String]) -> Profile {
    let full = capability::names(added, "SYS_ADMIN");
    let mut always: Vec<&str> = ALWAYS.split_whitespace().collect();
    if !full {
        always.retain(|name| *name != "clone3");
    }
    // Since Linux 4.8 a tracer cannot undo the rules, so tracing one's own children is safe.
    always.extend(["ptrace", "process_vm_readv", "process_vm_writev"]);
    let mut rules = vec![Rule::allow(always), Rule::allow_if("socket", 0, Test::IsNot(AF_VSOCK))];
    rules.extend(PERSONALITIES.map(|persona| Rule::allow_if("personality", 0, Test::Is(persona))));
    if !full {
        rules.push(Rule::allow_if("clone", 0, Test::HasNoneOf(CLONE_NAMESPACES)));
        // Its flags are in memory where no rule sees them: programs fall back to clone.
        rules.push(Rule { names: vec!["clone3"], when: None, verdict: Verdict::Fail(libc::ENOSYS) });
    }
    let granted = BY_CAPABILITY.iter().filter(|(name, _)| capability::names(added, name));
    rules.extend(granted.map(|(_, calls)| Rule::allow(calls.split_whitespace().collect())));
    Profile { rules }
}

impl Profile {
    /// The `seccomp` object of `config.json`.
    pub fn to_oci(&self) -> Value {
        let rules: Vec<Value> = self.rules.iter().map(Rule::to_oci).collect();
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": REFUSED,
            "architectures": architectures(),
            "syscalls": rules,
        })
    }
}

/// The machine's own only. Programs of its 32-bit forefather are killed: their calls would need a list of their own.
fn architectures() -> Value {
    match std::env::consts::ARCH {
        "x86_64" => json!(["SCMP_ARCH_X86_64"]),
        "aarch64" => json!(["SCMP_ARCH_AARCH64"]),
        _ => json!([]),
    }
}
