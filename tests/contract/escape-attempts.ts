/**
 * Ways out of a sandbox that must not work. An attempt prints ESCAPED where it gets what it should not, and so does every secret; what
 * it changes on the host is looked at besides. `control`: without a sandbox it does get out, so that it is known to try.
 */
import { INSPECTED, REFUSED } from '../../src/sandbox/seccomp-numbers.ts';

export interface Attempt {
  readonly name: string;
  readonly script: string;
  readonly control?: true;
  /** Not held where commands have root's user id (`local`, root's own directory). */
  readonly exceptRoot?: true;
  /** Held by what bubblewrap is given and the sandbox runtime is not: Capybara's filter of system calls, and bounds on what is its own. */
  readonly exceptRuntime?: true;
}

/** Where things are on the host, for the scripts. */
export interface World {
  readonly home: string;
  readonly data: string;
  readonly otherWorkspace: string;
  readonly otherScratch: string;
  readonly workspace: string;
  readonly elsewhere: string;
  readonly tcpPort: number;
  readonly udpPort: number;
  readonly abstractSocket: string;
  readonly socketPath: string;
  readonly victim: number;
  readonly workerPid: number;
}

const architecture = process.arch === 'arm64' ? 'arm64' : 'x64';

function reads(what: string, path: string, control = true): Attempt {
  return { name: `read ${what}`, script: `cat ${path}`, ...(control && { control: true as const }) };
}

function writes(what: string, path: string): Attempt {
  return { name: `write ${what}`, script: `echo changed >>${path}` };
}

function files(world: World): Attempt[] {
  const { home, data, otherWorkspace, otherScratch, workspace, elsewhere } = world;
  const secret = `${data}/api-key`;
  return [
    reads("Capybara's key", secret),
    reads('the password of the database', `${data}/postgres/password`),
    reads("another session's file", `${otherWorkspace}/file`),
    reads("another session's scratch", `${otherScratch}/tmp/file`),
    reads('an SSH key', `${home}/.ssh/id_rsa`),
    reads('cloud credentials', `${home}/.aws/credentials`),
    reads('.netrc', `${home}/.netrc`),
    reads('the history of the shell', `${home}/.bash_history`),
    reads('a token of the forge', `${home}/.config/gh/hosts.yml`),
    reads("a registry's token beside its toolchain", `${home}/.cargo/credentials.toml`),
    reads('.npmrc', `${home}/.npmrc`),
    reads('.gitconfig', `${home}/.gitconfig`),
    reads('a dot-directory nobody thought of', `${home}/.unheard-of/secret`),
    reads('a secret by a symlink that the home has', `${home}/keys/id_rsa`),
    {
      name: 'list the dot-files of the home',
      script: `ls -A ${home} | grep -q ssh && echo ESCAPED`,
      control: true,
    },
    {
      name: 'list other sessions',
      script: `ls ${data}/workspaces | grep -q other && echo ESCAPED`,
      control: true,
    },
    { name: 'read by ..', script: `cat ../../data/api-key ../api-key ../../api-key ../../../data/api-key` },
    { name: 'read by a symlink made inside', script: `ln -sf ${secret} link && cat link`, control: true },
    { name: 'read by a symlink to the root', script: `ln -sfn / root && cat root${secret}`, control: true },
    { name: 'read by a hard link', script: `ln ${secret} hard && cat hard` },
    { name: 'read by the root of process 1', script: `cat /proc/1/root${secret}` },
    { name: 'read by the root of the shell', script: `cat /proc/self/root${secret}`, control: true },
    { name: 'read by the root of any process', script: `cat /proc/[0-9]*/root${secret}`, control: true },
    { name: 'read by the directory of any process', script: `cat /proc/[0-9]*/cwd/../api-key` },
    { name: 'read by the open files of any process', script: `cat /proc/[0-9]*/fd/[3-9] | grep -a ESCAPED` },
    {
      name: 'read by what the worker left open',
      script: `for n in 3 4 5 6 7 8 9 10 11 12; do cat <&$n; done`,
    },
    { name: 'read by the old root of bwrap', script: `cat /oldroot${secret} /newroot${secret}` },
    { name: 'read by a file handle', exceptRuntime: true, script: perlCall('open_by_handle_at') },
    { name: 'read /etc/shadow', script: `grep -q ^root: /etc/shadow && echo ESCAPED` },
    { name: 'read /etc/gshadow', script: `grep -q ^root: /etc/gshadow && echo ESCAPED` },
    {
      name: 'read the host keys of sshd',
      script: `cat /etc/ssh/ssh_host_*_key | grep -q PRIVATE && echo ESCAPED`,
    },
    {
      name: 'read the memory of the machine',
      script: `head -c 1 /dev/mem /dev/kmem /proc/kcore | grep -q . && echo ESCAPED`,
    },
    {
      name: 'read the disk',
      script: `for d in /dev/vda /dev/sda /dev/nvme0n1 /dev/dm-0; do head -c 1 $d && echo ESCAPED; done`,
    },
    {
      name: 'make the device of the disk',
      script: `mknod disk b 254 0 && echo ESCAPED; mknod mem c 1 1 && echo ESCAPED`,
    },
    {
      name: 'read the log of the kernel',
      script: `dmesg | grep -q . && echo ESCAPED; head -c 1 /dev/kmsg && echo ESCAPED`,
    },
    writes("Capybara's key", secret),
    writes("another session's file", `${otherWorkspace}/file`),
    writes('beside the workspace', `${elsewhere}/file`),
    writes('the start of the shell', `${home}/.bashrc.real`),
    {
      name: 'write a program of the system',
      script: `cp /bin/true /usr/bin/zz-escaped && echo ESCAPED; echo >>/bin/ls && echo ESCAPED`,
    },
    { name: 'write to /etc', script: `echo >>/etc/passwd && echo ESCAPED; touch /etc/zz && echo ESCAPED` },
    { name: 'write to the root directory', script: `touch /zz && echo ESCAPED; mkdir /zz && echo ESCAPED` },
    { name: 'write to /usr/local', script: `touch /usr/local/zz && echo ESCAPED` },
    { name: 'write to /var', script: `touch /var/zz /var/lib/zz && echo ESCAPED` },
    { name: 'write a device directory', exceptRuntime: true, script: `touch /dev/zz && echo ESCAPED` },
    {
      name: 'leave a file by a symlink',
      script: `ln -sfn ${elsewhere} out && touch out/by-symlink && echo ESCAPED`,
      control: true,
    },
    {
      name: 'move a file out',
      script: `touch mine && mv mine ${elsewhere}/moved && echo ESCAPED`,
      control: true,
    },
    {
      name: 'change the owner of a program',
      script: `chown 0:0 "$PWD" && [ "$(stat -c %u /)" != 0 ] && chown 1 /usr && echo ESCAPED`,
    },
    { name: 'remount the system writable', script: `mount -o remount,rw /usr && echo ESCAPED` },
    {
      name: 'mount over the system',
      script: `mount -t tmpfs none /usr && echo ESCAPED; mount --bind . /usr && echo ESCAPED`,
    },
    {
      name: 'unmount what hides the host',
      script: `umount /tmp && echo ESCAPED; umount -l ${home} && echo ESCAPED; umount -l ${workspace} && echo ESCAPED`,
    },
    {
      name: 'set a device of the kernel',
      script: `find /sys -type f -writable 2>/dev/null | grep -q . && echo ESCAPED`,
    },
    { name: 'set the core pattern', script: `echo '|/tmp/x' >/proc/sys/kernel/core_pattern && echo ESCAPED` },
    { name: 'set what loads modules', script: `echo /tmp/x >/proc/sys/kernel/modprobe && echo ESCAPED` },
    {
      name: 'press a key of the kernel',
      script: `echo h >/proc/sysrq-trigger && [ "$(stat -c %t /proc/sysrq-trigger)" != 1 ] && echo ESCAPED`,
    },
    {
      name: 'set the overcommit of memory',
      script: `echo 1 >/proc/sys/vm/overcommit_memory && echo ESCAPED`,
    },
  ];
}

function network({ tcpPort, udpPort, abstractSocket, socketPath }: World): Attempt[] {
  const connect = (address: string) =>
    `perl -e 'use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!; connect($s, ${address}) and print "ESCAPED" or die $!'`;
  return [
    {
      name: "connect to the host's port",
      script: `exec 3<>/dev/tcp/127.0.0.1/${tcpPort} && echo ESCAPED`,
      control: true,
    },
    { name: "send to the host's port", script: `echo x >/dev/udp/127.0.0.1/${udpPort}` },
    {
      name: 'connect to the world',
      script: `timeout 2 bash -c 'exec 3<>/dev/tcp/1.1.1.1/53' && echo ESCAPED`,
    },
    { name: 'send to the world', script: `echo x >/dev/udp/1.1.1.1/53 && echo ESCAPED` },
    {
      name: 'connect to the world by IPv6',
      script: `timeout 2 bash -c 'exec 3<>/dev/tcp/2606:4700:4700::1111/53' && echo ESCAPED`,
    },
    {
      name: "ask the cloud's metadata",
      script: `timeout 2 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80' && echo ESCAPED`,
    },
    { name: 'look up a name', script: `timeout 5 getent ahosts example.com && echo ESCAPED` },
    {
      name: 'see a network device',
      script: `tail -n +3 /proc/net/dev | grep -v ' lo:\\|^ *lo:' | grep -q : && echo ESCAPED`,
    },
    { name: 'set up a network device', script: `ip link add zz type dummy && echo ESCAPED` },
    {
      name: 'connect to an abstract socket',
      script: connect(`pack("S a*", 1, "\\0${abstractSocket}")`),
      control: true,
    },
    { name: 'connect to a socket file', script: connect(`pack_sockaddr_un("${socketPath}")`), control: true },
    { name: 'connect to docker', script: connect('pack_sockaddr_un("/var/run/docker.sock")') },
    { name: 'connect to the system bus', script: connect('pack_sockaddr_un("/run/dbus/system_bus_socket")') },
    {
      name: 'see the sockets of the host',
      script: `grep -q ${abstractSocket} /proc/net/unix && echo ESCAPED`,
      control: true,
    },
    ...[
      ['vsock', 40, 1, 0],
      ['a cipher of the kernel', 38, 5, 0],
      ['packets', 17, 3, 0],
      ['raw IP', 2, 3, 255],
      ['raw IPv6', 10, 3, 255],
      ['netfilter', 16, 3, 12],
      ['audit', 16, 3, 9],
      ['events of devices', 16, 3, 15],
      ['bluetooth', 31, 3, 1],
      ['RDS', 21, 5, 0],
      ['TIPC', 30, 1, 0],
      ['SCTP', 2, 5, 132],
      ['MPTCP by a type of its own', 2, 4, 0],
      ['XDP', 44, 3, 0],
      ['kernel keys', 15, 3, 2],
    ].map(([name, ...numbers]) => ({
      name: `open a socket of ${name}`,
      script: `perl -e '$r = syscall(${INSPECTED.socket[architecture]}, ${numbers.join(', ')}); print $r < 0 ? "no: $!" : "ESCAPED"'`,
      ...(numbers[0] === 16 && { exceptRuntime: true as const }),
    })),
    {
      name: 'open a pair of sockets that are not of its machine',
      script: `perl -e '$b = "\\0" x 8; $r = syscall(${INSPECTED.socketpair[architecture]}, 30, 1, 0, $b); print $r < 0 ? "no: $!" : "ESCAPED"'`,
    },
  ];
}

function processes({ victim, workerPid }: World): Attempt[] {
  return [
    { name: 'kill a process of the host', script: `kill -9 ${victim} && echo ESCAPED` },
    {
      name: 'stop the worker',
      script: `[ -d /proc/${workerPid} ] && grep -qa node /proc/${workerPid}/cmdline && echo ESCAPED`,
      control: true,
    },
    {
      name: 'kill all',
      script: `(trap '' TERM; kill -TERM -1); grep -q . /proc/${victim}/cmdline && echo ESCAPED`,
    },
    {
      name: 'see processes of the host',
      script: `cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q 'sleep 9876[5]' && echo ESCAPED`,
      control: true,
    },
    {
      name: 'see more than its own',
      script: `[ "$(ls -d /proc/[0-9]* | wc -l)" -gt 40 ] && echo ESCAPED`,
      control: true,
    },
    {
      name: 'read the environment of any process',
      script: `cat /proc/[0-9]*/environ | tr '\\0' '\\n'`,
      control: true,
    },
    {
      name: 'trace process 1',
      script: `perl -e '$r = syscall(${architecture === 'x64' ? 101 : 117}, 16, ${victim}, 0, 0); print $r < 0 ? "no" : "ESCAPED"'`,
    },
    { name: 'enter the namespaces of process 1', script: `nsenter -t 1 -m -p true && echo ESCAPED` },
    { name: 'make a user namespace', script: `unshare -U true && echo ESCAPED`, control: true },
    { name: 'be root of a namespace', script: `unshare -Ur id && echo ESCAPED`, control: true },
    { name: 'make a mount namespace', script: `unshare -m true && echo ESCAPED` },
    { name: 'make a network namespace', script: `unshare -Urn true && echo ESCAPED`, control: true },
    { name: 'run bubblewrap inside', script: `bwrap --ro-bind / / true && echo ESCAPED`, control: true },
    {
      name: 'make a namespace by clone',
      script: `perl -e '$r = syscall(${INSPECTED.clone[architecture]}, 0x10000011, 0, 0, 0, 0); if ($r == 0) { exit } print $r < 0 ? "no: $!" : "ESCAPED"'`,
    },
    {
      name: 'make a namespace by clone3',
      script: `perl -e '$a = pack("Q11", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0); $r = syscall(${INSPECTED.clone3[architecture]}, $a, 88); if ($r == 0) { exit } print $r < 0 && $! == 38 ? "no: $!" : "ESCAPED $!"'`,
    },
    {
      name: 'have a capability',
      exceptRuntime: true,
      script: `grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -qv '0000000000000000' && echo ESCAPED`,
    },
    {
      name: 'gain what a setuid program would give',
      script: `grep -q '^NoNewPrivs:.*1' /proc/self/status || echo ESCAPED`,
      control: true,
    },
    {
      name: 'become root by su',
      script: `timeout -s KILL 5 su -c id </dev/null && echo ESCAPED; timeout -s KILL 5 sudo -n id && echo ESCAPED`,
    },
    {
      name: 'become root by a setuid copy',
      script: `cp /usr/bin/id ./id-copy && chmod u+s id-copy && [ "$(./id-copy -u)" = 0 ] && echo ESCAPED`,
    },
    { name: 'set its user', script: `perl -e '$< = 0; $> = 0; print $> == 0 ? "ESCAPED" : "no"'` },
    { name: 'change its root', script: `chroot / true && echo ESCAPED` },
    {
      name: 'run sooner than others',
      script: `nice -n -5 sh -c '[ "$(nice)" -lt 0 ] && echo ESCAPED'; renice -n -5 $$ && echo ESCAPED`,
    },
    { name: 'run in real time', script: `chrt -f 50 true && echo ESCAPED` },
    {
      name: 'be without a filter',
      script: `grep -q '^Seccomp:.*2' /proc/self/status || echo ESCAPED`,
      control: true,
    },
    { name: 'change the name of the host', script: `hostname zz && echo ESCAPED` },
    {
      name: 'see the name of the host',
      exceptRuntime: true,
      script: `[ "$(uname -n)" = capybara ] || echo ESCAPED`,
      control: true,
    },
    {
      name: 'type into a terminal',
      exceptRuntime: true,
      script: `perl -e '$c = "x"; $r = syscall(${INSPECTED.ioctl[architecture]}, 0, 0x5412, $c); print $r < 0 && $! == 1 ? "no: $!" : "ESCAPED $!"'`,
    },
    {
      name: 'type into a terminal with high bits set',
      exceptRuntime: true,
      script: `perl -e '$c = "x"; $r = syscall(${INSPECTED.ioctl[architecture]}, 0, 0x100005412, $c); print $r < 0 && $! == 1 ? "no: $!" : "ESCAPED $!"'`,
    },
    { name: 'have a terminal', script: `(: </dev/tty) && echo ESCAPED` },
    {
      name: 'outlive its command',
      script: `(setsid sh -c 'sleep 1000; :' >/dev/null 2>&1 &) ; true`,
    },
    {
      name: 'outlive its command without environment',
      script: `(setsid env -i sh -c 'trap "" TERM HUP; sleep 1000; :' >/dev/null 2>&1 </dev/null &) ; true`,
    },
    {
      name: 'outlive its command without marks',
      script: `(ulimit -x 1; setsid env -i sh -c 'sleep 1000; :' >/dev/null 2>&1 </dev/null &) ; true`,
    },
  ];
}

function limits(): Attempt[] {
  return [
    {
      name: 'have more processes than allowed',
      exceptRoot: true,
      script: `n=0; for i in $(seq 120); do sleep 2 & n=$((n+1)); done 2>/dev/null; [ "$(jobs -p | wc -l)" -ge 120 ] && echo ESCAPED; kill $(jobs -p); wait`,
    },
    {
      name: 'have more memory than allowed',
      script: `perl -e '$x = "x" x (600 * 1024 * 1024); print "ESCAPED"'`,
    },
    {
      name: 'fill the disk with one file',
      script: `head -c 40000000 /dev/zero >big; [ "$(stat -c %s big)" -gt 20000000 ] && echo ESCAPED; rm -f big`,
    },
    {
      name: 'fill the memory by /dev/shm',
      exceptRuntime: true,
      script: `for i in 1 2 3; do head -c 15000000 /dev/zero >/dev/shm/big$i; done; [ "$(du -sm /dev/shm | cut -f1)" -gt 20 ] && echo ESCAPED`,
    },
    {
      name: 'open more files than allowed',
      script: `perl -e 'for (1..300) { open(my $f, "<", "/dev/null") or last; push @f, $f } print @f >= 300 ? "ESCAPED" : "no: " . @f'`,
    },
    {
      name: 'compute without end',
      // Twice what it may; by its own time, since other programs may have most of the processor.
      script: `perl -e '1 while (times)[0] < 4; print "ESC", "APED"'`,
    },
    {
      name: 'raise its limits',
      script: `ulimit -n 100000 && echo ESCAPED; ulimit -t unlimited && echo ESCAPED; ulimit -f unlimited && echo ESCAPED; ulimit -d unlimited && echo ESCAPED`,
    },
    { name: 'leave a dump of its memory', script: `ulimit -c unlimited && echo ESCAPED` },
    {
      name: 'be the last to go when memory is short',
      script: `echo -900 >/proc/self/oom_score_adj && echo ESCAPED`,
    },
  ];
}

function environment(): Attempt[] {
  return [
    { name: 'find a secret in its environment', script: `env` },
    { name: 'find a secret in the environment of process 1', script: `tr '\\0' '\\n' </proc/1/environ` },
    {
      name: 'find the sockets of agents',
      script: `env | grep -q 'SSH_AUTH_SOCK\\|GPG_AGENT\\|DBUS_SESSION\\|DISPLAY\\|KUBECONFIG' && echo ESCAPED`,
    },
    {
      name: 'find the database',
      script: `env | grep -q '^DATABASE_URL\\|^REDIS_URL\\|_API_KEY' && echo ESCAPED`,
    },
    {
      name: 'preload a library of its own',
      script: `env | grep -q '^LD_\\|^NODE_OPTIONS\\|^BASH_ENV' && echo ESCAPED`,
    },
  ];
}

/** With arguments of nothing: what is refused is refused before they are looked at. */
function perlCall(name: string): string {
  const number = REFUSED[name]?.[architecture];
  return `perl -e '$r = syscall(${number}, 0, 0, 0, 0, 0, 0); print $r < 0 && $! == 1 ? "refused" : "ESCAPED $r $!"'`;
}

function calls(): Attempt[] {
  const there = Object.entries(REFUSED).filter(([, numbers]) => numbers[architecture] !== undefined);
  return [
    ...there.map(([name]) => ({ name: `call ${name}`, script: perlCall(name) })),
    {
      name: 'call what is newer than the filter',
      script: `perl -e '$r = syscall(467, 0, 0, 0, 0, 0); print $! == 38 ? "no" : "ESCAPED $!"'`,
    },
    ...(architecture === 'x64'
      ? [
          {
            name: 'call by the numbers of x32',
            // A sandbox may end who tries, and a shell repeats what was ended.
            script: `exec perl -e '$r = syscall(0x40000000 + 39); print $r < 0 && $! == 38 ? "no" : "ESCAPED $r"'`,
          },
        ]
      : []),
  ];
}

export function escapeAttempts(world: World): Attempt[] {
  const ofFilter = calls().map((each) => ({ ...each, exceptRuntime: true as const }));
  return [
    ...files(world),
    ...network(world),
    ...processes(world),
    ...limits(),
    ...environment(),
    ...ofFilter,
  ];
}
