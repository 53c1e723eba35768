/**
 * The seccomp filter of confined commands: a program of classic BPF (linux/filter.h, linux/seccomp.h) that the kernel runs at each
 * system call. Written out by hand, since it is short and must be read by whoever trusts it.
 */
import {
  type Architecture,
  AUDIT_ARCH,
  FALLOCATE,
  FIRST_UNKNOWN_CALL,
  INSPECTED,
  REFUSED,
} from './seccomp-numbers.ts';

interface Instruction {
  readonly code: number;
  readonly ifTrue: number;
  readonly ifFalse: number;
  readonly value: number;
}

const LOAD_WORD = 0x20;
const AND = 0x54;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
/** `struct seccomp_data`: the number, the architecture, the instruction pointer, then six arguments of 64 bits, low half first. */
const OFFSET = { number: 0, architecture: 4, argument: (index: number) => 16 + 8 * index } as const;

const EPERM = 1;
const ENOSYS = 38;
const EOPNOTSUPP = 95;
const EAFNOSUPPORT = 97;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (linux/sched.h). */
const NEW_NAMESPACES = 0x7e020000;
/** Means a new namespace for `unshare` alone; in `clone` these bits are a signal. */
const CLONE_NEWTIME = 0x80;
/** Numbers of the x32 calls on x86-64 have this bit. */
const X32 = 0x40000000;
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
/** The low bits of a socket's type; the others are flags. */
const SOCKET_TYPE = 0xf;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const NETLINK_ROUTE = 0;
/** Puts bytes into the input of a terminal, which its shell then reads; TIOCLINUX pastes a selection. */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

/** The filter as the kernel takes it, or undefined on an architecture it was not written for. */
export function seccompFilter(architecture: string = process.arch): Buffer | undefined {
  if (architecture !== 'x64' && architecture !== 'arm64') return undefined;
  return encode(program(architecture));
}

function program(architecture: Architecture): Instruction[] {
  const number = (numbers: Readonly<Record<Architecture, number | undefined>>) => numbers[architecture];
  const refused = Object.values(REFUSED).map(number);
  return [
    load(OFFSET.architecture),
    // A program of another architecture has other numbers: none of what follows would hold.
    ...unless(JUMP_EQUAL, AUDIT_ARCH[architecture], [result(KILL_PROCESS)]),
    load(OFFSET.number),
    ...(architecture === 'x64' ? when(JUMP_AT_LEAST, X32, [fail(ENOSYS)]) : []),
    // What is newer than these tables may be a new way to mount.
    ...when(JUMP_AT_LEAST, FIRST_UNKNOWN_CALL, [fail(ENOSYS)]),
    ...refused.flatMap((each) => (each === undefined ? [] : when(JUMP_EQUAL, each, [fail(EPERM)]))),
    ...when(JUMP_EQUAL, FALLOCATE[architecture], [fail(EOPNOTSUPP)]),
    // Its flags are in memory, where no filter can look; programs then use `clone`.
    ...when(JUMP_EQUAL, INSPECTED.clone3[architecture], [fail(ENOSYS)]),
    ...when(JUMP_EQUAL, INSPECTED.clone[architecture], noNamespaces(NEW_NAMESPACES)),
    ...when(JUMP_EQUAL, INSPECTED.unshare[architecture], noNamespaces(NEW_NAMESPACES | CLONE_NEWTIME)),
    ...when(JUMP_EQUAL, INSPECTED.ioctl[architecture], noTyping()),
    ...when(JUMP_EQUAL, INSPECTED.socket[architecture], someSockets()),
    ...when(JUMP_EQUAL, INSPECTED.socketpair[architecture], [
      load(OFFSET.argument(0)),
      ...when(JUMP_EQUAL, AF_UNIX, [result(ALLOW)]),
      fail(EAFNOSUPPORT),
    ]),
    result(ALLOW),
  ];
}

function noNamespaces(flags: number): Instruction[] {
  return [load(OFFSET.argument(0)), ...when(JUMP_ANY_BIT, flags, [fail(EPERM)]), result(ALLOW)];
}

function noTyping(): Instruction[] {
  const refused = [TIOCSTI, TIOCLINUX].flatMap((request) => when(JUMP_EQUAL, request, [fail(EPERM)]));
  return [load(OFFSET.argument(1)), ...refused, result(ALLOW)];
}

/** Those of its own machine, and streams and datagrams of its own, empty network. */
function someSockets(): Instruction[] {
  const type = [load(OFFSET.argument(1)), { code: AND, ifTrue: 0, ifFalse: 0, value: SOCKET_TYPE }];
  const plain = [SOCK_STREAM, SOCK_DGRAM].flatMap((each) => when(JUMP_EQUAL, each, [result(ALLOW)]));
  const inet = [...type, ...plain, fail(EPERM)];
  const netlink = [
    load(OFFSET.argument(2)),
    ...when(JUMP_EQUAL, NETLINK_ROUTE, [result(ALLOW)]),
    fail(EAFNOSUPPORT),
  ];
  return [
    load(OFFSET.argument(0)),
    ...when(JUMP_EQUAL, AF_UNIX, [result(ALLOW)]),
    ...when(JUMP_EQUAL, AF_INET, inet),
    ...when(JUMP_EQUAL, AF_INET6, inet),
    ...when(JUMP_EQUAL, AF_NETLINK, netlink),
    fail(EAFNOSUPPORT),
  ];
}

function load(offset: number): Instruction {
  return { code: LOAD_WORD, ifTrue: 0, ifFalse: 0, value: offset };
}

function result(value: number): Instruction {
  return { code: RETURN, ifTrue: 0, ifFalse: 0, value };
}

function fail(errno: number): Instruction {
  return result(0x00050000 | errno);
}

/** `then` must end in a result: what follows it is for the other case. */
function when(code: number, value: number, then: readonly Instruction[]): Instruction[] {
  return [{ code, ifTrue: 0, ifFalse: then.length, value }, ...then];
}

function unless(code: number, value: number, then: readonly Instruction[]): Instruction[] {
  return [{ code, ifTrue: then.length, ifFalse: 0, value }, ...then];
}

/** `struct sock_filter`: 16 bits of code, 8 and 8 of jumps, 32 of value; both architectures are little-endian. */
function encode(instructions: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, { code, ifTrue, ifFalse, value }] of instructions.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(ifTrue, index * 8 + 2);
    bytes.writeUInt8(ifFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  }
  return bytes;
}
