import { Command, Errors, Flags } from '@oclif/core';
import type { Flags as ConfigFlags } from '../config/layers.ts';
import type { LoadedConfig } from '../config.ts';
import { UserError } from '../core/errors.ts';
import type { Connection, ConnectOptions } from './connection.ts';
import { describeFailure, problemText } from './failure.ts';
import type { Interrupts } from './interrupts.ts';
import { jsonText } from './json-text.ts';
import { columnsOf, sentences, tellPerson } from './sentences.ts';
import type { Terminal } from './terminal.ts';
import { neutralised } from './untrusted-text.ts';

/** The flags that every command has. */
export interface GlobalFlags {
  readonly json: boolean;
  readonly profile?: string | undefined;
  readonly offline: boolean;
  readonly debug: boolean;
}

/**
 * What all commands share: settings, the connection, and how failures are told. Heavy things are loaded when a command
 * runs, so that `--help` stays quick.
 */
export abstract class CapybaraCommand extends Command {
  static override baseFlags = {
    json: Flags.boolean({ helpGroup: 'GLOBAL', description: 'Answer in JSON.' }),
    profile: Flags.string({
      helpGroup: 'GLOBAL',
      description: 'A profile of your config.yaml.',
      helpValue: 'NAME',
    }),
    offline: Flags.boolean({
      helpGroup: 'GLOBAL',
      description: 'Contact loopback and private addresses alone.',
    }),
    debug: Flags.boolean({ helpGroup: 'GLOBAL', description: 'Show where an error comes from, and times.' }),
  };

  readonly #began = performance.now();
  #config: LoadedConfig['config'] | undefined;

  /** Settings, `given` first. A server passes `trustWorkingDirectory: false`. */
  protected async settings(
    flags: GlobalFlags,
    given: ConfigFlags = {},
    { trustWorkingDirectory = true }: { trustWorkingDirectory?: boolean } = {},
  ): Promise<LoadedConfig> {
    // What a script left empty is not to mean another profile, or none.
    if (flags.profile === '')
      throw new UserError(
        'bad_usage',
        '--profile is empty: expected the name of a profile, or leave it out.',
      );
    const { loadConfig } = await import('../config.ts');
    // A flag that was not given must not hide what the environment says.
    const { offline, debug } = { offline: flags.offline || undefined, debug: flags.debug || undefined };
    const loaded = loadConfig({
      flags: { offline, debug, ...given },
      profile: flags.profile,
      trustWorkingDirectory,
    });
    this.#config = loaded.config;
    if (loaded.config.offline) await (await import('./offline.ts')).stayOffline(loaded.config);
    return loaded;
  }

  protected async terminal(loaded: LoadedConfig): Promise<Terminal> {
    const [{ processTerminal }, { keptTheme, personalDirectory }] = await Promise.all([
      import('./terminal.ts'),
      import('./kept-theme.ts'),
    ]);
    return processTerminal({
      noColor: loaded.config.noColor ?? false,
      theme: () => keptTheme(personalDirectory()),
    });
  }

  /** Hands a connection to `use`, and stops afterwards what was started for it. */
  protected async withConnection<Result>(
    loaded: LoadedConfig,
    options: ConnectOptions,
    use: (connection: Connection) => Promise<Result>,
  ): Promise<Result> {
    const { connect } = await import('./connection.ts');
    const connection = await connect(loaded.config, options);
    try {
      return await use(connection);
    } finally {
      await connection.stop();
    }
  }

  /** Hands `use` what the person means by Ctrl-C, and gives the signals back afterwards. What breaks by that ends the command with 130. */
  protected async withInterrupts<Result>(use: (interrupts: Interrupts) => Promise<Result>): Promise<Result> {
    const [{ Interrupts }, { EXIT }] = await Promise.all([
      import('./interrupts.ts'),
      import('./run-task.ts'),
    ]);
    const interrupts = new Interrupts({ force: () => process.exit(EXIT.left) });
    try {
      return await use(interrupts);
    } catch (error) {
      if (!interrupts.signal.aborted || !(await isBrokenOff(error))) throw error;
      this.tell('Stopped.');
      return this.exit(EXIT.left);
    } finally {
      interrupts.close();
    }
  }

  /** How wide text may be where it is wrapped; no end to it in a pipe. */
  protected get columns(): number {
    return columnsOf(process.stdout);
  }

  /** `value` for programs, `text` for people. */
  protected answer(flags: GlobalFlags, value: unknown, text: string): void {
    process.stdout.write(flags.json ? jsonText(value, 2) : text);
  }

  /** Beside the answer. */
  protected tell(text: string): void {
    tellPerson(text);
  }

  /** As `answer`; `text` is sentences, with names in them that others chose. */
  protected say(flags: GlobalFlags, value: unknown, text: string): void {
    this.answer(flags, value, text === '' ? '' : sentences(text, this.columns));
  }

  protected override async catch(error: Error): Promise<void> {
    if (error instanceof Errors.ExitError) throw error;
    this.parsed = true;
    const command = `capybara ${(this.id ?? '').replaceAll(':', ' ')}`;
    const takesText = 'prompt' in (this.ctor.args ?? {}) || 'message' in (this.ctor.flags ?? {});
    const flags = ['help', ...Object.keys({ ...this.ctor.baseFlags, ...this.ctor.flags })];
    const { step, ...failure } = describeFailure(error, { command, takesText, flags });
    process.exitCode = failure.exitCode;
    if (this.#typed.includes('--json')) {
      process.stdout.write(problemText(failure));
    } else tellPerson(step === undefined ? failure.message : `${failure.message} ${step}`);
    if (this.#isDebugged) process.stderr.write(`${neutralised(await this.#stackOf(error))}\n`);
  }

  protected override async finally(error: Error | undefined): Promise<void> {
    await super.finally(error);
    if (!this.#isDebugged) return;
    const { tellTime } = await import('./timings.ts');
    tellTime(performance.now() - this.#began);
  }

  /** What was typed as flags: where settings cannot be read, and arguments not parsed, nothing else is known. */
  get #typed(): readonly string[] {
    return this.argv.includes('--') ? this.argv.slice(0, this.argv.indexOf('--')) : this.argv;
  }

  get #isDebugged(): boolean {
    return this.#config?.debug === true || this.#typed.includes('--debug');
  }

  /** With what caused it, and without what is secret. */
  async #stackOf(error: Error): Promise<string> {
    const [{ inspect }, { withoutSecretsOf }] = await Promise.all([
      import('node:util'),
      import('../config/secrets.ts'),
    ]);
    const cause = error.cause === undefined ? '' : `\ncaused by ${inspect(error.cause, { depth: 1 })}`;
    const stack = `${error.stack ?? ''}${cause}`;
    return this.#config === undefined ? stack : withoutSecretsOf(this.#config, stack);
  }
}

/** Whether it may come of a request that was ended by a signal: also one in the middle of its answer. */
async function isBrokenOff(error: unknown): Promise<boolean> {
  if (error instanceof Error && error.name === 'AbortError') return true;
  const { isTransient } = await import('../client/errors.ts');
  return isTransient(error);
}
