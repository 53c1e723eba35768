/**
 * System calls by number, from Linux's own tables (arch/x86/entry/syscalls/syscall_64.tbl, scripts/syscall.tbl). A number of
 * undefined: the architecture has no such call.
 */
export type Architecture = 'x64' | 'arm64';

/** AUDIT_ARCH_* (linux/audit.h), as a filter sees it. */
export const AUDIT_ARCH: Readonly<Record<Architecture, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** The first call that Linux got after these tables were read: `setxattrat`, in 6.13. */
export const FIRST_UNKNOWN_CALL = 463;

type Numbers = Readonly<Record<Architecture, number | undefined>>;

function same(number: number): Readonly<Record<Architecture, number>> {
  return { x64: number, arm64: number };
}

/** Calls that the filter looks into. */
export const INSPECTED = {
  clone: { x64: 56, arm64: 220 },
  clone3: same(435),
  unshare: { x64: 272, arm64: 97 },
  socket: { x64: 41, arm64: 198 },
  socketpair: { x64: 53, arm64: 199 },
  ioctl: { x64: 16, arm64: 29 },
} as const satisfies Readonly<Record<string, Numbers>>;

/**
 * Calls that no command of an agent needs: they want a capability that it never has, or open parts of the kernel in which
 * most ways out of a sandbox were found. `ptrace` is not among them: debuggers need it, it reaches no further than the
 * command's own processes, and a filter holds under it.
 */
export const REFUSED: Readonly<Record<string, Numbers>> = {
  // File systems and namespaces.
  mount: { x64: 165, arm64: 40 },
  umount2: { x64: 166, arm64: 39 },
  pivot_root: { x64: 155, arm64: 41 },
  chroot: { x64: 161, arm64: 51 },
  setns: { x64: 308, arm64: 268 },
  open_tree: same(428),
  move_mount: same(429),
  fsopen: same(430),
  fsconfig: same(431),
  fsmount: same(432),
  fspick: same(433),
  mount_setattr: same(442),
  open_by_handle_at: { x64: 304, arm64: 265 },
  swapon: { x64: 167, arm64: 224 },
  swapoff: { x64: 168, arm64: 225 },
  quotactl: { x64: 179, arm64: 60 },
  quotactl_fd: same(443),
  fanotify_init: { x64: 300, arm64: 262 },
  // Programs, memory and events inside the kernel.
  bpf: { x64: 321, arm64: 280 },
  perf_event_open: { x64: 298, arm64: 241 },
  userfaultfd: { x64: 323, arm64: 282 },
  io_uring_setup: same(425),
  io_uring_enter: same(426),
  io_uring_register: same(427),
  kexec_load: { x64: 246, arm64: 104 },
  kexec_file_load: { x64: 320, arm64: 294 },
  init_module: { x64: 175, arm64: 105 },
  finit_module: { x64: 313, arm64: 273 },
  delete_module: { x64: 176, arm64: 106 },
  create_module: { x64: 174, arm64: undefined },
  query_module: { x64: 178, arm64: undefined },
  modify_ldt: { x64: 154, arm64: undefined },
  lookup_dcookie: { x64: 212, arm64: 18 },
  nfsservctl: { x64: 180, arm64: 42 },
  syslog: { x64: 103, arm64: 116 },
  // Keys, which belong to a user and not to a namespace.
  add_key: { x64: 248, arm64: 217 },
  request_key: { x64: 249, arm64: 218 },
  keyctl: { x64: 250, arm64: 219 },
  // The machine as a whole.
  reboot: { x64: 169, arm64: 142 },
  acct: { x64: 163, arm64: 89 },
  settimeofday: { x64: 164, arm64: 170 },
  clock_settime: { x64: 227, arm64: 112 },
  clock_adjtime: { x64: 305, arm64: 266 },
  adjtimex: { x64: 159, arm64: 171 },
  sethostname: { x64: 170, arm64: 161 },
  setdomainname: { x64: 171, arm64: 162 },
  iopl: { x64: 172, arm64: undefined },
  ioperm: { x64: 173, arm64: undefined },
  vhangup: { x64: 153, arm64: 58 },
};

/**
 * Takes room on a disk without writing: nobody could tell whose it is, and where the disk fills up another command would be ended for it
 * (`disk-watch.ts`). Some file systems have no such call either; programs write instead.
 */
export const FALLOCATE = { x64: 285, arm64: 47 } as const satisfies Numbers;
