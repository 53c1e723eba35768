/**
 * The filter of `seccomp.ts` as container engines take it: the same calls refused and the same ones looked into, but by name, and as a
 * list of what is allowed, since it cannot say "newer than these tables". What is on neither list does not exist (ENOSYS).
 */
import { type Architecture, type INSPECTED, REFUSED } from './seccomp-numbers.ts';

interface Argument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo: number;
  readonly op: 'SCMP_CMP_MASKED_EQ';
}

interface Rule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly Argument[];
}

export interface SeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ERRNO';
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly Rule[];
}

const ARCHITECTURES: Readonly<Record<Architecture, string>> = {
  x64: 'SCMP_ARCH_X86_64',
  arm64: 'SCMP_ARCH_AARCH64',
};
const EPERM = 1;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
/** An argument that is an `int` counts by its low half, whatever stands in the other. */
const INT = 0xffffffff;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (linux/sched.h); NEWTIME, for `unshare` alone. */
const NEW_NAMESPACES = 0x7e020000;
const CLONE_NEWTIME = 0x80;
const [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK] = [1, 2, 10, 16];
const SOCKET_TYPE = 0xf;
const [SOCK_STREAM, SOCK_DGRAM, NETLINK_ROUTE] = [1, 2, 0];
/** TIOCSTI is 0x5412, TIOCLINUX 0x541c: they differ in these bits alone, in which each has one of these values. */
const [TYPING, TYPING_BITS, TYPING_VALUES] = [0x5412, 0xe, [0x2, 0xc]];

/** What no table refuses, of Linux 6.12: what is newer is not there. */
const ALLOWED = `
accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres clock_gettime
clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake
futimesat get_mempolicy get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid
getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioprio_get
ioprio_set kcmp kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat
listen listmount listxattr llistxattr lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules
lsm_set_self_attr lstat madvise map_shadow_stack mbind membarrier memfd_create memfd_secret migrate_pages mincore
mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap move_pages mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat open openat openat2 pause personality pidfd_getfd pidfd_open pidfd_send_signal
pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_madvise
process_mrelease process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink
readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat renameat2 restart_syscall
rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg sendto set_mempolicy set_mempolicy_home_node
set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown
sigaltstack signalfd signalfd4 splice stat statfs statmount statx symlink symlinkat sync sync_file_range syncfs
sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
timerfd_gettime timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork vmsplice
wait4 waitid write writev
`
  .trim()
  .split(/\s+/);

/** Undefined on an architecture that it was not written for. */
export function seccompProfile(architecture: string = process.arch): SeccompProfile | undefined {
  if (architecture !== 'x64' && architecture !== 'arm64') return undefined;
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: [ARCHITECTURES[architecture]],
    syscalls: [
      { names: ALLOWED, action: 'SCMP_ACT_ALLOW' },
      { names: Object.keys(REFUSED), action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
      { names: ['fallocate'], action: 'SCMP_ACT_ERRNO', errnoRet: EOPNOTSUPP },
      ...INSPECTED_RULES,
    ],
  };
}

/** Each allows its call where its arguments hold; `clone3` has its flags in memory: programs that are told that it is not there use `clone`. */
const INSPECTED_RULES: readonly Rule[] = [
  { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
  allow('clone', masked(0, NEW_NAMESPACES, 0)),
  allow('unshare', masked(0, NEW_NAMESPACES | CLONE_NEWTIME, 0)),
  ...noTyping(),
  allow('socket', masked(0, INT, AF_UNIX)),
  ...[AF_INET, AF_INET6].flatMap((family) =>
    [SOCK_STREAM, SOCK_DGRAM].map((type) =>
      allow('socket', masked(0, INT, family), masked(1, SOCKET_TYPE, type)),
    ),
  ),
  allow('socket', masked(0, INT, AF_NETLINK), masked(2, INT, NETLINK_ROUTE)),
  allow('socketpair', masked(0, INT, AF_UNIX)),
];

/** An `ioctl` that differs from both in some bit: in one that they share, or in those that tell them apart. */
function noTyping(): Rule[] {
  const shared = Array.from({ length: 32 }, (_, index) => (1 << index) >>> 0).filter(
    (bit) => (bit & TYPING_BITS) === 0,
  );
  const others = [0x0, 0x2, 0x4, 0x6, 0x8, 0xa, 0xc, 0xe].filter((value) => !TYPING_VALUES.includes(value));
  return [
    ...shared.map((bit) => allow('ioctl', masked(1, bit, (~TYPING & bit) >>> 0))),
    ...others.map((value) => allow('ioctl', masked(1, TYPING_BITS, value))),
  ];
}

function allow(name: keyof typeof INSPECTED, ...args: Argument[]): Rule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args };
}

/** Where the argument has these bits, of those of the mask. */
function masked(index: number, mask: number, bits: number): Argument {
  return { index, value: mask, valueTwo: bits, op: 'SCMP_CMP_MASKED_EQ' };
}
