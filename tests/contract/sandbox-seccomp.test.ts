import { describe, expect, it } from 'vitest';
import { type SeccompProfile, seccompProfile } from '../../src/sandbox/docker-seccomp.ts';
import { seccompFilter } from '../../src/sandbox/seccomp.ts';
import {
  type Architecture,
  AUDIT_ARCH,
  FALLOCATE,
  INSPECTED,
  REFUSED,
} from '../../src/sandbox/seccomp-numbers.ts';

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const errno = (number: number) => 0x00050000 | number;
const [EPERM, ENOSYS, EOPNOTSUPP, EAFNOSUPPORT] = [errno(1), errno(38), errno(95), errno(97)];
const ARCHITECTURES: readonly Architecture[] = ['x64', 'arm64'];

/** What a kernel does with the program: `struct seccomp_data` in, an action out. */
function judge(filter: Buffer, call: { arch: number; number: number; args?: readonly number[] }): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number, 0);
  data.writeUInt32LE(call.arch, 4);
  for (const [index, value] of (call.args ?? []).entries())
    data.writeBigUInt64LE(BigInt(value), 16 + 8 * index);
  let accumulator = 0;
  for (let at = 0; at < filter.length / 8; at++) {
    const [code, ifTrue, ifFalse] = [filter.readUInt16LE(at * 8), filter[at * 8 + 2], filter[at * 8 + 3]];
    const value = filter.readUInt32LE(at * 8 + 4);
    const jump = (condition: boolean) => {
      at += (condition ? ifTrue : ifFalse) ?? 0;
    };
    if (code === 0x20) accumulator = data.readUInt32LE(value);
    else if (code === 0x54) accumulator = (accumulator & value) >>> 0;
    else if (code === 0x15) jump(accumulator === value);
    else if (code === 0x35) jump(accumulator >= value);
    else if (code === 0x45) jump((accumulator & value) !== 0);
    else if (code === 0x06) return value;
    else throw new Error(`there is no instruction ${code}`);
  }
  throw new Error('the program has no end');
}

describe.each(ARCHITECTURES)('the filter for %s', (architecture) => {
  const filter = seccompFilter(architecture) ?? Buffer.alloc(0);
  const arch = AUDIT_ARCH[architecture];
  const of = (name: keyof typeof INSPECTED, ...args: number[]) =>
    judge(filter, { arch, number: INSPECTED[name][architecture], args });

  it('refuses every call of its table, and none beside it', () => {
    const refused = new Map(
      Object.entries(REFUSED).flatMap(([name, numbers]) => {
        const number = numbers[architecture];
        return number === undefined ? [] : [[number, name] as const];
      }),
    );
    expect(refused.size).toBeGreaterThan(40);
    const inspected = Object.values(INSPECTED).map((numbers) => numbers[architecture]);
    for (let number = 0; number < 463; number++) {
      if (inspected.includes(number) || number === FALLOCATE[architecture]) continue;
      const expected = refused.has(number) ? EPERM : ALLOW;
      expect([number, refused.get(number), judge(filter, { arch, number })]).toEqual([
        number,
        refused.get(number),
        expected,
      ]);
    }
  });

  it('says that no room can be taken on a disk without writing', () => {
    expect(judge(filter, { arch, number: FALLOCATE[architecture] })).toBe(EOPNOTSUPP);
  });

  it('says of newer calls that there are none', () => {
    expect(judge(filter, { arch, number: 462 })).toBe(ALLOW);
    for (const number of [463, 467, 1_000, 0x3fffffff]) expect(judge(filter, { arch, number })).toBe(ENOSYS);
  });

  it('kills what runs by the numbers of another architecture', () => {
    for (const other of [0x40000003, 0x40000028, AUDIT_ARCH[architecture === 'x64' ? 'arm64' : 'x64'], 0]) {
      expect(judge(filter, { arch: other, number: 0 })).toBe(KILL);
    }
  });

  it('lets processes and threads be made, and no namespace', () => {
    expect(of('clone', 0x11)).toBe(ALLOW);
    // pthread_create of glibc.
    expect(of('clone', 0x3d0f00)).toBe(ALLOW);
    const namespaces = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000];
    for (const flag of namespaces) {
      expect(of('clone', flag | 0x11)).toBe(EPERM);
      expect(of('unshare', flag)).toBe(EPERM);
    }
    expect(of('unshare', 0x80)).toBe(EPERM);
    expect(of('unshare', 0x400)).toBe(ALLOW);
    expect(of('clone3')).toBe(ENOSYS);
  });

  it('lets streams and datagrams be, its own machine, and questions about routes', () => {
    for (const [family, type, protocol] of [
      [1, 1, 0],
      [1, 5, 0],
      [2, 1, 6],
      [2, 2 | 0x80000, 17],
      [10, 1 | 0x800, 0],
      [16, 3, 0],
    ] as const) {
      expect([family, type, of('socket', family, type, protocol)]).toEqual([family, type, ALLOW]);
    }
    for (const family of [0, 3, 4, 15, 17, 21, 31, 38, 40, 44])
      expect(of('socket', family, 1, 0)).toBe(EAFNOSUPPORT);
    for (const type of [3, 4, 5, 10, 3 | 0x80000]) expect(of('socket', 2, type, 0)).toBe(EPERM);
    for (const protocol of [1, 9, 12, 15]) expect(of('socket', 16, 3, protocol)).toBe(EAFNOSUPPORT);
    expect(of('socketpair', 1, 1, 0)).toBe(ALLOW);
    expect(of('socketpair', 30, 1, 0)).toBe(EAFNOSUPPORT);
  });

  it('lets terminals be asked and set, and not typed into', () => {
    expect(of('ioctl', 0, 0x5401)).toBe(ALLOW);
    for (const request of [0x5412, 0x541c, 0x1_0000_5412]) expect(of('ioctl', 0, request)).toBe(EPERM);
  });
});

/** What an engine makes of a profile: the errno of 0 means that the call is made. */
function judgeProfile(profile: SeccompProfile, name: string, args: readonly number[] = []): number {
  const rules = profile.syscalls.filter(({ names }) => names.includes(name));
  const holds = rules.filter((rule) =>
    (rule.args ?? []).every(({ index, value, valueTwo }) => {
      return (BigInt(args[index] ?? 0) & BigInt(value)) === BigInt(valueTwo);
    }),
  );
  expect(new Set(holds.map(({ action }) => action)).size, name).toBeLessThan(2);
  const [rule] = holds;
  if (rule === undefined) return profile.defaultErrnoRet;
  return rule.action === 'SCMP_ACT_ALLOW' ? 0 : (rule.errnoRet ?? profile.defaultErrnoRet);
}

describe.each(ARCHITECTURES)('the profile of containers for %s', (architecture) => {
  const filter = seccompFilter(architecture) ?? Buffer.alloc(0);
  const profile = seccompProfile(architecture) ?? expect.unreachable();
  const arch = AUDIT_ARCH[architecture];

  it('refuses the same calls as the filter, in the same way, and has no rule for one twice', () => {
    for (const name of Object.keys(REFUSED)) expect([name, judgeProfile(profile, name)]).toEqual([name, 1]);
    const plain = profile.syscalls.filter(({ args }) => args === undefined).flatMap(({ names }) => names);
    expect(new Set(plain).size).toBe(plain.length);
    expect(judgeProfile(profile, 'setxattrat')).toBe(38);
    expect(judgeProfile(profile, 'read')).toBe(0);
    expect(judgeProfile(profile, 'clone3')).toBe(38);
    expect(judgeProfile(profile, 'fallocate')).toBe(95);
  });

  it('looks into the same arguments, to the same end', () => {
    const high = 2 ** 32;
    const bits = Array.from({ length: 32 }, (_, index) => 2 ** index);
    const requests = Array.from({ length: 64 }, (_, index) => 0x5400 + index);
    const families = Array.from({ length: 50 }, (_, index) => index);
    const types = Array.from({ length: 16 }, (_, index) => index);
    const calls: [keyof typeof INSPECTED, ...number[]][] = [
      ...[0, ...bits, 0x7e020000].flatMap((flags): [keyof typeof INSPECTED, number][] => [
        ['clone', flags + 17],
        ['unshare', flags],
      ]),
      ...[...requests, ...bits, ...requests.map((each) => each + high)].map(
        (request): [keyof typeof INSPECTED, ...number[]] => ['ioctl', 0, request],
      ),
      ...families.flatMap((family) =>
        types.flatMap((type): [keyof typeof INSPECTED, ...number[]][] => [
          ['socket', family, type, 0],
          ['socket', family, type + 0x80000, 0],
          ['socket', family, type, 9],
        ]),
      ),
      ...families.map((family): [keyof typeof INSPECTED, ...number[]] => ['socketpair', family, 1, 0]),
    ];
    const differs = calls.filter(([name, ...args]) => {
      const number = INSPECTED[name][architecture];
      return (judge(filter, { arch, number, args }) === ALLOW) !== (judgeProfile(profile, name, args) === 0);
    });
    expect(differs).toEqual([]);
  });
});

describe('the filter', () => {
  it('for x86-64 says of the calls of x32 that there are none', () => {
    const filter = seccompFilter('x64') ?? Buffer.alloc(0);
    expect(judge(filter, { arch: AUDIT_ARCH.x64, number: 0x40000000 })).toBe(ENOSYS);
  });

  it('is not made for an architecture that it was not written for', () => {
    expect(seccompFilter('ppc64')).toBeUndefined();
    expect(seccompProfile('ppc64')).toBeUndefined();
  });
});
