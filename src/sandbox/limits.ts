/**
 * What one confined command may use of the machine. Its control group, where it has one, limits memory and processes of all of it
 * (`groups.ts`). The rest, and what there is without one, is setrlimit(2): `processes` holds for all of it, since Linux 5.14 counts
 * them by user namespace, and each command has its own; the others hold for each of its processes.
 */
import { release } from 'node:os';

export interface Limits {
  /** Processes and threads. Not applied before Linux 5.14, where all of a user's would count, nor to root's user id. */
  readonly processes: number;
  /**
   * Bytes of writable memory of its own (RLIMIT_DATA). Not address space, which WebAssembly, Go and Java reserve in
   * quantity and never touch.
   */
  readonly memoryBytes: number;
  readonly fileBytes: number;
  readonly openFiles: number;
  readonly cpuSeconds: number;
  /** Processors at a time, of all of it; only a control group can limit that. */
  readonly cpus?: number | undefined;
  /** Bytes of files in memory: /dev/shm, and what a `local` command writes in its home directory. */
  readonly memoryFileBytes: number;
}

const GIB = 1024 ** 3;

export const DEFAULT_LIMITS: Limits = {
  processes: 2_048,
  memoryBytes: 8 * GIB,
  fileBytes: 10 * GIB,
  openFiles: 16_384,
  cpuSeconds: 7_200,
  memoryFileBytes: GIB / 2,
};

/** The first command that a confined process runs; its arguments are `limitArguments`. */
export const LIMITED_SHELL = `close='for fd in $fds; do eval "exec $fd>&-"; done'
fds=
for path in /proc/self/fd/*; do case \${path##*/} in [012]) ;; *) fds="$fds \${path##*/}" ;; esac; done
echo "$9" >/proc/self/oom_score_adj
{
ulimit -c 0; ulimit -d "$5"; ulimit -f "$6"; ulimit -n "$7"; ulimit -t "$8"
if ulimit -w "$2"; then ulimit -S -w "$3"; [ -z "$4" ] || ulimit -p "$4"
else ulimit -x "$2"; ulimit -S -x "$3"; [ -z "$4" ] || ulimit -u "$4"; fi
} 2>/dev/null
case $fds in
*[0-9][0-9]*) exec bash -c 'fds=$2; eval "$3"; exec bash -c "$1" 2>&1' bash "$1" "$fds" "$close" ;;
*) eval "$close"; exec bash -c "$1" 2>&1 ;;
esac`;

/** Where memory runs out, the kernel ends an agent's command rather than what else runs here (oom_score_adj, -1000 to 1000). */
export const OOM_SCORE = 500;

export function limitArguments(
  script: string,
  locks: { readonly hard: number; readonly soft: number },
  limits: Limits,
): string[] {
  const processes = countsByNamespace(release()) ? `${limits.processes}` : '';
  const kib = Math.ceil(limits.memoryBytes / 1024);
  const blocks = Math.ceil(limits.fileBytes / 512);
  const numbers = [kib, blocks, limits.openFiles, limits.cpuSeconds, OOM_SCORE];
  return [script, `${locks.hard}`, `${locks.soft}`, processes, ...numbers.map(String)];
}

/** Whether this Linux counts a user's processes within each user namespace. */
export function countsByNamespace(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 5 || (major === 5 && minor >= 14);
}
