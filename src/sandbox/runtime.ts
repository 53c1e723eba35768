import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { homedir, release } from 'node:os';
import { type CallOptions, createCalls, type Kind, type Marks, type Started } from './calls.ts';
import { complaintOf } from './complaint.ts';
import { openEgressPort } from './egress.ts';
import { clearedEnvironment, languageOf } from './environment.ts';
import { gitVariables } from './git-setup.ts';
import { countsByNamespace, DEFAULT_LIMITS, type Limits, OOM_SCORE } from './limits.ts';
import { openScratch, type Scratch } from './runner.ts';
import type { Setup } from './runtime-process.ts';
import { fileRules } from './runtime-view.ts';
import { openWrapper, type Wrapper } from './runtime-wrapper.ts';
import type { Command, LeasedSandbox } from './sandbox.ts';
import type { Profile } from './view.ts';
import { PORT, proxyVariables } from './way-out.ts';
import { checkPlaces } from './ways.ts';

export interface RuntimeOptions extends CallOptions {
  readonly profile: Profile;
  readonly programs: Setup['programs'];
  readonly limits?: Partial<Limits>;
  /** Directories that no command may see, absolute: Capybara's own data. */
  readonly hidden?: readonly string[];
  /** The person's home directory; that of the worker's environment, or of its user. */
  readonly home?: string;
}

/**
 * The first command in the sandbox, by bash: closes what was left open, sets limits, and puts bash in its own place. Where the
 * system knows no such limit, it holds none.
 */
const LIMITED = `for path in /dev/fd/*; do fd=\${path##*/}; case $fd in [012]|"*") ;; *) eval "exec $fd>&-" ;; esac; done
{ echo "$9" >/proc/self/oom_score_adj
ulimit -c 0; ulimit -d "$5"; ulimit -f "$6"; ulimit -n "$7"; ulimit -t "$8"
ulimit -x "$2"; ulimit -S -x "$3"; [ -z "$4" ] || ulimit -u "$4"; } 2>/dev/null
exec bash -c "$1" 2>&1`;

/** The script comes in the environment, in two halves: quoted into other words it would grow too long to be one. */
const HALVES = ['CAPYBARA_SCRIPT_1', 'CAPYBARA_SCRIPT_2'] as const;

/**
 * Runs commands by @anthropic-ai/sandbox-runtime: in seatbelt (sandbox-exec) on macOS, in bubblewrap on Linux. They see the host
 * as `runtime-view.ts` says, may change only what they are told they may, and reach hosts by Capybara's own proxy alone.
 */
export function createRuntimeSandbox(options: RuntimeOptions): LeasedSandbox {
  const runtime = new Runtime(options);
  const kind: Kind = {
    name: 'runtime',
    confined: true,
    // bwrap takes everything with it when it ends; on macOS there is nobody around the command.
    leaderIsKeeper: process.platform === 'linux',
    start: (command, marks, stdin) => runtime.start({ command, marks, stdin }),
    close: () => runtime.close(),
  };
  return createCalls(kind, options);
}

interface Starting {
  readonly command: Command;
  readonly marks: Marks;
  readonly stdin: Parameters<Kind['start']>[2];
}

class Runtime {
  readonly #options: RuntimeOptions;
  readonly #limits: Limits;
  /** For all commands that reach no network. */
  #shared: Promise<Wrapper> | undefined;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
  }

  async start(starting: Starting): Promise<Started> {
    const { egress } = starting.command;
    if (!egress?.length) return this.#startShared(starting);
    const way = await openEgressPort({ hosts: egress });
    let wrapper: Wrapper | undefined;
    const close = async () => {
      await wrapper?.close();
      await way.close();
    };
    try {
      wrapper = await this.#open(way.port);
      return { ...(await this.#begin(starting, wrapper, way.port)), close };
    } catch (error) {
      await close();
      throw error;
    }
  }

  async #startShared(starting: Starting): Promise<Started> {
    const first = await this.#sharedWrapper();
    const begin = async (wrapper: Wrapper) => {
      const started = await this.#begin(starting, wrapper);
      return { ...started, close: async () => wrapper.done() };
    };
    return begin(first).catch(async (error: unknown) => {
      // It may have died unnoticed.
      if (first.isAlive) throw error;
      return begin(await this.#sharedWrapper());
    });
  }

  async close(): Promise<void> {
    await this.#shared?.then(
      (wrapper) => wrapper.close(),
      () => {},
    );
  }

  async #sharedWrapper(): Promise<Wrapper> {
    const seen = this.#shared;
    const current = await seen?.catch(() => undefined);
    if (current?.isAlive) return current;
    // Another command may have seen the same, and been faster.
    if (this.#shared === undefined || this.#shared === seen) this.#shared = this.#open();
    return this.#shared;
  }

  #open(proxyPort?: number): Promise<Wrapper> {
    const { programs, environment } = this.#options;
    const { PATH = '' } = clearedEnvironment(environment);
    return openWrapper({ programs, ...(proxyPort && { proxyPort }) }, PATH);
  }

  async #begin({ command, marks, stdin }: Starting, wrapper: Wrapper, port?: number): Promise<Started> {
    const scratch = openScratch(command.scratch, undefined);
    const { around, writable, readable = [] } = command;
    checkPlaces([...(around === undefined ? [] : [around]), ...writable, ...readable]);
    const argv = await wrapper.wrap({
      text: this.#text(command, { marks, scratch, port }),
      files: fileRules(this.#view(), { ...command, scratch: realpathSync(command.scratch) }),
    });
    const [program = '', ...args] = argv;
    const { PATH = '' } = clearedEnvironment(this.#options.environment);
    const half = halfOf(command.script);
    const child = spawn(program, args, {
      cwd: command.cwd,
      // For the guard, which looks for this mark, and for nothing else: the command gets an environment of its own.
      env: {
        ...{ PATH, CAPYBARA_WORKER: marks.variables.CAPYBARA_WORKER },
        ...{ [HALVES[0]]: command.script.slice(0, half), [HALVES[1]]: command.script.slice(half) },
      },
      detached: true,
      stdio: [stdin, 'pipe', 'pipe'],
    });
    return { child, output: [child.stdout], checkEnd: complaintOf(child, ['bwrap', 'sandbox-exec']) };
  }

  #view() {
    const { profile, hidden = [], git } = this.#options;
    const readable = git === undefined ? [] : [git.directory];
    return { profile, platform: process.platform, home: this.#home(), hidden, readable };
  }

  #home(): string {
    const { environment, home = environment.HOME ?? homedir() } = this.#options;
    try {
      return realpathSync(home);
    } catch {
      return '/';
    }
  }

  /** What runs in the sandbox, for `sh -c`. */
  #text(
    command: Command,
    { marks, scratch, port }: { marks: Marks; scratch: Scratch; port: number | undefined },
  ): string {
    const environment = Object.entries(this.#environment(command, { marks, scratch, port }));
    const words = [...environment.map(([name, value]) => `${name}=${value}`), 'bash', '-c', LIMITED, 'bash'];
    const script = `"$${HALVES[0]}$${HALVES[1]}"`;
    return `exec env -i ${words.map(quoted).join(' ')} ${script} ${this.#limitWords(marks).map(quoted).join(' ')}`;
  }

  #environment(
    { gitSettings, env }: Command,
    { marks, scratch, port }: { marks: Marks; scratch: Scratch; port: number | undefined },
  ): Record<string, string> {
    const { environment, profile, git } = this.#options;
    const isStrict = profile === 'strict';
    const base = clearedEnvironment(isStrict ? languageOf(environment) : environment);
    const home = this.#home();
    const own = {
      HOME: isStrict ? scratch.home : home === '/' ? scratch.tmp : home,
      ...{ TMPDIR: scratch.tmp, XDG_CACHE_HOME: scratch.cache },
    };
    const proxies = port === undefined ? {} : proxyVariables(process.platform === 'linux' ? PORT : port);
    const all = {
      ...base,
      ...own,
      ...gitVariables(git, gitSettings),
      ...env,
      ...proxies,
      ...marks.variables,
    };
    return Object.fromEntries(
      Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined),
    );
  }

  #limitWords({ locks }: Marks): string[] {
    const { processes, memoryBytes, fileBytes, openFiles, cpuSeconds } = this.#limits;
    // Elsewhere all processes of the user would count.
    const ofNamespace = process.platform === 'linux' && countsByNamespace(release());
    const kib = [memoryBytes, fileBytes].map((bytes) => Math.ceil(bytes / 1024));
    const numbers = [...kib, openFiles, cpuSeconds, OOM_SCORE].map(String);
    return [`${locks.hard}`, `${locks.soft}`, ofNamespace ? `${processes}` : '', ...numbers];
  }
}

/** Where to cut a text without parting the two halves of a character. */
function halfOf(text: string): number {
  const half = text.length >> 1;
  return /[\uDC00-\uDFFF]/.test(text.charAt(half)) ? half + 1 : half;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
